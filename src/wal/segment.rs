//! The life of segments, and where in them the next parts go.
//!
//! ```text
//!  planned ─ made: zero-filled, or an old one recycled ─► spare ─► active ─► full ─► releasable ─► released
//!     ▲                                                                      (the mark says so)      │
//!     └──────────────────────────────── recycled under the next number ◄────────────────────────────┤
//!                                                                    removed: more than are needed ◄─┘
//! ```
//!
//! Invariants
//! - Numbers rise in `list`; released ones first, then releasable, full, one active, spare.
//! - A file has its segment name only while its header, durable, is the one of that number; on the way it is temporary.
//! - A segment is given another number, or removed, only after a durable mark says that it is not needed.
//! - There are never more files than `segments_max`, the one in the making included.

use super::entry::{Config, Identity};
use super::format::{PART_HEADER_BYTES, SegmentHeader, extent, hash64};
use super::name::{FileName, SegmentId, Step, Write};
use crate::limits::WAL_BLOCK_BYTES;
use crate::types::{BootNonce, RaftIndex};
use std::collections::VecDeque;

/// Released segments kept for the next recycling; more are removed. Under load a checkpoint releases several at once, and
/// one that is removed has to be zero-filled again: as many bytes as the log itself.
const RELEASED_MAX: usize = 4;

/// Where a segment is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum State {
    /// A durable mark says that it is not needed.
    Released,
    /// Below the checkpoint; the next mark says so.
    Releasable,
    /// Written to its end.
    Full,
    /// The next part goes here.
    Active,
    /// Ready for use.
    Spare,
}

/// One segment file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Segment {
    /// Its number.
    pub(super) id: SegmentId,
    /// Mixed into the checksums in it.
    pub(super) signature: u64,
    /// The file's size.
    pub(super) bytes: u64,
    /// The highest index that a group touching it writes or covers.
    pub(super) index_max: RaftIndex,
    /// Where it is in its life.
    pub(super) state: State,
}

impl Segment {
    /// The segment of that number, not made yet.
    fn planned(config: Config, identity: Identity, boot: BootNonce, id: SegmentId) -> Self {
        let seed = [identity.member.0, boot.0, id.0].map(u64::to_le_bytes);
        let signature = hash64(identity.cluster.0, seed.as_flattened());
        let (bytes, index_max) = (config.segment_bytes, RaftIndex::default());
        Self { id, signature, bytes, index_max, state: State::Spare }
    }

    /// What makes it, of an old one if there is one to recycle.
    fn steps(&self, identity: Identity, recycled: Option<SegmentId>) -> Vec<Step> {
        let Self { id, signature, bytes, .. } = *self;
        let temporary = FileName::Temporary(id);
        let header = SegmentHeader { identity, id, signature, bytes }.encode();
        let mut steps = match recycled {
            // The directory is synced before the header changes: else a crash could show the old name with the new header.
            Some(old) => vec![Step::Rename { from: FileName::Segment(old), to: temporary }, Step::SyncDirectory],
            None => vec![Step::Create { file: temporary, bytes }],
        };
        steps.push(Step::Write(Write::new(temporary, 0, header)));
        steps.push(Step::Rename { from: temporary, to: FileName::Segment(id) });
        steps.push(Step::SyncDirectory);
        steps
    }
}

/// Where one part of a planned group goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    /// The segment.
    pub(super) id: SegmentId,
    /// Its signature.
    pub(super) signature: u64,
    /// Where in it.
    pub(super) offset: u64,
    /// Whole blocks.
    pub(super) bytes: u64,
    /// Bytes of records in it.
    pub(super) payload: u64,
}

/// Steps that make the next segment ready, or remove one; carry them out in order, then tell
/// [`super::Log::on_segment_ready`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentPlan {
    /// The segment that the steps are about.
    pub segment: SegmentId,
    /// What to do, in order.
    pub steps: Vec<Step>,
}

/// The group does not fit in the segments that are ready; nothing was changed. [`super::Log::plan_segment`] now plans for it:
/// if it gives nothing, or its steps fail, there is no space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NeedSegment {
    /// Segments that are missing.
    pub segments: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Doing {
    Making { made: Segment, recycled: Option<SegmentId> },
    Removing(SegmentId),
}

/// All segments of a log.
#[derive(Debug)]
pub(super) struct Segments {
    config: Config,
    identity: Identity,
    boot: BootNonce,
    list: VecDeque<Segment>,
    /// Where in the list the active one is.
    active: usize,
    /// The next free byte of the active segment.
    offset: u64,
    next_id: SegmentId,
    doing: Option<Doing>,
    /// A file whose recycling or removal failed: it may have its old name still, and is removed first.
    leftover: Option<SegmentId>,
    /// Spare segments that a group in waiting needs.
    demand: usize,
}

impl Segments {
    /// The state of a new log: segment 1, made by the steps, is active.
    pub(super) fn create(config: Config, identity: Identity, boot: BootNonce) -> (Self, Vec<Step>) {
        let first = Segment { state: State::Active, ..Segment::planned(config, identity, boot, SegmentId(1)) };
        (Self::new(config, identity, boot, vec![first], WAL_BLOCK_BYTES), first.steps(identity, None))
    }

    /// The segments of a log whose next part goes to `offset` of the active one in `list`.
    pub(super) fn new(config: Config, identity: Identity, boot: BootNonce, list: Vec<Segment>, offset: u64) -> Self {
        let next_id = list.last().map_or(SegmentId(1), |segment| segment.id.next());
        let list = VecDeque::from(list);
        let active = list.iter().take_while(|segment| segment.state < State::Active).count();
        let segments =
            Self { config, identity, boot, list, active, offset, next_id, doing: None, leftover: None, demand: 0 };
        segments.assert_invariants();
        segments
    }

    /// Panics if the list is not as the head of this file says.
    pub(super) fn assert_invariants(&self) {
        let active = self.list.iter().filter(|segment| segment.state == State::Active).count();
        assert_eq!(active, 1, "one active segment");
        assert_eq!(self.list[self.active].state, State::Active, "the active segment is known");
        let in_order = |(a, b): (&Segment, &Segment)| a.id < b.id && a.state <= b.state;
        assert!(self.list.iter().zip(self.list.iter().skip(1)).all(in_order), "segments out of order");
        assert!(self.list.iter().all(|segment| segment.id < self.next_id), "a number would be used twice");
        assert!(self.offset.is_multiple_of(WAL_BLOCK_BYTES), "offset {}", self.offset);
        assert!(self.offset >= WAL_BLOCK_BYTES, "the header's block is not for parts");
        assert!(self.offset <= self.active().bytes, "offset {} beyond the segment", self.offset);
    }

    fn active(&self) -> &Segment {
        &self.list[self.active]
    }

    fn count(&self, state: State) -> usize {
        self.list.iter().filter(|segment| segment.state == state).count()
    }

    /// The active segment and the next free byte of it.
    pub(super) fn position(&self) -> (SegmentId, u64) {
        (self.active().id, self.offset)
    }

    /// The oldest segment that is needed.
    pub(super) fn oldest(&self) -> SegmentId {
        let needed = |segment: &&Segment| segment.state > State::Releasable;
        self.list.iter().find(needed).unwrap_or(self.active()).id
    }

    /// The size of all segment files, the one in the making included.
    pub(super) fn bytes(&self) -> u64 {
        let making = match self.doing {
            Some(Doing::Making { made, .. }) => made.bytes,
            Some(Doing::Removing(_)) | None => 0,
        };
        self.list.iter().map(|segment| segment.bytes).sum::<u64>() + making
    }

    /// Bytes of records that one group could have now.
    pub(super) fn room(&self) -> u64 {
        let rest = (self.active().bytes - self.offset).saturating_sub(PART_HEADER_BYTES);
        let spare = self.list.iter().filter(|segment| segment.state == State::Spare);
        rest + spare.map(|segment| segment.bytes - WAL_BLOCK_BYTES - PART_HEADER_BYTES).sum::<u64>()
    }

    /// The places for a group with `payload` bytes of records whose highest index is `index_max`: one part in each
    /// segment that it touches. Nothing changes if it does not fit.
    pub(super) fn reserve(&mut self, payload: u64, index_max: RaftIndex) -> Result<Vec<Extent>, NeedSegment> {
        let room = self.room();
        let whole = self.active().bytes == self.offset && self.count(State::Spare) == 0;
        if payload > room || whole {
            let each = self.config.segment_bytes - WAL_BLOCK_BYTES - PART_HEADER_BYTES;
            let missing = usize::try_from((payload - payload.min(room)).div_ceil(each).max(1)).unwrap_or(usize::MAX);
            self.demand = self.count(State::Spare).saturating_add(missing);
            return Err(NeedSegment { segments: missing });
        }
        self.demand = 0;
        let mut extents = Vec::with_capacity(1);
        let mut rest = payload;
        loop {
            let placed = self.reserve_part(rest, index_max);
            rest -= placed.payload;
            extents.push(placed);
            if rest == 0 {
                break;
            }
        }
        self.assert_invariants();
        assert_eq!(extents.iter().map(|part| part.payload).sum::<u64>(), payload, "the parts are the group");
        Ok(extents)
    }

    fn reserve_part(&mut self, rest: u64, index_max: RaftIndex) -> Extent {
        if self.active().bytes == self.offset {
            self.switch();
        }
        let offset = self.offset;
        let active = &mut self.list[self.active];
        let bytes = extent(rest).min(active.bytes - offset);
        let payload = rest.min(bytes - PART_HEADER_BYTES);
        active.index_max = active.index_max.max(index_max);
        self.offset += bytes;
        assert!(bytes >= WAL_BLOCK_BYTES, "a part of {bytes} bytes");
        Extent { id: active.id, signature: active.signature, offset, bytes, payload }
    }

    fn switch(&mut self) {
        let at = self.active;
        assert_eq!(self.list[at + 1].state, State::Spare, "a switch needs a spare segment");
        self.list[at].state = State::Full;
        self.list[at + 1].state = State::Active;
        self.active = at + 1;
        self.offset = WAL_BLOCK_BYTES;
    }

    /// Full segments before `keep` whose indexes are all at or below `index` are no longer needed.
    pub(super) fn release_through(&mut self, index: RaftIndex, keep: SegmentId) {
        for segment in &mut self.list {
            if segment.state < State::Full {
                continue;
            }
            if segment.state > State::Full || segment.id >= keep || segment.index_max > index {
                break;
            }
            segment.state = State::Releasable;
        }
        self.assert_invariants();
    }

    /// A durable mark says that segments before `oldest` are not needed.
    pub(super) fn on_released(&mut self, oldest: SegmentId) {
        for segment in self.list.iter_mut().filter(|segment| segment.id < oldest) {
            assert!(segment.state <= State::Releasable, "segment {} is needed", segment.id.0);
            segment.state = State::Released;
        }
        self.assert_invariants();
    }

    /// What to make or remove next; one at a time.
    pub(super) fn plan(&mut self) -> Option<SegmentPlan> {
        if self.doing.is_some() {
            return None;
        }
        if let Some(left) = self.leftover.take() {
            return Some(self.plan_removing(left));
        }
        let wanted = self.config.segments_spare.max(self.demand);
        if self.count(State::Spare) < wanted {
            let size = self.config.segment_bytes;
            let fits = |segment: &Segment| segment.state == State::Released && segment.bytes == size;
            if let Some(at) = self.list.iter().position(fits) {
                let old = self.forget(at);
                return Some(self.plan_making(Some(old)));
            }
            if self.list.len() < self.config.segments_max {
                return Some(self.plan_making(None));
            }
        }
        let of_other_size = |segment: &&Segment| segment.bytes != self.config.segment_bytes;
        let surplus = self.count(State::Released) > RELEASED_MAX || self.list.iter().take(1).any(|s| of_other_size(&s));
        if self.list[0].state != State::Released || !surplus {
            return None;
        }
        let first = self.forget(0);
        Some(self.plan_removing(first))
    }

    /// Takes a released segment out of the list.
    fn forget(&mut self, at: usize) -> SegmentId {
        let segment = self.list[at];
        assert_eq!(segment.state, State::Released, "segment {} is needed", segment.id.0);
        assert!(at < self.active, "released ones stand before the active one");
        self.list.remove(at);
        self.active -= 1;
        segment.id
    }

    fn plan_removing(&mut self, segment: SegmentId) -> SegmentPlan {
        assert!(self.list.iter().all(|other| other.id != segment), "segment {} is in use", segment.0);
        self.doing = Some(Doing::Removing(segment));
        SegmentPlan { segment, steps: vec![Step::Remove(FileName::Segment(segment)), Step::SyncDirectory] }
    }

    fn plan_making(&mut self, recycled: Option<SegmentId>) -> SegmentPlan {
        let made = Segment::planned(self.config, self.identity, self.boot, self.next_id);
        self.doing = Some(Doing::Making { made, recycled });
        SegmentPlan { segment: made.id, steps: made.steps(self.identity, recycled) }
    }

    /// The steps of the plan for `segment` are done.
    pub(super) fn on_ready(&mut self, segment: SegmentId) {
        if let Doing::Making { made, .. } = self.done(segment) {
            self.next_id = made.id.next();
            self.list.push_back(made);
        }
        self.assert_invariants();
    }

    /// The steps for `segment` failed, no space for instance: the same is planned again later, after what was left
    /// behind is removed.
    pub(super) fn on_failed(&mut self, segment: SegmentId) {
        self.leftover = match self.done(segment) {
            Doing::Making { recycled, .. } => recycled,
            Doing::Removing(removed) => Some(removed),
        };
    }

    fn done(&mut self, segment: SegmentId) -> Doing {
        let doing = self.doing.take().expect("nothing is done that was not planned");
        let planned = match doing {
            Doing::Making { made, .. } => made.id,
            Doing::Removing(removed) => removed,
        };
        assert_eq!(planned, segment, "another segment was planned");
        doing
    }
}
