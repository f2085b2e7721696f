//! Places for handshakes: how many may be under way, and who gives way when there are none left.
//!
//! Invariants
//! - No more than `limits::TLS_HANDSHAKES_MAX` places are held at once.
//! - A place is taken away only from a client that has kept its handshake waiting for `limits::TLS_HANDSHAKE_GRACE`, the
//!   one that came first among those, and only for one that waits.

use crate::limits;
use futures_lite::FutureExt;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// The time.
pub(super) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "sockets are shell: a client's patience is wall time")]
    Instant::now()
}

#[derive(Debug, Default)]
struct Held {
    /// Since when the client keeps it waiting; nothing while there is work to do.
    waiting: Cell<Option<Instant>>,
    taken_away: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// All places of one executor.
#[derive(Debug, Default)]
pub(super) struct Places {
    held: RefCell<VecDeque<Rc<Held>>>,
    waiters: RefCell<BTreeMap<u64, Waker>>,
    waiters_made: Cell<u64>,
}

/// One that waits for a place.
struct Waiter<'a> {
    places: &'a Places,
    number: u64,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.places.waiters.borrow_mut().remove(&self.number);
    }
}

/// A place that is held until this goes.
#[derive(Debug)]
pub(super) struct Place {
    held: Rc<Held>,
    places: Rc<Places>,
}

impl Places {
    /// Waits for a place.
    pub(super) async fn take(self: &Rc<Self>) -> Place {
        if let Some(place) = self.try_take(now()) {
            return place;
        }
        let waiter = Waiter { places: self, number: self.waiters_made.get() };
        self.waiters_made.set(waiter.number + 1);
        loop {
            let mut asked = false;
            let freed = poll_fn(|context| {
                // Woken, or a first poll that only leaves its waker.
                if std::mem::replace(&mut asked, true) && !self.waiters.borrow().contains_key(&waiter.number) {
                    return Poll::Ready(());
                }
                self.waiters.borrow_mut().insert(waiter.number, context.waker().clone());
                Poll::Pending
            });
            freed.or(async { glommio::timer::sleep(limits::TLS_HANDSHAKE_LOOK).await }).await;
            if let Some(place) = self.try_take(now()) {
                return place;
            }
        }
    }

    fn try_take(self: &Rc<Self>, now: Instant) -> Option<Place> {
        let mut held = self.held.borrow_mut();
        if held.len() >= limits::TLS_HANDSHAKES_MAX {
            let is_idle = |since: Instant| now.saturating_duration_since(since) >= limits::TLS_HANDSHAKE_GRACE;
            let idle = held.iter().position(|other| other.waiting.get().is_some_and(is_idle))?;
            let loser = held.remove(idle)?;
            loser.taken_away.set(true);
            if let Some(waker) = loser.waker.take() {
                waker.wake();
            }
        }
        let place = Rc::new(Held::default());
        held.push_back(Rc::clone(&place));
        Some(Place { held: place, places: Rc::clone(self) })
    }
}

impl Place {
    /// The client is waited for from now on.
    pub(super) fn begin_wait(&self) {
        self.held.waiting.set(Some(now()));
    }

    /// The client has done its part.
    pub(super) fn end_wait(&self) {
        self.held.waiting.set(None);
    }

    /// Ready when the place is somebody else's now.
    pub(super) fn poll_lost(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.held.taken_away.get() {
            return Poll::Ready(());
        }
        *self.held.waker.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.held.borrow_mut().retain(|other| !Rc::ptr_eq(other, &self.held));
        let waiter = self.places.waiters.borrow_mut().pop_first();
        if let Some((_, waker)) = waiter {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_idle_gives_way_and_nobody_else() {
        let places = Rc::new(Places::default());
        let start = now();
        let taken: Vec<Place> =
            (0..limits::TLS_HANDSHAKES_MAX).map(|_| places.try_take(start).expect("a place is free")).collect();
        assert!(places.try_take(start + limits::TLS_HANDSHAKE_GRACE).is_none(), "all have work to do");
        taken[3].begin_wait();
        taken[5].begin_wait();
        assert!(places.try_take(start).is_none(), "none waited long enough");
        let late = now() + limits::TLS_HANDSHAKE_GRACE;
        let newcomer = places.try_take(late).expect("the idle gave way");
        assert!(taken[3].held.taken_away.get() && !taken[5].held.taken_away.get());
        assert_eq!(places.held.borrow().len(), limits::TLS_HANDSHAKES_MAX);
        drop(newcomer);
        assert!(places.try_take(start).is_some(), "a place that is left is free");
        drop(taken);
        assert_eq!(places.held.borrow().len(), 0);
    }
}
