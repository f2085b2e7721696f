//! What a replica tells about itself.
//!
//! Invariants
//! - Asking changes nothing.

use super::machine::Replica;
use super::values::{Shared, Stats, Status};
use crate::raft::Membership;
use crate::tree::Tree;

impl Replica {
    /// What readers on other shards need.
    pub fn shared(&self) -> Shared {
        self.store.tree().shared()
    }

    /// The store, to look at; its `stats` are for metrics.
    pub fn tree(&self) -> &Tree {
        self.store.tree()
    }

    /// The members, as far as applied.
    pub fn membership(&self) -> &Membership {
        self.driver.membership()
    }

    /// The state, for status answers and metrics.
    pub fn status(&self) -> Status {
        let stamp = self.store.stamp();
        let (stalls, entries_applied, applies, sweeps) = self.store.counts();
        let (applied_counts, compacted_rows) = self.store.applied_counts();
        let groups = self.journal.groups_written();
        Status {
            leadership: self.driver.leadership(),
            committed: self.driver.committed(),
            applied: stamp.applied_index,
            appended: self.driver.appended(),
            applied_term: stamp.applied_term,
            wal_bytes: self.journal.bytes(),
            pages: self.store.pages(),
            proposals_pending: self.proposals.unanswered(),
            no_space: self.store.is_without_space() || self.journal.is_without_space(),
            compacting: self.store.is_compacting(),
            leases: self.leases.count(),
            sweeping: self.store.is_sweeping(),
            counts: self.driver.counts(),
            applied_counts,
            compacted_rows,
            stats: Stats { stalls, entries_applied, applies, sweeps, groups, ..self.stats },
        }
    }
}
