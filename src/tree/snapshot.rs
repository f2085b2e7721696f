//! What a transaction publishes: the roots, what they stand for, and how both are laid out as words.
//!
//! Invariants
//! - Roots and stamp are one value: no reader and no meta page ever holds the roots of one transaction and the stamp of
//!   another.

use crate::limits::TREE_ROOTS;
use crate::types::{PageNumber, RaftIndex, Revision, Term, TxnId};

use super::key::TreeId;

/// What the roots stand for in raft's log and in etcd's history.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp {
    /// The last entry of raft's log that the roots contain.
    pub applied_index: RaftIndex,
    /// That entry's term.
    pub applied_term: Term,
    /// etcd's current revision.
    pub revision: Revision,
    /// The revision through which history was compacted.
    pub compacted: Revision,
    /// For the layers above; stored as it is.
    pub spare: [u64; 4],
}

/// Where a tree starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Root {
    /// The root page; 0 for an empty tree.
    pub(super) page: PageNumber,
    /// The transaction that made the root page.
    pub(super) birth: TxnId,
    /// Weighted cells in the tree.
    pub(super) weight: u64,
    /// The root page's level: 0 when it is a leaf.
    pub(super) level: u8,
}

impl Root {
    /// Whether the tree has no cells.
    pub(super) fn is_empty(&self) -> bool {
        self.page == PageNumber(0)
    }
}

/// A published state of all trees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Snapshot {
    /// The transaction that made it.
    pub(super) txn: TxnId,
    /// What it stands for.
    pub(super) stamp: Stamp,
    /// The roots, by slot.
    pub(super) roots: [Root; TREE_ROOTS],
}

/// Words of a stamp.
pub(super) const STAMP_WORDS: usize = 8;
/// Words of a root.
const ROOT_WORDS: usize = 4;
/// Words of a snapshot: transaction, stamp, roots.
pub(super) const SNAPSHOT_WORDS: usize = 1 + STAMP_WORDS + TREE_ROOTS * ROOT_WORDS;

impl Snapshot {
    /// The root of `tree`.
    pub(super) fn root(&self, tree: TreeId) -> &Root {
        &self.roots[tree.index()]
    }

    /// The snapshot as words, for the ring and for the meta page.
    pub(super) fn to_words(self) -> [u64; SNAPSHOT_WORDS] {
        let mut words = [0; SNAPSHOT_WORDS];
        words[0] = self.txn.0;
        let stamp = self.stamp;
        words[1] = stamp.applied_index.0;
        words[2] = stamp.applied_term.0;
        words[3] = stamp.revision.0.cast_unsigned();
        words[4] = stamp.compacted.0.cast_unsigned();
        words[5..=STAMP_WORDS].copy_from_slice(&stamp.spare);
        for (root, out) in self.roots.iter().zip(words[1 + STAMP_WORDS..].chunks_exact_mut(ROOT_WORDS)) {
            out.copy_from_slice(&[root.page.0, root.birth.0, root.weight, u64::from(root.level)]);
        }
        words
    }

    /// The snapshot that `to_words` made these words of. Levels that no root can have become 255, which every reader of a
    /// root refuses.
    pub(super) fn from_words(words: &[u64; SNAPSHOT_WORDS]) -> Self {
        let mut spare = [0; 4];
        spare.copy_from_slice(&words[5..=STAMP_WORDS]);
        let mut roots = [Root::default(); TREE_ROOTS];
        for (root, from) in roots.iter_mut().zip(words[1 + STAMP_WORDS..].chunks_exact(ROOT_WORDS)) {
            *root = Root {
                page: PageNumber(from[0]),
                birth: TxnId(from[1]),
                weight: from[2],
                level: u8::try_from(from[3]).unwrap_or(u8::MAX),
            };
        }
        Self { txn: TxnId(words[0]), stamp: stamp_from_words(words, spare), roots }
    }
}

/// The stamp in a snapshot's words.
fn stamp_from_words(words: &[u64; SNAPSHOT_WORDS], spare: [u64; 4]) -> Stamp {
    Stamp {
        applied_index: RaftIndex(words[1]),
        applied_term: Term(words[2]),
        revision: Revision(words[3].cast_signed()),
        compacted: Revision(words[4].cast_signed()),
        spare,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_the_whole_snapshot() {
        let mut snapshot = Snapshot { txn: TxnId(u64::MAX), ..Snapshot::default() };
        snapshot.stamp = Stamp {
            applied_index: RaftIndex(1),
            applied_term: Term(2),
            revision: Revision(-3),
            compacted: Revision(i64::MAX),
            spare: [5, 6, 7, 8],
        };
        for (at, root) in (10..).zip(&mut snapshot.roots) {
            *root = Root { page: PageNumber(at), birth: TxnId(at * 2), weight: at * 3, level: 4 };
        }
        assert_eq!(Snapshot::from_words(&snapshot.to_words()), snapshot);
        assert_eq!(Snapshot::from_words(&Snapshot::default().to_words()), Snapshot::default());
    }
}
