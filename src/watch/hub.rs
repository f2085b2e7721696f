//! All watchers of a shard as one state machine.
//!
//! `create`, `cancel`, `progress` and `tick` are what clients and time ask for. `work` takes a root, reads on in its history
//! from where the last call ended and queues what changed; it does a bounded step and says whether more is to do.
//! `poll_ready` names the streams that have something to send, `next_chunk` gives its bytes and makes room.
//!
//! Invariants
//! - Per watcher: every event at or after its start that its request names, once, in order; all events of one revision in one
//!   message, unless it asked for fragments; or the message that says that history was compacted before it got there.
//! - A stream's queue holds at most its bound and one batch; who does not read is read to from the tree, later.
//! - A progress message is queued behind every event up to its revision.
//! - `through` never goes back.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::index::Index;
use super::message::{Content, HEAD_BYTES_MAX, Head, Message};
use super::queue::{Queue, Queued};
use super::slab::Slab;
use super::topic::{Gathered, Topics};
use super::watcher::Watcher;
use crate::limits::{
    WATCH_BATCH_BYTES, WATCH_CELLS_PER_STEP, WATCH_CELLS_PER_TURN, WATCH_CHUNK_BYTES, WATCH_COPIED_BYTES_MAX,
    WATCH_SHARD_BYTES_MAX, WATCH_STREAM_BYTES_MAX, WATCH_STREAM_BYTES_SCARCE,
};
use crate::mvcc::{self, Feed, Place, Progress, Work};
use crate::types::{ClusterId, MemberId, Now, Revision, Term};

/// What can be chosen about watchers.
#[derive(Clone, Debug)]
pub struct Config {
    /// What headers say.
    pub cluster: ClusterId,
    /// What headers say.
    pub member: MemberId,
    /// The prefix of a framed message of so many bytes.
    pub frame_prefix: fn(usize) -> [u8; 5],
    /// From this size on a message is split for those who ask for it: etcd's `--max-request-bytes` and 512 KiB.
    pub fragment_bytes: usize,
    /// The largest message that is sent at all.
    pub message_bytes_max: usize,
    /// Time between two progress notifications.
    pub progress_interval: Duration,
    /// How much is held and done at once.
    pub bounds: Bounds,
    /// Makes what is left to chance: the jitter of notifications, the balance of the index.
    pub seed: u64,
}

/// How much is held and done at once. Each has its bound in `limits`; tests want them smaller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// What may wait for one stream.
    pub stream_bytes: usize,
    /// What may wait for one stream when much waits for all.
    pub stream_bytes_scarce: usize,
    /// What may wait for all streams before that is so.
    pub shard_bytes: usize,
    /// Events that travel together.
    pub batch_bytes: usize,
    /// Cells that a step over new changes looks at.
    pub step_cells: usize,
    /// Cells that a watcher that is behind looks at in its turn.
    pub turn_cells: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            stream_bytes: WATCH_STREAM_BYTES_MAX,
            stream_bytes_scarce: WATCH_STREAM_BYTES_SCARCE,
            shard_bytes: WATCH_SHARD_BYTES_MAX,
            batch_bytes: WATCH_BATCH_BYTES,
            step_cells: WATCH_CELLS_PER_STEP,
            turn_cells: WATCH_CELLS_PER_TURN,
        }
    }
}

/// A stream of one client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct StreamId {
    pub(super) slot: u32,
    serial: u64,
}

/// Why a stream must end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// A message would have so many bytes, more than may be sent.
    TooLarge(usize),
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    serial: u64,
    /// Its watchers by id.
    pub(super) watchers: std::collections::BTreeMap<i64, u32>,
    /// Ids of watchers that were compacted away: as with etcd they are taken until the client cancels them.
    pub(super) compacted: BTreeSet<i64>,
    /// The next id that the server picks.
    pub(super) next_id: i64,
    /// Watchers that are not synced.
    pub(super) unsynced: usize,
    /// The latest revision that a request named.
    pub(super) latest_start: Revision,
    /// Watchers that wait for room, with their serials.
    pub(super) stalled: Vec<(u32, u64)>,
    pub(super) queue: Queue,
    /// Events whose head was handed out.
    tail: Option<Bytes>,
    /// Whether it is among those that `poll_ready` names.
    is_ready: bool,
    pub(super) end: Option<End>,
    pub(super) opened: Now,
    pub(super) interval: Duration,
    /// When its watchers are told next how far they are.
    pub(super) tick: Option<Now>,
}

/// The watchers of one shard.
#[derive(Debug)]
pub struct Hub {
    pub(super) config: Config,
    pub(super) streams: Slab<Stream>,
    pub(super) watchers: Slab<Watcher>,
    pub(super) topics: Topics,
    pub(super) index: Index,
    serials: u64,
    random: u64,
    /// Everything up to this revision was queued for synced watchers.
    pub(super) through: Revision,
    /// What they are told of next.
    pub(super) next: Place,
    /// Whether a walk ended in the middle, for want of work.
    pub(super) walking: bool,
    /// The last revision that is gathered whole, and the one that is being gathered.
    pub(super) complete: Revision,
    pub(super) gathering: Revision,
    /// What is gathered, by the place that its topic names, and how many bytes.
    pub(super) touched: Vec<Gathered>,
    pub(super) gathered_bytes: usize,
    /// Room for one event in both shapes, and the topics that it belongs to.
    pub(super) encoded: [Vec<u8>; 2],
    pub(super) hits: Vec<u32>,
    pub(super) synced: usize,
    /// Watchers that begin at a revision to come.
    pub(super) awaiting: BTreeSet<(Revision, u32)>,
    /// Watchers that read history, in turns, with their serials.
    pub(super) behind: VecDeque<(u32, u64)>,
    pub(super) ticks: BTreeSet<(Now, u32)>,
    ready: VecDeque<u32>,
    queued_bytes: usize,
    queued_events: u64,
    told_events: u64,
    pub(super) term: Term,
}

impl Hub {
    /// Without watchers.
    pub fn new(config: Config) -> Self {
        Self {
            streams: Slab::default(),
            watchers: Slab::default(),
            topics: Topics::default(),
            index: Index::new(config.seed),
            serials: 0,
            random: config.seed | 1,
            through: Revision(0),
            next: Place::before(Revision(1)),
            walking: false,
            complete: Revision(0),
            gathering: Revision(0),
            touched: Vec::new(),
            gathered_bytes: 0,
            encoded: [Vec::new(), Vec::new()],
            hits: Vec::new(),
            synced: 0,
            awaiting: BTreeSet::new(),
            behind: VecDeque::new(),
            ticks: BTreeSet::new(),
            ready: VecDeque::new(),
            queued_bytes: 0,
            queued_events: 0,
            told_events: 0,
            term: Term(0),
            config,
        }
    }

    pub(super) fn serial(&mut self) -> u64 {
        self.serials += 1;
        self.serials
    }

    /// A number below `bound`.
    fn chance(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound.max(1)
    }

    // ---- streams ----

    /// A client opened a stream.
    pub fn open(&mut self, now: Now) -> StreamId {
        let interval = self.config.progress_interval;
        let spread = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX) / crate::limits::WATCH_PROGRESS_JITTER_PART;
        let interval = interval.saturating_add(Duration::from_nanos(self.chance(spread)));
        let serial = self.serial();
        let slot = self.streams.insert(Stream {
            serial,
            watchers: std::collections::BTreeMap::new(),
            compacted: BTreeSet::new(),
            next_id: 0,
            unsynced: 0,
            latest_start: Revision(0),
            stalled: Vec::new(),
            queue: Queue::default(),
            tail: None,
            is_ready: false,
            end: None,
            opened: now,
            interval,
            tick: None,
        });
        StreamId { slot, serial }
    }

    /// It is gone, and everything with it.
    pub fn close(&mut self, id: StreamId) {
        if self.stream(id).is_none() {
            return;
        }
        let watchers: Vec<u32> = self.streams[id.slot].watchers.values().copied().collect();
        for watcher in watchers {
            self.remove(watcher);
        }
        let Some(mut stream) = self.streams.remove(id.slot) else { return };
        if let Some(tick) = stream.tick {
            self.ticks.remove(&(tick, id.slot));
        }
        while let Some(queued) = stream.queue.pop() {
            self.queued_bytes -= queued.cost;
            self.queued_events -= queued.events;
        }
    }

    /// Whether a stream is there and is not about to end.
    pub(super) fn is_open(&self, id: StreamId) -> bool {
        self.stream(id).is_some_and(|stream| stream.end.is_none())
    }

    /// Whether an id is taken on a stream.
    pub(super) fn is_taken(&self, slot: u32, id: i64) -> bool {
        let stream = &self.streams[slot];
        stream.watchers.contains_key(&id) || stream.compacted.contains(&id)
    }

    fn stream(&self, id: StreamId) -> Option<&Stream> {
        self.streams.find(id.slot).filter(|stream| stream.serial == id.serial)
    }

    /// Why a stream must end, if it must, once what is queued is sent.
    pub fn end(&self, id: StreamId) -> Option<End> {
        self.stream(id)?.end
    }

    /// Whether a stream takes requests: each may queue an answer.
    pub fn has_room(&self, id: StreamId) -> bool {
        self.stream(id).is_some_and(|stream| stream.queue.bytes() < self.room())
    }

    /// What may wait on a stream.
    pub(super) fn room(&self) -> usize {
        let bounds = &self.config.bounds;
        if self.queued_bytes < bounds.shard_bytes { bounds.stream_bytes } else { bounds.stream_bytes_scarce }
    }

    /// Queues a message.
    pub(super) fn push(&mut self, slot: u32, watch_id: i64, revision: Revision, content: Content) {
        self.push_events(slot, Message { watch_id, revision, content }, 0);
    }

    /// Queues a message with so many events.
    pub(super) fn push_events(&mut self, slot: u32, message: Message, count: u64) {
        let stream = &mut self.streams[slot];
        self.queued_events += count;
        self.queued_bytes += stream.queue.push(message, count);
        if !std::mem::replace(&mut stream.is_ready, true) {
            self.ready.push_back(slot);
        }
    }

    /// A stream that has something to send since it was named last.
    pub fn poll_ready(&mut self) -> Option<StreamId> {
        while let Some(slot) = self.ready.pop_front() {
            if let Some(stream) = self.streams.find_mut(slot).filter(|stream| stream.is_ready) {
                stream.is_ready = false;
                return Some(StreamId { slot, serial: stream.serial });
            }
        }
        None
    }

    /// The next bytes to send on a stream. Taking them makes room for more.
    pub fn next_chunk(&mut self, id: StreamId, term: Term) -> Option<Bytes> {
        self.stream(id)?;
        let stream = &mut self.streams[id.slot];
        if let Some(tail) = stream.tail.take() {
            return Some(tail);
        }
        let (mut out, mut head) = (Vec::new(), Head::default());
        while out.len() < WATCH_CHUNK_BYTES {
            let Some(Queued { message, cost, events }) = stream.queue.pop() else { break };
            self.queued_bytes -= cost;
            self.queued_events -= events;
            self.told_events += events;
            if out.is_empty() {
                // Those that wait together are mostly of one size.
                let length = HEAD_BYTES_MAX + message.content.events().len().min(WATCH_COPIED_BYTES_MAX);
                out.reserve_exact(length.saturating_mul(stream.queue.len() + 1).min(WATCH_CHUNK_BYTES + length));
            }
            head.put(&mut out, &self.config, term, &message);
            if let Content::Events(events, _) = message.content {
                if events.len() > WATCH_COPIED_BYTES_MAX {
                    stream.tail = Some(events);
                    break;
                }
                out.extend_from_slice(&events);
            }
        }
        if stream.queue.bytes() < self.config.bounds.stream_bytes_scarce.max(self.room() / 2) {
            self.resume_stalled(id.slot);
        }
        (!out.is_empty()).then(|| Bytes::from(out))
    }

    // ---- history ----

    /// Queues what changed up to the root of `feed`, as much as one step may read.
    pub fn work(&mut self, feed: &Feed<'_>, term: Term) -> Result<Progress, mvcc::Error> {
        assert!(feed.position().current >= self.through, "roots are handed in as they were published");
        self.term = term;
        let advanced = self.advance(feed, &mut Work::cells(self.config.bounds.step_cells))?;
        let read = self.read(feed)?;
        let done = advanced == Progress::Done && read == Progress::Done;
        Ok(if done { Progress::Done } else { Progress::More })
    }

    /// Whether `work` has something to do even if nothing changed.
    pub fn has_work(&self) -> bool {
        self.walking || !self.behind.is_empty()
    }

    /// Whether there is anybody to be told of changes.
    pub fn is_empty(&self) -> bool {
        self.watchers.count() == 0
    }

    /// Everything up to this revision was queued for the watchers that are not behind.
    pub fn through(&self) -> Revision {
        self.through
    }

    /// Watchers, and how many of them are not synced.
    pub fn counts(&self) -> (usize, usize) {
        let watchers = self.watchers.count();
        (watchers, watchers - self.synced - self.awaiting.len())
    }

    /// Streams that clients have open.
    pub fn streams(&self) -> usize {
        self.streams.count()
    }

    /// Events handed out to be sent so far, and those that wait; each counts once for every watcher that is told of it.
    pub fn events(&self) -> (u64, u64) {
        (self.told_events, self.queued_events)
    }

    /// What waits for all clients, bytes.
    pub fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }
}
