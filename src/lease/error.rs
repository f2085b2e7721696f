//! Why a lease is not what was asked for, and what is wrong with the rows themselves.
//!
//! Invariants
//! - The first three are a client's doing and the same on every member; the others are the store's trouble.

use crate::tree;

/// An error about leases.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// There is no such lease.
    NotFound,
    /// There is one already.
    Exists,
    /// The time to live is longer than any may be.
    TtlTooLarge,
    /// A row does not read as one: which rule it breaks.
    Damaged(&'static str),
    /// The tree could not be read or written.
    Tree(tree::Error),
}

impl From<tree::Error> for Error {
    fn from(error: tree::Error) -> Self {
        Self::Tree(error)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotFound => formatter.write_str("the lease does not exist"),
            Self::Exists => formatter.write_str("the lease exists already"),
            Self::TtlTooLarge => formatter.write_str("the time to live is too long"),
            Self::Damaged(what) => write!(formatter, "damaged row: {what}"),
            Self::Tree(error) => write!(formatter, "tree: {error}"),
        }
    }
}

impl std::error::Error for Error {}
