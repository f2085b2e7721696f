//! What can go wrong in the tree, by what the caller can do about it.
//!
//! Invariants
//! - Everything that a disk can hand us ends here; nothing of it reaches a panic.
//! - An error leaves the published state as it was.

use std::fmt;

use crate::types::PageNumber;

/// Why the tree could not do what was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// A page does not hold what its parent or its checksum says. Nothing of it was served.
    Corrupt {
        /// The page at fault.
        page: PageNumber,
        /// Which check failed.
        what: &'static str,
    },
    /// The granted pages do not hold what was to be written. Abort the transaction, grow the file, try again.
    OutOfPages,
    /// A key or a body above `limits::TREE_RUN_BYTES_MAX`.
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The file was written in a format that this binary does not know.
    UnknownVersion {
        /// The version in the file.
        version: u32,
    },
    /// The file ends before the pages its meta counts.
    ShortFile {
        /// Pages the meta counts.
        pages_expected: u64,
        /// Pages the file has.
        pages_found: u64,
    },
    /// No meta was ever written: the file is new, or its first checkpoint never finished.
    NoStore,
    /// Metas were written and none of them is readable.
    NoMeta,
    /// The reserved memory is smaller than the file.
    ReservedTooSmall {
        /// Pages needed.
        pages_needed: u64,
        /// Pages reserved.
        pages_reserved: u64,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Corrupt { page, what } => write!(formatter, "tree page {page} is corrupt: {what}"),
            Self::OutOfPages => write!(formatter, "the tree file has no free pages left"),
            Self::TooLarge { bytes } => write!(formatter, "a key or value of {bytes} bytes is too large for the tree"),
            Self::UnknownVersion { version } => {
                write!(formatter, "the tree file has format version {version}, which this binary does not know")
            }
            Self::ShortFile { pages_expected, pages_found } => {
                write!(formatter, "the tree file has {pages_found} pages, its meta counts {pages_expected}")
            }
            Self::NoStore => write!(formatter, "the tree file holds no store yet"),
            Self::NoMeta => write!(formatter, "none of the tree file's three meta pages is readable"),
            Self::ReservedTooSmall { pages_needed, pages_reserved } => {
                write!(formatter, "the tree needs {pages_needed} pages, {pages_reserved} are reserved")
            }
        }
    }
}

impl std::error::Error for Error {}

/// Why a row is not told to whoever asks for it. Fatal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowError {
    /// It does not read as one: what it was to be, in its module's words.
    Damaged(&'static str),
    /// The tree could not be read or written.
    Tree(Error),
}

impl From<Error> for RowError {
    fn from(error: Error) -> Self {
        Self::Tree(error)
    }
}

impl fmt::Display for RowError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged(what) => write!(formatter, "damaged row: {what}"),
            Self::Tree(error) => write!(formatter, "tree: {error}"),
        }
    }
}

impl std::error::Error for RowError {}
