//! How versions of keys and revisions are laid out in the two trees, and their decoding.
//!
//! ```text
//! Versions   key: user key, !main u64 BE, !sub u32 BE     head: flags u8 [, create, version, lease as varints]   body: value
//! Revisions  key: main u64 BE, sub u32 BE                 head: flags u8                                       body: user key
//! ```
//! Flags: bit 0 set = tombstone, which has no more in its head and no value. All versions of a key are neighbours,
//! the newest first. Worked example: put(a)@2, put(a)@3, delete(a)@4, put(a)@6 leaves, in the order of the tree,
//! a@6 (create 6, version 1, weighted), a@4 (tombstone), a@3 (create 2, version 2), a@2 (create 2, version 1).
//!
//! Invariants
//! - A version is weighted if and only if it is the newest of its key and no tombstone; so weights count live keys.
//! - Every row of Revisions is weighted; so weights count rows.
//! - Mains are at least 1, so `key ‖ 12 × 0xff` is beyond every version of `key` and `key ‖ 12 × 0` before.

use super::Error;
use crate::codec::{Reader, put_varint};
use crate::tree::{self, Cell, TreeId, View};
use crate::types::{LeaseId, Revision};

/// Bytes of a version's key after the user key.
pub(super) const TAIL_BYTES: usize = 12;
/// Sorts before every version of the key in front of it.
pub(super) const TAIL_FIRST: [u8; TAIL_BYTES] = [0; TAIL_BYTES];
/// Sorts after every version of the key in front of it.
pub(super) const TAIL_LAST: [u8; TAIL_BYTES] = [0xff; TAIL_BYTES];

const TOMBSTONE: u8 = 1;

/// The place of one change in history: the txn's revision and the change's number within it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct At {
    /// The revision of the txn.
    pub(super) main: Revision,
    /// From 0 within the txn.
    pub(super) sub: u32,
}

impl At {
    /// Before everything.
    pub(super) const FIRST: Self = Self { main: Revision(0), sub: 0 };

    /// After everything.
    pub(super) const LAST: Self = Self { main: Revision(i64::MAX), sub: u32::MAX };

    /// The last place that a reader at `revision` can see.
    pub(super) fn end_of(revision: Revision) -> Self {
        Self { main: revision, sub: u32::MAX }
    }

    /// The first place behind this one.
    pub(super) fn next(self) -> Result<Self, Error> {
        let sub = self.sub.checked_add(1).ok_or(Error::Damaged("sub revision"))?;
        Ok(Self { sub, ..self })
    }

    fn tail(self) -> [u8; TAIL_BYTES] {
        assert!(self.main.0 >= 0, "revisions are never negative inside: {}", self.main);
        join(!self.main.0.cast_unsigned(), !self.sub)
    }

    /// The key in the Revisions tree.
    pub(super) fn revision_key(self) -> [u8; TAIL_BYTES] {
        assert!(self.main.0 >= 0, "revisions are never negative inside: {}", self.main);
        join(self.main.0.cast_unsigned(), self.sub)
    }
}

fn join(high: u64, low: u32) -> [u8; TAIL_BYTES] {
    let mut bytes = [0; TAIL_BYTES];
    bytes[..8].copy_from_slice(&high.to_be_bytes());
    bytes[8..].copy_from_slice(&low.to_be_bytes());
    bytes
}

fn split(bytes: [u8; TAIL_BYTES]) -> (u64, u32) {
    let [a, b, c, d, e, f, g, h, low @ ..] = bytes;
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]), u32::from_be_bytes(low))
}

/// What a version says about its key, besides the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    /// Revision at which the key last came into being.
    pub(super) create: Revision,
    /// Puts since then, this one included.
    pub(super) version: i64,
    /// The lease that the key hangs on, 0 for none.
    pub(super) lease: LeaseId,
    /// Whether this version is the key's deletion; then the other fields are 0.
    pub(super) tombstone: bool,
}

impl Head {
    /// The head of a deletion.
    pub(super) const TOMBSTONE: Self = Self { create: Revision(0), version: 0, lease: LeaseId(0), tombstone: true };

    /// Appends the encoded head.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        if self.tombstone {
            assert_eq!(*self, Self::TOMBSTONE, "a tombstone says nothing else");
            out.push(TOMBSTONE);
            return;
        }
        assert!(self.create.0 >= 1, "create revision {} of a live version", self.create);
        assert!(self.version >= 1, "version {} of a live version", self.version);
        out.push(0);
        put_varint(out, self.create.0.cast_unsigned());
        put_varint(out, self.version.cast_unsigned());
        put_varint(out, self.lease.0.cast_unsigned());
    }

    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let damaged = |_| Error::Damaged("head of a version is cut");
        let mut reader = Reader::new(bytes);
        let flags = reader.u8().map_err(damaged)?;
        let head = match flags {
            TOMBSTONE => Self::TOMBSTONE,
            0 => Self {
                create: Revision(reader.varint().map_err(damaged)?.cast_signed()),
                version: reader.varint().map_err(damaged)?.cast_signed(),
                lease: LeaseId(reader.varint().map_err(damaged)?.cast_signed()),
                tombstone: false,
            },
            _ => return Err(Error::Damaged("unknown flags of a version")),
        };
        if !reader.is_empty() || (!head.tombstone && (head.create.0 < 1 || head.version < 1)) {
            return Err(Error::Damaged("head of a version"));
        }
        Ok(head)
    }
}

/// One decoded version, borrowed from its pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version<'a> {
    /// The user's key.
    pub(super) key: &'a [u8],
    /// When it was written; `at.main` is etcd's mod revision.
    pub(super) at: At,
    /// Create revision and so on.
    pub(super) head: Head,
    /// The value; empty for a tombstone.
    pub(super) value: &'a [u8],
}

impl<'a> Version<'a> {
    /// Decodes a cell of the Versions tree.
    pub(super) fn parse(cell: Cell<'a>) -> Result<Self, Error> {
        let (key, tail) =
            cell.key.split_last_chunk::<TAIL_BYTES>().ok_or(Error::Damaged("key of a version is short"))?;
        let (main, sub) = split(*tail);
        let main = Revision((!main).cast_signed());
        let head = Head::parse(cell.head)?;
        if main.0 < 1 || head.create > main {
            return Err(Error::Damaged("revision of a version"));
        }
        if head.tombstone && (cell.weighted || !cell.body.is_empty()) {
            return Err(Error::Damaged("a tombstone that counts or has a value"));
        }
        Ok(Self { key, at: At { main, sub: !sub }, head, value: cell.body })
    }
}

/// One decoded row of the Revisions tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change<'a> {
    /// Its place in history.
    pub(super) at: At,
    /// The key that changed.
    pub(super) key: &'a [u8],
    /// Whether it was deleted.
    pub(super) tombstone: bool,
}

impl<'a> Change<'a> {
    /// Decodes a cell of the Revisions tree.
    pub(super) fn parse(cell: Cell<'a>) -> Result<Self, Error> {
        let tail = <[u8; TAIL_BYTES]>::try_from(cell.key).map_err(|_| Error::Damaged("key of a revision"))?;
        let (main, sub) = split(tail);
        let main = Revision(main.cast_signed());
        if main.0 < 1 {
            return Err(Error::Damaged("main of a revision"));
        }
        let tombstone = match cell.head {
            [0] => false,
            [TOMBSTONE] => true,
            _ => return Err(Error::Damaged("flags of a revision")),
        };
        Ok(Self { at: At { main, sub }, key: cell.body, tombstone })
    }
}

/// A version's key, built in a buffer that is used again.
#[derive(Clone, Default, Debug)]
pub(super) struct KeyBuffer(Vec<u8>);

impl KeyBuffer {
    /// `key ‖ tail`.
    pub(super) fn with_tail(&mut self, key: &[u8], tail: [u8; TAIL_BYTES]) -> &[u8] {
        self.0.clear();
        self.0.extend_from_slice(key);
        self.0.extend_from_slice(&tail);
        &self.0
    }

    /// The key of the version of `key` written at `at`, and where a search for what `at` can see begins.
    pub(super) fn version(&mut self, key: &[u8], at: At) -> &[u8] {
        self.with_tail(key, at.tail())
    }
}

/// The newest version of `key` that a reader at `at` can see, tombstones included.
pub(super) fn newest_at<'a>(
    view: &View<'a>,
    key: &[u8],
    at: At,
    buffer: &mut KeyBuffer,
) -> Result<Option<Version<'a>>, Error> {
    let mut cursor = view.cursor(TreeId::Versions);
    cursor.seek(buffer.version(key, at))?;
    let Some(cell) = cursor.cell()? else { return Ok(None) };
    let version = Version::parse(cell)?;
    if version.key != key {
        return Ok(None);
    }
    if version.at > at {
        return Err(Error::Damaged("versions out of order"));
    }
    Ok(Some(version))
}

/// The newest version of `key` of all.
pub(super) fn newest<'a>(view: &View<'a>, key: &[u8], buffer: &mut KeyBuffer) -> Result<Option<Version<'a>>, Error> {
    newest_at(view, key, At::LAST, buffer)
}

/// Writes one row of Revisions.
pub(super) fn insert_change(txn: &mut tree::Txn<'_>, at: At, key: &[u8], tombstone: bool) -> Result<(), Error> {
    let flags = if tombstone { TOMBSTONE } else { 0 };
    let new = txn.insert(TreeId::Revisions, &at.revision_key(), &[flags], key, true)?;
    if new { Ok(()) } else { Err(Error::Damaged("a revision was there before it was made")) }
}

/// Live keys now, over the whole key space.
pub(super) fn live_keys(view: &View<'_>) -> u64 {
    view.weight(TreeId::Versions)
}
