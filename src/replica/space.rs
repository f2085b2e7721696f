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
use crate::limits::{PAGE_BYTES, REPLICA_FREE_PAGES_RESERVED, REPLICA_PAGES_PER_COMMAND, TXN_OPS_MAX_DEFAULT};

/// What is known when a command wants in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    /// Pages that can be written.
    pub(super) pages_free: u64,
    /// Pages that commands on their way may take.
    pub(super) pages_promised: u64,
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

/// Decides for `proposal`.
pub(super) fn judge(facts: Facts, proposal: &Proposal) -> Space {
    let reserved = match proposal.kind {
        Kind::DeleteRange | Kind::Compact | Kind::Noop => 0,
        Kind::Put | Kind::Txn => REPLICA_FREE_PAGES_RESERVED,
    };
    let wanted = facts.pages_promised.saturating_add(pages(proposal)).saturating_add(reserved);
    match (facts.log_is_full, wanted <= facts.pages_free, facts.tree_is_full) {
        (true, _, _) | (false, false, true) => Space::Lacking,
        (false, true, _) => Space::Enough,
        (false, false, false) => Space::Soon,
    }
}

/// Pages that applying `proposal` may take: its bytes twice, since a value in a run of pages wastes at most as much again,
/// and what each of its writes touches.
pub(super) fn pages(proposal: &Proposal) -> u64 {
    let bytes = proposal.payload.len();
    let runs = 2 * bytes.div_ceil(PAGE_BYTES);
    let writes = match proposal.kind {
        Kind::Put | Kind::DeleteRange | Kind::Compact => 1,
        // The shortest write within a txn takes about 16 bytes.
        Kind::Txn => (1 + bytes / 16).min(TXN_OPS_MAX_DEFAULT),
        Kind::Noop => 0,
    };
    let touched = REPLICA_PAGES_PER_COMMAND * u64::try_from(writes).expect("a usize fits");
    touched + u64::try_from(runs).expect("a usize fits")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn proposal(kind: Kind, bytes: usize) -> Proposal {
        Proposal { ticket: 1, kind, payload: Bytes::from(vec![0; bytes]) }
    }

    #[test]
    fn every_combination_has_the_answer_that_the_words_say() {
        for bits in 0..32u32 {
            let on = |bit: u32| bits & (1 << bit) != 0;
            let kind = if on(0) { Kind::DeleteRange } else { Kind::Put };
            let proposal = proposal(kind, 100);
            let need = pages(&proposal) + 50;
            let pages_free = match (on(1), on(2)) {
                (false, _) => need - 1,
                (true, false) => need,
                (true, true) => need + REPLICA_FREE_PAGES_RESERVED,
            };
            let facts = Facts { pages_free, pages_promised: 50, tree_is_full: on(3), log_is_full: on(4) };
            let fits = on(1) && (on(0) || on(2));
            let expected = match (facts.log_is_full, fits, facts.tree_is_full) {
                (false, true, _) => Space::Enough,
                (false, false, false) => Space::Soon,
                _ => Space::Lacking,
            };
            assert_eq!(judge(facts, &proposal), expected, "{facts:?} {kind:?}");
        }
    }

    #[test]
    fn large_payloads_and_txns_need_more() {
        assert!(pages(&proposal(Kind::Put, 1_000_000)) > 244);
        assert!(pages(&proposal(Kind::Txn, 4000)) > 10 * pages(&proposal(Kind::Put, 4000)));
        assert_eq!(pages(&proposal(Kind::Noop, 0)), 0);
    }
}
