//! What the replica's task tells the metrics, turn by turn.
//!
//! Invariants
//! - Nothing here is asked before something is decided.

use std::sync::Arc;
use std::time::Duration;

use crate::apply::Counts;
use crate::command::Kind;
use crate::log::Logger;
use crate::metrics::{Operation, Replica, Stopwatch, unix_seconds};
use crate::replica::Status;

/// Turns the replica's own counts into those that are shown.
#[derive(Debug)]
pub(super) struct Meter {
    cells: Arc<Replica>,
    /// What was applied up to the last turn.
    applied: Counts,
    /// A compaction is under way since.
    compacting: Option<Stopwatch>,
    /// Turns that take longer are told.
    slow_apply: Duration,
    logger: Logger,
}

impl Meter {
    /// Shows nothing yet.
    pub(super) fn new(cells: Arc<Replica>, slow_apply: Duration, logger: Logger) -> Self {
        Self { cells, applied: Counts::default(), compacting: None, slow_apply, logger }
    }

    /// The cells, for what ends outside of a turn.
    pub(super) fn cells(&self) -> Arc<Replica> {
        Arc::clone(&self.cells)
    }

    /// Puts up what the replica says of itself.
    pub(super) fn publish(&mut self, status: &Status) {
        let (cells, stats, operations) = (&self.cells, &status.stats, &status.applied_counts.operations);
        let done = |kind: Kind| status.applied_counts.commands[kind.place()][1];
        let pending = u64::try_from(status.proposals_pending).unwrap_or(u64::MAX);
        for (cell, value) in [
            (&cells.leader_changes, status.counts.leader_changes),
            (&cells.read_rounds, status.counts.read_rounds),
            (&cells.proposals_pending, pending),
            (&cells.puts, operations.puts),
            (&cells.put_bytes, operations.put_bytes),
            (&cells.deletes, operations.deletes),
            (&cells.ranges, operations.ranges),
            (&cells.txns, operations.txns),
            (&cells.leases_granted, done(Kind::LeaseGrant)),
            (&cells.leases_revoked, done(Kind::LeaseRevoke) + done(Kind::LeaseExpire)),
            (&cells.leases_expired, done(Kind::LeaseExpire)),
            (&cells.compacted_rows, status.compacted_rows),
            (&cells.log_file_bytes, status.wal_bytes),
            (&cells.groups, stats.groups),
            (&cells.batches, stats.batches),
            (&cells.proposals, stats.proposals),
            (&cells.entries_applied, stats.entries_applied),
            (&cells.applies, stats.applies),
            (&cells.stalls, stats.stalls),
            (&cells.dirty_pages, status.pages.dirty),
            (&cells.free_pages, status.pages.free),
            (&cells.disk_full, u64::from(status.no_space)),
        ] {
            cell.set(value);
        }
        match (status.compacting, self.compacting) {
            (true, None) => self.compacting = Some(Stopwatch::start()),
            (false, Some(watch)) => {
                self.on_compacted(watch.nanos());
                self.compacting = None;
            }
            (true, Some(_)) | (false, None) => {}
        }
    }

    /// Commands are applied many at a time: the record is of all of a turn.
    #[cold]
    fn tell_of_slow_turn(&self, took: Duration, commands: u64) {
        let fields = [
            ("took", took.into()),
            ("expected-duration", self.slow_apply.into()),
            ("prefix", "".into()),
            ("request", format!("{commands} commands of one turn").into()),
            ("response", "".into()),
        ];
        self.logger.warn("apply request took too long", &fields);
    }

    fn on_compacted(&self, nanos: u64) {
        self.cells.compactions.observe(nanos);
        self.cells.compaction_ended.set(unix_seconds());
    }

    /// A turn ended. Commands are applied many at a time, so each counts with its share of the turn.
    pub(super) fn on_turn(&mut self, status: &Status, turn: Stopwatch) {
        let before = std::mem::replace(&mut self.applied, status.applied_counts);
        let count = |counts: &Counts| counts.commands.iter().flatten().sum::<u64>();
        let commands = count(&self.applied) - count(&before);
        if commands == 0 {
            return;
        }
        let nanos = turn.nanos();
        let share = nanos / commands;
        for kind in Kind::ALL {
            let Some(operation) = operation(kind) else { continue };
            for success in [false, true] {
                let (now, then) = (&self.applied.commands[kind.place()], &before.commands[kind.place()]);
                let times = now[usize::from(success)] - then[usize::from(success)];
                if times > 0 {
                    self.cells.on_applied(operation, success, (share, times));
                }
            }
        }
        let compacted = |counts: &Counts| counts.commands[Kind::Compact.place()][1];
        if compacted(&self.applied) > compacted(&before) && !status.compacting && self.compacting.is_none() {
            // Begun and ended within the turn.
            self.on_compacted(nanos);
        }
        let took = Duration::from_nanos(nanos);
        if took > self.slow_apply {
            self.cells.slow_applies.count();
            self.tell_of_slow_turn(took, commands);
        }
    }
}

/// What etcd calls a kind of command, of those that are counted.
fn operation(kind: Kind) -> Option<Operation> {
    match kind {
        Kind::Put => Some(Operation::Put),
        Kind::DeleteRange => Some(Operation::DeleteRange),
        Kind::Txn => Some(Operation::Txn),
        Kind::Compact => Some(Operation::Compaction),
        Kind::Alarm => Some(Operation::Alarm),
        Kind::LeaseGrant => Some(Operation::LeaseGrant),
        Kind::LeaseRevoke | Kind::LeaseExpire => Some(Operation::LeaseRevoke),
        Kind::LeaseCheckpoint => Some(Operation::LeaseCheckpoint),
        Kind::Noop | Kind::Downgrade => None,
    }
}
