//! The names of the trees and the order of their keys.
//!
//! Invariants
//! - A key is a main part and a tail of fixed length; the main parts are compared first, bytewise, then the tails.
//!   So every version of "a" stands before every version of "a\0", whatever the tails hold.
//! - A separator without a tail stands before every key with the same main part.

/// One of the trees in the file, by its root slot.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TreeId {
    /// User key and descending revision to value.
    Versions = 0,
    /// Revision to user key.
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
        Self::Versions,
        Self::Revisions,
        Self::Leases,
        Self::LeaseKeys,
        Self::Members,
        Self::Alarms,
        Self::Auth,
        Self::System,
    ];

    /// Bytes at the end of each key that are compared after the part before them.
    pub const fn tail(self) -> usize {
        match self {
            Self::Versions => 12,
            Self::Revisions
            | Self::Leases
            | Self::LeaseKeys
            | Self::Members
            | Self::Alarms
            | Self::Auth
            | Self::System => 0,
        }
    }

    /// The root slot, as pages and metas store it.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Versions => 0,
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

    /// `key` with its tail cut off.
    ///
    /// # Panics
    /// If `key` is shorter than the tail: callers build their keys with it.
    pub(super) fn split(self, key: &[u8]) -> Key<'_> {
        assert!(key.len() >= self.tail(), "a key of {} bytes has no tail of {}", key.len(), self.tail());
        let (main, tail) = key.split_at(key.len() - self.tail());
        Key { main, tail }
    }
}

/// A key as it is compared. The derived order is the trees' order: `main`, then `tail`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key<'a> {
    /// Compared first.
    pub(super) main: &'a [u8],
    /// Compared among equals; empty in a separator that stands before all of them.
    pub(super) tail: &'a [u8],
}

/// The shortest separator: what a branch keeps to tell two neighbours apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Separator {
    /// Bytes of the right neighbour's main part to keep.
    pub(super) main_length: usize,
    /// Whether the right neighbour's tail is needed as well.
    pub(super) with_tail: bool,
}

impl Separator {
    /// What to keep of `right` so that `left < separator <= right`; `None` if they are not in order.
    pub(super) fn between(left: Key<'_>, right: Key<'_>) -> Option<Self> {
        if left >= right {
            return None;
        }
        if left.main == right.main {
            return Some(Self { main_length: right.main.len(), with_tail: true });
        }
        let common = left.main.iter().zip(right.main).take_while(|(a, b)| a == b).count();
        assert!(common < right.main.len(), "the greater of two different strings has a byte after their common prefix");
        Some(Self { main_length: common + 1, with_tail: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_compared_after_the_main_part() {
        let tail = |byte: u8| [byte; 12];
        let key = |main: &[u8], last: u8| [main, &tail(last)].concat();
        let (a, b, c) = (key(b"a", 0), key(b"a", 255), key(b"a\0", 0));
        let split = |key: &'static [u8]| TreeId::Versions.split(key);
        assert!(split(a.clone().leak()) < split(b.clone().leak()));
        assert!(split(b.leak()) < split(c.leak()));
        assert_eq!(split(a.leak()).main, b"a");
    }

    #[test]
    fn a_separator_is_short_and_between() {
        let (none, one, two): (&[u8], &[u8], &[u8]) = (&[], &[1], &[2]);
        let left = Key { main: b"abc", tail: two };
        for (main, tail, length) in [(&b"abd"[..], one, 3), (b"abca", one, 4), (b"b", one, 1), (b"bzzz", two, 1)] {
            let right = Key { main, tail };
            let separator = Separator::between(left, right);
            assert_eq!(separator, Some(Separator { main_length: length, with_tail: false }));
            assert_eq!(Separator::between(right, left), None);
            let cut = Key { main: &main[..length], tail: none };
            assert!(left < cut && cut <= right);
        }
        let (left, right) = (Key { main: b"k", tail: one }, Key { main: b"k", tail: two });
        assert_eq!(Separator::between(left, right), Some(Separator { main_length: 1, with_tail: true }));
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
