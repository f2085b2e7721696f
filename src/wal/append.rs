//! The appender: plans groups, takes their completion in any order, says what is durable, and keeps the durable mark.
//!
//! Order of calls: [`Log::create`] or recovery gives a log and steps to carry out first. Then, in any order:
//! inputs `plan_append`, `plan_snapshot`, `on_append_done`, `on_seal_done`, `on_segment_ready`, `on_segment_failed`,
//! `release_through`; outputs `poll_seal`, `plan_segment`; `next_seal` says when `poll_seal` next has something.
//!
//! Invariants
//! - appended >= durable >= marked, in parts and in bytes.
//! - A group is durable when all of its writes and all groups before it are done (the prefix rule): recovery keeps a
//!   prefix, so a later group that arrived alone would be cut.
//! - Places are used once per life of a segment; only a start after a crash writes over what it cut.
//! - At most one mark is in flight, so at most one slot can be torn.
//!
//! A failed write is not told to the log: the member stops, and recovery decides.
//!
//! Benchmark: benches/wal_append.rs. Model and faults: wal/tests.

use super::entry::{Config, Entry, EntryId, HardState, Identity, Sequence, SnapshotMark};
use super::format::{HeaderCopy, PART_HEADER, PartHeader, Place, genesis};
use super::mark::Mark;
use super::name::{FileName, SegmentId, Step, Write};
use super::record;
use super::segment::{Extent, NeedSegment, SegmentPlan, Segments};
use super::size::{in_memory, short};
use super::spill::Spill;
use crate::limits;
use crate::types::{BootNonce, Now, RaftIndex, Term};
use std::collections::VecDeque;

/// Proof that everything up to a group is durable. Only [`Log::on_append_done`] makes one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Durable {
    sequence: Sequence,
    end: EntryId,
}

impl Durable {
    /// The group; it and all before it are durable.
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// The log's last index after that group.
    pub fn index(&self) -> RaftIndex {
        self.end.index
    }

    /// The term of the entry at that index.
    pub fn term(&self) -> Term {
        self.end.term
    }
}

/// A group to write. The writes may be carried out together and in any order; when all are durable, tell
/// [`Log::on_append_done`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppendPlan {
    /// The group's name.
    pub sequence: Sequence,
    /// Mostly one; one more for each end of a segment that the group crosses.
    pub writes: Vec<Write>,
}

/// The durable mark to write; then tell [`Log::on_seal_done`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealPlan {
    /// One block.
    pub write: Write,
}

/// A new log: carry out the steps in order, then use the log.
#[derive(Debug)]
pub struct Created {
    /// Makes the first segment and the mark. A crash on the way leaves what recovery takes for an empty log, or nothing.
    pub steps: Vec<Step>,
    /// The log.
    pub log: Log,
}

/// A place in the chain of parts at which a group ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Point {
    /// The last part.
    pub(super) sequence: Sequence,
    /// The chain after it.
    pub(super) chain: u64,
    /// The log's end after it.
    pub(super) end: EntryId,
    /// The segment in which it ends.
    pub(super) segment: SegmentId,
    /// The place after it in that segment.
    pub(super) offset: u64,
}

#[derive(Debug)]
struct InFlight {
    point: Point,
    done: bool,
}

/// What recovery hands to the appender.
#[derive(Debug)]
pub(super) struct Resumed {
    /// The number of this start.
    pub(super) epoch: u64,
    /// Its nonce.
    pub(super) boot: BootNonce,
    /// Where the log ends.
    pub(super) point: Point,
    /// The hard state there.
    pub(super) hard_state: HardState,
    /// What the next part repeats, the newest first.
    pub(super) copies: VecDeque<HeaderCopy>,
    /// The counter of the newest mark that was read; 0 if none.
    pub(super) counter: u64,
}

/// The appender of one member's log.
#[derive(Debug)]
pub struct Log {
    identity: Identity,
    epoch: u64,
    boot: BootNonce,
    epoch_first: Sequence,
    segments: Segments,
    appended: Point,
    hard_state: HardState,
    copies: VecDeque<HeaderCopy>,
    in_flight: VecDeque<InFlight>,
    durable: Point,
    seal: Seal,
}

/// What a mark says, as far as it may be news.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Said {
    durable_through: Sequence,
    segment: SegmentId,
    oldest: SegmentId,
}

/// The durable mark's side of the log.
#[derive(Debug)]
struct Seal {
    /// Counter of the newest mark that is durable or in flight.
    counter: u64,
    /// What the newest durable mark says.
    said: Said,
    in_flight: Option<Said>,
    /// Something became durable since `poll_seal` last looked.
    moved: bool,
    quiet_since: Now,
    /// When `poll_seal` first saw something that no mark says.
    lagging_since: Option<Now>,
}

impl Log {
    /// The log of a new member. Only for a directory that holds neither segments nor a mark.
    pub fn create(config: Config, identity: Identity, boot: BootNonce) -> Created {
        config.assert_valid();
        assert!(identity.member.0 != 0, "a member has an id");
        let (segments, mut steps) = Segments::create(config, identity, boot);
        let (segment, offset) = segments.position();
        let chain = genesis(identity);
        let point = Point { sequence: Sequence(0), chain, end: EntryId::default(), segment, offset };
        let hard_state = HardState::default();
        let resumed = Resumed { epoch: 1, boot, point, hard_state, copies: VecDeque::new(), counter: 0 };
        let (log, marks) = Self::resume(identity, segments, resumed);
        steps.extend(marks);
        steps.push(Step::SyncDirectory);
        Created { steps, log }
    }

    /// A log that goes on at `resumed`, and the marks that must be durable before it appends: one in each slot, so that
    /// the loss of either leaves one that knows this epoch.
    pub(super) fn resume(identity: Identity, segments: Segments, resumed: Resumed) -> (Self, Vec<Step>) {
        let point = resumed.point;
        assert_eq!(segments.position(), (point.segment, point.offset), "the log goes on where it ends");
        assert!(resumed.epoch > 0, "epochs count from 1");
        let said = Said { durable_through: point.sequence, segment: point.segment, oldest: segments.oldest() };
        let mut log = Self {
            identity,
            epoch: resumed.epoch,
            boot: resumed.boot,
            epoch_first: point.sequence.next(),
            segments,
            appended: point,
            hard_state: resumed.hard_state,
            copies: resumed.copies,
            in_flight: VecDeque::with_capacity(limits::WAL_GROUPS_IN_FLIGHT_MAX),
            durable: point,
            seal: Seal {
                counter: resumed.counter,
                said,
                in_flight: None,
                moved: false,
                quiet_since: Now::default(),
                lagging_since: None,
            },
        };
        let marks = vec![Step::Write(log.mark()), Step::Write(log.mark())];
        log.assert_invariants();
        (log, marks)
    }

    /// Panics if the positions are out of order.
    pub fn assert_invariants(&self) {
        self.segments.assert_invariants();
        assert!(self.durable.sequence <= self.appended.sequence, "durable before it was appended");
        assert!(self.seal.said.durable_through <= self.durable.sequence, "marked before it was durable");
        assert!(self.epoch_first.0 <= self.appended.sequence.0 + 1, "the epoch begins after what is appended");
        assert!(self.in_flight.len() <= limits::WAL_GROUPS_IN_FLIGHT_MAX, "{} groups", self.in_flight.len());
        assert!(self.copies.len() <= limits::WAL_HEADERS_REDUNDANT, "{} copies", self.copies.len());
        assert_eq!(self.in_flight.is_empty(), self.durable == self.appended, "what is not durable is in flight");
        let order = self.in_flight.iter().zip(self.in_flight.iter().skip(1));
        assert!(order.into_iter().all(|(a, b)| a.point.sequence < b.point.sequence), "groups out of order");
    }

    /// Whether another group may be planned now.
    pub fn can_append(&self) -> bool {
        self.in_flight.len() < limits::WAL_GROUPS_IN_FLIGHT_MAX
    }

    /// Plans one group: entries that continue the log or take the place of its end from their first index on, and the
    /// hard state if it changed.
    ///
    /// # Panics
    /// If there is nothing to write, too much is in flight, or the entries have a gap: the caller's bugs.
    pub fn plan_append(&mut self, entries: &[Entry], hard_state: Option<HardState>) -> Result<AppendPlan, NeedSegment> {
        assert!(!entries.is_empty() || hard_state.is_some(), "an empty group");
        self.plan(None, entries, hard_state)
    }

    /// Plans one group that begins the log anew after a snapshot; everything appended before is void.
    ///
    /// # Panics
    /// As [`Self::plan_append`].
    pub fn plan_snapshot(
        &mut self,
        snapshot: SnapshotMark,
        entries: &[Entry],
        hard_state: Option<HardState>,
    ) -> Result<AppendPlan, NeedSegment> {
        assert!(snapshot.index.0 > 0, "a snapshot of nothing");
        self.plan(Some(snapshot), entries, hard_state)
    }

    fn plan(
        &mut self,
        snapshot: Option<SnapshotMark>,
        entries: &[Entry],
        hard_state: Option<HardState>,
    ) -> Result<AppendPlan, NeedSegment> {
        assert!(self.can_append(), "{} groups in flight", self.in_flight.len());
        let before = self.appended.end;
        let base = snapshot.map_or(before, |mark| EntryId { index: mark.index, term: mark.term });
        let end = entries.last().map_or(base, |entry| EntryId { index: entry.index, term: entry.term });
        assert_continues(base, snapshot.is_some(), entries);
        let hard_state = hard_state.unwrap_or(self.hard_state);
        assert!(hard_state.term >= self.hard_state.term, "the term never goes back");
        assert!(hard_state.commit >= self.hard_state.commit, "commit never goes back");
        assert!(hard_state.commit <= end.index, "commit {} beyond the log's end {}", hard_state.commit, end.index);
        let first_index = entries.first().map_or(RaftIndex::default(), |entry| entry.index);
        let index_max = end.index.max(snapshot.map_or(RaftIndex::default(), |mark| mark.index));
        let index_max = if entries.is_empty() && snapshot.is_none() { RaftIndex::default() } else { index_max };
        let payload = record::length(snapshot, entries);
        assert!(payload <= limits::WAL_GROUP_BYTES_MAX, "a group of {payload} bytes");
        let extents = self.segments.reserve(payload, index_max)?;
        let mut spill = Spill::new(&extents);
        record::encode(snapshot, entries, |piece| spill.put(piece));
        let buffers = spill.finish();
        let group = PartHeader {
            sequence: self.appended.sequence,
            epoch: self.epoch,
            boot: self.boot,
            chain_before: self.appended.chain,
            durable_through: self.durable.sequence,
            group_first: self.appended.sequence.next(),
            group_ends: false,
            payload_length: 0,
            payload_checksum: 0,
            first_index,
            index_max,
            end_before: before,
            end,
            hard_state,
            copies: Vec::new(),
        };
        Ok(self.place(group, &extents, buffers))
    }

    /// Seals each part with its header and puts the group in flight.
    fn place(&mut self, mut group: PartHeader, extents: &[Extent], buffers: Vec<Vec<u8>>) -> AppendPlan {
        assert_eq!(extents.len(), buffers.len(), "a buffer for each part");
        let mut writes = Vec::with_capacity(extents.len());
        let count = extents.len();
        for (number, (extent, mut buffer)) in extents.iter().zip(buffers).enumerate() {
            let place = Place { signature: extent.signature, offset: extent.offset };
            let payload = in_memory(extent.payload);
            group.sequence = group.sequence.next();
            group.group_ends = number + 1 == count;
            group.payload_length = short(extent.payload);
            group.payload_checksum =
                place.payload_checksum(group.sequence, &buffer[PART_HEADER..PART_HEADER + payload]);
            group.copies = self.copies.iter().copied().collect();
            let (sector, chain) = group.encode(place);
            buffer[..PART_HEADER].copy_from_slice(&sector);
            self.copies.truncate(limits::WAL_HEADERS_REDUNDANT - 1);
            self.copies.push_front(group.copy(chain));
            group.chain_before = chain;
            writes.push(Write::new(FileName::Segment(extent.id), extent.offset, buffer));
        }
        let (segment, offset) = self.segments.position();
        let point = Point { sequence: group.sequence, chain: group.chain_before, end: group.end, segment, offset };
        assert!(point.sequence > self.appended.sequence, "a group has a part");
        self.appended = point;
        self.hard_state = group.hard_state;
        self.in_flight.push_back(InFlight { point, done: false });
        self.assert_invariants();
        AppendPlan { sequence: point.sequence, writes }
    }

    /// All writes of the group are durable. Gives the proof if that moved the end of what is durable.
    ///
    /// # Panics
    /// If no such group is in flight.
    pub fn on_append_done(&mut self, sequence: Sequence) -> Option<Durable> {
        let at = self.in_flight.partition_point(|group| group.point.sequence < sequence);
        let pending = |group: &InFlight| group.point.sequence == sequence && !group.done;
        assert!(self.in_flight.get(at).is_some_and(pending), "group {sequence} is not in flight");
        self.in_flight[at].done = true;
        let before = self.durable;
        while let Some(group) = self.in_flight.front().filter(|group| group.done) {
            assert!(group.point.sequence > self.durable.sequence, "durable goes forward");
            self.durable = group.point;
            self.in_flight.pop_front();
        }
        if self.durable == before {
            return None;
        }
        self.seal.moved = true;
        self.assert_invariants();
        Some(Durable { sequence: self.durable.sequence, end: self.durable.end })
    }

    /// The durable mark, when the log has been idle for a moment or the mark lags far behind. To be called after every
    /// input and when `next_seal` says so.
    pub fn poll_seal(&mut self, now: Now) -> Option<SealPlan> {
        if !self.seal_due() {
            return None;
        }
        if std::mem::take(&mut self.seal.moved) {
            self.seal.quiet_since = now;
        }
        let lagging_since = *self.seal.lagging_since.get_or_insert(now);
        let idle = self.in_flight.is_empty() && now.since(self.seal.quiet_since) >= limits::WAL_SEAL_IDLE;
        let switched = self.durable.segment != self.seal.said.segment;
        let overdue = now.since(lagging_since) >= limits::WAL_SEAL_LAG_MAX;
        (idle || overdue || switched).then(|| self.plan_seal())
    }

    /// The durable mark now, whatever the time: before a clean stop. `None` if it says all already or is on its way.
    pub fn plan_stop(&mut self) -> Option<SealPlan> {
        self.seal_due().then(|| self.plan_seal())
    }

    fn plan_seal(&mut self) -> SealPlan {
        assert!(self.seal.in_flight.is_none(), "one mark at a time");
        self.seal.in_flight = Some(self.sayable());
        self.seal.lagging_since = None;
        SealPlan { write: self.mark() }
    }

    /// What a mark written now would say.
    fn sayable(&self) -> Said {
        let Point { sequence, segment, .. } = self.durable;
        Said { durable_through: sequence, segment, oldest: self.segments.oldest() }
    }

    fn seal_due(&self) -> bool {
        self.seal.in_flight.is_none() && self.sayable() != self.seal.said
    }

    /// The next mark, in the slot after the last one's.
    fn mark(&mut self) -> Write {
        self.seal.counter += 1;
        let mark = Mark {
            identity: self.identity,
            counter: self.seal.counter,
            epoch: self.epoch,
            boot: self.boot,
            epoch_first: self.epoch_first,
            durable_through: self.durable.sequence,
            chain: self.durable.chain,
            end: self.durable.end,
            oldest: self.segments.oldest(),
            segment: self.durable.segment,
            offset: self.durable.offset,
        };
        mark.write()
    }

    /// The mark in flight is durable.
    pub fn on_seal_done(&mut self) {
        assert!(self.seal.in_flight.is_some(), "no mark was in flight");
        let said = self.seal.in_flight.take().unwrap_or(self.seal.said);
        assert!(said.durable_through >= self.seal.said.durable_through, "marks go forward");
        assert!(said.oldest >= self.seal.said.oldest, "segments do not come back");
        self.seal.said = said;
        self.segments.on_released(said.oldest);
        self.assert_invariants();
    }

    /// When `poll_seal` has something to do if no input comes before. A time in the past means now.
    pub fn next_seal(&self) -> Option<Now> {
        if !self.seal_due() {
            return None;
        }
        let Some(lagging_since) = self.seal.lagging_since.filter(|_| !self.seal.moved) else {
            return Some(Now::default());
        };
        let overdue = lagging_since.after(limits::WAL_SEAL_LAG_MAX);
        let idle = self.in_flight.is_empty().then(|| self.seal.quiet_since.after(limits::WAL_SEAL_IDLE));
        Some(idle.map_or(overdue, |idle| idle.min(overdue)))
    }

    /// The next segment to make ahead of use, to recycle or to remove; one at a time.
    pub fn plan_segment(&mut self) -> Option<SegmentPlan> {
        self.segments.plan()
    }

    /// The steps of the plan for this segment are done.
    pub fn on_segment_ready(&mut self, segment: SegmentId) {
        self.segments.on_ready(segment);
    }

    /// A step of the plan for this segment found no space; the steps after it were not done. `plan_segment` gives it
    /// again, from the start. A failed sync, and any failure but no space, stops the member instead.
    pub fn on_segment_failed(&mut self, segment: SegmentId) {
        self.segments.on_failed(segment);
    }

    /// Entries up to `index` are in a durable checkpoint (less those to keep for slow followers): the segments that
    /// hold nothing else are recycled once a mark says so. The last durable group's segment always stays, and every
    /// part repeats the hard state, so that the newest one is never released.
    pub fn release_through(&mut self, index: RaftIndex) {
        assert!(index <= self.durable.end.index, "release of {index} beyond what is durable");
        self.segments.release_through(index, self.durable.segment);
    }

    /// The size of all segment files.
    pub fn bytes(&self) -> u64 {
        self.segments.bytes()
    }

    /// Bytes of records that a group planned now may have: 21 an entry and its data. Less than this may still be more
    /// than one group's limit.
    pub fn room(&self) -> u64 {
        self.segments.room()
    }

    /// The log's last entry as appended, durable or not.
    pub fn appended(&self) -> EntryId {
        self.appended.end
    }

    /// The last part as appended, durable or not; 0 if there is none.
    pub fn appended_sequence(&self) -> Sequence {
        self.appended.sequence
    }

    /// The log's last entry after the last durable group.
    pub fn durable(&self) -> EntryId {
        self.durable.end
    }

    /// Whether the durable mark says all that is durable; after a clean stop it must.
    pub fn is_sealed(&self) -> bool {
        self.in_flight.is_empty() && self.sayable() == self.seal.said
    }
}

/// Panics if the entries leave a gap, or terms go back inside the group.
fn assert_continues(base: EntryId, anew: bool, entries: &[Entry]) {
    let Some(first) = entries.first() else { return };
    assert!(first.index.0 > 0, "indexes count from 1");
    assert!(first.index <= base.index.next(), "entry {} after {}", first.index, base.index);
    assert!(!anew || first.index == base.index.next(), "entry {} after snapshot {}", first.index, base.index);
    for (one, next) in entries.iter().zip(entries.iter().skip(1)) {
        assert!(next.index == one.index.next(), "entry {} after {}", next.index, one.index);
        assert!(next.term >= one.term, "entry {} goes back to term {}", next.index, next.term);
    }
}
