//! The free map as it stands in the file: for each group of pages a block in one of two slots.
//!
//! Invariants
//! - A checkpoint writes a changed group into the slot that the last durable one does not use, so that a crash leaves the
//!   other whole.
//! - The meta holds a digest over which transaction wrote each group's block. A block that was lost, or an older one that
//!   shows up because the newer rotted, does not fit it; then the map is built anew from the trees.

use crate::limits::{PAGE_BYTES, TREE_CHUNK_PAGES, TREE_GROUP_PAGES, TREE_REGION_GROUPS};
use crate::types::{PageNumber, TxnId};

use super::bitmap::Bitmap;
use super::page::{
    Page, birth, bytes_at, field, header, index, is_sealed, kind, number, page_kind, put_header, put_identity, seal,
};

/// The first pages of the file.
pub(super) const META_PAGES: u64 = 3;
/// Pages of a region.
const REGION_PAGES: u64 = TREE_REGION_GROUPS * TREE_GROUP_PAGES;
/// Where the words of live pages start in a block.
const LIVE_AT: usize = 64;
/// Words of live pages.
const LIVE_WORDS: u64 = TREE_GROUP_PAGES / 64;
/// Words of holes.
const HOLE_WORDS: u64 = TREE_GROUP_PAGES / TREE_CHUNK_PAGES / 64;

/// Groups in a file of `pages`.
pub(super) fn group_count(pages: u64) -> u64 {
    pages.div_ceil(TREE_GROUP_PAGES)
}

/// The page of a group's slot 0 or 1. The slots of a region's groups stand together at its start.
pub(super) fn map_page(group: u64, slot: u64) -> PageNumber {
    assert!(slot < 2, "a group has two slots");
    let (region, within) = (group / TREE_REGION_GROUPS, group % TREE_REGION_GROUPS);
    let first = if region == 0 { META_PAGES } else { region * REGION_PAGES };
    PageNumber(first + 2 * within + slot)
}

/// Metas and map pages in the region of `page`, from its start.
fn reserved_pages(region: u64) -> u64 {
    2 * TREE_REGION_GROUPS + if region == 0 { META_PAGES } else { 0 }
}

/// Whether a page is a meta or belongs to the free map.
pub(super) fn is_reserved(page: u64) -> bool {
    page % REGION_PAGES < reserved_pages(page / REGION_PAGES)
}

/// Every reserved page of a file of `pages`.
pub(super) fn reserved_below(pages: u64) -> impl Iterator<Item = u64> {
    let regions = 0..pages.div_ceil(REGION_PAGES);
    let all = regions.flat_map(|region| (0..reserved_pages(region)).map(move |page| region * REGION_PAGES + page));
    all.take_while(move |page| *page < pages)
}

/// Where the newest block of a group is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct GroupState {
    /// Its slot.
    pub(super) slot: u64,
    /// The transaction whose checkpoint wrote it; 0 for none yet.
    pub(super) txn: TxnId,
}

/// The digest that the meta keeps.
pub(super) fn digest(groups: &[GroupState]) -> u64 {
    let mix = |mut word: u64| {
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    (1u64..).zip(groups).fold(0, |sum, (at, group)| sum.wrapping_add(mix(mix(at).wrapping_add(group.txn.0))))
}

/// Writes a group's block.
pub(super) fn encode(page: &mut Page, group: u64, slot: u64, txn: TxnId, bits: (&Bitmap, &Bitmap)) {
    let (live, holes) = bits;
    assert!(txn > TxnId(0), "transactions count from 1");
    assert!(live.contains(map_page(group, slot).0), "a group's map pages are in use");
    page.fill(0);
    page[field::KIND] = kind::MAP;
    put_identity(page, map_page(group, slot), txn);
    put_header::<{ field::WEIGHT }, 8>(page, group.to_le_bytes());
    let live = (0..LIVE_WORDS).map(|word| live.word(group * LIVE_WORDS + word));
    let holes = (0..HOLE_WORDS).map(|word| holes.word(group * HOLE_WORDS + word));
    for (word, out) in live.chain(holes).zip(page[LIVE_AT..].chunks_exact_mut(8)) {
        out.copy_from_slice(&word.to_le_bytes());
    }
    seal(page);
}

/// The transaction that wrote a block, if the page is a whole block of this group and slot.
pub(super) fn parse(page: &Page, group: u64, slot: u64) -> Option<TxnId> {
    let names_itself = page_kind(page) == kind::MAP && number(page) == map_page(group, slot);
    let its_group = u64::from_le_bytes(header::<{ field::WEIGHT }, 8>(page));
    (is_sealed(page) && names_itself && its_group == group).then(|| birth(page))
}

/// Copies a parsed block's words into the sets.
pub(super) fn load(page: &Page, group: u64, live: &mut Bitmap, holes: &mut Bitmap, page_count: u64) {
    let word_at = |at: u64| bytes_at(page, LIVE_AT + index(at) * 8).map_or(0, u64::from_le_bytes);
    let words = page_count.div_ceil(64);
    for word in (0..LIVE_WORDS).filter(|word| group * LIVE_WORDS + word < words) {
        live.set_word(group * LIVE_WORDS + word, word_at(word));
    }
    let chunk_words = page_count.div_ceil(TREE_CHUNK_PAGES).div_ceil(64);
    for word in (0..HOLE_WORDS).filter(|word| group * HOLE_WORDS + word < chunk_words) {
        holes.set_word(group * HOLE_WORDS + word, word_at(LIVE_WORDS + word));
    }
}

const _: () = assert!(LIVE_AT + 8 * (256 + 4) <= PAGE_BYTES, "a block holds its words");
const _: () = assert!(LIVE_WORDS == 256 && HOLE_WORDS == 4, "as the format says");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn map_pages_are_reserved_and_each_its_own() {
        let pages = 3 * REGION_PAGES;
        let mut seen: Vec<u64> =
            (0..group_count(pages)).flat_map(|group| [map_page(group, 0).0, map_page(group, 1).0]).collect();
        assert!(seen.iter().all(|page| is_reserved(*page) && *page >= META_PAGES));
        seen.extend(0..META_PAGES);
        seen.sort_unstable();
        assert_eq!(seen, reserved_below(pages).collect::<Vec<_>>());
        assert_eq!((0..pages).filter(|page| is_reserved(*page)).count(), seen.len());
        // A group's map is in the file as soon as any page of the group is, growing by chunks.
        for group in 0..group_count(pages) {
            assert!(map_page(group, 1).0 < group * TREE_GROUP_PAGES + TREE_CHUNK_PAGES);
        }
    }
}
