//! HashKV: the checksum over the history that etcd's members compare, the same number as etcd's.
//!
//! The rule: CRC-32C over the bucket's name `key`, then over key and value of each row of etcd's `key` bucket in the order
//! of revisions, for rows at or below the revision asked for, except
//! - rows at or below the compacted revision which are not the newest live version of their key at the revision asked
//!   for; but if no key at all is live at that revision, none of those is left out,
//! - tombstones at exactly the compacted revision.
//!
//! In etcd's reckoning of "no key at all" a key that one txn deleted and put again does not live at that txn's revision
//! (it does at every later one).
//!
//! etcd's key is `main ‖ '_' ‖ sub` in big-endian with a `t` behind it for a tombstone; its value is the pair's protobuf.
//!
//! Invariants
//! - The number does not depend on how far the physical compaction got: rows that it has yet to remove count as removed.
//! - Between steps a hash holds a place in history, never a borrow.

use super::bounds::KeyRange;
use super::row::{At, Change, KeyBuffer, Version, newest_at};
use super::walk::{Direction, Mode, Step, Walk};
use super::wire::{Fields, put_pair};
use super::work::Work;
use super::{Error, Position};
use crate::codec::crc32c;
use crate::tree::{TreeId, View};
use crate::types::{Revision, TxnId};

/// Cells that one row costs: itself, its version and the newest one.
const ROW_CELLS: usize = 3;

/// The answer to HashKV.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KvHash {
    /// The checksum.
    pub hash: u32,
    /// The compacted revision, -1 before the first compaction.
    pub compact_revision: Revision,
    /// The revision that the checksum is for.
    pub hash_revision: Revision,
}

/// Whether any key is live at the revision asked for, which decides about old rows.
#[derive(Debug)]
enum AnyLive {
    /// Not known yet: no key up to this one is.
    Looking(Option<Vec<u8>>),
    Known(bool),
}

/// A hash in progress.
#[derive(Debug)]
pub struct HashKv {
    root: TxnId,
    compacted: Revision,
    revision: Revision,
    mode: Mode,
    any_live: AnyLive,
    next: At,
    hash: u32,
    buffer: KeyBuffer,
    row: Vec<u8>,
}

impl HashKv {
    /// Checks the revision asked for: 0 is the current one.
    pub fn new(view: &View<'_>, revision: Revision) -> Result<Self, Error> {
        let position = Position::of(&view.stamp());
        if revision.0 > 0 && revision < position.compacted {
            return Err(Error::Compacted);
        }
        if revision > position.current {
            return Err(Error::FutureRevision);
        }
        let revision = if revision.0 == 0 { position.current } else { revision };
        Ok(Self {
            root: view.txn(),
            compacted: position.compacted,
            revision,
            mode: if revision == position.current { Mode::Current } else { Mode::Past(revision) },
            // etcd lets negative ones through: no row is that old, and the checksum is the bucket's name's.
            any_live: if revision.0 < 0 { AnyLive::Known(false) } else { AnyLive::Looking(None) },
            next: At { main: Revision(0), sub: 0 },
            hash: crc32c(0, b"key"),
            buffer: KeyBuffer::default(),
            row: Vec::new(),
        })
    }

    /// Goes on until the result is there or the work is spent.
    pub fn step(&mut self, view: &View<'_>, work: &mut Work) -> Result<Option<KvHash>, Error> {
        assert_eq!(view.txn(), self.root, "a hash stays with its root");
        let Some(any_live) = self.look_for_live(view, work)? else { return Ok(None) };
        let mut cursor = view.cursor(TreeId::Revisions);
        cursor.seek(&self.next.revision_key())?;
        while let Some(cell) = cursor.cell()? {
            let change = Change::parse(cell)?;
            if change.at.main > self.revision {
                break;
            }
            if !work.spend(ROW_CELLS) {
                return Ok(None);
            }
            if self.counts(view, &change, any_live)? {
                self.add(view, &change)?;
            }
            assert!(change.at >= self.next, "rows come in order");
            self.next = change.at.next()?;
            cursor.next()?;
        }
        Ok(Some(KvHash { hash: self.hash, compact_revision: self.compacted, hash_revision: self.revision }))
    }

    /// Finds out whether any key is live at the revision; `None` when the work is spent before.
    fn look_for_live(&mut self, view: &View<'_>, work: &mut Work) -> Result<Option<bool>, Error> {
        let last = match &mut self.any_live {
            AnyLive::Known(known) => return Ok(Some(*known)),
            AnyLive::Looking(last) => last.take(),
        };
        let everything = KeyRange::everything();
        let mut walk = Walk::new(view, &everything, (self.mode, Direction::Ascending), last.as_deref());
        while work.spend(1) {
            let known = match walk.step()? {
                Step::Live(version) if self.is_reborn(view, &version)? => continue,
                Step::Live(_) => true,
                Step::Dead => continue,
                Step::End => false,
            };
            self.any_live = AnyLive::Known(known);
            return Ok(Some(known));
        }
        let seen = walk.seen().map(<[u8]>::to_vec);
        self.any_live = AnyLive::Looking(seen.or(last));
        Ok(None)
    }

    /// Whether the txn at the revision asked for deleted the key before it put it.
    fn is_reborn(&mut self, view: &View<'_>, version: &Version<'_>) -> Result<bool, Error> {
        let At { main, sub } = version.at;
        let Some(sub) = sub.checked_sub(1).filter(|_| main == self.revision) else { return Ok(false) };
        let before = newest_at(view, version.key, At { main, sub }, &mut self.buffer)?;
        Ok(before.is_some_and(|before| before.at.main == main && before.head.tombstone))
    }

    /// Whether the rule lets a row in.
    fn counts(&mut self, view: &View<'_>, change: &Change<'_>, any_live: bool) -> Result<bool, Error> {
        if change.at.main > self.compacted {
            return Ok(true);
        }
        if change.tombstone {
            // One at the compacted revision is left out; one below it is gone or about to go.
            return Ok(false);
        }
        let until = if any_live { self.revision } else { self.compacted };
        let newest = newest_at(view, change.key, At::end_of(until), &mut self.buffer)?;
        match newest.filter(|version| version.at == change.at) {
            Some(version) => Ok(!self.is_reborn(view, &version)?),
            None => Ok(false),
        }
    }

    /// Adds a row as etcd stores it.
    fn add(&mut self, view: &View<'_>, change: &Change<'_>) -> Result<(), Error> {
        let version = newest_at(view, change.key, change.at, &mut self.buffer)?;
        let version = version
            .filter(|version| version.at == change.at && version.head.tombstone == change.tombstone)
            .ok_or(Error::Damaged("a revision without its version"))?;
        self.row.clear();
        put_etcd_row(&mut self.row, &version);
        self.hash = crc32c(self.hash, &self.row);
        Ok(())
    }
}

/// A row of etcd's `key` bucket: its key, then its value.
fn put_etcd_row(out: &mut Vec<u8>, version: &Version<'_>) {
    out.extend_from_slice(&version.at.main.0.to_be_bytes());
    out.push(b'_');
    out.extend_from_slice(&u64::from(version.at.sub).to_be_bytes());
    if version.head.tombstone {
        out.push(b't');
    }
    put_pair(out, version, Fields::All);
}
