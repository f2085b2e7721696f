//! How keys and their versions are laid out in the two trees, and their decoding.
//!
//! ```text
//! Keys       key: user key                                head: main, sub as varints, head of the version    no body: the index
//! Revisions  key: main u64 BE, sub u32 BE, user key       head: head of the version                          body: value: the history
//! head of a version: flags u8 [, main - create, version, lease, length of the value as varints], chain
//! ```
//! Flags: bit 0 set = tombstone, which has no value and none of the numbers. The chain leads to earlier versions (`chain`).
//! Values stand in Revisions, where they are appended in the order in which they are written: pages fill up one after the
//! other, and a checkpoint writes a value once. Keys holds the newest version of each key alone: what a put changes there is
//! a few bytes of one leaf, which holds many keys, and its size does not depend on how long history is kept.
//! Worked example: put(a)@2, put(a)@3, delete(a)@4, put(a)@6 leaves a@6 (create 6, version 1, weighted) in Keys; in
//! Revisions a@2 (create 2, version 1), a@3 (create 2, version 2), a@4 (tombstone) and a@6, each of which leads to those
//! before it.
//!
//! Invariants
//! - Each key that has a row in Revisions is in Keys, as its newest row says; a key in Keys has that row. Keys whose newest
//!   version is a tombstone stay until a compaction removes it.
//! - A key is weighted if and only if its newest version is no tombstone; so weights count live keys.
//! - Every row of Revisions is weighted; so weights count rows.

use super::Error;
use super::at::{At, PLACE_BYTES, split};
use super::chain::{Chain, NewChain};
use super::work::wide;
use crate::codec::{Reader, put_varint};
use crate::tree::{self, Outline, TreeId, View};
use crate::types::{LeaseId, Revision};

const TOMBSTONE: u8 = 1;

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

    /// Appends the numbers of a version that was written at `at`, with a value of so many bytes.
    fn put(&self, at: At, value_length: usize, out: &mut Vec<u8>) {
        if self.tombstone {
            assert_eq!(*self, Self::TOMBSTONE, "a tombstone says nothing else");
            assert_eq!(value_length, 0, "a tombstone has no value");
            out.push(TOMBSTONE);
            return;
        }
        assert!(self.create.0 >= 1 && self.create <= at.main, "create revision {} of a live version", self.create);
        assert!(self.version >= 1, "version {} of a live version", self.version);
        out.push(0);
        put_varint(out, (at.main.0 - self.create.0).cast_unsigned());
        put_varint(out, self.version.cast_unsigned());
        put_varint(out, self.lease.0.cast_unsigned());
        put_varint(out, wide(value_length));
    }

    /// The numbers, and the length of the value.
    fn parse(at: At, reader: &mut Reader<'_>) -> Result<(Self, usize), Error> {
        let damaged = |_| Error::Damaged("head of a version is cut");
        match reader.u8().map_err(damaged)? {
            TOMBSTONE => return Ok((Self::TOMBSTONE, 0)),
            0 => {}
            _ => return Err(Error::Damaged("unknown flags of a version")),
        }
        let age = reader.varint().map_err(damaged)?;
        let version = reader.varint().map_err(damaged)?.cast_signed();
        let lease = LeaseId(reader.varint().map_err(damaged)?.cast_signed());
        let length = reader.varint().map_err(damaged)?;
        let create = i64::try_from(age).ok().and_then(|age| at.main.0.checked_sub(age)).map(Revision);
        let create =
            create.filter(|create| create.0 >= 1 && version >= 1).ok_or(Error::Damaged("head of a version"))?;
        let length = usize::try_from(length).map_err(|_| Error::Damaged("length of a value"))?;
        Ok((Self { create, version, lease, tombstone: false }, length))
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
    /// What leads to earlier versions.
    pub(super) chain: Chain<'a>,
}

impl<'a> Version<'a> {
    /// Decodes a cell of the Keys tree: the newest version of its key.
    pub(super) fn of_key(cell: Outline<'a>) -> Result<Self, Error> {
        let damaged = |_| Error::Damaged("revision of a version");
        let mut reader = Reader::new(cell.head);
        let main = Revision(reader.varint().map_err(damaged)?.cast_signed());
        let sub = u32::try_from(reader.varint().map_err(damaged)?).map_err(|_| Error::Damaged("sub revision"))?;
        if cell.body_length != 0 {
            return Err(Error::Damaged("a key with a body"));
        }
        let version = Self::build(cell.key, At { main, sub }, reader)?;
        if version.head.tombstone == cell.weighted {
            return Err(Error::Damaged("a key counts as live that is not, or the other way round"));
        }
        Ok(version)
    }

    /// Decodes a row of the Revisions tree.
    pub(super) fn of_row(row: Outline<'a>) -> Result<Self, Error> {
        let (start, key) = row.key.split_first_chunk::<PLACE_BYTES>().ok_or(Error::Damaged("key of a revision"))?;
        let (main, sub) = split(*start);
        let version = Self::build(key, At { main: Revision(main.cast_signed()), sub }, Reader::new(row.head))?;
        if version.value_length != row.body_length {
            return Err(Error::Damaged("a value is not as long as its head says"));
        }
        Ok(version)
    }

    fn build(key: &'a [u8], at: At, mut reader: Reader<'a>) -> Result<Self, Error> {
        if at.main.0 < 1 {
            return Err(Error::Damaged("revision of a version"));
        }
        let (head, value_length) = Head::parse(at, &mut reader)?;
        Ok(Self { key, at, head, value_length, chain: Chain::parse(at, reader)? })
    }
}

/// A key of the Revisions tree, built in a buffer that is used again.
#[derive(Clone, Default, Debug)]
pub(super) struct KeyBuffer(Vec<u8>);

impl KeyBuffer {
    /// The key of the row of Revisions for what `at` did to `key`.
    pub(super) fn row(&mut self, key: &[u8], at: At) -> &[u8] {
        self.0.clear();
        self.0.extend_from_slice(&at.revision_key());
        self.0.extend_from_slice(key);
        &self.0
    }

    /// The first key behind `key`.
    pub(super) fn behind(&mut self, key: &[u8]) -> &[u8] {
        self.0.clear();
        self.0.extend_from_slice(key);
        self.0.push(0);
        &self.0
    }
}

/// The newest version of `key`.
pub(super) fn newest<'a>(view: &View<'a>, key: &[u8]) -> Result<Option<Version<'a>>, Error> {
    let mut cursor = view.cursor(TreeId::Keys);
    cursor.seek(key)?;
    match cursor.outline()? {
        Some(cell) if cell.key == key => Version::of_key(cell).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// The version that `at` made of `key`, in history; `None` if a compaction removed it.
fn row_at<'a>(view: &View<'a>, key: &[u8], at: At, buffer: &mut KeyBuffer) -> Result<Option<Version<'a>>, Error> {
    let wanted = buffer.row(key, at);
    let mut cursor = view.cursor(TreeId::Revisions);
    cursor.seek(wanted)?;
    match cursor.outline()? {
        Some(row) if row.key == wanted => Version::of_row(row).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// From a version of a key that is not older than `at` to the oldest such one. O(log n) steps for n versions between.
pub(super) fn oldest_from<'a>(
    view: &View<'a>,
    mut version: Version<'a>,
    at: At,
    buffer: &mut KeyBuffer,
) -> Result<Version<'a>, Error> {
    assert!(version.at >= at, "it is not older itself");
    while let Some(link) = version.chain.oldest_from(at)? {
        let missing = Error::Damaged("the trees do not hold the same rows");
        version = row_at(view, version.key, link, buffer)?.ok_or(missing)?;
    }
    Ok(version)
}

/// The version of a key before `version`; `None` if it is the first or the one before was removed by a compaction.
pub(super) fn previous<'a>(
    view: &View<'a>,
    version: &Version<'a>,
    buffer: &mut KeyBuffer,
) -> Result<Option<Version<'a>>, Error> {
    match version.chain.previous()? {
        Some(at) => row_at(view, version.key, at, buffer),
        None => Ok(None),
    }
}

/// From a version of a key to the newest one that a reader at `at` can see, tombstones included. What was superfluous
/// for a reader at `at` may have been removed: it must not be below the compacted revision.
pub(super) fn back_to<'a>(
    view: &View<'a>,
    version: Version<'a>,
    at: At,
    buffer: &mut KeyBuffer,
) -> Result<Option<Version<'a>>, Error> {
    if version.at <= at {
        return Ok(Some(version));
    }
    let after = oldest_from(view, version, at.next()?, buffer)?;
    previous(view, &after, buffer)
}

/// The newest version of `key` that a reader at `at` can see, tombstones included.
pub(super) fn newest_at<'a>(
    view: &View<'a>,
    key: &[u8],
    at: At,
    buffer: &mut KeyBuffer,
) -> Result<Option<Version<'a>>, Error> {
    let Some(version) = newest(view, key)? else { return Ok(None) };
    back_to(view, version, at, buffer)
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

/// Cells under construction, in buffers that are used again.
#[derive(Default, Debug)]
pub(super) struct Cells {
    row_key: KeyBuffer,
    head: Vec<u8>,
}

impl Cells {
    /// Writes a new version of `key` into both trees, behind the newest that there is.
    pub(super) fn write(
        &mut self,
        txn: &mut tree::Txn<'_>,
        (key, at): (&[u8], At),
        (head, chain): (Head, &NewChain),
        value: &[u8],
    ) -> Result<(), Error> {
        self.head.clear();
        head.put(at, value.len(), &mut self.head);
        chain.put_in_row(at, &mut self.head);
        let new = txn.insert(TreeId::Revisions, self.row_key.row(key, at), &self.head, value, true)?;
        if !new {
            return Err(Error::Damaged("a revision was there before it was made"));
        }
        self.head.clear();
        put_varint(&mut self.head, at.main.0.cast_unsigned());
        put_varint(&mut self.head, u64::from(at.sub));
        head.put(at, value.len(), &mut self.head);
        chain.put_in_index(at, &mut self.head);
        txn.insert(TreeId::Keys, key, &self.head, &[], !head.tombstone)?;
        Ok(())
    }
}

/// Live keys now, over the whole key space.
pub(super) fn live_keys(view: &View<'_>) -> u64 {
    view.weight(TreeId::Keys)
}
