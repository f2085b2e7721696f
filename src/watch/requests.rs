//! What clients and time ask of watchers, answered as etcd answers it.
//!
//! Invariants
//! - Every request is answered in the order of its stream's requests, or not at all where etcd gives no answer.

use std::borrow::Cow;

use bytes::Bytes;

use super::hub::{Hub, StreamId};
use super::message::{Content, NO_WATCHER};
use super::span::Span;
use super::topic::{Shape, Topic};
use super::watcher::{State, Watcher};
use crate::limits::WATCHES_PER_STREAM_MAX;
use crate::mvcc::Position;
use crate::types::{Now, Revision};

const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
const EMPTY_RANGE: &str = "mvcc: watcher range is empty";
const DUPLICATE_ID: &str = "mvcc: duplicate watch ID provided on the WatchStream";
const TOO_MANY: &str = "etcdserver: too many requests";

/// A request for a watcher.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Create {
    /// The first key; an empty one is the smallest.
    pub key: Bytes,
    /// The end, as every request names it.
    pub range_end: Bytes,
    /// The first revision to see; 0 is the next one.
    pub start: Revision,
    /// Whether to be told now and then how far it is.
    pub notify: bool,
    /// Puts are left out.
    pub no_puts: bool,
    /// Deletions are left out.
    pub no_deletions: bool,
    /// With the pair before.
    pub previous: bool,
    /// The id that it is to have; 0 lets the server choose.
    pub id: i64,
    /// Whether large messages may be split.
    pub fragment: bool,
}

impl Hub {
    /// Makes a watcher, or says why not. `position` is that of the newest root.
    pub fn create(&mut self, now: Now, stream: StreamId, request: Create, position: Position) {
        let slot = stream.slot;
        if !self.is_open(stream) {
            return;
        }
        assert!(position.current >= self.through, "the newest root is not older than what was told");
        if self.is_empty() {
            self.rest_at(position.current);
        }
        let refused = |reason: &'static str| Content::Refused(Cow::Borrowed(reason));
        let checked = self.check(slot, request.start, request.id);
        let shape = Shape { no_puts: request.no_puts, no_deletions: request.no_deletions, previous: request.previous };
        let span = match (checked, Span::new(&request.key, &request.range_end)) {
            (Err(COMPACTED), _) => return self.push(slot, NO_WATCHER, position.current, refused(COMPACTED)),
            (_, None) => return self.push(slot, NO_WATCHER, position.current, refused(EMPTY_RANGE)),
            (Err(reason), Some(_)) => return self.push(slot, NO_WATCHER, position.current, refused(reason)),
            (Ok(()), Some(span)) => span,
        };
        let id = self.choose_id(slot, request.id);
        let topic = self.find_topic(span, shape);
        self.topics[topic].watchers += 1;
        let (serial, start) = (self.serial(), request.start);
        let state = State::Awaiting(start);
        let (notify, fragment) = (request.notify, request.fragment);
        let watcher = Watcher { serial, stream: slot, id, topic, start, notify, quiet: true, fragment, state };
        let at = self.watchers.insert(watcher);
        let stream = &mut self.streams[slot];
        stream.watchers.insert(id, at);
        stream.unsynced += 1;
        stream.latest_start = stream.latest_start.max(start);
        self.push(slot, id, position.current, Content::Created);
        let first = if start.0 == 0 { position.current.next() } else { start };
        self.await_or_read(at, first, position.current);
        if self.through == position.current && !self.walking {
            self.admit();
        }
        if notify {
            self.schedule(now, slot);
        }
    }

    /// Refuses a watcher on behalf of someone else, for their reason.
    pub fn refuse(&mut self, stream: StreamId, reason: Cow<'static, str>, position: Position) {
        if self.is_open(stream) {
            self.push(stream.slot, NO_WATCHER, position.current, Content::Refused(reason));
        }
    }

    fn check(&self, slot: u32, start: Revision, id: i64) -> Result<(), &'static str> {
        let stream = &self.streams[slot];
        if start.0 < 0 {
            Err(COMPACTED)
        } else if id != 0 && self.is_taken(slot, id) {
            Err(DUPLICATE_ID)
        } else if stream.watchers.len() + stream.compacted.len() >= WATCHES_PER_STREAM_MAX {
            Err(TOO_MANY)
        } else {
            Ok(())
        }
    }

    /// The id that was asked for, or the next one that is free.
    fn choose_id(&mut self, slot: u32, asked: i64) -> i64 {
        if asked != 0 {
            return asked;
        }
        let mut id = self.streams[slot].next_id;
        while self.is_taken(slot, id) {
            id = id.wrapping_add(1);
        }
        self.streams[slot].next_id = id.wrapping_add(1);
        id
    }

    fn find_topic(&mut self, span: Span, shape: Shape) -> u32 {
        let found = self.index.find(&span).iter().find(|topic| self.topics[**topic].shape == shape);
        if let Some(topic) = found {
            return *topic;
        }
        let topic = self.topics.insert(Topic::new(span, shape));
        self.index.insert(&self.topics[topic].span, topic);
        topic
    }

    /// Ends a watcher. One that is not there gets no answer.
    pub fn cancel(&mut self, stream: StreamId, id: i64, position: Position) {
        if !self.is_open(stream) {
            return;
        }
        match self.streams[stream.slot].watchers.get(&id).copied() {
            Some(at) => self.remove(at),
            None if self.streams[stream.slot].compacted.remove(&id) => {}
            None => return,
        }
        self.push(stream.slot, id, position.current, Content::Canceled);
    }

    /// Says how far all watchers of a stream are, if they are all up to date.
    pub fn progress(&mut self, stream: StreamId) {
        if !self.is_open(stream) || self.walking {
            return;
        }
        let through = self.through;
        let known = &self.streams[stream.slot];
        let started = through >= known.latest_start
            || known.watchers.values().all(|watcher| self.watchers[*watcher].start <= through);
        if known.unsynced == 0 && !known.watchers.is_empty() && started {
            self.push(stream.slot, NO_WATCHER, through, Content::Progress);
        }
    }

    // ---- time ----

    /// Sets a stream's ticker going, if it is not.
    fn schedule(&mut self, now: Now, slot: u32) {
        let stream = &mut self.streams[slot];
        if stream.tick.is_some() || stream.interval.is_zero() {
            return;
        }
        let passed = now.since(stream.opened).as_nanos() / stream.interval.as_nanos();
        let ticks = u32::try_from(passed + 1).unwrap_or(u32::MAX);
        let tick = stream.opened.after(stream.interval.saturating_mul(ticks)).max(Now(now.0.saturating_add(1)));
        stream.tick = Some(tick);
        self.ticks.insert((tick, slot));
    }

    /// Time has passed: `next_deadline` came.
    pub fn tick(&mut self, now: Now) {
        while let Some((tick, slot)) = self.ticks.first().copied().filter(|(tick, _)| *tick <= now) {
            self.ticks.remove(&(tick, slot));
            self.streams[slot].tick = None;
            self.notify(slot);
            if self.streams[slot].watchers.values().any(|at| self.watchers[*at].notify) {
                self.schedule(now, slot);
            }
        }
    }

    /// Tells the quiet watchers of a stream how far they are.
    fn notify(&mut self, slot: u32) {
        let through = self.through;
        let watchers: Vec<u32> = self.streams[slot].watchers.values().copied().collect();
        for at in watchers {
            let room = self.has_room_for(at);
            let watcher = &mut self.watchers[at];
            let synced = matches!(watcher.state, State::Synced(_)) && watcher.start <= through;
            let due = watcher.notify && std::mem::replace(&mut watcher.quiet, true) && synced && room;
            let id = watcher.id;
            if due {
                self.push(slot, id, through, Content::Progress);
            }
        }
    }

    /// When to call `tick`.
    pub fn next_deadline(&self) -> Option<Now> {
        self.ticks.first().map(|(tick, _)| *tick)
    }
}
