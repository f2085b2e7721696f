//! A socket through TLS, once hands were shaken.
//!
//! Invariants
//! - Idle, a connection holds no buffer: ciphertext is read into one that the executor's connections share, and only a part
//!   of a record, plaintext that was not asked for, or ciphertext that the socket has no room for is kept.
//! - A write takes all it is given, encrypted; it is done when `poll_flush` says so.
//!
//! Must not know: what the plaintext means.

use super::socket::Peer;
use super::stream::Stream;
use crate::limits;
use crate::tls::{Session, Step};
use futures_lite::io::{AsyncRead, AsyncWrite};
use futures_lite::ready;
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// What the connections of one executor share.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    /// Where ciphertext lands. Empty until the first connection.
    scratch: RefCell<Vec<u8>>,
    /// What was last encrypted into, and is free again.
    spare: RefCell<Vec<u8>>,
}

impl Buffers {
    /// Lends the read buffer; never across an await.
    pub(super) fn with_scratch<R>(&self, work: impl FnOnce(&mut [u8]) -> R) -> R {
        let mut scratch = self.scratch.borrow_mut();
        if scratch.is_empty() {
            scratch.resize(limits::TLS_READ_BYTES, 0);
        }
        work(&mut scratch)
    }

    fn give(&self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= 2 * limits::WRITE_GATHER_BYTES {
            buffer.clear();
            self.spare.replace(buffer);
        }
    }
}

/// A connection through TLS.
#[derive(Debug)]
pub struct TlsStream {
    stream: Stream,
    session: Session,
    buffers: Rc<Buffers>,
    /// A part of a record.
    incoming: Vec<u8>,
    /// Decrypted, and not asked for yet; the first `taken` bytes are gone.
    plain: Vec<u8>,
    taken: usize,
    /// Encrypted, and not sent yet; the first `sent` bytes are gone.
    outgoing: Vec<u8>,
    sent: usize,
    ended: bool,
}

impl TlsStream {
    /// A connection whose handshake left `incoming` and `plain` of what came with its end.
    pub(super) fn new(
        stream: Stream,
        session: Session,
        buffers: Rc<Buffers>,
        (incoming, plain): (Vec<u8>, Vec<u8>),
    ) -> Self {
        let (outgoing, taken, sent) = (Vec::new(), 0, 0);
        Self { stream, session, buffers, incoming, plain, taken, outgoing, sent, ended: false }
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.stream.peer()
    }

    /// Plaintext that is there already.
    fn take_plain(&mut self, buffer: &mut [u8]) -> usize {
        let left = &self.plain[self.taken..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.taken += count;
        if self.taken == self.plain.len() {
            self.plain = Vec::new();
            self.taken = 0;
        }
        count
    }

    /// Reads ciphertext once, and gives what plaintext that makes. Nothing may mean that there is more to read.
    fn poll_receive(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let buffers = Rc::clone(&self.buffers);
        buffers.with_scratch(|scratch| {
            let had = self.incoming.len();
            // A record and its header are shorter than the buffer by far.
            let room = scratch.get_mut(had..).filter(|room| !room.is_empty()).ok_or(io::ErrorKind::InvalidData)?;
            let count = ready!(Pin::new(&mut self.stream).poll_read(context, room))?;
            if count == 0 {
                self.ended = true;
                return Poll::Ready(Ok(0));
            }
            scratch[..had].copy_from_slice(&self.incoming);
            Poll::Ready(self.decrypt(&mut scratch[..had + count], buffer))
        })
    }

    fn decrypt(&mut self, ciphertext: &mut [u8], buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        let plain = &mut self.plain;
        let received = self.session.receive(ciphertext, &mut self.outgoing, &mut |bytes| {
            let fits = bytes.len().min(buffer.len() - filled);
            buffer[filled..filled + fits].copy_from_slice(&bytes[..fits]);
            filled += fits;
            plain.extend_from_slice(&bytes[fits..]);
        });
        let (used, step) = received.map_err(|failure| io::Error::new(io::ErrorKind::InvalidData, failure.text))?;
        self.ended = step == Step::Closed;
        let rest = &ciphertext[used..];
        if rest.is_empty() {
            self.incoming = Vec::new();
        } else {
            self.incoming.clear();
            self.incoming.extend_from_slice(rest);
        }
        Ok(filled)
    }

    /// Sends what is encrypted.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.outgoing.len() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, &self.outgoing[self.sent..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += count;
        }
        self.sent = 0;
        if self.outgoing.capacity() > 0 {
            self.buffers.give(std::mem::take(&mut self.outgoing));
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what can be sent; what cannot is tried again with the next write.
    fn try_send(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.poll_send(context) {
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) | Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            if this.taken < this.plain.len() {
                return Poll::Ready(Ok(this.take_plain(buffer)));
            }
            if this.ended || buffer.is_empty() {
                return Poll::Ready(Ok(0));
            }
            let received = ready!(this.poll_receive(context, buffer));
            // An answer of the machine's own: an alert, a new key.
            if !this.outgoing.is_empty() {
                this.try_send(context)?;
            }
            match received {
                Ok(0) => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_send(context))?;
        this.outgoing = this.buffers.spare.take();
        let sent = this.session.send(buffer, &mut this.incoming, &mut this.outgoing);
        sent.map_err(|failure| io::Error::new(io::ErrorKind::BrokenPipe, failure.text))?;
        this.try_send(context)?;
        Poll::Ready(Ok(buffer.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = buffers.iter().find(|buffer| !buffer.is_empty());
        self.poll_write(context, first.map_or(&[], |buffer| buffer))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.session.say_farewell(&mut this.incoming, &mut this.outgoing);
        ready!(this.poll_send(context))?;
        Pin::new(&mut this.stream).poll_close(context)
    }
}
