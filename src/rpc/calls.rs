//! The calls that are open on one connection, counted, whether any of them was answered lately, and what of their answers
//! nobody has read.
//!
//! Invariants
//! - A call is counted from its beginning until its reply is gone, once.
//! - The bytes of an answer are counted until the last of them left for the socket, or was dropped with its stream.
//! - Who waits for room is woken when there is some, and when the connection ends.

use super::context::Context as Shared;
use crate::limits;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

/// Bytes of answers that were not sent yet, counted wherever they are dropped.
pub(super) type Unread = Arc<AtomicUsize>;

/// What the tasks of a connection's calls tell its driver.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: Cell<usize>,
    /// Something was sent since the last ping.
    answered: Cell<bool>,
    /// Of this connection.
    unread: Unread,
    /// Calls that wait for room.
    waiting: RefCell<Vec<Waker>>,
    ended: Cell<bool>,
}

/// A part of an answer, counted while it waits.
#[derive(Debug)]
struct Counted {
    bytes: Bytes,
    of: [Unread; 2],
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        for unread in &self.of {
            unread.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        }
    }
}

/// One open call, counted while it lives.
#[derive(Debug)]
pub(super) struct Open {
    calls: Rc<Calls>,
    shared: Shared,
}

impl Calls {
    /// Calls open now.
    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    /// Something is being sent.
    pub(super) fn on_answer(&self) {
        self.answered.set(true);
    }

    /// Whether anything was sent since the last time this was asked.
    pub(super) fn take_answered(&self) -> bool {
        self.answered.take()
    }

    /// Wakes some of those who wait for room, if there is any; whether there are more of them.
    pub(super) fn on_sent(&self, shared: &Shared) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() || !self.has_room(shared) {
            return false;
        }
        let woken = waiting.len().min(limits::CALLS_PER_TURN_MAX);
        waiting.drain(..woken).for_each(Waker::wake);
        !waiting.is_empty()
    }

    /// The connection is gone.
    pub(super) fn on_end(&self) {
        self.ended.set(true);
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    fn has_room(&self, shared: &Shared) -> bool {
        let scarce = shared.unread().load(Ordering::Relaxed) >= limits::ANSWERS_UNREAD_PER_SHARD_MAX;
        let max = if scarce { limits::ANSWERS_UNREAD_SCARCE } else { limits::ANSWERS_UNREAD_PER_CONNECTION_MAX };
        self.ended.get() || self.unread.load(Ordering::Relaxed) < max
    }
}

impl Open {
    /// A call begins.
    pub(super) fn new(calls: &Rc<Calls>, shared: &Shared) -> Self {
        calls.open.set(calls.open.get() + 1);
        shared.cells().calls_begun.count();
        Self { calls: Rc::clone(calls), shared: shared.clone() }
    }

    /// Something is being sent.
    pub(super) fn on_answer(&self) {
        self.calls.on_answer();
    }

    /// Ready when the client has read enough of its other answers to be given one more.
    pub(super) fn poll_room(&self, context: &Context<'_>) -> Poll<()> {
        if self.calls.has_room(&self.shared) {
            return Poll::Ready(());
        }
        let mut waiting = self.calls.waiting.borrow_mut();
        if !waiting.last().is_some_and(|last| last.will_wake(context.waker())) {
            waiting.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// The same bytes, counted until they are sent. Small ones are left out: the streams bound them.
    pub(super) fn count(&self, bytes: Bytes) -> Bytes {
        if bytes.len() < limits::ANSWER_COUNTED_BYTES_MIN {
            return bytes;
        }
        let of = [Arc::clone(&self.calls.unread), Arc::clone(self.shared.unread())];
        for unread in &of {
            unread.fetch_add(bytes.len(), Ordering::Relaxed);
        }
        Bytes::from_owner(Counted { bytes, of })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let open = self.calls.open.get();
        assert!(open > 0, "a call ends once");
        self.calls.open.set(open - 1);
        self.shared.cells().calls_ended.count();
    }
}
