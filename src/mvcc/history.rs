//! The checksum over a stretch of history, with etcd's rule of which rows count; resumable between any two rows.
//!
//! The rule: CRC-32C over the name `key` of etcd's bucket, then over key and value of each of its rows at or below a
//! revision, in order, except
//! - rows at or below a lower bound which are not the newest live version of their key at the revision; but if the
//!   revision keeps no key at all, none of those is left out,
//! - tombstones at exactly the lower bound.
//!
//! The revision keeps a key that lives there, unless the same txn deleted and put it (etcd takes it for deleted until the
//! next revision). A compaction also keeps the keys that were deleted at exactly its revision.
//!
//! etcd's key is `main ‖ '_' ‖ sub` in big-endian with a `t` behind it for a tombstone; its value is the pair's protobuf.
//!
//! Invariants
//! - The number does not depend on how far the removal of superfluous rows got: those to be removed count as removed.
//! - The state is a few numbers, so that it can be stored; it holds no borrow.

use super::Error;
use super::at::At;
use super::row::{KeyBuffer, Version, newest_at};
use super::row_key::RowKey;
use super::wire::{Fields, put_pair};
use super::work::Work;
use crate::codec::{Reader, crc32c, put_varint};
use crate::tree::{TreeId, View};
use crate::types::Revision;

/// Cells that one row costs: itself, its value and the newest version of its key.
pub(super) const ROW_CELLS: usize = 3;

/// What the checksum is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// The answer to a client.
    Answer,
    /// What etcd remembers of a compaction.
    Compaction,
}

/// Whether the revision keeps any key, which decides about rows at or below the lower bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kept {
    Unknown,
    None,
    Some,
}

/// A checksum in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct History {
    purpose: Purpose,
    /// Rows above it all count.
    pub(super) lower: Revision,
    /// No row above it counts.
    pub(super) revision: Revision,
    kept: Kept,
    /// The next row to look at: for whether it is kept while that is unknown, then for the checksum.
    next: At,
    checksum: u32,
}

impl History {
    /// Nothing looked at yet.
    pub(super) fn new(purpose: Purpose, lower: Revision, revision: Revision) -> Self {
        Self { purpose, lower, revision, kept: Kept::Unknown, next: At::FIRST, checksum: crc32c(0, b"key") }
    }

    /// Goes on until the checksum is there or the work is spent.
    pub(super) fn step(&mut self, view: &View<'_>, work: &mut Work) -> Result<Option<u32>, Error> {
        let mut buffer = KeyBuffer::default();
        if self.kept == Kept::Unknown && !self.search(view, work, &mut buffer)? {
            return Ok(None);
        }
        let mut row = Vec::new();
        let mut cursor = view.cursor(TreeId::Revisions);
        cursor.seek(&self.next.revision_key())?;
        while let Some(change) = cursor.outline()?.map(Version::of_row).transpose()? {
            if change.at.main > self.revision {
                break;
            }
            if !work.spend(ROW_CELLS) {
                return Ok(None);
            }
            if change.at < self.next {
                return Err(Error::Damaged("revisions out of order"));
            }
            if self.counts(view, &change, &mut buffer)? {
                row.clear();
                let cell = cursor.cell()?.ok_or(Error::Damaged("a row without its cell"))?;
                row.extend_from_slice(RowKey::of(change.at, change.head.tombstone).bytes());
                put_pair(&mut row, &change, cell.body, Fields::All);
                self.checksum = crc32c(self.checksum, &row);
            }
            self.next = change.at.next()?;
            cursor.next()?;
        }
        Ok(Some(self.checksum))
    }

    /// Finds out whether any key is kept; false when the work is spent before.
    fn search(&mut self, view: &View<'_>, work: &mut Work, buffer: &mut KeyBuffer) -> Result<bool, Error> {
        assert_eq!(self.kept, Kept::Unknown, "found out once");
        let mut found = Kept::None;
        let mut cursor = view.cursor(TreeId::Revisions);
        cursor.seek(&self.next.revision_key())?;
        while let Some(change) = cursor.outline()?.map(Version::of_row).transpose()? {
            let matters = self.next > At::FIRST || change.at.main <= self.lower;
            if change.at.main > self.revision || !matters {
                break;
            }
            if !work.spend(ROW_CELLS) {
                return Ok(false);
            }
            if self.keeps(view, &change, self.revision, buffer)? {
                found = Kept::Some;
                break;
            }
            self.next = change.at.next()?;
            cursor.next()?;
        }
        (self.kept, self.next) = (found, At::FIRST);
        assert_ne!(self.kept, Kept::Unknown, "the search is over");
        Ok(true)
    }

    /// Whether a compaction at `revision` would keep a row, as etcd reckons.
    fn keeps(
        &self,
        view: &View<'_>,
        change: &Version<'_>,
        revision: Revision,
        buffer: &mut KeyBuffer,
    ) -> Result<bool, Error> {
        if change.head.tombstone {
            return Ok(self.purpose == Purpose::Compaction && change.at.main == revision);
        }
        let newest = newest_at(view, change.key, At::end_of(revision), buffer)?;
        if newest.is_none_or(|newest| newest.at != change.at) {
            return Ok(false);
        }
        // Whether the same txn had deleted the key before.
        let At { main, sub } = change.at;
        let Some(sub) = sub.checked_sub(1).filter(|_| main == revision) else { return Ok(true) };
        let before = newest_at(view, change.key, At { main, sub }, buffer)?;
        Ok(before.is_none_or(|before| before.at.main != main || !before.head.tombstone))
    }

    /// Whether the rule lets a row in.
    fn counts(&self, view: &View<'_>, change: &Version<'_>, buffer: &mut KeyBuffer) -> Result<bool, Error> {
        if change.at.main > self.lower {
            return Ok(true);
        }
        if change.head.tombstone {
            // One at the lower bound is left out; one below it is gone or about to go.
            return Ok(false);
        }
        let revision = if self.kept == Kept::Some { self.revision } else { self.lower };
        self.keeps(view, change, revision, buffer)
    }

    /// Appends the state.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        assert_eq!(self.purpose, Purpose::Compaction, "answers are not stored");
        let kept = match self.kept {
            Kept::Unknown => 0,
            Kept::None => 1,
            Kept::Some => 2,
        };
        for number in [self.lower.0, self.revision.0, self.next.main.0] {
            put_varint(out, number.cast_unsigned());
        }
        for number in [self.next.sub, self.checksum, kept] {
            put_varint(out, u64::from(number));
        }
    }

    /// Reads the state of a compaction's checksum.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (lower, revision) = (revision(&mut reader)?, revision(&mut reader)?);
        let next = At { main: self::revision(&mut reader)?, sub: number(&mut reader)? };
        let checksum = number(&mut reader)?;
        let kept = match number(&mut reader)? {
            0 => Kept::Unknown,
            1 => Kept::None,
            2 => Kept::Some,
            _ => return None,
        };
        let ordered = lower < revision && next.main.0 >= 0 && reader.is_empty();
        ordered.then_some(Self { purpose: Purpose::Compaction, lower, revision, kept, next, checksum })
    }
}

fn revision(reader: &mut Reader<'_>) -> Option<Revision> {
    Some(Revision(reader.varint().ok()?.cast_signed()))
}

fn number(reader: &mut Reader<'_>) -> Option<u32> {
    u32::try_from(reader.varint().ok()?).ok()
}
