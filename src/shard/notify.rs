//! A wake-up between tasks of one executor: many may ring, one waits.
//!
//! Invariants
//! - A ring that comes while nobody waits is kept: the next wait returns at once. Several rings make one wake-up.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// See the module's words.
#[derive(Debug, Default)]
pub(super) struct Notify {
    rung: Cell<bool>,
    waiter: RefCell<Option<Waker>>,
}

impl Notify {
    /// Wakes the waiter, or the next one to come.
    pub(super) fn ring(&self) {
        if !self.rung.replace(true) {
            let waiter = self.waiter.borrow_mut().take();
            if let Some(waker) = waiter {
                waker.wake();
            }
        }
    }

    /// Until the next ring.
    pub(super) async fn wait(&self) {
        poll_fn(|context| {
            if self.rung.replace(false) {
                return Poll::Ready(());
            }
            *self.waiter.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
