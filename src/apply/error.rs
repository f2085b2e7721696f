//! Why a member cannot apply an entry, and so must stop: going on without it would make it differ from the others.
//!
//! Invariants
//! - None of these is the answer to a client: a request that is refused is an outcome like any other.

use crate::command::Malformed;
use crate::mvcc;
use crate::types::RaftIndex;

/// Why applying stopped. Nothing of the call was committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// An entry is no batch of commands that this release knows.
    Malformed {
        /// The entry.
        index: RaftIndex,
        /// What is wrong with it.
        what: Malformed,
    },
    /// Entries are missing.
    Gap {
        /// The last index that was applied.
        applied: RaftIndex,
        /// The index that came instead of the next one.
        found: RaftIndex,
    },
    /// The store cannot be read or written.
    Store {
        /// The entry.
        index: RaftIndex,
        /// What the store says.
        what: mvcc::Error,
    },
}

impl std::fmt::Display for Error {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed { index, what } => write!(formatter, "raft entry {index} cannot be applied: {what}"),
            Self::Gap { applied, found } => {
                write!(formatter, "raft entry {found} was given to be applied after {applied}")
            }
            Self::Store { index, what } => write!(formatter, "applying raft entry {index} failed: {what}"),
        }
    }
}

impl std::error::Error for Error {}
