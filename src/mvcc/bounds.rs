//! Ranges of keys as requests name them.
//!
//! Invariants
//! - `range_end` empty is the single key, one zero byte is everything from the key on, anything else is exclusive.

use bytes::Bytes;

/// Where a range ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// With its first key: a single key.
    Single,
    /// Before this key.
    Before(Bytes),
    /// Never.
    Unbounded,
}

/// A range of keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct KeyRange {
    /// The first key.
    pub(super) from: Bytes,
    /// What is behind the last one.
    pub(super) end: End,
}

impl KeyRange {
    /// The range that a request's two fields name.
    pub(super) fn new(key: &Bytes, range_end: &Bytes) -> Self {
        let end = match range_end.as_ref() {
            [] => End::Single,
            [0] => End::Unbounded,
            _ => End::Before(range_end.slice(..)),
        };
        Self { from: key.slice(..), end }
    }

    /// The same range again; its keys are shared.
    pub(super) fn copy(&self) -> Self {
        let end = match &self.end {
            End::Single => End::Single,
            End::Before(end) => End::Before(end.slice(..)),
            End::Unbounded => End::Unbounded,
        };
        Self { from: self.from.slice(..), end }
    }

    /// Whether `key`, which is not before the range, is in it.
    pub(super) fn reaches(&self, key: &[u8]) -> bool {
        match &self.end {
            End::Single => key == self.from.as_ref(),
            End::Before(end) => key < end.as_ref(),
            End::Unbounded => true,
        }
    }

    /// Whether `key` is in the range.
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        key >= self.from.as_ref() && self.reaches(key)
    }

    /// Whether no key can be in the range.
    pub(super) fn is_empty(&self) -> bool {
        match &self.end {
            End::Single | End::Unbounded => false,
            End::Before(end) => *end <= self.from,
        }
    }

    /// Whether the range is one key.
    pub(super) fn is_single(&self) -> bool {
        self.end == End::Single
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(key: &'static [u8], end: &'static [u8]) -> KeyRange {
        KeyRange::new(&Bytes::from_static(key), &Bytes::from_static(end))
    }

    #[test]
    fn the_four_forms_of_a_range() {
        assert!(range(b"a", b"").contains(b"a") && !range(b"a", b"").contains(b"a\0"));
        assert!(range(b"a", b"c").contains(b"b\xff") && !range(b"a", b"c").contains(b"c"));
        assert!(range(b"b", b"\0").contains(b"\xff\xff") && !range(b"b", b"\0").contains(b"a"));
        assert!(range(b"\0", b"\0").contains(b"\0"));
        assert!(range(b"c", b"a").is_empty() && range(b"c", b"c").is_empty());
        assert!(!range(b"a", b"b").is_empty() && !range(b"a", b"\0").is_empty() && !range(b"a", b"").is_empty());
        // One byte that is not zero, and two of which the first is: both are plain ends.
        assert!(!range(b"a", b"\x01").contains(b"b") && range(b"\0", b"\0\0").contains(b"\0"));
    }
}
