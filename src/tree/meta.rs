//! The three meta pages: roots, stamp and page count in one place, and which of the three to believe.
//!
//! Invariants
//! - Checkpoint n writes meta n % 3, after everything it names is durable; so two older metas are always whole.
//! - The transaction stands at both ends of the page and a checksum over all of it: a torn meta is never believed.
//! - Magic, version and checksum keep their places in every version of the format, so that an unknown version is named.

use crate::limits::PAGE_BYTES;
use crate::types::{PageNumber, TxnId};

use super::error::Error;
use super::page::{
    Arena, Page, bytes_at, field, header, is_sealed, kind, number, page_kind, put_header, put_identity, seal, wide,
};
use super::snapshot::{SNAPSHOT_WORDS, Snapshot};

/// What a meta of ours starts with, after the common header's first 24 bytes.
const MAGIC: [u8; 8] = *b"RINGTREE";
/// The format's version.
pub(super) const VERSION: u32 = 1;

const MAGIC_AT: usize = 24;
const VERSION_AT: usize = 32;
const PAGE_BYTES_AT: usize = 36;
const SEQUENCE_AT: usize = 40;
const PAGE_COUNT_AT: usize = 48;
const DIGEST_AT: usize = 56;
const SNAPSHOT_AT: usize = 64;
/// The second copy of the transaction.
const TXN_AGAIN_AT: usize = PAGE_BYTES - 8;

/// A meta's contents.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Meta {
    /// Number of the checkpoint, from 1.
    pub(super) sequence: u64,
    /// Pages of the file.
    pub(super) page_count: u64,
    /// Over the blocks of the free map.
    pub(super) map_digest: u64,
    /// Roots and stamp.
    pub(super) snapshot: Snapshot,
}

/// What one of the three pages was found to be.
// Three of them live for a moment when a store is opened.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MetaSlot {
    /// Zeros: never written.
    Blank,
    /// Not a whole meta, or not the one of this page.
    Damaged,
    /// A whole meta of another version.
    Unknown(u32),
    /// A whole meta.
    Whole(Meta),
}

impl Meta {
    /// The page that this meta goes to.
    pub(super) fn page_number(&self) -> PageNumber {
        PageNumber(self.sequence % 3)
    }

    /// Writes the meta.
    pub(super) fn encode(&self, page: &mut Page) {
        assert!(self.sequence > 0 && self.snapshot.txn > TxnId(0), "checkpoints and transactions count from 1");
        page.fill(0);
        page[field::KIND] = kind::META;
        put_identity(page, self.page_number(), self.snapshot.txn);
        put_header::<MAGIC_AT, 8>(page, MAGIC);
        put_header::<VERSION_AT, 4>(page, VERSION.to_le_bytes());
        put_header::<PAGE_BYTES_AT, 4>(page, PAGE_BYTES_WORD.to_le_bytes());
        put_header::<SEQUENCE_AT, 8>(page, self.sequence.to_le_bytes());
        put_header::<PAGE_COUNT_AT, 8>(page, self.page_count.to_le_bytes());
        put_header::<DIGEST_AT, 8>(page, self.map_digest.to_le_bytes());
        for (word, out) in self.snapshot.to_words().iter().zip(page[SNAPSHOT_AT..].chunks_exact_mut(8)) {
            out.copy_from_slice(&word.to_le_bytes());
        }
        put_header::<TXN_AGAIN_AT, 8>(page, self.snapshot.txn.0.to_le_bytes());
        seal(page);
    }

    /// Reads the meta page `slot`.
    pub(super) fn parse(page: &Page, slot: u64) -> MetaSlot {
        if page.iter().all(|byte| *byte == 0) {
            return MetaSlot::Blank;
        }
        if !is_sealed(page) || page_kind(page) != kind::META || header::<MAGIC_AT, 8>(page) != MAGIC {
            return MetaSlot::Damaged;
        }
        let version = u32::from_le_bytes(header::<VERSION_AT, 4>(page));
        if version != VERSION {
            return MetaSlot::Unknown(version);
        }
        let word = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
        let words = std::array::from_fn::<u64, SNAPSHOT_WORDS, _>(|at| {
            bytes_at(page, SNAPSHOT_AT + at * 8).map_or(0, u64::from_le_bytes)
        });
        let meta = Self {
            sequence: word(header::<SEQUENCE_AT, 8>(page)),
            page_count: word(header::<PAGE_COUNT_AT, 8>(page)),
            map_digest: word(header::<DIGEST_AT, 8>(page)),
            snapshot: Snapshot::from_words(&words),
        };
        let txn = word(header::<{ field::BIRTH }, 8>(page));
        let same_txn = txn == words[0] && txn == word(header::<TXN_AGAIN_AT, 8>(page)) && txn > 0;
        let right_place = number(page) == PageNumber(slot) && meta.page_number() == PageNumber(slot);
        let right_pages = u32::from_le_bytes(header::<PAGE_BYTES_AT, 4>(page)) == PAGE_BYTES_WORD;
        if same_txn && right_place && right_pages && meta.sequence > 0 {
            MetaSlot::Whole(meta)
        } else {
            MetaSlot::Damaged
        }
    }
}

const PAGE_BYTES_WORD: u32 = 4096;
const _: () = assert!(PAGE_BYTES == 4096, "the format names the page size");
const _: () = assert!(SNAPSHOT_AT + SNAPSHOT_WORDS * 8 <= TXN_AGAIN_AT, "a meta holds its snapshot");

/// The meta to open the store with.
///
/// | found | answer |
/// |--|--|
/// | a meta of another version | refused, by its name: whatever else is there, a newer binary wrote here |
/// | whole metas in order | the newest: a damaged one beside it was being written, or rotted, and what it named is checked page by page |
/// | whole metas that contradict each other | refused |
/// | none whole, nothing but zeros, or only the first checkpoint's begun | no store yet |
/// | none whole otherwise | refused |
pub(super) fn pick_meta(slots: &[MetaSlot; 3]) -> Result<Meta, Error> {
    let unknown = slots.iter().filter_map(|slot| match slot {
        MetaSlot::Unknown(version) => Some(*version),
        MetaSlot::Blank | MetaSlot::Damaged | MetaSlot::Whole(_) => None,
    });
    if let Some(version) = unknown.max() {
        return Err(Error::UnknownVersion { version });
    }
    let mut whole = slots.iter().filter_map(|slot| match slot {
        MetaSlot::Whole(meta) => Some(*meta),
        MetaSlot::Blank | MetaSlot::Damaged | MetaSlot::Unknown(_) => None,
    });
    let Some(first) = whole.next() else {
        let only_first_begun = slots[0] == MetaSlot::Blank && slots[2] == MetaSlot::Blank;
        return Err(if only_first_begun { Error::NoStore } else { Error::NoMeta });
    };
    whole.try_fold(first, |best, meta| {
        let (old, new) = if meta.sequence > best.sequence { (best, meta) } else { (meta, best) };
        if old.sequence == new.sequence || old.snapshot.txn > new.snapshot.txn {
            return Err(Error::Corrupt { page: new.page_number(), what: "metas contradict each other" });
        }
        Ok(new)
    })
}

/// The meta of the file in `arena`.
pub(super) fn pick_from_arena(arena: &Arena) -> Result<Meta, Error> {
    let slots = std::array::from_fn(|slot| Meta::parse(arena.page(PageNumber(wide(slot))), wide(slot)));
    pick_meta(&slots)
}
