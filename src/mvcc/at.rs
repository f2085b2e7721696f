//! Places in history: which change of which revision.
//!
//! Invariants
//! - The order of places is the order of history, and that of the encoded ones in the Revisions tree.

use super::Error;
use crate::types::Revision;

/// Bytes of a row's key before the user key.
pub(super) const PLACE_BYTES: usize = 12;

/// The place of one change in history: the txn's revision and the change's number within it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct At {
    /// The revision of the txn.
    pub(super) main: Revision,
    /// From 0 within the txn.
    pub(super) sub: u32,
}

impl At {
    /// Before everything.
    pub(super) const FIRST: Self = Self { main: Revision(0), sub: 0 };

    /// After everything.
    pub(super) const LAST: Self = Self { main: Revision(i64::MAX), sub: u32::MAX };

    /// The last place that a reader at `revision` can see.
    pub(super) fn end_of(revision: Revision) -> Self {
        Self { main: revision, sub: u32::MAX }
    }

    /// The first place behind this one.
    pub(super) fn next(self) -> Result<Self, Error> {
        match self.sub.checked_add(1) {
            Some(sub) => Ok(Self { sub, ..self }),
            None if self.main.0 < i64::MAX => Ok(Self { main: self.main.next(), sub: 0 }),
            None => Err(Error::Damaged("sub revision")),
        }
    }

    /// What keys of the Revisions tree begin with.
    pub(super) fn revision_key(self) -> [u8; PLACE_BYTES] {
        assert!(self.main.0 >= 0, "revisions are never negative inside: {}", self.main);
        join(self.main.0.cast_unsigned(), self.sub)
    }
}

fn join(high: u64, low: u32) -> [u8; PLACE_BYTES] {
    let mut bytes = [0; PLACE_BYTES];
    bytes[..8].copy_from_slice(&high.to_be_bytes());
    bytes[8..].copy_from_slice(&low.to_be_bytes());
    bytes
}

/// The two numbers that the key of a row begins with.
pub(super) fn split(bytes: [u8; PLACE_BYTES]) -> (u64, u32) {
    let [a, b, c, d, e, f, g, h, low @ ..] = bytes;
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]), u32::from_be_bytes(low))
}
