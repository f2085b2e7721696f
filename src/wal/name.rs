//! The files of a log, by name, and the steps that the shell carries out on them.
//!
//! Invariants
//! - A name parses back to the value that printed it, and no other name does.
//! - Steps of one list are carried out in order, each finished (a write: durable) before the next begins.

use super::size::on_disk;
use crate::limits::WAL_BLOCK_BYTES;
use std::fmt;

/// The number of a segment, from 1, never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SegmentId(pub u64);

impl SegmentId {
    /// The segment after this one.
    pub fn next(self) -> Self {
        assert!(self.0 < u64::MAX, "segment numbers do not run out");
        Self(self.0 + 1)
    }
}

/// A file in the WAL's directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FileName {
    /// A segment: 16 hex digits and `.wal`.
    Segment(SegmentId),
    /// A segment that is being made: 16 hex digits and `.tmp`. Never read; removed at start.
    Temporary(SegmentId),
    /// The durable mark: `mark`.
    Mark,
}

impl FileName {
    /// The file that has this name, if it is one of ours.
    pub fn parse(name: &str) -> Option<Self> {
        if name == "mark" {
            return Some(Self::Mark);
        }
        let (digits, extension) = name.split_once('.')?;
        let lower_hex = digits.len() == 16 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !lower_hex {
            return None;
        }
        let id = SegmentId(u64::from_str_radix(digits, 16).ok()?);
        match extension {
            "wal" if id.0 > 0 => Some(Self::Segment(id)),
            "tmp" if id.0 > 0 => Some(Self::Temporary(id)),
            _ => None,
        }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(id) => write!(formatter, "{:016x}.wal", id.0),
            Self::Temporary(id) => write!(formatter, "{:016x}.tmp", id.0),
            Self::Mark => write!(formatter, "mark"),
        }
    }
}

/// One O_DIRECT | O_DSYNC write: durable when it is done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// Where to.
    pub file: FileName,
    /// A multiple of 4096.
    pub offset: u64,
    /// A multiple of 4096 long, never empty.
    pub bytes: Vec<u8>,
}

impl Write {
    /// A write, with its alignment checked.
    pub(super) fn new(file: FileName, offset: u64, bytes: Vec<u8>) -> Self {
        let length = on_disk(bytes.len());
        assert!(offset.is_multiple_of(WAL_BLOCK_BYTES), "{file}: write at {offset}");
        assert!(length.is_multiple_of(WAL_BLOCK_BYTES), "{file}: write of {length}");
        assert!(length > 0, "{file}: empty write at {offset}");
        Self { file, offset, bytes }
    }
}

/// One step of a list that the shell carries out in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Make the file anew (whatever stood under the name), write `bytes` zeros to it and sync it. Writing, not only
    /// allocating: the first write to an unwritten extent costs a commit of the file system's journal.
    Create {
        /// The file.
        file: FileName,
        /// Its size.
        bytes: u64,
    },
    /// A durable write. Only to the mark may it be a write to a file that is not there yet: make it then.
    Write(Write),
    /// Give the file another name.
    Rename {
        /// The name it has.
        from: FileName,
        /// The name it gets. Only a temporary file left by a failed attempt may have it; that one is replaced.
        to: FileName,
    },
    /// Sync the file: what was read from it may not be on the medium yet.
    Sync(FileName),
    /// Sync the WAL's directory.
    SyncDirectory,
    /// Remove the file; no error if it is not there.
    Remove(FileName),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back() {
        let id = SegmentId(0xab_cdef);
        for file in [FileName::Segment(id), FileName::Temporary(id), FileName::Mark] {
            assert_eq!(FileName::parse(&file.to_string()), Some(file));
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        let others =
            ["", "mark.old", "Mark", "1.wal", "0000000000000000.wal", "00000000000000AB.wal", "+000000000000001.wal"];
        for name in others {
            assert_eq!(FileName::parse(name), None, "{name}");
        }
        assert_eq!(FileName::parse("0000000000000001.wal.bak"), None);
        assert_eq!(FileName::parse("0000000000000001-0000000000000001.wal"), None);
    }
}
