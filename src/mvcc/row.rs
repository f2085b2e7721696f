//! How versions of keys and revisions are laid out in the two trees, and their decoding.
//!
//! ```text
//! Versions   key: user key, !main u64 BE, !sub u32 BE     head     no body: the index
//! Revisions  key: main u64 BE, sub u32 BE, user key       head     body: value: the history
//! head: flags u8 [, create, version, lease, length of the value as varints]
//! ```
//! Flags: bit 0 set = tombstone, which has no more in its head and no value. Values stand in Revisions, where they are
//! appended in the order in which they are written: pages fill up one after the other, and a checkpoint writes a value
//! once. Versions stays small: what a put changes there is a few bytes of one leaf, which holds many keys.
//! All versions of a key are neighbours, the newest first. Worked example: put(a)@2, put(a)@3, delete(a)@4, put(a)@6 leaves, in the order of the tree,
//! a@6 (create 6, version 1, weighted), a@4 (tombstone), a@3 (create 2, version 2), a@2 (create 2, version 1).
//!
//! Invariants
//! - A version is weighted if and only if it is the newest of its key and no tombstone; so weights count live keys.
//! - Every row of Revisions is weighted; so weights count rows.
//! - Mains are at least 1, so `key ‖ 12 × 0xff` is beyond every version of `key` and `key ‖ 12 × 0` before.

use super::Error;
use super::work::wide;
use crate::codec::{Reader, put_varint};
use crate::tree::{self, Outline, TreeId, View};
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

    /// What keys of the Revisions tree begin with.
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

    /// Appends the encoded head of a version with a value of so many bytes.
    pub(super) fn put(&self, value_length: usize, out: &mut Vec<u8>) {
        if self.tombstone {
            assert_eq!(*self, Self::TOMBSTONE, "a tombstone says nothing else");
            assert_eq!(value_length, 0, "a tombstone has no value");
            out.push(TOMBSTONE);
            return;
        }
        assert!(self.create.0 >= 1, "create revision {} of a live version", self.create);
        assert!(self.version >= 1, "version {} of a live version", self.version);
        out.push(0);
        put_varint(out, self.create.0.cast_unsigned());
        put_varint(out, self.version.cast_unsigned());
        put_varint(out, self.lease.0.cast_unsigned());
        put_varint(out, wide(value_length));
    }

    /// The head, and the length of the value.
    fn parse(bytes: &[u8]) -> Result<(Self, usize), Error> {
        let damaged = |_| Error::Damaged("head of a version is cut");
        let mut reader = Reader::new(bytes);
        let flags = reader.u8().map_err(damaged)?;
        let (head, length) = match flags {
            TOMBSTONE => (Self::TOMBSTONE, 0),
            0 => {
                let create = Revision(reader.varint().map_err(damaged)?.cast_signed());
                let version = reader.varint().map_err(damaged)?.cast_signed();
                let lease = LeaseId(reader.varint().map_err(damaged)?.cast_signed());
                (Self { create, version, lease, tombstone: false }, reader.varint().map_err(damaged)?)
            }
            _ => return Err(Error::Damaged("unknown flags of a version")),
        };
        if !reader.is_empty() || (!head.tombstone && (head.create.0 < 1 || head.version < 1)) {
            return Err(Error::Damaged("head of a version"));
        }
        Ok((head, usize::try_from(length).map_err(|_| Error::Damaged("length of a value"))?))
    }
}

/// One decoded version, borrowed from its pages; its value is a search away (`Values`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Version<'a> {
    /// The user's key.
    pub(super) key: &'a [u8],
    /// When it was written; `at.main` is etcd's mod revision.
    pub(super) at: At,
    /// Create revision and so on.
    pub(super) head: Head,
    /// Bytes of its value; 0 for a tombstone.
    pub(super) value_length: usize,
}

impl<'a> Version<'a> {
    /// Decodes a cell of the Versions tree.
    pub(super) fn parse(cell: Outline<'a>) -> Result<Self, Error> {
        let (key, tail) =
            cell.key.split_last_chunk::<TAIL_BYTES>().ok_or(Error::Damaged("key of a version is short"))?;
        let (main, sub) = split(*tail);
        let at = At { main: Revision((!main).cast_signed()), sub: !sub };
        if cell.body_length != 0 {
            return Err(Error::Damaged("a version with a body"));
        }
        let version = Self::build(key, at, cell.head)?;
        if version.head.tombstone && cell.weighted {
            return Err(Error::Damaged("a tombstone that counts"));
        }
        Ok(version)
    }

    /// Decodes a row of the Revisions tree.
    pub(super) fn of_row(row: Outline<'a>) -> Result<Self, Error> {
        let (start, key) = row.key.split_first_chunk::<TAIL_BYTES>().ok_or(Error::Damaged("key of a revision"))?;
        let (main, sub) = split(*start);
        let version = Self::build(key, At { main: Revision(main.cast_signed()), sub }, row.head)?;
        if version.value_length != row.body_length {
            return Err(Error::Damaged("a value is not as long as its head says"));
        }
        Ok(version)
    }

    fn build(key: &'a [u8], at: At, head: &[u8]) -> Result<Self, Error> {
        let (head, value_length) = Head::parse(head)?;
        if at.main.0 < 1 || head.create > at.main {
            return Err(Error::Damaged("revision of a version"));
        }
        Ok(Self { key, at, head, value_length })
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

    /// The key of the row of Revisions for what `at` did to `key`.
    pub(super) fn row(&mut self, key: &[u8], at: At) -> &[u8] {
        self.0.clear();
        self.0.extend_from_slice(&at.revision_key());
        self.0.extend_from_slice(key);
        &self.0
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
    let Some(cell) = cursor.outline()? else { return Ok(None) };
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

/// Finds the values of versions.
pub(super) struct Values<'a> {
    view: View<'a>,
    buffer: KeyBuffer,
}

impl<'a> Values<'a> {
    /// Of versions that `view` shows.
    pub(super) fn new(view: &View<'a>) -> Self {
        Self { view: *view, buffer: KeyBuffer::default() }
    }

    /// The value of a version of the same view.
    pub(super) fn of(&mut self, version: &Version<'_>) -> Result<&'a [u8], Error> {
        if version.value_length == 0 {
            return Ok(&[]);
        }
        let value = self.at(version.key, version.at)?;
        let same = value.len() == version.value_length;
        if same { Ok(value) } else { Err(Error::Damaged("a value is not as long as its version says")) }
    }

    /// The value that `at` gave to `key`.
    pub(super) fn at(&mut self, key: &[u8], at: At) -> Result<&'a [u8], Error> {
        let row = self.view.find(TreeId::Revisions, self.buffer.row(key, at))?;
        Ok(row.ok_or(Error::Damaged("a version without its revision"))?.body)
    }
}

/// Writes one row of Revisions, whose key is built in `buffer`.
pub(super) fn insert_row(
    txn: &mut tree::Txn<'_>,
    (key, at): (&[u8], At),
    head: &[u8],
    value: &[u8],
    buffer: &mut KeyBuffer,
) -> Result<(), Error> {
    let new = txn.insert(TreeId::Revisions, buffer.row(key, at), head, value, true)?;
    if new { Ok(()) } else { Err(Error::Damaged("a revision was there before it was made")) }
}

/// Live keys now, over the whole key space.
pub(super) fn live_keys(view: &View<'_>) -> u64 {
    view.weight(TreeId::Versions)
}
