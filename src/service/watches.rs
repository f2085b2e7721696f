//! The watchers of one executor, shared by the streams of its clients and by the task that tells them of changes.
//!
//! Invariants
//! - Of one executor only: plain cells, never borrowed across an await.
//! - Whoever waits is woken: a stream when something is queued for it or room was made, the task when a stream gave it
//!   something to do.
//! - After history could not be read, every stream ends with the reason.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::Bytes;

use crate::metrics::Front;
use crate::mvcc::{self, Feed, Position, Progress};
use crate::tree::Pinned;
use crate::types::{Now, Revision, Term};
use crate::watch::{Config, Create, End, Hub, StreamId};

struct Inner {
    hub: RefCell<Hub>,
    /// Streams that wait for something to send.
    idle: RefCell<BTreeMap<StreamId, Waker>>,
    /// Streams that wait for room before they take another request.
    full: RefCell<BTreeMap<StreamId, Waker>>,
    bell: Cell<bool>,
    ringer: RefCell<Option<Waker>>,
    failed: RefCell<Option<mvcc::Error>>,
}

/// The watchers of one executor. Clones share them.
#[derive(Clone)]
pub struct Watches(Rc<Inner>);

impl std::fmt::Debug for Watches {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watches").field("counts", &self.0.hub.borrow().counts()).finish_non_exhaustive()
    }
}

/// One client's stream; its watchers end with it.
pub(super) struct Stream {
    watches: Watches,
    id: StreamId,
}

impl Watches {
    /// None yet.
    pub fn new(config: Config) -> Self {
        Self(Rc::new(Inner {
            hub: RefCell::new(Hub::new(config)),
            idle: RefCell::default(),
            full: RefCell::default(),
            bell: Cell::default(),
            ringer: RefCell::default(),
            failed: RefCell::default(),
        }))
    }

    // ---- for the task that tells watchers of changes ----

    /// Until a stream has something for the task to do.
    pub async fn rung(&self) {
        poll_fn(|context| {
            if self.0.bell.take() {
                return Poll::Ready(());
            }
            *self.0.ringer.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn ring(&self) {
        self.0.bell.set(true);
        let waker = self.0.ringer.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// One step: queues what changed up to the root that is pinned.
    pub fn work(&self, now: Now, pinned: &Pinned, term: Term) -> Progress {
        let mut hub = self.0.hub.borrow_mut();
        let outcome = hub.work(&Feed::new(&pinned.view()), term);
        hub.tick(now);
        drop(hub);
        self.wake();
        outcome.unwrap_or_else(|error| {
            self.0.failed.borrow_mut().get_or_insert(error);
            let idle = std::mem::take(&mut *self.0.idle.borrow_mut());
            idle.into_values().for_each(Waker::wake);
            Progress::Done
        })
    }

    /// When to step next, if nothing changes before.
    pub fn next_deadline(&self) -> Option<Now> {
        self.0.hub.borrow().next_deadline()
    }

    /// Up to which revision watchers were told of changes; nothing if there are none.
    pub fn watched(&self) -> Option<Revision> {
        let hub = self.0.hub.borrow();
        (!hub.is_empty()).then(|| hub.through())
    }

    /// Watchers, and how many of them are not up to date.
    pub fn counts(&self) -> (usize, usize) {
        self.0.hub.borrow().counts()
    }

    /// Puts up what the metrics show of them.
    pub fn publish(&self, cells: &Front) {
        let hub = self.0.hub.borrow();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let (watchers, behind) = hub.counts();
        let (told, waiting) = hub.events();
        cells.watchers.set(count(watchers));
        cells.watchers_behind.set(count(behind));
        cells.watch_streams.set(count(hub.streams()));
        cells.events_told.set(told);
        cells.events_waiting.set(waiting);
    }

    /// Wakes the streams that have something to send.
    fn wake(&self) {
        let mut hub = self.0.hub.borrow_mut();
        let mut idle = self.0.idle.borrow_mut();
        while let Some(stream) = hub.poll_ready() {
            if let Some(waker) = idle.remove(&stream) {
                waker.wake();
            }
        }
    }

    // ---- for streams ----

    /// A client opened a stream.
    pub(super) fn open(&self, now: Now) -> Stream {
        Stream { watches: self.clone(), id: self.0.hub.borrow_mut().open(now) }
    }
}

impl Stream {
    fn hub(&self) -> std::cell::RefMut<'_, Hub> {
        self.watches.0.hub.borrow_mut()
    }

    /// Until the stream may take another request.
    pub(super) async fn room(&self) {
        poll_fn(|context| {
            if self.hub().has_room(self.id) {
                return Poll::Ready(());
            }
            self.watches.0.full.borrow_mut().insert(self.id, context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Makes a watcher, or says why not.
    pub(super) fn create(&self, now: Now, request: Create, pinned: &Pinned) {
        self.hub().create(now, self.id, request, Position::of(&pinned.stamp()));
        self.after_request();
    }

    /// Ends a watcher.
    pub(super) fn cancel(&self, watcher: i64, pinned: &Pinned) {
        self.hub().cancel(self.id, watcher, Position::of(&pinned.stamp()));
        self.after_request();
    }

    /// Says how far all its watchers are, if they are up to date with `pinned`.
    pub(super) fn progress(&self) {
        self.hub().progress(self.id);
        self.after_request();
    }

    fn after_request(&self) {
        self.watches.wake();
        self.watches.ring();
    }

    /// The next bytes to send, and the events in them.
    pub(super) fn next_chunk(&self, term: Term) -> Option<(Bytes, u64)> {
        let mut hub = self.hub();
        let (before, _) = hub.events();
        let chunk = hub.next_chunk(self.id, term)?;
        let events = hub.events().0 - before;
        let (has_work, has_room) = (hub.has_work(), hub.has_room(self.id));
        drop(hub);
        if has_work {
            self.watches.ring();
        }
        let waiting = if has_room { self.watches.0.full.borrow_mut().remove(&self.id) } else { None };
        if let Some(waker) = waiting {
            waker.wake();
        }
        Some((chunk, events))
    }

    /// Why it must end, if it must.
    pub(super) fn end(&self) -> Option<Result<End, mvcc::Error>> {
        let failed = self.watches.0.failed.borrow().clone();
        failed.map(Err).or_else(|| self.hub().end(self.id).map(Ok))
    }

    /// Until something may be queued for it.
    pub(super) async fn woken(&self) {
        let mut waited = false;
        poll_fn(|context| {
            let still_idle = self.watches.0.idle.borrow_mut().insert(self.id, context.waker().clone()).is_some();
            if waited && !still_idle {
                self.watches.0.idle.borrow_mut().remove(&self.id);
                return Poll::Ready(());
            }
            waited = true;
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.watches.0.idle.borrow_mut().remove(&self.id);
        self.watches.0.full.borrow_mut().remove(&self.id);
        self.hub().close(self.id);
        self.watches.ring();
    }
}
