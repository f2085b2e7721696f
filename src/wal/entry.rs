//! What the log holds and whose it is: the values that cross this module's boundary.
//!
//! Invariants
//! - An entry's data is opaque here.

use crate::limits;
use crate::types::{ClusterId, MemberId, RaftIndex, Term};
use bytes::Bytes;
use std::fmt;

/// The number of a part of the log, from 1, without gaps. A group is named by its last part. 0 is "before the first".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The sequence after this one.
    pub fn next(self) -> Self {
        assert!(self.0 < u64::MAX, "part sequences do not run out");
        Self(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// Whose log it is. Both ids stand in every file, so that a file from elsewhere is refused by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The member of it that this log belongs to.
    pub member: MemberId,
}

/// Sizes of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// Bytes of each new segment; a multiple of 4096 within the limits. Segments made with another size stay readable.
    pub segment_bytes: u64,
    /// Segments kept ready ahead of use, at least 1.
    pub segments_spare: usize,
    /// Segment files held at most.
    pub segments_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            segment_bytes: limits::WAL_SEGMENT_BYTES,
            segments_spare: limits::WAL_SEGMENTS_SPARE,
            segments_max: limits::WAL_SEGMENTS_MAX,
        }
    }
}

impl Config {
    /// # Panics
    /// If the sizes break their limits: they come from our own code, never from a user.
    pub(super) fn assert_valid(&self) {
        assert!(self.segment_bytes.is_multiple_of(limits::WAL_BLOCK_BYTES), "segments are whole blocks");
        assert!(self.segment_bytes >= limits::WAL_SEGMENT_BYTES_MIN, "segment of {} bytes", self.segment_bytes);
        assert!(self.segment_bytes <= limits::WAL_SEGMENT_BYTES_MAX, "segment of {} bytes", self.segment_bytes);
        assert!(self.segments_spare >= 1, "a switch needs a spare segment");
        assert!(self.segments_max >= self.segments_spare + 2, "no room for an active segment");
    }
}

/// What an entry's data is to raft.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EntryKind {
    /// A batch of commands, or nothing (a new leader's first entry).
    Normal,
    /// A change of one voter.
    ConfChange,
    /// A change of several voters.
    ConfChangeV2,
}

/// One entry of raft's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its place in raft's log, from 1.
    pub index: RaftIndex,
    /// The term of the leader that proposed it.
    pub term: Term,
    /// What the data is.
    pub kind: EntryKind,
    /// Opaque here.
    pub data: Bytes,
}

/// What a member must never forget between restarts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HardState {
    /// The newest term it has seen.
    pub term: Term,
    /// Whom it voted for in that term; 0 is nobody.
    pub vote: MemberId,
    /// The newest index it knew to be committed.
    pub commit: RaftIndex,
}

/// A snapshot took the place of the whole log: what was appended before is void, the next entry is `index + 1`.
/// The tree that holds the snapshot must be durable before this is appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotMark {
    /// The last index that the snapshot covers.
    pub index: RaftIndex,
    /// The term of that entry.
    pub term: Term,
}

/// An entry named by index and term; both 0 stand for the place before the first entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EntryId {
    /// Its index.
    pub index: RaftIndex,
    /// Its term.
    pub term: Term,
}

/// Inclusive range of raft indexes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexRange {
    /// The first index in it.
    pub first: RaftIndex,
    /// The last index in it, not below `first`.
    pub last: RaftIndex,
}
