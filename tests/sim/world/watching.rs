//! Watchers in the world: shards that tell them of changes as the product's shards do, and the clients on them.
//!
//! Invariants
//! - What the shell does between awaits is one event here; what it sends to another shard takes time and keeps its order.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ringbolt::limits::WATCH_STEPS_BEFORE_PROGRESS_MAX;
use ringbolt::mvcc::{Feed, Position, Progress};
use ringbolt::replica::Input;
use ringbolt::rpc::frame;
use ringbolt::tree::{Pinned, Reader};
use ringbolt::types::{ClusterId, MemberId, Now, Revision, ShardId, Term};
use ringbolt::watch::{Bounds, Config, Hub, StreamId};

use super::{Event, MS, World};
use crate::chronicle::Violation;
use crate::node::Run;
use crate::planted::Bug;
use crate::rng::Rng;
use crate::viewers::{Act, FRAGMENT_BYTES, Seat};

/// Shards of a member that have watchers.
const SHARDS: usize = 2;

/// One shard's watchers and the task that tells them of changes.
#[derive(Debug)]
pub(crate) struct Shard {
    hub: Hub,
    reader: Reader,
    streams: BTreeMap<StreamId, usize>,
    /// Where the store stood when a watcher was last asked for, for a planted bug.
    seen: BTreeMap<StreamId, Position>,
    /// The task's next step is under way.
    stepping: bool,
    /// It is to go round once more.
    rung: bool,
    /// World time of its alarm.
    alarm: Option<u64>,
    /// What the replica was last told of the watchers here.
    told: Option<Revision>,
    outbox: VecDeque<Option<Revision>>,
}

/// What the replica's task knows of shards with watchers.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    watched: BTreeMap<usize, Revision>,
    /// What was compacted when they became known.
    since: BTreeMap<usize, Revision>,
    heard: (Revision, Revision),
}

/// Shards without watchers, for a run that begins.
pub(crate) fn shards(run: &Run, member: MemberId, rng: &mut Rng) -> Vec<Shard> {
    let mut small = |below: u64| 1 + usize::try_from(rng.below(below)).expect("small");
    let made = (0..SHARDS).map(|shard| {
        let bounds = Bounds {
            stream_bytes: 200 * small(40),
            stream_bytes_scarce: 100,
            shard_bytes: 20_000,
            batch_bytes: small(2000),
            step_cells: small(60),
            turn_cells: small(30),
        };
        let config = Config {
            cluster: ClusterId(7),
            member,
            frame_prefix: frame::prefix,
            fragment_bytes: FRAGMENT_BYTES,
            message_bytes_max: 1 << 24,
            progress_interval: Duration::from_millis(200),
            bounds,
            seed: u64::try_from(small(1000)).expect("small"),
        };
        Shard {
            hub: Hub::new(config),
            reader: run.replica.shared().reader(ShardId(shard + 1)),
            streams: BTreeMap::new(),
            seen: BTreeMap::new(),
            stepping: false,
            rung: false,
            alarm: None,
            told: None,
            outbox: VecDeque::new(),
        }
    });
    made.collect()
}

impl World {
    fn crossing(&mut self) -> u64 {
        let slow = if self.extra.chance(self.options.busy_per_mille) { 100 } else { 1 };
        self.extra.between(5_000, 300_000) * slow
    }

    fn shard(&mut self, at: usize, shard: usize) -> Option<(&mut Shard, Term)> {
        let run = self.nodes[at].run.as_mut()?;
        let term = run.replica.status().leadership.term;
        Some((run.shards.get_mut(shard)?, term))
    }

    // ---- the shard's task ----

    /// The shard's task has something to do.
    pub(super) fn ring(&mut self, at: usize, shard: usize) {
        let boots = self.nodes[at].boots;
        let busy = if self.extra.chance(self.options.busy_per_mille) { 300 } else { 1 };
        let after = self.extra.between(1_000, 200_000) * busy;
        let Some((it, _)) = self.shard(at, shard) else { return };
        it.rung = it.stepping;
        if !std::mem::replace(&mut it.stepping, true) {
            self.schedule(after, Event::Step(at, boots, shard));
        }
    }

    /// Streams that have something to send hear of it.
    fn wake(&mut self, at: usize, shard: usize) {
        while let Some((it, _)) = self.shard(at, shard)
            && let Some(stream) = it.hub.poll_ready()
        {
            if let Some(viewer) = it.streams.get(&stream).copied() {
                self.viewers[viewer].ready = true;
            }
        }
    }

    /// One step over `pinned`, or over the newest root. Whether there is more to do.
    fn work(&mut self, at: usize, shard: usize, pinned: Option<Pinned>) -> Result<Progress, Violation> {
        let now = self.nodes[at].local(self.now);
        let Some(run) = self.nodes[at].run.as_mut() else { return Ok(Progress::Done) };
        let (term, since) = (run.replica.status().leadership.term, run.audience.since.get(&shard).copied());
        let it = &mut run.shards[shard];
        let pinned = pinned.unwrap_or_else(|| it.reader.pin());
        let compacted = Position::of(&pinned.stamp()).compacted;
        let before = it.hub.counts();
        let outcome = it.hub.work(&Feed::new(&pinned.view()), term);
        let after = it.hub.counts();
        it.hub.tick(now);
        drop(pinned);
        if before.1 == 0 && after.0 < before.0 && since.is_some_and(|since| since < compacted) {
            return Err(format!("compacted: member {} gave up watchers that were up to date", at + 1));
        }
        self.wake(at, shard);
        match outcome {
            Ok(progress) => Ok(progress),
            Err(error) => self.refuse(at, format!("a watcher's read found {error:?}")).map(|()| Progress::Done),
        }
    }

    /// One step of the shard's task; behind the last one the replica may hear how far its watchers are.
    pub(super) fn step_shard(&mut self, at: usize, shard: usize) -> Result<(), Violation> {
        let boots = self.nodes[at].boots;
        if self.work(at, shard, None)? == Progress::More {
            let after = self.extra.between(20_000, 300_000);
            self.schedule(after, Event::Step(at, boots, shard));
            return Ok(());
        }
        self.tell_replica(at, shard);
        let after = self.extra.between(1_000, 200_000);
        let Some((it, _)) = self.shard(at, shard) else { return Ok(()) };
        it.stepping = false;
        let deadline = it.hub.next_deadline();
        if std::mem::take(&mut it.rung) {
            it.stepping = true;
            self.schedule(after, Event::Step(at, boots, shard));
        } else if let Some(deadline) = deadline {
            self.set_shard_alarm(at, shard, deadline);
        }
        Ok(())
    }

    fn set_shard_alarm(&mut self, at: usize, shard: usize, deadline: Now) {
        let node = &self.nodes[at];
        let left = deadline.0.saturating_sub(node.local(self.now).0) / node.clock_per_mille * 1000;
        let (after, boots) = (left.max(MS), node.boots);
        let due = self.now + after;
        if let Some((it, _)) = self.shard(at, shard) {
            it.alarm = Some(due);
            self.schedule(after, Event::ShardAlarm(at, boots, shard));
        }
    }

    /// Time for a shard's next progress notifications, unless it was set anew.
    pub(super) fn shard_alarm(&mut self, at: usize, shard: usize) {
        let now = self.now;
        if self.shard(at, shard).is_some_and(|(it, _)| it.alarm.take_if(|due| *due == now).is_some()) {
            self.ring(at, shard);
        }
    }

    /// As the front does it: when watchers come or go and when a compaction waits for them.
    fn tell_replica(&mut self, at: usize, shard: usize) {
        let (after, boots, bug) = (self.crossing(), self.nodes[at].boots, self.options.bug);
        let Some((it, _)) = self.shard(at, shard) else { return };
        let position = Position::of(&it.reader.latest_stamp());
        let mut watched = (!it.hub.is_empty()).then(|| it.hub.through());
        if bug == Some(Bug::WatchedTooFar) {
            watched = watched.map(|_| Revision(i64::MAX / 2));
        }
        let news = match (it.told, watched) {
            (None, None) => false,
            (Some(told), Some(_)) => told < position.compacted,
            (None, Some(_)) | (Some(_), None) => true,
        };
        if news {
            it.told = watched;
            it.outbox.push_back(watched);
            self.schedule(after, Event::Told(at, boots, shard));
        }
    }

    // ---- the replica's side ----

    /// What a shard said of its watchers arrives.
    pub(super) fn told(&mut self, at: usize, shard: usize) -> Result<(), Violation> {
        let Some(run) = self.nodes[at].run.as_mut() else { return Ok(()) };
        let compacted = Position::of(&run.reader.latest_stamp()).compacted;
        let Some(watched) = run.shards[shard].outbox.pop_front() else { return Ok(()) };
        let audience = &mut run.audience;
        let new = match watched {
            Some(through) => audience.watched.insert(shard, through).is_none(),
            None => {
                audience.watched.remove(&shard);
                audience.since.remove(&shard);
                false
            }
        };
        if new {
            audience.since.insert(shard, compacted);
        }
        let least = audience.watched.values().min().copied();
        if new {
            self.tell_shard(at, shard);
        }
        self.input(at, Input::Watched(least))
    }

    fn tell_shard(&mut self, at: usize, shard: usize) {
        let (after, boots) = (self.crossing(), self.nodes[at].boots);
        self.schedule(after, Event::Changed(at, boots, shard));
    }

    /// Shards with watchers hear that there is a newer root.
    pub(super) fn tell_of_changes(&mut self, at: usize) {
        let Some(run) = self.nodes[at].run.as_mut() else { return };
        let stamp = run.reader.latest_stamp();
        let newest = (stamp.revision, stamp.compacted);
        if std::mem::replace(&mut run.audience.heard, newest) != newest {
            let shards: Vec<usize> = run.audience.watched.keys().copied().collect();
            shards.into_iter().for_each(|shard| self.tell_shard(at, shard));
        }
    }

    // ---- clients ----

    /// A client's turn.
    pub(super) fn view(&mut self, viewer: usize) -> Result<(), Violation> {
        self.leave_the_dead(viewer);
        let after = match self.viewers[viewer].seat {
            None => {
                self.sit_down(viewer);
                2 * MS
            }
            Some(seat) if self.viewers[viewer].progressing.is_some() => {
                self.step_progress(viewer, seat)?;
                self.extra.between(5_000, 300_000)
            }
            Some(seat) => self.act(viewer, seat)?,
        };
        self.schedule(after, Event::View(viewer));
        Ok(())
    }

    fn leave_the_dead(&mut self, viewer: usize) {
        let Some(seat) = self.viewers[viewer].seat else { return };
        let node = &self.nodes[seat.node];
        if node.run.is_none() || node.boots != seat.boots {
            self.viewers[viewer].lose_seat();
        }
    }

    fn sit_down(&mut self, viewer: usize) {
        let (at, shard) = (self.extra.index(self.nodes.len()), self.extra.index(SHARDS));
        let (now, boots) = (self.nodes[at].local(self.now), self.nodes[at].boots);
        let Some((it, _)) = self.shard(at, shard) else { return };
        let stream = it.hub.open(now);
        it.streams.insert(stream, viewer);
        self.viewers[viewer].take_seat(Seat { node: at, boots, shard, stream });
    }

    /// A step of a progress request: whatever the shard has to tell comes first, up to a bound.
    fn step_progress(&mut self, viewer: usize, seat: Seat) -> Result<(), Violation> {
        let kept = self.kept.get(&viewer).cloned().filter(|_| self.options.bug == Some(Bug::ProgressOnOneRoot));
        let (left, revision) = self.viewers[viewer].progressing.expect("the caller looked");
        let done = self.options.bug == Some(Bug::ProgressWithoutWork)
            || self.work(seat.node, seat.shard, kept)? == Progress::Done;
        if !done && left > 1 {
            self.viewers[viewer].progressing = Some((left - 1, revision));
            return Ok(());
        }
        self.viewers[viewer].progressing = None;
        self.kept.remove(&viewer);
        if let Some((it, _)) = self.shard(seat.node, seat.shard) {
            let queued = it.hub.queued_bytes();
            it.hub.progress(seat.stream);
            if it.hub.queued_bytes() > queued {
                self.viewers[viewer].expect_progress(revision);
            }
        }
        self.after_request(seat);
        Ok(())
    }

    fn after_request(&mut self, seat: Seat) {
        self.wake(seat.node, seat.shard);
        self.ring(seat.node, seat.shard);
    }

    /// What a client does next, and when it is its turn again.
    fn act(&mut self, viewer: usize, seat: Seat) -> Result<u64, Violation> {
        let (now, revision, winding) = (self.nodes[seat.node].local(self.now), self.chronicle.revision(), self.winding);
        let (bug, calm) = (self.options.bug, self.calm);
        let Some((it, _)) = self.shard(seat.node, seat.shard) else { return Ok(MS) };
        let position = Position::of(&it.reader.latest_stamp());
        let room = it.hub.has_room(seat.stream);
        let act = self.viewers[viewer].act(room, winding || calm, revision);
        let Some((it, _)) = self.shard(seat.node, seat.shard) else { return Ok(MS) };
        match act {
            Act::Create(request) => {
                // The bug: where the store stood when the stream was last looked at.
                let stale = bug == Some(Bug::WatchedFromStaleRoot);
                let position = it.seen.insert(seat.stream, position).filter(|_| stale).unwrap_or(position);
                it.hub.create(now, seat.stream, request, position);
                self.after_request(seat);
            }
            Act::Cancel(id) => {
                it.hub.cancel(seat.stream, id, position);
                self.after_request(seat);
            }
            Act::Progress => {
                let pinned = it.reader.pin();
                if bug == Some(Bug::ProgressOnOneRoot) {
                    self.kept.insert(viewer, pinned);
                }
                let steps = u64::try_from(WATCH_STEPS_BEFORE_PROGRESS_MAX).expect("small");
                self.viewers[viewer].progressing = Some((steps, position.current.0));
            }
            Act::Read(chunks) => self.read(viewer, seat, chunks, position)?,
            Act::Sleep(_) if calm => {}
            Act::Sleep(time) => return Ok(time),
            Act::Leave => {
                it.hub.close(seat.stream);
                it.streams.remove(&seat.stream);
                self.viewers[viewer].lose_seat();
                self.ring(seat.node, seat.shard);
            }
        }
        let mean = if self.winding { 10 * MS } else { 3 * MS };
        Ok(self.extra.between(100_000, 2 * mean))
    }

    /// Takes chunks for as long as there are any; who found none waits until it is woken.
    fn read(&mut self, viewer: usize, seat: Seat, chunks: u64, position: Position) -> Result<(), Violation> {
        for _ in 0..chunks {
            if !self.viewers[viewer].ready {
                break;
            }
            let bug = self.options.bug;
            let lose = bug == Some(Bug::ChunkLostOnWake) && self.extra.chance(5);
            let Some((it, term)) = self.shard(seat.node, seat.shard) else { break };
            if let Some(end) = it.hub.end(seat.stream) {
                return Err(format!("watch: a stream ended: {end:?}"));
            }
            let chunk = it.hub.next_chunk(seat.stream, term);
            let has_work = it.hub.has_work();
            let Some(chunk) = chunk else {
                self.viewers[viewer].ready = false;
                break;
            };
            if !lose {
                self.viewers[viewer].take(&chunk, position, &self.chronicle)?;
            }
            if has_work {
                self.ring(seat.node, seat.shard);
            }
        }
        Ok(())
    }

    /// Whether every client was sent everything.
    pub(super) fn is_watched(&self) -> bool {
        let up = self.nodes.iter().any(|node| node.run.is_some());
        !up || self.viewers.iter().all(|viewer| viewer.seat.is_some() && viewer.is_complete(&self.chronicle))
    }

    /// Everything is told and nothing changes any more: who asks how far it is hears so.
    pub(super) fn check_progress(&mut self) -> Result<(), Violation> {
        for viewer in 0..self.viewers.len() {
            let Some(seat) = self.viewers[viewer].seat else { continue };
            let Some((it, _)) = self.shard(seat.node, seat.shard) else { continue };
            let current = Position::of(&it.reader.latest_stamp()).current.0;
            let due = self.viewers[viewer].progress_at_end(current);
            for _ in 0..1000 {
                if self.work(seat.node, seat.shard, None)? == Progress::Done {
                    break;
                }
            }
            self.viewers[viewer].progressing = Some((1, current));
            self.step_progress(viewer, seat)?;
            let Some((it, _)) = self.shard(seat.node, seat.shard) else { continue };
            let position = Position::of(&it.reader.latest_stamp());
            self.read(viewer, seat, 1000, position)?;
            if due.is_some_and(|due| self.viewers[viewer].progressed != due) {
                return Err(format!("progress: not told of {due:?}: {:?}", self.viewers[viewer]));
            }
        }
        Ok(())
    }

    /// What watchers saw, for the report.
    pub(super) fn count_viewers(&mut self) {
        for viewer in &self.viewers {
            self.report.events += viewer.events;
            self.report.progress += viewer.progress;
            self.report.compacted += viewer.compacted;
            self.report.resumed += viewer.resumed;
        }
    }
}
