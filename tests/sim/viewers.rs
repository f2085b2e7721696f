//! Clients that watch: what they ask, and whether what they are sent is what the chronicle knows.
//!
//! What is verified, for each watcher
//! - *Events*: in the order of history, each once, none left out, none that was not asked for; keys, values, revisions, versions,
//!   leases and the pairs before as the chronicle has them.
//! - *Whole*: all events of a revision in one message, unless fragments were asked for; no fragment above its size.
//! - *Progress*: whoever is told to be at a revision was sent everything up to it; who asks is told of what was there by then.
//! - *Compacted*: a watcher ends so only if it had yet to see what is compacted.
//! - *Answers*: every request is answered in its order, as etcd answers it.
//!
//! Invariants
//! - A client whose member crashed goes on elsewhere behind the last revision that it has seen whole.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use prost::Message;
use ringbolt::mvcc::Position;
use ringbolt::proto::etcdserverpb::WatchResponse;
use ringbolt::proto::mvccpb::{Event, KeyValue};
use ringbolt::types::Revision;
use ringbolt::watch::{Create, StreamId};

use crate::chronicle::{Change, Chronicle, Shown, Violation};
use crate::rng::Rng;
use crate::workload::{KEYS, key};

/// From this size on a message is split for those who ask for it.
pub(crate) const FRAGMENT_BYTES: usize = 400;
/// Watchers on one stream.
const WATCHES_MAX: usize = 4;

/// A watcher and what it has seen.
#[derive(Clone, Debug)]
struct Seen {
    request: Create,
    /// The first revision that is not behind it.
    next: i64,
    /// Events of that revision that came already, in fragments.
    partial: usize,
    /// The last message was not the last of its kind.
    open: bool,
    /// Where to go on elsewhere.
    resume: i64,
}

/// Where a stream is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seat {
    /// The member.
    pub(crate) node: usize,
    /// Its run.
    pub(crate) boots: u64,
    /// Its shard.
    pub(crate) shard: usize,
    /// The stream there.
    pub(crate) stream: StreamId,
}

/// What a client does next.
#[derive(Debug)]
pub(crate) enum Act {
    /// Asks for a watcher.
    Create(Create),
    /// Ends one.
    Cancel(i64),
    /// Asks how far its stream is.
    Progress,
    /// Takes so many chunks.
    Read(u64),
    /// Does not read for so long.
    Sleep(u64),
    /// Leaves, to go on elsewhere.
    Leave,
}

/// One client with one stream.
#[derive(Debug)]
pub(crate) struct Viewer {
    /// Where it is, if anywhere.
    pub(crate) seat: Option<Seat>,
    /// Whether something waits for it, as far as it was told.
    pub(crate) ready: bool,
    /// A progress request that is being carried out: steps left, and the revision that was there when it came.
    pub(crate) progressing: Option<(u64, i64)>,
    rng: Rng,
    wanted: VecDeque<Create>,
    asked: VecDeque<(Create, Option<i64>)>,
    watches: BTreeMap<i64, Seen>,
    gone: BTreeSet<i64>,
    canceling: BTreeSet<i64>,
    /// The revisions that those who asked how far they are must be told at least.
    progress_due: VecDeque<i64>,
    bytes: Vec<u8>,
    /// Events seen.
    pub(crate) events: u64,
    /// Progress messages.
    pub(crate) progress: u64,
    /// The revision of the last that was about the whole stream.
    pub(crate) progressed: i64,
    /// Watchers that were compacted away.
    pub(crate) compacted: u64,
    /// Watchers that were resumed elsewhere.
    pub(crate) resumed: u64,
}

impl Viewer {
    /// Without a stream.
    pub(crate) fn new(rng: Rng) -> Self {
        Self {
            seat: None,
            ready: false,
            progressing: None,
            rng,
            wanted: VecDeque::new(),
            asked: VecDeque::new(),
            watches: BTreeMap::new(),
            gone: BTreeSet::new(),
            canceling: BTreeSet::new(),
            progress_due: VecDeque::new(),
            bytes: Vec::new(),
            events: 0,
            progress: 0,
            progressed: 0,
            compacted: 0,
            resumed: 0,
        }
    }

    /// Its stream is gone: what it watched is to be watched elsewhere.
    pub(crate) fn lose_seat(&mut self) {
        if self.seat.take().is_none() {
            return;
        }
        (self.ready, self.progressing) = (false, None);
        self.progress_due.clear();
        self.bytes.clear();
        self.gone.clear();
        let canceling = std::mem::take(&mut self.canceling);
        for (id, seen) in std::mem::take(&mut self.watches) {
            if !canceling.contains(&id) {
                self.resumed += 1;
                self.wanted.push_back(Create { start: Revision(seen.resume), id: 0, ..seen.request });
            }
        }
        self.wanted.extend(std::mem::take(&mut self.asked).into_iter().map(|(request, _)| Create { id: 0, ..request }));
    }

    /// It has a stream.
    pub(crate) fn take_seat(&mut self, seat: Seat) {
        assert!(self.seat.is_none(), "it has one");
        self.seat = Some(seat);
    }

    /// What it does next. `room` says whether its stream takes requests; `winding` that nothing new is to begin.
    pub(crate) fn act(&mut self, room: bool, winding: bool, revision: i64) -> Act {
        if room && let Some(request) = self.wanted.pop_front() {
            return self.ask(request);
        }
        let draw = self.rng.below(1000);
        if winding || !room || self.progressing.is_some() {
            return Act::Read(1 + draw % 4);
        }
        match draw {
            0..20 if self.watches.len() + self.asked.len() < WATCHES_MAX => {
                let request = self.draw_request(revision);
                self.ask(request)
            }
            20..30 => self.cancel_any(),
            30..60 => Act::Progress,
            60..66 => Act::Sleep(self.rng.between(20, 1500) * 1_000_000),
            66..70 => Act::Leave,
            _ => Act::Read(self.rng.below(4)),
        }
    }

    fn ask(&mut self, request: Create) -> Act {
        self.asked.push_back((request.clone(), (request.start.0 > 0).then_some(request.start.0)));
        Act::Create(request)
    }

    fn cancel_any(&mut self) -> Act {
        let ids: Vec<i64> = self.watches.keys().chain(&self.gone).copied().collect();
        let id = if ids.is_empty() { 77 } else { ids[self.rng.index(ids.len())] };
        if !ids.is_empty() {
            self.canceling.insert(id);
        }
        Act::Cancel(id)
    }

    /// An answer to how far its stream is was queued; `revision` was there when it was asked.
    pub(crate) fn expect_progress(&mut self, revision: i64) {
        self.progress_due.push_back(revision);
    }

    fn draw_request(&mut self, revision: i64) -> Create {
        let low = self.rng.below(KEYS);
        let high = low + 1 + self.rng.below(KEYS);
        let (from, range_end) = match self.rng.below(10) {
            0..4 => (key(low), Vec::new()),
            4..7 => (key(low), key(high)),
            7 => (b"key/9".to_vec(), b"key0".to_vec()),
            8 => (key(low), vec![0]),
            _ => (Vec::new(), vec![0]),
        };
        let start = match self.rng.below(5) {
            0 | 1 => Revision((revision - i64::try_from(self.rng.below(60)).expect("small")).max(1)),
            2 => Revision(revision + i64::try_from(self.rng.below(10)).expect("small")),
            _ => Revision(0),
        };
        Create {
            key: from.into(),
            range_end: range_end.into(),
            start,
            notify: self.rng.chance(500),
            no_puts: self.rng.chance(100),
            no_deletions: self.rng.chance(150),
            previous: self.rng.chance(500),
            id: if self.rng.chance(150) { self.rng.between(1, 6).cast_signed() } else { 0 },
            fragment: self.rng.chance(300),
        }
    }

    // ---- what it is sent ----

    /// Takes bytes from its stream and judges the messages that they complete. `position` is where its member stands.
    pub(crate) fn take(&mut self, chunk: &[u8], position: Position, chronicle: &Chronicle) -> Result<(), Violation> {
        self.bytes.extend_from_slice(chunk);
        let bytes = std::mem::take(&mut self.bytes);
        let mut rest = bytes.as_slice();
        while let Some(([_, prefix @ ..], behind)) = rest.split_first_chunk::<5>() {
            let length = usize::try_from(u32::from_be_bytes(*prefix)).expect("32 bits fit");
            let Some(message) = behind.get(..length) else { break };
            rest = &behind[length..];
            let response = WatchResponse::decode(message).map_err(|error| format!("watch: {error}"))?;
            self.judge(response, message.len(), position, chronicle)?;
        }
        self.bytes = rest.to_vec();
        Ok(())
    }

    fn judge(
        &mut self,
        response: WatchResponse,
        length: usize,
        position: Position,
        chronicle: &Chronicle,
    ) -> Result<(), Violation> {
        let revision = response.header.as_ref().map_or(0, |header| header.revision);
        if revision > position.current.0 {
            return Err(format!("watch: a revision to come, the store is at {position:?}: {response:?}"));
        }
        if response.created {
            return self.created(&response, revision);
        }
        if response.canceled {
            return self.canceled(&response, position);
        }
        if response.events.is_empty() {
            return self.told_progress(&response, revision, chronicle);
        }
        let Some(seen) = self.watches.get_mut(&response.watch_id) else {
            return Err(format!("watch: events for nobody: {response:?}"));
        };
        self.events += u64::try_from(response.events.len()).expect("few");
        seen.take(&response, length, position, chronicle)
    }

    fn created(&mut self, response: &WatchResponse, revision: i64) -> Result<(), Violation> {
        let Some((request, start)) = self.asked.pop_front() else {
            return Err(format!("watch: an answer to no request: {response:?}"));
        };
        let id = request.id;
        let taken = id != 0 && (self.watches.contains_key(&id) || self.gone.contains(&id));
        let from = request.key.clone().max(Bytes::from_static(b"\0"));
        let empty = !matches!(request.range_end[..], [] | [0]) && from >= request.range_end;
        if response.canceled != (taken || empty) {
            return Err(format!("watch: {request:?} was answered by {response:?}"));
        }
        if response.canceled {
            return Ok(());
        }
        let wrong = id != 0 && id != response.watch_id || self.watches.contains_key(&response.watch_id);
        if wrong || self.gone.contains(&response.watch_id) {
            return Err(format!("watch: the wrong id: {request:?} was answered by {response:?}"));
        }
        let next = start.unwrap_or(revision + 1);
        self.watches.insert(response.watch_id, Seen { request, next, partial: 0, open: false, resume: next });
        Ok(())
    }

    fn canceled(&mut self, response: &WatchResponse, position: Position) -> Result<(), Violation> {
        let (id, compacted) = (response.watch_id, response.compact_revision);
        if compacted == 0 {
            let known = self.gone.remove(&id) || self.watches.remove(&id).is_some();
            let asked = self.canceling.remove(&id);
            return if known && asked { Ok(()) } else { Err(format!("watch: canceled unasked: {response:?}")) };
        }
        let Some(seen) = self.watches.remove(&id) else {
            return Err(format!("compacted: nobody is: {response:?}"));
        };
        if seen.next >= compacted || compacted > position.compacted.0 || seen.open {
            return Err(format!("compacted: {response:?} at {position:?}: it missed nothing: {seen:?}"));
        }
        self.compacted += 1;
        self.gone.insert(id);
        if self.rng.chance(600) {
            self.wanted.push_back(Create { start: Revision(compacted), id: 0, ..seen.request });
        }
        Ok(())
    }

    fn told_progress(
        &mut self,
        response: &WatchResponse,
        revision: i64,
        chronicle: &Chronicle,
    ) -> Result<(), Violation> {
        self.progress += 1;
        let one = self.watches.get_mut(&response.watch_id).filter(|seen| seen.request.notify);
        if let Some(seen) = one {
            return seen.progress(response, revision, chronicle);
        }
        let least = self.progress_due.pop_front().filter(|_| response.watch_id == -1 && !self.watches.is_empty());
        if least.is_none_or(|least| revision < least) {
            return Err(format!("progress: told {response:?}, asked for at least {least:?}"));
        }
        self.progressed = revision;
        self.watches.values_mut().try_for_each(|seen| seen.progress(response, revision, chronicle))
    }

    /// Whether it was sent everything that there is.
    pub(crate) fn is_complete(&self, chronicle: &Chronicle) -> bool {
        let whole = |seen: &Seen| {
            let mut behind = seen.next..=chronicle.revision();
            !seen.open && behind.all(|revision| seen.due(chronicle, revision).next().is_none())
        };
        self.wanted.is_empty() && self.asked.is_empty() && self.watches.values().all(whole)
    }

    /// The revision that it is told if it asks how far it is, when everything is told: none if nobody would answer.
    pub(crate) fn progress_at_end(&self, current: i64) -> Option<i64> {
        let started = self.watches.values().all(|seen| seen.request.start.0 <= current);
        (!self.watches.is_empty() && started).then_some(current)
    }
}

impl Seen {
    /// What of a revision it is to see.
    fn due<'a>(&self, chronicle: &'a Chronicle, revision: i64) -> impl Iterator<Item = &'a Change> {
        let changes = chronicle.changes(revision).unwrap_or_default().iter();
        changes.filter(|change| self.wants(change))
    }

    fn wants(&self, change: &Change) -> bool {
        let Create { key, range_end, no_puts, no_deletions, .. } = &self.request;
        let from: &[u8] = if key.is_empty() { b"\0" } else { key };
        let inside = match range_end.as_ref() {
            [] => change.key == from,
            [0] => change.key.as_slice() >= from,
            end => change.key.as_slice() >= from && change.key.as_slice() < end,
        };
        inside && if change.value.is_none() { !no_deletions } else { !no_puts }
    }

    fn take(
        &mut self,
        response: &WatchResponse,
        length: usize,
        position: Position,
        chronicle: &Chronicle,
    ) -> Result<(), Violation> {
        let told = |what: &str, seen: &Self| Err(format!("{what}: {response:?} at {position:?} to {seen:?}"));
        if response.fragment && !self.request.fragment {
            return told("whole: a fragment nobody asked for", self);
        }
        if self.request.fragment && length >= FRAGMENT_BYTES && response.events.len() > 1 {
            return told("whole: a large fragment", self);
        }
        let mut last = 0;
        for event in &response.events {
            let shown = event.kv.as_ref().map_or(0, |kv| kv.mod_revision);
            last = last.max(shown);
            let change = loop {
                if let Some(change) = self.due(chronicle, self.next).nth(self.partial) {
                    break change;
                }
                if self.next > chronicle.revision() {
                    return told("events: more than there is", self);
                }
                (self.next, self.partial) = (self.next + 1, 0);
            };
            if shown != self.next {
                return told(if shown > self.next { "events: lost" } else { "events: doubled" }, self);
            }
            if !self.is_shown(event, change, position, chronicle) {
                return told("events: another than what happened", self);
            }
            self.partial += 1;
        }
        if self.due(chronicle, self.next).count() == self.partial {
            (self.next, self.partial) = (self.next + 1, 0);
        }
        self.open = response.fragment;
        if response.header.as_ref().is_none_or(|header| header.revision < last) {
            return told("events: the header is behind them", self);
        }
        if !self.open {
            if self.partial > 0 {
                return told("whole: a revision is split", self);
            }
            self.resume = self.next;
        }
        Ok(())
    }

    /// Whether an event shows a change of the revision `next`.
    fn is_shown(&self, event: &Event, change: &Change, position: Position, chronicle: &Chronicle) -> bool {
        let pair = chronicle.shown_at(&change.key, self.next).map(pair_of);
        let deletion = || KeyValue { key: change.key.clone().into(), mod_revision: self.next, ..KeyValue::default() };
        let right = match &change.value {
            Some(_) => event.r#type == 0 && event.kv == pair,
            None => event.r#type == 1 && event.kv == Some(deletion()),
        };
        let before = chronicle.shown_at(&change.key, self.next - 1).map(pair_of).filter(|_| self.request.previous);
        let compacted = self.next - 1 < position.compacted.0 && event.prev_kv.is_none();
        right && (event.prev_kv == before || compacted)
    }

    fn progress(&mut self, response: &WatchResponse, revision: i64, chronicle: &Chronicle) -> Result<(), Violation> {
        let early = (self.next..=revision).any(|revision| self.due(chronicle, revision).next().is_some());
        if early || self.open || self.request.start.0 > revision {
            return Err(format!("progress: told too early: {response:?} to {self:?}"));
        }
        self.next = self.next.max(revision + 1);
        self.resume = self.next;
        Ok(())
    }
}

fn pair_of(shown: &Shown) -> KeyValue {
    KeyValue {
        key: shown.key.clone().into(),
        value: shown.value.clone().into(),
        create_revision: shown.create_revision,
        mod_revision: shown.mod_revision,
        version: shown.version,
        lease: shown.lease,
    }
}
