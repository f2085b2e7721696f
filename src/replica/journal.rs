//! The log's side of a replica: groups of consensus become plans of the WAL, and what is durable goes back.
//!
//! Invariants
//! - Groups are planned in their order, and consensus hears of them in that order, only against the WAL's proof.
//! - A group that finds no segment waits here, whole, and is planned before any younger one.
//! - Segments are asked for one at a time; after a lack of space not before the retry is due.

use std::collections::VecDeque;

use crate::limits::{REPLICA_SPACE_RETRY, WAL_BLOCK_BYTES};
use crate::raft::{Append, Driver, Group};
use crate::types::{Now, RaftIndex};
use crate::wal::{AppendPlan, Durable, Log, SealPlan, SegmentId, SegmentPlan, Sequence, SnapshotMark};

/// The WAL and what waits for it.
#[derive(Debug)]
pub(super) struct Journal {
    log: Log,
    /// The tree begins with a snapshot that the log does not know yet: it goes with the first group.
    snapshot_due: Option<SnapshotMark>,
    /// A group that waits for a segment.
    stuck: Option<Append>,
    groups: VecDeque<(Sequence, Group)>,
    segment_out: bool,
    /// There was no space for a segment, and this is when to ask again.
    retry_at: Option<Now>,
    groups_written: u64,
}

impl Journal {
    /// Goes on with `log`.
    pub(super) fn new(log: Log, snapshot_due: Option<SnapshotMark>) -> Self {
        Self {
            log,
            snapshot_due,
            stuck: None,
            groups: VecDeque::new(),
            segment_out: false,
            retry_at: None,
            groups_written: 0,
        }
    }

    /// Plans the next group of `driver`, if there is one and room for it.
    pub(super) fn poll_append(&mut self, driver: &mut Driver) -> Option<AppendPlan> {
        if !self.log.can_append() {
            return None;
        }
        let append = self.stuck.take().or_else(|| driver.poll_append())?;
        let planned = match self.snapshot_due {
            Some(snapshot) => self.log.plan_snapshot(snapshot, &append.entries, append.hard_state),
            None => self.log.plan_append(&append.entries, append.hard_state),
        };
        let Ok(plan) = planned else {
            assert!(self.snapshot_due.is_none() || self.groups.is_empty(), "the first group comes first");
            self.stuck = Some(append);
            return None;
        };
        self.snapshot_due = None;
        assert!(self.groups.back().is_none_or(|(_, youngest)| *youngest < append.group), "groups keep their order");
        self.groups.push_back((plan.sequence, append.group));
        self.groups_written += 1;
        Some(plan)
    }

    /// The writes of a group are done. The youngest group that is durable by now, if that is news.
    pub(super) fn on_append_done(&mut self, sequence: Sequence) -> Option<Group> {
        let durable = self.log.on_append_done(sequence)?;
        self.durable_group(durable)
    }

    /// Only the WAL's proof makes a group durable.
    fn durable_group(&mut self, durable: Durable) -> Option<Group> {
        let mut youngest = None;
        while let Some((_, group)) = self.groups.front().filter(|(sequence, _)| *sequence <= durable.sequence()) {
            youngest = Some(*group);
            self.groups.pop_front();
        }
        assert!(youngest.is_some(), "the proof is of a group that was planned here");
        youngest
    }

    /// The next segment to make, recycle or remove.
    pub(super) fn poll_segment(&mut self, now: Now) -> Option<SegmentPlan> {
        if self.segment_out || self.retry_at.is_some_and(|retry_at| now < retry_at) {
            return None;
        }
        let Some(plan) = self.log.plan_segment() else {
            // Nothing is missing any more: whether there is space will be seen when something is.
            self.retry_at = None;
            return None;
        };
        assert!(!plan.steps.is_empty(), "a plan for a segment does something");
        self.segment_out = true;
        Some(plan)
    }

    /// Its steps are done: there is space again.
    pub(super) fn on_segment_ready(&mut self, segment: SegmentId) {
        assert!(self.segment_out, "segment {} was not asked for", segment.0);
        self.segment_out = false;
        self.retry_at = None;
        self.log.on_segment_ready(segment);
    }

    /// There is no space for it.
    pub(super) fn on_segment_failed(&mut self, now: Now, segment: SegmentId) {
        assert!(self.segment_out, "segment {} was not asked for", segment.0);
        self.segment_out = false;
        self.retry_at = Some(now.after(REPLICA_SPACE_RETRY));
        self.log.on_segment_failed(segment);
    }

    /// The durable mark, when it is due.
    pub(super) fn poll_seal(&mut self, now: Now) -> Option<SealPlan> {
        self.log.poll_seal(now)
    }

    /// The durable mark now, for a clean stop.
    pub(super) fn plan_stop(&mut self) -> Option<SealPlan> {
        self.log.plan_stop()
    }

    /// The mark is durable.
    pub(super) fn on_seal_done(&mut self) {
        self.log.on_seal_done();
    }

    /// Whether everything that was planned is durable and the mark says so.
    pub(super) fn is_at_rest(&self) -> bool {
        self.groups.is_empty() && self.log.is_sealed()
    }

    /// Entries up to `index` are needed no more.
    pub(super) fn release_through(&mut self, index: RaftIndex) {
        self.log.release_through(index.min(self.log.durable().index));
    }

    /// Whether records of so many bytes could not be written, with no space to make room: there was none, or the log has
    /// as many files as it may.
    pub(super) fn lacks_space_for(&self, bytes: u64) -> bool {
        let bytes = bytes.saturating_add(2 * WAL_BLOCK_BYTES);
        let hopeless = self.retry_at.is_some() || (self.stuck.is_some() && !self.segment_out);
        hopeless && self.log.room() < bytes
    }

    /// Whether the last request for a segment found no space.
    pub(super) fn is_without_space(&self) -> bool {
        self.retry_at.is_some()
    }

    /// Whether a group waits for a segment.
    pub(super) fn is_stuck(&self) -> bool {
        self.stuck.is_some()
    }

    /// Groups that are being written.
    pub(super) fn in_flight(&self) -> usize {
        self.groups.len()
    }

    /// Groups planned since the start.
    pub(super) fn groups_written(&self) -> u64 {
        self.groups_written
    }

    /// Bytes of the log's files.
    pub(super) fn bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// When to look again, if nothing comes before.
    pub(super) fn next_deadline(&self) -> Option<Now> {
        let retry_at = self.retry_at.filter(|_| !self.segment_out);
        [retry_at, self.log.next_seal()].into_iter().flatten().min()
    }
}
