//! Why a store cannot be shown as etcd keeps it.

use crate::{bbolt, lease, mvcc, tree};

/// The store is damaged, one way or the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error {
    /// A page or a row.
    Store(mvcc::Error),
    /// Its rows make no file.
    File(bbolt::Error),
}

impl From<mvcc::Error> for Error {
    fn from(error: mvcc::Error) -> Self {
        Self::Store(error)
    }
}

impl From<tree::Error> for Error {
    fn from(error: tree::Error) -> Self {
        Self::Store(mvcc::Error::Tree(error))
    }
}

impl From<lease::Error> for Error {
    fn from(error: lease::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<tree::RowError> for Error {
    fn from(error: tree::RowError) -> Self {
        Self::Store(error.into())
    }
}

impl From<bbolt::Error> for Error {
    fn from(error: bbolt::Error) -> Self {
        Self::File(error)
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(error) => write!(formatter, "{error}"),
            Self::File(error) => write!(formatter, "a snapshot's file: {error}"),
        }
    }
}

impl std::error::Error for Error {}
