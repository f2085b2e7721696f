//! What recovery is given.

use super::entry::{Config, Identity};
use crate::types::{BootNonce, RaftIndex, Term};

/// What recovery decides from.
#[derive(Clone, Debug)]
pub struct RecoverInput<'a> {
    /// Sizes for what is appended from now on.
    pub config: Config,
    /// Whose log it must be.
    pub identity: Identity,
    /// Drawn at random for this start.
    pub boot: BootNonce,
    /// The WAL directory: every name in it, with the whole content of segments. Of files that [`super::FileName::parse`] does
    /// not know, or gives as temporary, the content is not looked at and may be left empty.
    pub files: Vec<(&'a str, &'a [u8])>,
    /// The whole file `mark`; empty if it is not there.
    pub mark: &'a [u8],
    /// What the tree's newest durable checkpoint has applied.
    pub tree_applied: RaftIndex,
    /// The term of that entry.
    pub tree_term: Term,
    /// The index of the snapshot that the tree was last installed from; 0 if it never was.
    pub tree_installed: RaftIndex,
    /// Entries at and below `tree_applied` to return as well, for followers that lag.
    pub entries_kept: u64,
}
