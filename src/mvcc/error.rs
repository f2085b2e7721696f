//! Why a request is refused, one variant for each answer that etcd gives, and what is wrong with the store itself.
//!
//! Invariants
//! - Every variant but the last two is the client's doing and the same on every member; `is_fatal` tells them apart.

use crate::{lease, tree};

/// An error of a request or of the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// The revision asked for was compacted.
    Compacted,
    /// The revision asked for is not there yet.
    FutureRevision,
    /// A key is missing from the request.
    EmptyKey,
    /// `ignore_value` or `ignore_lease` on a key that does not exist, or a txn's operation without content.
    KeyNotFound,
    /// `ignore_value` together with a value.
    ValueProvided,
    /// `ignore_lease` together with a lease.
    LeaseProvided,
    /// The lease does not exist.
    LeaseNotFound,
    /// A lease with this id exists already.
    LeaseExists,
    /// The time to live of a lease is too long.
    LeaseTtlTooLarge,
    /// More operations in a txn than allowed.
    TooManyOps,
    /// A branch of a txn writes a key twice.
    DuplicateKey,
    /// Sort order or target outside its enum.
    InvalidSortOption,
    /// A streamed range in another order than the keys' own.
    StreamSortUnsupported,
    /// A streamed range with a revision filter.
    StreamFiltersUnsupported,
    /// The alarm NOSPACE stands: nothing that adds to the store is taken.
    NoSpace,
    /// The alarm CORRUPT stands: no write is taken.
    Corrupt,
    /// As many alarms as are kept stand.
    TooManyAlarms,
    /// A row of the store does not read as one: which rule it breaks. Fatal.
    Damaged(&'static str),
    /// The tree could not be read or written. Fatal.
    Tree(tree::Error),
}

impl Error {
    /// Whether the member itself is in trouble, rather than the request wrong.
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::Tree(_))
    }
}

impl From<lease::Error> for Error {
    fn from(error: lease::Error) -> Self {
        match error {
            lease::Error::NotFound => Self::LeaseNotFound,
            lease::Error::Exists => Self::LeaseExists,
            lease::Error::TtlTooLarge => Self::LeaseTtlTooLarge,
            lease::Error::Damaged(what) => Self::Damaged(what),
            lease::Error::Tree(error) => Self::Tree(error),
        }
    }
}

impl From<tree::RowError> for Error {
    fn from(error: tree::RowError) -> Self {
        match error {
            tree::RowError::Damaged(what) => Self::Damaged(what),
            tree::RowError::Tree(error) => Self::Tree(error),
        }
    }
}

impl From<tree::Error> for Error {
    fn from(error: tree::Error) -> Self {
        Self::Tree(error)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::Compacted => "the revision has been compacted",
            Self::FutureRevision => "the revision is a future one",
            Self::EmptyKey => "a key is missing",
            Self::KeyNotFound => "the key does not exist",
            Self::ValueProvided => "a value beside ignore_value",
            Self::LeaseProvided => "a lease beside ignore_lease",
            Self::LeaseNotFound => "the lease does not exist",
            Self::LeaseExists => "the lease exists already",
            Self::LeaseTtlTooLarge => "the time to live of a lease is too long",
            Self::TooManyOps => "too many operations in a txn",
            Self::DuplicateKey => "a key is written twice in a txn",
            Self::InvalidSortOption => "no such sort option",
            Self::StreamSortUnsupported => "a streamed range cannot be sorted",
            Self::StreamFiltersUnsupported => "a streamed range cannot be filtered",
            Self::NoSpace => "an alarm says that there is no space",
            Self::Corrupt => "an alarm says that data may be damaged",
            Self::TooManyAlarms => "too many alarms stand",
            Self::Damaged(what) => return write!(formatter, "damaged row: {what}"),
            Self::Tree(error) => return write!(formatter, "tree: {error}"),
        };
        formatter.write_str(text)
    }
}

impl std::error::Error for Error {}
