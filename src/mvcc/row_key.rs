//! The keys under which etcd keeps its history, in the bucket `key`.
//!
//! Invariants
//! - Their bytes' order is that of history.

use super::at::At;
use crate::types::Revision;

/// Bytes of a row's key: the revision, `_`, the number within the revision, and perhaps `t` for a deletion.
const KEY_BYTES: usize = 18;

/// A row's key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct RowKey {
    bytes: [u8; KEY_BYTES],
    length: usize,
}

impl RowKey {
    pub(super) fn of(at: At, tombstone: bool) -> Self {
        let mut bytes = [0; KEY_BYTES];
        bytes[..8].copy_from_slice(&at.main.0.to_be_bytes());
        bytes[8] = b'_';
        bytes[9..17].copy_from_slice(&u64::from(at.sub).to_be_bytes());
        bytes[17] = b't';
        Self { bytes, length: if tombstone { KEY_BYTES } else { KEY_BYTES - 1 } }
    }

    /// The key of the first row of a revision, by which etcd also notes how far it compacted.
    pub fn of_revision(revision: Revision) -> Self {
        Self::of(At { main: revision, sub: 0 }, false)
    }

    /// Its bytes, whose order is that of history.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
