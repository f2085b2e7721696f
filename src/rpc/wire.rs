//! The bytes of one connection, between its socket (or TLS) and the HTTP machine on top.
//!
//! The machine and the task that drives it share one `Wire`: the machine reads and writes, the task says when a turn
//! begins and ends. During a turn writes are gathered; at its end they leave in one system call.
//!
//! Invariants
//! - Bytes leave in the order written. `gathered` holds what no system call has taken yet.
//! - The machine sees a flush as done at once during a turn; the task flushes in truth before it sleeps.
//! - A turn reads a bounded number of bytes, however fast more of them come.
//! - Idle, a connection holds no buffer here.
//!
//! Must not know: HTTP, but for the frame headers that `FrameScan` looks at.

use super::context::Context as Shared;
use super::pings::FrameScan;
use crate::limits;
use futures_lite::io::{AsyncRead, AsyncWrite};
use futures_lite::ready;
use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

#[derive(Debug)]
struct Inner<T> {
    io: RefCell<T>,
    shared: Shared,
    /// Bytes read before the protocol was known, to be read again by its machine.
    replay: RefCell<Vec<u8>>,
    scan: RefCell<Option<FrameScan>>,
    gathered: RefCell<Vec<u8>>,
    /// Bytes of `gathered` that the socket has taken.
    written: Cell<usize>,
    in_turn: Cell<bool>,
    /// Whether everything written so far ends where the machine flushed: a frame's boundary.
    at_boundary: Cell<bool>,
    reads: Cell<u64>,
    /// Bytes read in this turn.
    turn_bytes: Cell<usize>,
}

/// A connection's bytes. Clones are the same connection.
#[derive(Debug)]
pub(super) struct Wire<T>(Rc<Inner<T>>);

impl<T> Clone for Wire<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Drop for Inner<T> {
    fn drop(&mut self) {
        self.shared.give_buffer(std::mem::take(self.gathered.get_mut()));
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Wire<T> {
    pub(super) fn new(io: T, shared: Shared) -> Self {
        Self(Rc::new(Inner {
            io: RefCell::new(io),
            shared,
            replay: RefCell::default(),
            scan: RefCell::default(),
            gathered: RefCell::default(),
            written: Cell::default(),
            in_turn: Cell::default(),
            at_boundary: Cell::new(true),
            reads: Cell::default(),
            turn_bytes: Cell::default(),
        }))
    }

    /// Puts bytes back, to be read first.
    pub(super) fn unread(&self, bytes: &[u8]) {
        self.0.replay.borrow_mut().extend_from_slice(bytes);
    }

    /// From here on the bytes read are HTTP/2, preface first.
    pub(super) fn scan_frames(&self) {
        *self.0.scan.borrow_mut() = Some(FrameScan::new());
    }

    /// Pings read since the last time this was asked.
    pub(super) fn take_pings(&self) -> u32 {
        self.0.scan.borrow_mut().as_mut().map_or(0, FrameScan::take_pings)
    }

    /// The highest stream that the client opened.
    pub(super) fn stream_last(&self) -> u32 {
        self.0.scan.borrow().as_ref().map_or(0, FrameScan::stream_last)
    }

    /// Reads that brought bytes, so far: tells whether the client has said anything since.
    pub(super) fn reads(&self) -> u64 {
        self.0.reads.get()
    }

    /// Begins a turn: writes are gathered until `end_turn`.
    pub(super) fn begin_turn(&self) {
        self.0.in_turn.set(true);
        self.0.turn_bytes.set(0);
    }

    /// Ends a turn: what was gathered goes to the socket. `Pending` when the socket has no room for all of it; the
    /// task is then woken when it has.
    pub(super) fn end_turn(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.in_turn.set(false);
        self.poll_send(context)
    }

    /// Appends bytes of our own, where the machine's last frame has ended; `false` when it has not.
    pub(super) fn append_frame(&self, frame: &[u8]) -> bool {
        if self.0.at_boundary.get() {
            self.0.gathered.borrow_mut().extend_from_slice(frame);
        }
        self.0.at_boundary.get()
    }

    /// Reads up to the length of `room`, `replay` first.
    pub(super) fn poll_bytes(
        &self,
        context: &mut Context<'_>,
        room: usize,
        take: impl FnOnce(&[u8]),
    ) -> Poll<io::Result<()>> {
        let inner = &*self.0;
        if inner.in_turn.get() && inner.turn_bytes.get() >= limits::READ_PER_TURN_BYTES_MAX {
            // The machine would go on as long as there is something: others have their turn first.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut replay = inner.replay.borrow_mut();
        if !replay.is_empty() {
            let count = room.min(replay.len());
            let rest = replay.split_off(count);
            let bytes = std::mem::replace(&mut *replay, rest);
            self.seen(&bytes);
            take(&bytes);
            return Poll::Ready(Ok(()));
        }
        inner.shared.with_scratch(|scratch| {
            let room = room.min(scratch.len());
            let count = ready!(Pin::new(&mut *inner.io.borrow_mut()).poll_read(context, &mut scratch[..room]))?;
            inner.reads.set(inner.reads.get() + 1);
            inner.turn_bytes.set(inner.turn_bytes.get() + count);
            inner.shared.cells().received_bytes.add(count_of(count));
            self.seen(&scratch[..count]);
            take(&scratch[..count]);
            Poll::Ready(Ok(()))
        })
    }

    /// Reads and forgets a turn's bytes at a time; ready when no more come.
    pub(super) fn poll_discard(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut discarded = 0;
        while discarded < limits::READ_PER_TURN_BYTES_MAX {
            let had = discarded;
            let polled = self.poll_bytes(context, limits::READ_PER_TURN_BYTES_MAX, |bytes| discarded += bytes.len());
            if ready!(polled).is_err() || discarded == had {
                return Poll::Ready(());
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn seen(&self, bytes: &[u8]) {
        if let Some(scan) = self.0.scan.borrow_mut().as_mut() {
            scan.look(bytes);
        }
    }

    /// Sends what is gathered.
    fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let inner = &*self.0;
        let mut gathered = inner.gathered.borrow_mut();
        while inner.written.get() < gathered.len() {
            let io = &mut *inner.io.borrow_mut();
            let count = ready!(Pin::new(io).poll_write(context, &gathered[inner.written.get()..]))?;
            self.on_sent(count)?;
            inner.written.set(inner.written.get() + count);
        }
        // A socket has taken them; what TLS makes of them may still be on the way.
        ready!(Pin::new(&mut *inner.io.borrow_mut()).poll_flush(context))?;
        inner.written.set(0);
        if gathered.capacity() > 0 {
            inner.shared.give_buffer(std::mem::take(&mut *gathered));
        }
        Poll::Ready(Ok(()))
    }

    fn on_sent(&self, count: usize) -> io::Result<()> {
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.0.shared.cells().sent_bytes.add(count_of(count));
        Ok(())
    }

    /// Takes bytes to be sent: gathered while there is room, else room is made first.
    fn poll_gather(&self, context: &mut Context<'_>, buffers: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let inner = &*self.0;
        let total: usize = buffers.iter().map(|buffer| buffer.len()).sum();
        if inner.gathered.borrow().len() + total > limits::WRITE_GATHER_BYTES {
            ready!(self.poll_send(context))?;
        }
        inner.at_boundary.set(false);
        let mut gathered = inner.gathered.borrow_mut();
        assert!(inner.written.get() <= gathered.len(), "no more was written than gathered");
        if gathered.capacity() == 0 {
            *gathered = inner.shared.take_buffer();
        }
        let mut taken = 0;
        for buffer in buffers {
            let room = limits::WRITE_GATHER_BYTES.saturating_sub(gathered.len());
            let count = room.min(buffer.len());
            gathered.extend_from_slice(&buffer[..count]);
            taken += count;
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flushed(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.at_boundary.set(true);
        if self.0.in_turn.get() {
            return Poll::Ready(Ok(()));
        }
        self.poll_send(context)
    }

    /// Sends the rest and closes the writing side.
    pub(super) fn poll_close(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut *self.0.io.borrow_mut()).poll_close(context)
    }
}

/// A number of bytes as the counters have it.
fn count_of(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl<T: AsyncRead + AsyncWrite + Unpin> tokio::io::AsyncRead for Wire<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_bytes(context, buffer.remaining(), |bytes| buffer.put_slice(bytes))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> tokio::io::AsyncWrite for Wire<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_gather(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_gather(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flushed(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_close(context)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> hyper::rt::Read for Wire<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_bytes(context, buffer.remaining(), |bytes| buffer.put_slice(bytes))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> hyper::rt::Write for Wire<T> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_gather(context, &[IoSlice::new(bytes)])
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flushed(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_close(context)
    }
}
