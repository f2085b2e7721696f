//! Whether there is space for one more command, decided before it is proposed: what is proposed must be applied.
//!
//! Invariants
//! - A pure function over a few figures. Nothing is refused while space may still come, nothing is let in that the pages
//!   at hand could not take.
//! - What makes space (deletions, compactions) may use the last pages; what takes it may not.
//!
//! The figures are estimates; if they were too low, applying waits for space, and nothing is lost.

use super::values::Proposal;
use crate::command::Kind;
use crate::limits::{
    LEASE_CHECKPOINTS_PER_BATCH_MAX, PAGE_BYTES, REPLICA_DELETED_KEYS_PER_WRITE, REPLICA_PAGES_PER_WRITE,
    TREE_BODY_INLINE_BYTES_MAX, TXN_OPS_MAX_DEFAULT,
};
use crate::raft::wide;

/// What applying commands may take, added up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Footprint {
    /// Keys written, at most.
    writes: u64,
    /// Bytes stored; those of large values rounded up to pages.
    bytes: u64,
}

/// What is known when a command wants in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    /// Pages that can be written.
    pub(super) pages_free: u64,
    /// Pages in use: nothing copies more of them than there are.
    pub(super) pages_used: u64,
    /// Pages that are kept for what makes space.
    pub(super) pages_reserved: u64,
    /// Whether the tree could not grow when it last tried.
    pub(super) tree_is_full: bool,
    /// Whether the log cannot take the command's bytes, and could not grow when it last tried.
    pub(super) log_is_full: bool,
}

/// The decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Space {
    /// Propose it.
    Enough,
    /// Space is on its way.
    Soon,
    /// Refuse it.
    Lacking,
}

/// Decides for a command of a kind; `footprint` is what it and all those on their way before it may take.
pub(super) fn judge(facts: Facts, footprint: Footprint, kind: Kind) -> Space {
    let wanted = pages_wanted(facts, footprint, kind);
    match (facts.log_is_full, wanted <= facts.pages_free, facts.tree_is_full) {
        (true, _, _) | (false, false, true) => Space::Lacking,
        (false, true, _) => Space::Enough,
        (false, false, false) => Space::Soon,
    }
}

/// Pages that must be free for it to be let in.
pub(super) fn pages_wanted(facts: Facts, footprint: Footprint, kind: Kind) -> u64 {
    let reserved = match kind {
        Kind::DeleteRange | Kind::Compact | Kind::Noop | Kind::Alarm | Kind::Downgrade => 0,
        Kind::LeaseRevoke | Kind::LeaseExpire | Kind::LeaseCheckpoint => 0,
        Kind::Put | Kind::Txn | Kind::LeaseGrant => facts.pages_reserved,
    };
    reserved.saturating_add(footprint.pages(facts.pages_used))
}

impl Footprint {
    /// That of one command, which deletes `keys` keys by ranges.
    pub(super) fn of(proposal: &Proposal, keys: u64) -> Self {
        let length = proposal.payload.len();
        // The shortest write within a txn takes about 16 bytes.
        let writes = match proposal.kind {
            Kind::Put | Kind::DeleteRange | Kind::Compact | Kind::Alarm | Kind::Downgrade => 1,
            Kind::LeaseGrant | Kind::LeaseRevoke | Kind::LeaseExpire => 1,
            // The shortest checkpoint takes about 4 bytes.
            Kind::LeaseCheckpoint => (1 + length / 4).min(LEASE_CHECKPOINTS_PER_BATCH_MAX),
            Kind::Txn => (1 + length / 16).min(TXN_OPS_MAX_DEFAULT),
            Kind::Noop => 0,
        };
        let bytes = if length > TREE_BODY_INLINE_BYTES_MAX { length.next_multiple_of(PAGE_BYTES) } else { length };
        // Keys of one range are neighbours: they share leaves of the index, and their tombstones those of the history.
        let writes = wide(writes).saturating_add(keys / REPLICA_DELETED_KEYS_PER_WRITE);
        Self { writes, bytes: wide(bytes) }
    }

    /// This and another.
    pub(super) fn plus(self, other: Self) -> Self {
        Self { writes: self.writes + other.writes, bytes: self.bytes + other.bytes }
    }

    /// This without a part of it.
    pub(super) fn minus(self, part: Self) -> Self {
        assert!(self.writes >= part.writes && self.bytes >= part.bytes, "a part is not more than the whole");
        Self { writes: self.writes - part.writes, bytes: self.bytes - part.bytes }
    }

    /// Pages that it may take in a tree that uses `used`: pages are at least half full, and each write copies and splits a
    /// few, though never more than there are.
    pub(super) fn pages(self, used: u64) -> u64 {
        let page = wide(PAGE_BYTES);
        let copied = self.writes.saturating_mul(REPLICA_PAGES_PER_WRITE).min(used.saturating_mul(2));
        copied + 2 * self.bytes.div_ceil(page)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn proposal(kind: Kind, bytes: usize) -> Proposal {
        Proposal { ticket: 1, kind, payload: Bytes::from(vec![0; bytes]) }
    }

    fn pages(kind: Kind, bytes: usize) -> u64 {
        Footprint::of(&proposal(kind, bytes), 0).pages(1_000_000)
    }

    #[test]
    fn every_combination_has_the_answer_that_the_words_say() {
        for bits in 0..32u32 {
            let on = |bit: u32| bits & (1 << bit) != 0;
            let kind = if on(0) { Kind::DeleteRange } else { Kind::Put };
            let proposal = proposal(kind, 100);
            let others = Footprint { writes: 5, bytes: 10_000 };
            let footprint = others.plus(Footprint::of(&proposal, 0));
            let need = footprint.pages(1000);
            let pages_free = match (on(1), on(2)) {
                (false, _) => need - 1,
                (true, false) => need,
                (true, true) => need + 70,
            };
            let facts =
                Facts { pages_free, pages_used: 1000, pages_reserved: 70, tree_is_full: on(3), log_is_full: on(4) };
            let fits = on(1) && (on(0) || on(2));
            let expected = match (facts.log_is_full, fits, facts.tree_is_full) {
                (false, true, _) => Space::Enough,
                (false, false, false) => Space::Soon,
                _ => Space::Lacking,
            };
            assert_eq!(judge(facts, footprint, kind), expected, "{facts:?} {kind:?}");
        }
    }

    #[test]
    fn large_payloads_and_txns_need_more_and_small_trees_bound_the_rest() {
        assert!(pages(Kind::Put, 1_000_000) > 488);
        assert!(pages(Kind::Txn, 4000) > 10 * pages(Kind::Put, 4000));
        assert_eq!(pages(Kind::Noop, 0), 0);
        let delete = |keys| Footprint::of(&proposal(Kind::DeleteRange, 20), keys).pages(1_000_000);
        assert!(delete(100_000) > 10_000 && delete(1) == delete(0), "{}", delete(100_000));
        let many = Footprint { writes: 10_000, bytes: 0 };
        assert_eq!((many.pages(100), many.pages(1_000_000)), (200, 10_000 * REPLICA_PAGES_PER_WRITE));
    }
}
