//! One value from one task to another on the same executor: no atomics, one allocation.
//!
//! Invariants
//! - A promise that is dropped unkept ends its answer with `None`, so that a waiter is never left hanging.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

#[derive(Debug)]
struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
    promised: bool,
}

/// The giving end.
#[derive(Debug)]
pub(super) struct Promise<T>(Rc<RefCell<Slot<T>>>);

/// The waiting end: resolves to `None` when the promise was dropped.
#[derive(Debug)]
pub(super) struct Answer<T>(Rc<RefCell<Slot<T>>>);

/// A pair of ends.
pub(super) fn oneshot<T>() -> (Promise<T>, Answer<T>) {
    let slot = Rc::new(RefCell::new(Slot { value: None, waker: None, promised: true }));
    (Promise(Rc::clone(&slot)), Answer(slot))
}

impl<T> Promise<T> {
    /// Gives the value and wakes the waiter.
    pub(super) fn keep(self, value: T) {
        self.0.borrow_mut().value = Some(value);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        let mut slot = self.0.borrow_mut();
        slot.promised = false;
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = self.0.borrow_mut();
        if let Some(value) = slot.value.take() {
            return Poll::Ready(Some(value));
        }
        if !slot.promised {
            return Poll::Ready(None);
        }
        slot.waker = Some(context.waker().clone());
        Poll::Pending
    }
}
