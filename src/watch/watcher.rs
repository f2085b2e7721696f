//! One watcher, and where it stands in history.
//!
//! ```text
//! create ─► Awaiting ─► Synced ◄─────────────┐ caught up
//!    │      (the revision that it begins at) │
//!    └────► Behind ──────────────────────────┤
//!              ▲         no room             │
//!              └─────── Stalled ◄────────────┘ no room
//!                 room
//! ```
//!
//! Invariants
//! - Everything before `next` (or before what its topic gathers, when synced) was queued for its stream, nothing after.

use crate::mvcc::Place;
use crate::types::Revision;

/// One watcher.
#[derive(Debug)]
pub(super) struct Watcher {
    /// Tells it from others that had its number before.
    pub(super) serial: u64,
    /// Its stream.
    pub(super) stream: u32,
    /// Its id on that stream.
    pub(super) id: i64,
    /// What it sees.
    pub(super) topic: u32,
    /// The revision that its request named, 0 for none.
    pub(super) start: Revision,
    /// Whether it is told now and then how far it is.
    pub(super) notify: bool,
    /// Whether it has not been told anything since the last tick.
    pub(super) quiet: bool,
    /// Whether large messages are split for it.
    pub(super) fragment: bool,
    /// Where it stands.
    pub(super) state: State,
}

/// Where a watcher stands.
#[derive(Debug)]
pub(super) enum State {
    /// It is told of new events; its place among the members of its topic.
    Synced(usize),
    /// It will be from this revision on.
    Awaiting(Revision),
    /// It reads history from a place on.
    Behind(Box<Reading>),
    /// It will read history from a place on, once its stream has room.
    Stalled(Place),
}

/// A read of history.
#[derive(Debug)]
pub(super) struct Reading {
    /// What comes next.
    pub(super) next: Place,
    /// Events of the revisions before, not queued yet.
    pub(super) events: Vec<u8>,
    /// The length of them that is whole revisions.
    pub(super) whole: usize,
    /// The revision of the last of them.
    pub(super) last: Revision,
}

impl Reading {
    /// From a place on.
    pub(super) fn new(next: Place) -> Box<Self> {
        Box::new(Self { next, events: Vec::new(), whole: 0, last: Revision(0) })
    }
}
