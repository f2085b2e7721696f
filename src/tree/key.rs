//! The names of the trees, and what tells two neighbours in one apart.
//!
//! Invariants
//! - Keys are compared bytewise, whatever the tree.

/// One of the trees in the file, by its root slot.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TreeId {
    /// User key to its newest version.
    Keys = 0,
    /// Revision and user key to the value.
    Revisions = 1,
    /// Leases.
    Leases = 2,
    /// Lease and key.
    LeaseKeys = 3,
    /// Members of the cluster.
    Members = 4,
    /// Alarms.
    Alarms = 5,
    /// Users and roles.
    Auth = 6,
    /// The store's own notes.
    System = 7,
}

impl TreeId {
    /// Every tree, in the order of the root slots.
    pub const ALL: [Self; 8] = [
        Self::Keys,
        Self::Revisions,
        Self::Leases,
        Self::LeaseKeys,
        Self::Members,
        Self::Alarms,
        Self::Auth,
        Self::System,
    ];

    /// The root slot, as pages and metas store it.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Keys => 0,
            Self::Revisions => 1,
            Self::Leases => 2,
            Self::LeaseKeys => 3,
            Self::Members => 4,
            Self::Alarms => 5,
            Self::Auth => 6,
            Self::System => 7,
        }
    }

    /// The root slot, as an index.
    pub(super) fn index(self) -> usize {
        usize::from(self.number())
    }

    /// The tree of a root slot, if it is one we know.
    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// How many bytes of `right` to keep so that `left < separator <= right`: as few as can be, for a branch to tell two neighbours
/// apart. `None` if they are not in order.
pub(super) fn separator_length(left: &[u8], right: &[u8]) -> Option<usize> {
    if left >= right {
        return None;
    }
    let common = left.iter().zip(right).take_while(|(a, b)| a == b).count();
    assert!(common < right.len(), "the greater of two different strings has a byte after their common prefix");
    Some(common + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_is_short_and_between() {
        for (right, length) in [(&b"abd"[..], 3), (b"abca", 4), (b"abc\0", 4), (b"b", 1), (b"bzzz", 1)] {
            assert_eq!(separator_length(b"abc", right), Some(length));
            assert_eq!(separator_length(right, b"abc"), None);
            assert!(b"abc"[..] < right[..length] && right[..length] <= *right);
        }
        assert_eq!(separator_length(b"abc", b"abc"), None);
    }

    #[test]
    fn tree_numbers_are_their_slots() {
        for (slot, tree) in TreeId::ALL.into_iter().enumerate() {
            assert_eq!(tree.index(), slot);
            assert_eq!(TreeId::from_number(tree.number()), Some(tree));
        }
        assert_eq!(TreeId::from_number(8), None);
    }
}
