//! Work that the connections of an executor do one at a time, in the order in which it came.
//!
//! A thousand calls that each worked for as long as one may would hold up everybody else a thousand times as long as one.
//!
//! Invariants
//! - One ticket at most has its turn; it keeps it until it is dropped.
//! - Whoever waits is woken when it is first and nobody has a turn.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

#[derive(Debug, Default)]
struct Inner {
    is_taken: Cell<bool>,
    tickets: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, Waker>>,
}

/// The lane. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane(Rc<Inner>);

/// A place in the lane.
#[derive(Debug)]
pub(super) struct Ticket {
    lane: Lane,
    number: u64,
    has_turn: bool,
}

impl Lane {
    /// A place behind all others.
    pub(super) fn ticket(&self) -> Ticket {
        let number = self.0.tickets.get();
        self.0.tickets.set(number + 1);
        Ticket { lane: self.clone(), number, has_turn: false }
    }
}

impl Ticket {
    /// Ready once it has its turn.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.has_turn {
            return Poll::Ready(());
        }
        let inner = &*self.lane.0;
        let mut waiting = inner.waiting.borrow_mut();
        let is_first = waiting.first_key_value().is_none_or(|(first, _)| *first >= self.number);
        if inner.is_taken.get() || !is_first {
            waiting.insert(self.number, context.waker().clone());
            return Poll::Pending;
        }
        waiting.remove(&self.number);
        inner.is_taken.set(true);
        self.has_turn = true;
        Poll::Ready(())
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let inner = &*self.lane.0;
        let mut waiting = inner.waiting.borrow_mut();
        waiting.remove(&self.number);
        if self.has_turn {
            inner.is_taken.set(false);
        }
        // It stays there until it takes its turn: should it leave instead, it wakes the next.
        let first = waiting.first_key_value().filter(|_| !inner.is_taken.get());
        if let Some((_, waker)) = first {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn turns_come_in_order_and_those_who_leave_pass_theirs_on() {
        let lane = Lane::default();
        let flags: Vec<Arc<Flag>> = (0..4).map(|_| Arc::default()).collect();
        let mut tickets: Vec<Option<Ticket>> = (0..4).map(|_| Some(lane.ticket())).collect();
        let poll = |tickets: &mut Vec<Option<Ticket>>, at: usize| {
            let waker = Waker::from(Arc::clone(&flags[at]));
            tickets[at].as_mut().unwrap().poll(&mut Context::from_waker(&waker)).is_ready()
        };
        let woken = |at: usize| flags[at].0.swap(false, Ordering::Relaxed);
        assert!(poll(&mut tickets, 0));
        assert!(!poll(&mut tickets, 2) && !poll(&mut tickets, 1) && !poll(&mut tickets, 3));
        assert!(poll(&mut tickets, 0), "it keeps its turn");
        tickets[0] = None;
        assert!(woken(1) && !woken(2) && !woken(3));
        assert!(!poll(&mut tickets, 2), "not before the first");
        // The one that was woken leaves.
        tickets[1] = None;
        assert!(woken(2) && !woken(3));
        assert!(poll(&mut tickets, 2) && !poll(&mut tickets, 3));
        tickets[2] = None;
        assert!(woken(3) && poll(&mut tickets, 3));
        tickets[3] = None;
        assert!(lane.0.waiting.borrow().is_empty() && !lane.0.is_taken.get());
    }
}
