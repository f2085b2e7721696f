//! A connected socket driven by the executor it was attached on, as an asynchronous byte stream.
//!
//! Invariants
//! - A read or write is tried first and the reactor asked only when the socket has nothing, or no room.
//! - At most one registration in each direction is outstanding; while one is, no system call is made in that direction.
//!
//! Must not know: what the bytes mean. TLS wraps it through the same two traits.

use super::socket::{Peer, Socket};
use crate::limits;
use futures_lite::io::{AsyncRead, AsyncWrite};
use futures_lite::ready;
use glommio::io::{PollState, PollableFd};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

/// One direction's wait for readiness.
#[derive(Debug, Default)]
struct Wait {
    state: PollState,
    /// The socket was found empty (or full) and has not been heard of since.
    waiting: bool,
    /// Polls of the present registration.
    polls: u32,
}

impl Wait {
    /// Begins to wait; the next poll registers.
    fn begin(&mut self) {
        self.waiting = true;
        self.polls = 0;
    }

    /// Ready when the socket may be tried (again).
    ///
    /// The reactor keeps one more waker for each poll of a pending registration. A connection that only writes, as a
    /// watch does, polls its reading side each time, so the registration is renewed before that list grows long.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        ask: impl FnOnce(&mut Context<'_>, &mut PollState) -> Poll<glommio::Result<(), ()>>,
    ) -> Poll<io::Result<()>> {
        if !self.waiting {
            return Poll::Ready(Ok(()));
        }
        if self.polls == limits::POLLS_PER_REGISTRATION_MAX {
            self.state = PollState::new();
            self.polls = 0;
        }
        self.polls += 1;
        ready!(ask(context, &mut self.state)).map_err(io::Error::from)?;
        self.waiting = false;
        Poll::Ready(Ok(()))
    }
}

/// A connected socket of one executor.
#[derive(Debug)]
pub struct Stream {
    watched: PollableFd<Socket>,
    peer: Peer,
    reading: Wait,
    writing: Wait,
}

impl Stream {
    pub(super) fn new(socket: Socket, peer: Peer) -> io::Result<Self> {
        let watched = PollableFd::new(socket).map_err(io::Error::from)?;
        Ok(Self { watched, peer, reading: Wait::default(), writing: Wait::default() })
    }

    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            ready!(this.reading.poll(context, |context, state| this.watched.poll_readable(context, state)))?;
            match this.watched.get_ref().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => this.reading.begin(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(count) => {
                    // A short read emptied the socket: the next call need not ask it again in vain.
                    if count > 0 && count < buffer.len() {
                        this.reading.begin();
                    }
                    return Poll::Ready(Ok(count));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(buffer)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        loop {
            ready!(this.writing.poll(context, |context, state| this.watched.poll_writable(context, state)))?;
            match this.watched.get_ref().write(buffers) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => this.writing.begin(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.watched.get_ref().shutdown_write())
    }
}
