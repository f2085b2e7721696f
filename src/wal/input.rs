//! What recovery is given, and whose log it is.

use super::entry::{Config, Identity};
use super::format::SegmentHeader;
use super::mark::Mark;
use super::name::FileName;
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

/// Whose log the files are, by the first header that can be read, the mark's before those of the segments; `None` if there is
/// none. Only recovery finds out whether the others agree.
pub fn logged_identity(files: &[(&str, &[u8])], mark: &[u8]) -> Option<Identity> {
    if let Ok(Some(mark)) = Mark::choose(mark) {
        return Some(mark.identity);
    }
    let segments = files.iter().filter(|(name, _)| matches!(FileName::parse(name), Some(FileName::Segment(_))));
    segments.filter_map(|(_, bytes)| SegmentHeader::parse(bytes).ok()).map(|header| header.identity).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{ClusterId, MemberId};
    use crate::wal::SegmentId;

    #[test]
    fn a_readable_header_tells_whose_log_it_is() {
        let identity = Identity { cluster: ClusterId(7), member: MemberId(8) };
        let header = SegmentHeader { identity, id: SegmentId(2), signature: 1, bytes: 8192 }.encode();
        let damaged = vec![0xff; header.len()];
        let (first, second) = ("0000000000000001.wal", "0000000000000002.wal");
        assert_eq!(logged_identity(&[(first, &damaged), (second, &header)], &[]), Some(identity));
        assert_eq!(logged_identity(&[(first, &damaged), ("0000000000000002.tmp", &header)], &damaged), None);
        assert_eq!(logged_identity(&[], &[]), None);
    }
}
