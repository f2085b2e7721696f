//! Where a store stands: its current and its compacted revision, as the stamp of a root carries them.
//!
//! Invariants
//! - A root that no command was applied to has an all-zero stamp and means current 1, compacted "never" (-1), as a new
//!   etcd has it; HashKV shows the -1 to clients.
//! - compacted <= current, and neither ever goes back.

use crate::tree::Stamp;
use crate::types::Revision;

/// The current and the compacted revision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// Revision of the last txn that wrote.
    pub current: Revision,
    /// Reads below it are refused; -1 before the first compaction.
    pub compacted: Revision,
}

impl Position {
    /// What a new store has.
    pub const EMPTY: Self = Self { current: Revision(1), compacted: Revision(-1) };

    /// Whether a stamp tells a position. One that was read from a file is asked once, before it is used.
    pub fn is_told_by(stamp: &Stamp) -> bool {
        let (current, compacted) = (stamp.revision.0, stamp.compacted.0);
        // Revisions are counted on from here.
        let counts = (1..i64::MAX / 2).contains(&current) && (-1..=current).contains(&compacted);
        counts || (current == 0 && compacted == 0)
    }

    /// The position that a root's stamp tells.
    pub fn of(stamp: &Stamp) -> Self {
        if stamp.revision.0 == 0 {
            assert_eq!(stamp.compacted.0, 0, "a stamp without revision has no compaction");
            return Self::EMPTY;
        }
        let position = Self { current: stamp.revision, compacted: stamp.compacted };
        position.assert_invariants();
        position
    }

    /// Panics if the two contradict each other.
    pub fn assert_invariants(&self) {
        assert!(self.current.0 >= 1, "current revision {}", self.current);
        assert!(self.compacted.0 >= -1, "compacted revision {}", self.compacted);
        assert!(self.compacted <= self.current, "compacted {} beyond current {}", self.compacted, self.current);
    }
}
