//! Why a log is refused: the file, the place, what is wrong, what is lost and what to do.
//!
//! Invariants
//! - Every refusal names a file and a next step that exists.

use super::entry::IndexRange;
use super::name::{FileName, SegmentId};
use crate::types::{ClusterId, MemberId, RaftIndex, Term};
use std::fmt;

/// A log that is not opened. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Error {
    /// The file that is at fault, or missing.
    pub file: FileName,
    /// Where in it.
    pub offset: u64,
    /// What is wrong.
    pub what: What,
    /// The entries that are lost with it, as far as can be told: what a peer would have to give.
    pub lost: Option<IndexRange>,
}

/// What is wrong with a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum What {
    /// The first block is not that of a segment.
    NotASegment,
    /// The header of a segment does not match its checksum, or has sizes that are never written.
    HeaderDamaged,
    /// Written by a version of the format that this program does not know.
    UnknownVersion(u32),
    /// The log of a member of another cluster.
    WrongCluster {
        /// The cluster in the file.
        found: ClusterId,
        /// The cluster expected.
        expected: ClusterId,
    },
    /// The log of another member.
    WrongMember {
        /// The member in the file.
        found: MemberId,
        /// The member expected.
        expected: MemberId,
    },
    /// The header is that of another segment: the file was copied or renamed.
    WrongNumber(SegmentId),
    /// The file's length is not the one its header gives.
    WrongLength {
        /// The length in the header.
        expected: u64,
        /// The length of the file.
        found: u64,
    },
    /// The segment is needed and not there.
    Missing,
    /// No slot of the durable mark can be read, though the log was in use.
    MarkLost,
    /// Something here was durable and cannot be read any more.
    Lost,
    /// Parts of two different logs: a file or the mark is an older or another copy.
    TwoHistories,
    /// The records, though intact, do not make a log.
    Disordered,
    /// The tree has applied entries that the log never had.
    BehindTree {
        /// The newest index of the log.
        end: RaftIndex,
        /// The index that the tree has applied.
        applied: RaftIndex,
    },
    /// The log begins after what the tree has applied.
    AheadOfTree {
        /// The last index that the log does not have.
        base: RaftIndex,
        /// The index that the tree has applied.
        applied: RaftIndex,
    },
    /// The tree and the log have different entries at the index that the tree has applied.
    OtherTerm {
        /// The term in the log.
        log: Term,
        /// The term in the tree.
        tree: Term,
    },
}

impl fmt::Display for What {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotASegment => write!(formatter, "this is not a WAL segment of ringbolt"),
            Self::HeaderDamaged => write!(formatter, "the segment's header is damaged"),
            Self::UnknownVersion(version) => write!(formatter, "format version {version} is unknown to this program"),
            Self::WrongCluster { found, expected } => {
                write!(formatter, "it belongs to cluster {found}, this member's cluster is {expected}")
            }
            Self::WrongMember { found, expected } => {
                write!(formatter, "it belongs to member {found}, this member is {expected}")
            }
            Self::WrongNumber(id) => write!(formatter, "its header is that of {}", FileName::Segment(*id)),
            Self::WrongLength { expected, found } => {
                write!(formatter, "the file has {found} bytes where its header says {expected}")
            }
            Self::Missing => write!(formatter, "the file is missing"),
            Self::MarkLost => write!(formatter, "no slot of the durable mark can be read"),
            Self::Lost => write!(formatter, "data that was durable cannot be read any more"),
            Self::TwoHistories => write!(formatter, "the files are parts of two different logs"),
            Self::Disordered => write!(formatter, "intact records do not make a log"),
            Self::BehindTree { end, applied } => {
                write!(formatter, "the log ends at index {end}, but the database has applied index {applied}")
            }
            Self::AheadOfTree { base, applied } => {
                write!(
                    formatter,
                    "the log begins after index {base}, but the database has applied only index {applied}"
                )
            }
            Self::OtherTerm { log, tree } => {
                write!(formatter, "the last applied entry has term {log} in the log and term {tree} in the database")
            }
        }
    }
}

impl Error {
    /// A refusal.
    pub(super) fn new(file: FileName, offset: u64, what: What) -> Self {
        Self { file, offset, what, lost: None }
    }

    /// The next step, in words for the operator.
    pub fn cure(&self) -> &'static str {
        match self.what {
            What::UnknownVersion(_) => "start the version of ringbolt that wrote this data directory",
            What::WrongCluster { .. } | What::WrongMember { .. } => {
                "start this member with its own data directory and WAL directory"
            }
            What::WrongNumber(_) | What::TwoHistories | What::Missing | What::NotASegment => {
                "put back the files that belong together; without them restore this member from a snapshot or from a \
                 copy of its whole data directory, or, in a cluster, remove the member and add it again"
            }
            What::HeaderDamaged
            | What::WrongLength { .. }
            | What::MarkLost
            | What::Lost
            | What::Disordered
            | What::BehindTree { .. }
            | What::AheadOfTree { .. }
            | What::OtherTerm { .. } => {
                "restore this member from a snapshot or from a copy of its whole data directory, or, in a cluster, \
                 remove the member and add it again"
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "WAL file {} at offset {}: {}", self.file, self.offset, self.what)?;
        if let Some(lost) = self.lost {
            write!(formatter, " (entries {} to {})", lost.first, lost.last)?;
        }
        write!(formatter, "; {}", self.cure())
    }
}

impl std::error::Error for Error {}
