//! The tree's side of a replica: applying, growing, checkpoints, and the steps of a compaction.
//!
//! Invariants
//! - Entries are applied in order, each once; when pages run out the same entries wait, untouched, until there are some.
//! - The members, as of an entry, are in the root that has the entry applied.
//! - One grow plan and one checkpoint at a time.
//!
//! Must not know: the log's files, who waits for what.

use std::collections::VecDeque;

use prost::Message as _;

use super::config::{CheckpointPolicy, Config};
use super::values::{Error, Failure, Pages, Proposal};

use crate::apply::{self, Applier, CommittedEntry, Payload};
use crate::command::{DeleteRangeRequest, Kind, LeaseExpiry, LeaseRevokeRequest};
use crate::lease::{self, Lease};
use crate::limits::{
    REPLICA_APPLY_BYTES_MAX, REPLICA_APPLY_ENTRIES_MAX, REPLICA_CHECKPOINT_SOON_PART, REPLICA_CHECKPOINTS_TO_SETTLE,
    REPLICA_COMPACT_PAUSE, REPLICA_COMPACT_ROWS_PER_STEP, REPLICA_GROW_PAGES_MAX, REPLICA_REPLAY_BYTES_MAX,
    REPLICA_REPLAY_ENTRIES_MAX, REPLICA_SPACE_RETRY, REPLICA_SWEEP_LEAVES_PER_STEP, REPLICA_SWEEP_PAUSE,
    REPLICA_SWEEP_REST, REPLICA_SWEEP_REST_PART, REPLICA_SWEEP_WAIT,
};
use crate::mvcc::{self, Compaction, Position, Progress, compact_step, resume_compaction};
use crate::raft::{Change, Driver, Membership, is_empty_entry, wide};
use crate::tree::{self, CheckpointDone, CheckpointPlan, GrowPlan, Stamp, Sweep, Tree, TreeId};
use crate::types::{LeaseId, Now, RaftIndex, Revision};
use crate::wal::{Entry, EntryKind};

/// The row of the System tree that holds the members.
const MEMBERSHIP_KEY: &[u8] = b"raft/membership";

/// What one call of `apply_next` did.
#[derive(Debug)]
pub(super) enum AppliedStep {
    /// Nothing waits, or it waits for pages.
    Nothing,
    /// Everything up to this index is applied and published.
    Through(RaftIndex),
}

/// The tree and what waits for it.
#[derive(Debug)]
pub(super) struct Store {
    tree: Tree,
    applier: Applier,
    policy: CheckpointPolicy,
    free_pages_low: u64,
    backlog: VecDeque<Entry>,
    /// The last change of the group that consensus has made; its row may still have to be written.
    changed: RaftIndex,
    /// Pages ran out when so many were free; the backlog waits for more.
    stalled_at: Option<u64>,
    stalls: u64,
    grow_out: bool,
    /// How many pages to ask for; doubled while they do not suffice.
    grow_pages: u64,
    /// There was no space to grow, and this is when to ask again.
    grow_retry_at: Option<Now>,
    checkpoint_out: bool,
    checkpoint_at: Now,
    /// When it may come at the earliest, if it is to cure a lack of space or a long log.
    checkpoint_soon: Now,
    compact_at: Option<Now>,
    /// Watchers have seen history up to here; a compaction beyond waits for them.
    watched: Option<Revision>,
    /// What was applied about leases and is not taken yet.
    lease_changes: Vec<lease::Change>,
    /// The recovered log: once it is applied, the compaction of the run before is resumed.
    resume_after: Option<RaftIndex>,
    sweep: Option<Sweep>,
    sweep_began: Now,
    /// When a sweep may go on.
    sweep_at: Now,
    /// When the next may begin, unless much was freed since the last.
    sweep_rest: Now,
    /// Pages that were used when the last one ended.
    swept_used: u64,
    sweeps: u64,
    /// Checkpoints still to come, changes or not, that give space back.
    settling: u8,
    entries_applied: u64,
    applies: u64,
    counts: apply::Counts,
    compacted_rows: u64,
}

impl Store {
    /// Goes on with `tree` and a log that ends at `last`.
    pub(super) fn new(now: Now, mut tree: Tree, last: RaftIndex, config: &Config) -> Result<Self, Error> {
        if !Position::is_told_by(&tree.stamp()) {
            return Err(mvcc::Error::Damaged("the revisions of the store").into());
        }
        let compacting = Compaction::of(&tree.begin().view())?.is_pending();
        Ok(Self {
            tree,
            applier: Applier::new(config.member, config.nonce),
            policy: config.checkpoint,
            free_pages_low: config.free_pages_low,
            backlog: VecDeque::new(),
            changed: RaftIndex(0),
            stalled_at: None,
            stalls: 0,
            grow_out: false,
            grow_pages: 1,
            grow_retry_at: None,
            checkpoint_out: false,
            checkpoint_at: now.after(config.checkpoint.interval),
            checkpoint_soon: now,
            compact_at: compacting.then_some(now),
            watched: None,
            lease_changes: Vec::new(),
            resume_after: Some(last),
            sweep: None,
            sweep_began: now,
            sweep_at: now,
            sweep_rest: now,
            swept_used: 0,
            sweeps: 0,
            settling: 0,
            entries_applied: 0,
            applies: 0,
            counts: apply::Counts::default(),
            compacted_rows: 0,
        })
    }

    // ---- applying ----

    /// Entries that consensus committed.
    pub(super) fn push(&mut self, entries: Vec<Entry>) {
        let last = self.backlog.back().map_or(self.stamp().applied_index, |entry| entry.index);
        assert!(entries.first().is_none_or(|first| first.index == last.next()), "entries come without a gap");
        self.backlog.extend(entries);
    }

    /// Applies the next entries, as many as one transaction should hold. Answers that `want` asks for go to `out`.
    pub(super) fn apply_next(
        &mut self,
        now: Now,
        driver: &mut Driver,
        want: impl FnMut(u64) -> bool,
        out: &mut Vec<apply::Answer>,
    ) -> Result<AppliedStep, Error> {
        let Some(first) = self.backlog.front() else { return Ok(AppliedStep::Nothing) };
        if self.is_stalled() {
            return Ok(AppliedStep::Nothing);
        }
        let before = self.stamp();
        let result = match first.kind {
            EntryKind::Normal => self.apply_batches(want, out),
            EntryKind::ConfChange | EntryKind::ConfChangeV2 => self.apply_change(driver),
        };
        let applied = match result {
            Ok(applied) => applied,
            Err(error) if lacks_pages(&error) => {
                self.stall();
                return Ok(AppliedStep::Nothing);
            }
            Err(error) => return Err(error),
        };
        self.finish_apply(now, before, applied);
        Ok(AppliedStep::Through(applied))
    }

    fn apply_batches(
        &mut self,
        want: impl FnMut(u64) -> bool,
        out: &mut Vec<apply::Answer>,
    ) -> Result<RaftIndex, Error> {
        // Not after pages ran out: what did not fit is tried again in smaller parts.
        let is_replay = self.resume_after.is_some() && self.stalls == 0;
        let (entries_max, bytes_max) = if is_replay {
            (REPLICA_REPLAY_ENTRIES_MAX, REPLICA_REPLAY_BYTES_MAX)
        } else {
            (REPLICA_APPLY_ENTRIES_MAX, REPLICA_APPLY_BYTES_MAX)
        };
        let mut bytes = 0u64;
        let within = |entry: &&Entry| {
            bytes += wide(entry.data.len());
            entry.kind == EntryKind::Normal && (bytes <= bytes_max || entry.index == self.first_index())
        };
        let entries = self.backlog.iter().take(entries_max).take_while(within).map(committed);
        let entries: Vec<_> = entries.collect();
        assert!(!entries.is_empty(), "the first entry is a batch");
        let applied = self.applier.apply(&mut self.tree, &entries, want, out).map_err(Error::Apply)?;
        self.counts.add(applied.counts());
        let index = applied.index();
        self.lease_changes.extend(applied.into_lease_changes());
        Ok(index)
    }

    /// A change of the group: consensus first, then its row, in the root that has the entry applied.
    fn apply_change(&mut self, driver: &mut Driver) -> Result<RaftIndex, Error> {
        let entry = self.backlog.front().expect("the caller looked at it");
        if entry.kind == EntryKind::ConfChange {
            return Err(Error::Change { index: entry.index });
        }
        let change = Change::decode(&entry.data).map_err(|_| Error::Change { index: entry.index })?;
        if self.changed < entry.index {
            // An impossible change is one without effect, on every member.
            driver.apply_change(&change);
            self.changed = entry.index;
        }
        let stamp = Stamp { applied_index: entry.index, applied_term: entry.term, ..self.stamp() };
        let index = entry.index;
        write_membership(&mut self.tree, driver.membership(), stamp)?;
        Ok(index)
    }

    fn finish_apply(&mut self, now: Now, before: Stamp, applied: RaftIndex) {
        let after = self.stamp();
        assert_eq!(after.applied_index, applied, "the root says what it has applied");
        assert!(after.applied_index > before.applied_index, "applying moves forward");
        while self.backlog.front().is_some_and(|entry| entry.index <= applied) {
            self.backlog.pop_front();
            self.entries_applied += 1;
        }
        self.applies += 1;
        self.stalled_at = None;
        self.grow_pages = 1;
        // As positions: the stamp of an empty store is all zeros, and its compaction none, not that to revision 0.
        if Position::of(&after).compacted != Position::of(&before).compacted {
            self.compact_at.get_or_insert(now);
        }
    }

    fn stall(&mut self) {
        self.tree.release();
        self.stalls += 1;
        self.stalled_at = Some(self.tree.pages_free());
        self.grow_pages = (self.grow_pages * 2).clamp(self.free_pages_low, REPLICA_GROW_PAGES_MAX);
    }

    fn first_index(&self) -> RaftIndex {
        self.backlog.front().map_or(RaftIndex(0), |entry| entry.index)
    }

    // ---- compaction ----

    /// Once, when everything that was recovered is applied: forgets what etcd does not remember beyond a start, and goes on
    /// with a compaction that was cut off. `last` is where the log ends now: a leader may have cut it.
    pub(super) fn resume_compaction(&mut self, now: Now, last: RaftIndex) -> Result<(), Error> {
        let applied = self.stamp().applied_index;
        if self.resume_after.is_none_or(|recovered| applied < recovered.min(last)) {
            return Ok(());
        }
        match resume_compaction(&mut self.tree) {
            Ok(state) => {
                self.resume_after = None;
                assert!(self.compact_at.is_some() || !state.is_pending(), "a compaction that is not over is known");
                self.compact_at = self.compact_at.map(|_| now);
                Ok(())
            }
            // It is tried again in the next turn: pages come, as for everything else.
            Err(mvcc::Error::Tree(tree::Error::OutOfPages)) => {
                self.tree.release();
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// One step of a compaction, if one is due. Whether it did something.
    pub(super) fn compact_step(&mut self, now: Now) -> Result<bool, Error> {
        let held = self.resume_after.is_some() || self.waits_for_watchers();
        if held || self.compact_at.is_none_or(|at| now < at) {
            return Ok(false);
        }
        let before = self.tree.begin().view().weight(TreeId::Revisions);
        let stepped = compact_step(&mut self.tree, REPLICA_COMPACT_ROWS_PER_STEP);
        self.compacted_rows += before.saturating_sub(self.tree.begin().view().weight(TreeId::Revisions));
        match stepped {
            Ok(Progress::More) => self.compact_at = Some(now.after(REPLICA_COMPACT_PAUSE)),
            Ok(Progress::Done) => {
                self.compact_at = None;
                self.settling = REPLICA_CHECKPOINTS_TO_SETTLE;
            }
            Err(mvcc::Error::Tree(tree::Error::OutOfPages)) => {
                self.tree.release();
                self.compact_at = Some(now.after(REPLICA_SPACE_RETRY));
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    /// Whether there are watchers that must see history before a compaction makes rows of it superfluous.
    fn waits_for_watchers(&self) -> bool {
        self.watched.is_some_and(|watched| watched < self.stamp().compacted)
    }

    /// Watchers have seen history up to a revision; nothing when there are none.
    pub(super) fn set_watched(&mut self, watched: Option<Revision>) {
        self.watched = watched;
    }

    // ---- leases ----

    /// Every lease that the store holds.
    pub(super) fn leases(&mut self) -> Result<Vec<Lease>, Error> {
        lease::all(&self.tree.begin().view()).map_err(|error| Error::Store(error.into()))
    }

    /// What was applied about leases since the last call.
    pub(super) fn take_lease_changes(&mut self) -> Vec<lease::Change> {
        std::mem::take(&mut self.lease_changes)
    }

    /// Whether the rows that a compaction to `revision` makes superfluous are gone.
    pub(super) fn is_compacted(&mut self, revision: Revision) -> Result<bool, Error> {
        Ok(self.compact_at.is_none() || Compaction::of(&self.tree.begin().view())?.covers(revision))
    }

    /// Whether a compaction still removes rows.
    pub(super) fn is_compacting(&self) -> bool {
        self.compact_at.is_some()
    }

    // ---- space ----

    /// Keys that a deletion of a range would delete as things stand. One that cannot be told is for applying to complain of.
    pub(super) fn keys_deleted(&mut self, proposal: &Proposal) -> u64 {
        if let Some(id) = lease_of(proposal) {
            return lease::attached_count(&self.tree.begin().view(), id).unwrap_or(0);
        }
        if proposal.kind != Kind::DeleteRange {
            return 0;
        }
        let request = DeleteRangeRequest::decode(proposal.payload.slice(..)).unwrap_or_default();
        mvcc::keys_deleted(&self.tree.begin().view(), &request).unwrap_or(0)
    }

    /// One step of a sweep, if one is due: pages move towards the start of the file, so that its end can go back to the file
    /// system. It gives way to whatever needs pages or writes many.
    pub(super) fn sweep_step(&mut self, now: Now) -> Result<(), Error> {
        let busy = self.stalled_at.is_some() || self.tree.dirty_pages() >= self.policy.dirty_pages_max / 2;
        if now < self.sweep_at {
            return Ok(());
        }
        if busy || self.is_compacting() {
            // Later: a deadline that is due and changes nothing would have the executor turn in circles.
            self.sweep_at = now.after(REPLICA_SWEEP_WAIT);
            return Ok(());
        }
        if self.sweep.is_none() {
            // A quarter less is used than after the last one: there is new work for it.
            let freed = self.tree.pages_used() <= self.swept_used / 4 * 3;
            self.sweep = if freed || now >= self.sweep_rest { self.tree.plan_sweep() } else { None };
            self.sweep_began = now;
        }
        let Some(sweep) = &mut self.sweep else { return Ok(()) };
        let stamp = self.tree.stamp();
        let mut txn = self.tree.begin();
        match txn.sweep(sweep, REPLICA_SWEEP_LEAVES_PER_STEP) {
            Ok(()) => _ = txn.commit(stamp),
            Err(tree::Error::OutOfPages) => {
                drop(txn);
                // The pages that it left behind come free with the next checkpoints.
                self.tree.release();
                self.sweep_at = now.after(REPLICA_SPACE_RETRY);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
        self.sweep_at = now.after(REPLICA_SWEEP_PAUSE);
        if sweep.is_over() {
            self.sweep = None;
            let took = now.since(self.sweep_began).saturating_mul(REPLICA_SWEEP_REST_PART);
            self.sweep_rest = now.after(took.max(REPLICA_SWEEP_REST));
            self.swept_used = self.tree.pages_used();
            self.sweeps += 1;
            self.settling = REPLICA_CHECKPOINTS_TO_SETTLE;
        }
        Ok(())
    }

    /// Whether a sweep moves pages.
    pub(super) fn is_sweeping(&self) -> bool {
        self.sweep.is_some()
    }

    /// Pages to have granted: ahead of use, since a command wants so many free, or because the backlog waits for them.
    pub(super) fn poll_grow(&mut self, now: Now, pages_promised: u64, pages_wanted: u64) -> Option<GrowPlan> {
        if self.stalled_at.is_some() {
            self.tree.release();
        }
        let target = self.free_pages_low.saturating_add(pages_promised).max(pages_wanted);
        let free = self.tree.pages_free();
        if self.grow_out || self.grow_retry_at.is_some_and(|retry_at| now < retry_at) {
            return None;
        }
        if free >= target && self.stalled_at.is_none() {
            // Nothing is missing any more: whether there is space will be seen when something is.
            self.grow_retry_at = None;
            return None;
        }
        let Some(plan) = self.tree.plan_grow(self.grow_pages.max(target.saturating_sub(free))) else {
            // A checkpoint that shortens the file comes first; without one, the reserved range is used up.
            self.grow_retry_at = (!self.checkpoint_out).then(|| now.after(REPLICA_SPACE_RETRY));
            return None;
        };
        assert!(plan.page_count > 0, "a grow plan asks for pages");
        self.grow_out = true;
        Some(plan)
    }

    /// They are granted: there is space again.
    pub(super) fn on_grow_done(&mut self, plan: &GrowPlan) {
        assert!(self.grow_out, "a grow plan is out");
        self.tree.on_grow_done(plan);
        self.grow_out = false;
        self.grow_retry_at = None;
        self.stalled_at = None;
    }

    /// They are not.
    pub(super) fn on_grow_failed(&mut self, now: Now, plan: &GrowPlan, failure: Failure) -> Result<(), Error> {
        assert!(self.grow_out, "a grow plan is out");
        self.tree.on_grow_failed(plan);
        self.grow_out = false;
        match failure {
            Failure::NoSpace => {
                self.grow_retry_at = Some(now.after(REPLICA_SPACE_RETRY));
                Ok(())
            }
            Failure::Other(what) => Err(Error::Write(what)),
        }
    }

    /// Whether the last request for pages found no space.
    pub(super) fn is_without_space(&self) -> bool {
        self.grow_retry_at.is_some()
    }

    // ---- checkpoints ----

    /// A checkpoint, when one is due: on time, too much to write, too long a log, a lack of space that it may cure, or
    /// because the caller must have one.
    pub(super) fn poll_checkpoint(&mut self, now: Now, log_is_long: bool, must: bool) -> Option<CheckpointPlan> {
        // A lack of space and a long log may last: they bring checkpoints sooner, not one after the other.
        let pressed = log_is_long || self.stalled_at.is_some() || self.is_without_space();
        let soon = pressed && now >= self.checkpoint_soon;
        let due = must || soon || now >= self.checkpoint_at || self.tree.dirty_pages() >= self.policy.dirty_pages_max;
        if !due || self.checkpoint_out {
            return None;
        }
        self.checkpoint_at = now.after(self.policy.interval);
        let plan = self.tree.plan_checkpoint()?;
        assert_eq!(plan.stamp(), self.stamp(), "a checkpoint is of what is published");
        self.checkpoint_out = true;
        Some(plan)
    }

    /// It was carried out.
    pub(super) fn on_checkpoint_done(&mut self, now: Now, plan: CheckpointPlan) -> CheckpointDone {
        assert!(self.checkpoint_out, "a checkpoint was in progress");
        self.checkpoint_out = false;
        self.checkpoint_at = now.after(self.policy.interval);
        self.checkpoint_soon = now.after(self.policy.interval / REPLICA_CHECKPOINT_SOON_PART);
        let done = self.tree.on_checkpoint_done(plan);
        assert!(done.stamp.applied_index <= self.stamp().applied_index, "a checkpoint is not ahead of its tree");
        done
    }

    /// Has the next checkpoint come even if nothing changes any more, while pages may still go back.
    pub(super) fn settle(&mut self, gave_back: bool) {
        let left = if gave_back { REPLICA_CHECKPOINTS_TO_SETTLE } else { self.settling };
        self.settling = left.saturating_sub(1);
        if left > 0 {
            let stamp = self.tree.stamp();
            self.tree.begin().commit(stamp);
        }
    }

    /// Whether a checkpoint is being written.
    pub(super) fn is_checkpointing(&self) -> bool {
        self.checkpoint_out
    }

    // ---- questions ----

    /// What the published root stands for.
    pub(super) fn stamp(&self) -> Stamp {
        self.tree.stamp()
    }

    /// The tree, to look at.
    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Whether entries wait to be applied.
    pub(super) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Whether pages ran out and none have come since.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled_at.is_some_and(|free| self.tree.pages_free() <= free)
    }

    /// What was applied, and the rows that compactions removed.
    pub(super) fn applied_counts(&self) -> (apply::Counts, u64) {
        (self.counts, self.compacted_rows)
    }

    /// Times that applying waited for pages, entries applied, transactions that applied them, sweeps finished.
    pub(super) fn counts(&self) -> (u64, u64, u64, u64) {
        (self.stalls, self.entries_applied, self.applies, self.sweeps)
    }

    /// Pages of the file.
    pub(super) fn pages(&self) -> Pages {
        let tree = &self.tree;
        Pages { file: tree.file_pages(), used: tree.pages_used(), free: tree.pages_free(), dirty: tree.dirty_pages() }
    }

    /// When to look again, if nothing comes before.
    pub(super) fn next_deadline(&self) -> Option<Now> {
        let grow = self.grow_retry_at.filter(|_| !self.grow_out);
        let checkpoint = (!self.checkpoint_out).then_some(self.checkpoint_at);
        let compact = self.compact_at.filter(|_| self.resume_after.is_none() && !self.waits_for_watchers());
        let sweep = self.sweep.as_ref().map(|_| self.sweep_at);
        [grow, checkpoint, compact, sweep].into_iter().flatten().min()
    }
}

/// Writes the members' row and publishes it under `stamp`.
pub(super) fn write_membership(tree: &mut Tree, membership: &Membership, stamp: Stamp) -> Result<(), Error> {
    let mut txn = tree.begin();
    txn.insert(TreeId::System, MEMBERSHIP_KEY, &[], &membership.encode(), false)?;
    txn.commit(stamp);
    Ok(())
}

/// Reads the members' row.
pub(super) fn read_membership(tree: &mut Tree) -> Result<Membership, Error> {
    let txn = tree.begin();
    let view = txn.view();
    let cell = view.find(TreeId::System, MEMBERSHIP_KEY)?.ok_or(mvcc::Error::Damaged("the members are missing"))?;
    Membership::decode(cell.body).map_err(|_| mvcc::Error::Damaged("the members cannot be read").into())
}

fn committed(entry: &Entry) -> CommittedEntry {
    let payload = if is_empty_entry(entry) { Payload::Nothing } else { Payload::Batch(entry.data.slice(..)) };
    CommittedEntry { index: entry.index, term: entry.term, payload }
}

/// The lease that a proposal takes away with its keys.
fn lease_of(proposal: &Proposal) -> Option<LeaseId> {
    if proposal.kind == Kind::LeaseExpire {
        return LeaseExpiry::decode(&proposal.payload).ok().map(|expiry| expiry.id);
    }
    let revoked = (proposal.kind == Kind::LeaseRevoke).then(|| LeaseRevokeRequest::decode(proposal.payload.slice(..)));
    revoked?.ok().map(|request| LeaseId(request.id))
}

fn lacks_pages(error: &Error) -> bool {
    let out = mvcc::Error::Tree(tree::Error::OutOfPages);
    match error {
        Error::Store(what) | Error::Apply(apply::Error::Store { what, .. }) => *what == out,
        Error::Apply(_)
        | Error::Raft(_)
        | Error::StoreLost { .. }
        | Error::LogMissing { .. }
        | Error::Membership
        | Error::Change { .. }
        | Error::Write(_) => false,
    }
}
