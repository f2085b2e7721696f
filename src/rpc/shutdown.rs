//! The one-way switch that tells every connection of an executor to finish: no new calls, those open run to their end.
//!
//! Invariants
//! - Once begun it stays begun; whoever waits is woken.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

#[derive(Debug, Default)]
struct Inner {
    begun: Cell<bool>,
    seats_made: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, Waker>>,
}

/// The switch. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Rc<Inner>);

impl Shutdown {
    /// Begins the shutdown of everything that was given this switch.
    pub fn begin(&self) {
        self.0.begun.set(true);
        let waiting = std::mem::take(&mut *self.0.waiting.borrow_mut());
        waiting.into_values().for_each(Waker::wake);
    }

    /// Whether it has begun.
    pub fn is_begun(&self) -> bool {
        self.0.begun.get()
    }

    /// Resolves once it has begun.
    pub async fn begun(&self) {
        let seat = self.seat();
        poll_fn(|context| seat.poll(context)).await;
    }

    /// A place to wait in, for one task.
    pub(super) fn seat(&self) -> Seat {
        let number = self.0.seats_made.get();
        self.0.seats_made.set(number + 1);
        Seat { shutdown: self.clone(), number }
    }
}

/// One task's place among those that wait.
#[derive(Debug)]
pub(super) struct Seat {
    shutdown: Shutdown,
    number: u64,
}

impl Seat {
    /// Ready once the shutdown has begun.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.shutdown.is_begun() {
            return Poll::Ready(());
        }
        let mut waiting = self.shutdown.0.waiting.borrow_mut();
        let waker = waiting.entry(self.number).or_insert_with(|| context.waker().clone());
        waker.clone_from(context.waker());
        Poll::Pending
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shutdown.0.waiting.borrow_mut().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiters_are_woken_and_seats_given_back() {
        let shutdown = Shutdown::default();
        let mut context = Context::from_waker(Waker::noop());
        let seat = shutdown.seat();
        assert!(seat.poll(&mut context).is_pending());
        drop(shutdown.seat());
        assert_eq!(shutdown.0.waiting.borrow().len(), 1);
        shutdown.begin();
        assert!(seat.poll(&mut context).is_ready());
        drop(seat);
        assert!(shutdown.is_begun());
        assert!(shutdown.0.waiting.borrow().is_empty());
        futures_lite::future::block_on(shutdown.begun());
    }
}
