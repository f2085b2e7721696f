//! How a replica begins: a new store for a new cluster, or where the last run ended.
//!
//! A new store begins as etcd's does: as if each voter of the initial cluster had been added by an entry of its own, in
//! term 1, and those were applied. So the first entry that is ever written stands at the number of voters plus one, the
//! same on each of them, and a member that joins later with an empty store can never take its place by mistake: it is below
//! the log of all others and needs a snapshot.
//!
//! Invariants
//! - The new store is durable before the log has its first group: so a log with entries always has its store.
//! - The stamp's first spare word is the index that the store was installed at: by the bootstrap, or by a snapshot. The
//!   log is told the same with its first group; a start between the two tells it then.

use super::config::Config;
use super::store::{read_membership, write_membership};
use super::values::Error;
use crate::raft::{self, Driver, Membership, Position, wide};
use crate::tree::{Stamp, Tree};
use crate::types::{MemberId, RaftIndex, Term};
use crate::wal::{EntryId, HardState, Log, Recovered, SnapshotMark};

/// The term of the entries that a new cluster begins with.
const BOOTSTRAP_TERM: Term = Term(1);

/// The index that a store with this stamp was installed at: what the recovery of its log asks for.
pub fn installed_index(stamp: &Stamp) -> RaftIndex {
    RaftIndex(stamp.spare[0])
}

/// Everything that a replica is made of, fitting together.
pub(super) struct Parts {
    /// Consensus.
    pub(super) driver: Driver,
    /// The appender.
    pub(super) log: Log,
    /// The first group tells the log where the store was installed.
    pub(super) snapshot_due: Option<SnapshotMark>,
    /// The store.
    pub(super) tree: Tree,
    /// Whether the store must become durable first.
    pub(super) is_new: bool,
}

/// The parts of a member that never ran.
pub(super) fn create(config: &Config, mut tree: Tree, log: Log) -> Result<Parts, Error> {
    let applied = tree.stamp().applied_index;
    if applied != RaftIndex(0) {
        return Err(Error::LogMissing { applied });
    }
    let membership = Membership::of_voters(&config.voters).ok_or(Error::Membership)?;
    if !membership.contains(config.member) {
        return Err(Error::Membership);
    }
    let index = RaftIndex(wide(membership.voters().len()));
    let stamp = Stamp { applied_index: index, applied_term: BOOTSTRAP_TERM, spare: [index.0, 0, 0, 0], ..tree.stamp() };
    write_membership(&mut tree, &membership, stamp)?;
    let parts = reopen(config, tree, log, LogState::default())?;
    Ok(Parts { is_new: true, ..parts })
}

/// The parts of a member that ran before.
pub(super) fn open(config: &Config, tree: Tree, recovered: Recovered) -> Result<Parts, Error> {
    let last = recovered.entries.last().map_or(recovered.base.index, |entry| entry.index);
    let unused = last == RaftIndex(0) && recovered.hard_state == HardState::default();
    let is_new = tree.stamp().applied_index == RaftIndex(0);
    match (is_new, unused) {
        (true, true) => create(config, tree, recovered.log),
        (true, false) => Err(Error::StoreLost { last }),
        (false, _) => {
            let state = LogState {
                base: Some(recovered.base),
                entries: recovered.entries,
                hard_state: recovered.hard_state,
                snapshot_due: recovered.snapshot_due,
            };
            reopen(config, tree, recovered.log, state)
        }
    }
}

/// What a log holds. A new one: nothing, not even where the store was installed.
#[derive(Default)]
struct LogState {
    base: Option<EntryId>,
    entries: Vec<crate::wal::Entry>,
    hard_state: HardState,
    snapshot_due: Option<SnapshotMark>,
}

fn reopen(config: &Config, mut tree: Tree, log: Log, state: LogState) -> Result<Parts, Error> {
    let membership = read_membership(&mut tree)?;
    let stamp = tree.stamp();
    let applied = Position::new(stamp.applied_index, stamp.applied_term);
    let installed = SnapshotMark { index: applied.index, term: applied.term };
    let snapshot_due = if state.base.is_none() { Some(installed) } else { state.snapshot_due };
    // A log that was never told of its store has no term either: that of the store is the newest there is.
    let floor = HardState { term: applied.term, vote: MemberId(0), commit: applied.index };
    let behind = snapshot_due.is_some() && state.hard_state.term < applied.term;
    let start = raft::Start {
        membership,
        hard_state: if behind { floor } else { state.hard_state },
        applied,
        base: state.base.map_or(applied, |base| Position::new(base.index, base.term)),
        entries: state.entries,
    };
    let driver_config = raft::Config {
        member: config.member,
        nonce: config.nonce,
        seed: config.seed,
        election_ticks: config.election_ticks,
        heartbeat_ticks: 1,
    };
    let driver = Driver::new(&driver_config, start)?;
    assert_eq!(driver.applied(), applied.index, "consensus goes on where the store stands");
    Ok(Parts { driver, log, snapshot_due, tree, is_new: false })
}
