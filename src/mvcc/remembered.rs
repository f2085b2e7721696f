//! The checksums that compactions computed, as etcd remembers them from one start of a member to the next.
//!
//! ```text
//! System   key: "hash", revision i64 BE (sign bit flipped)   head: checksum u32 LE, lower bound varint
//! ```
//!
//! Invariants
//! - At most `MVCC_HASHES_REMEMBERED` are kept, those of the highest revisions.
//! - Nothing but the answer to HashKV depends on them.

use super::{Error, KvHash};
use crate::codec::{Reader, put_varint};
use crate::limits::MVCC_HASHES_REMEMBERED;
use crate::tree::{Cell, TreeId, Txn, View};
use crate::types::Revision;

const PREFIX: [u8; 4] = *b"hash";
const KEY_BYTES: usize = PREFIX.len() + 8;

fn key(revision: Revision) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..PREFIX.len()].copy_from_slice(&PREFIX);
    key[PREFIX.len()..].copy_from_slice(&(revision.0.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    key
}

fn parse(cell: &Cell<'_>, hash_revision: Revision) -> Result<KvHash, Error> {
    let damaged = |_| Error::Damaged("a remembered checksum");
    let mut reader = Reader::new(cell.head);
    let hash = reader.u32().map_err(damaged)?;
    let compact_revision = Revision(reader.varint().map_err(damaged)?.cast_signed());
    Ok(KvHash { hash, compact_revision, hash_revision })
}

/// The checksum of the compaction to `revision`.
pub(super) fn find(view: &View<'_>, revision: Revision) -> Result<Option<KvHash>, Error> {
    let cell = view.find(TreeId::System, &key(revision))?;
    cell.map(|cell| parse(&cell, revision)).transpose()
}

/// Remembers a checksum and forgets the oldest if there are too many.
pub(super) fn insert(txn: &mut Txn<'_>, hash: KvHash) -> Result<(), Error> {
    let mut head = hash.hash.to_le_bytes().to_vec();
    put_varint(&mut head, hash.compact_revision.0.cast_unsigned());
    txn.insert(TreeId::System, &key(hash.hash_revision), &head, &[], false)?;
    let kept = keys(&txn.view())?;
    if kept.len() > MVCC_HASHES_REMEMBERED + 1 {
        return Err(Error::Damaged("more remembered checksums than there can be"));
    }
    if kept.len() > MVCC_HASHES_REMEMBERED {
        txn.remove(TreeId::System, &kept[0])?;
    }
    Ok(())
}

/// Forgets all; whether there were any.
pub(super) fn clear(txn: &mut Txn<'_>) -> Result<bool, Error> {
    let kept = keys(&txn.view())?;
    for key in &kept {
        txn.remove(TreeId::System, key)?;
    }
    Ok(!kept.is_empty())
}

/// The keys of all that are remembered, the lowest revision first.
fn keys(view: &View<'_>) -> Result<Vec<[u8; KEY_BYTES]>, Error> {
    let mut found = Vec::new();
    let mut cursor = view.cursor(TreeId::System);
    cursor.seek(&PREFIX)?;
    while let Some(key) = cursor.key()?.and_then(|key| <[u8; KEY_BYTES]>::try_from(key).ok()) {
        if !key.starts_with(&PREFIX) {
            break;
        }
        found.push(key);
        cursor.next()?;
    }
    if found.is_sorted() { Ok(found) } else { Err(Error::Damaged("remembered checksums out of order")) }
}
