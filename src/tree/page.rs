//! The memory of the tree: pages by number, their common header, their checksum. The only place with `unsafe`.
//!
//! Invariants
//! - A page that a published snapshot, a pin, or a checkpoint can reach is never written; `space.rs` sees to that by the
//!   rule of reuse, `readers.rs` by the protocol of the slots. So shared references to such pages are sound.
//! - Pages are written only through `WritePermit`, of which a store has one, and only pages that the running
//!   transaction made; nobody else knows their numbers.
//!
//! It must not know what a page holds beyond its header.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::codec::crc32c;
use crate::limits::PAGE_BYTES;
use crate::types::{PageNumber, TxnId};

/// The bytes of a page.
pub type Page = [u8; PAGE_BYTES];

/// Where the parts of the common header stand. `FORMAT.md` is the reference.
pub(super) mod field {
    /// `u32`: CRC-32C of everything after it.
    pub(in super::super) const CHECKSUM: usize = 0;
    /// `u8`: leaf, branch, map block or meta.
    pub(in super::super) const KIND: usize = 4;
    /// `u8`: 0 in a leaf, one more than the children's in a branch.
    pub(in super::super) const LEVEL: usize = 5;
    /// `u16`: cells in the page.
    pub(in super::super) const COUNT: usize = 6;
    /// `u64`: the page's own number.
    pub(in super::super) const NUMBER: usize = 8;
    /// `u64`: the transaction that made the page.
    pub(in super::super) const BIRTH: usize = 16;
    /// `u64`: weighted cells in and below the page; in a map block, its group.
    pub(in super::super) const WEIGHT: usize = 24;
    /// `u8`: the tree it belongs to.
    pub(in super::super) const TREE: usize = 32;
    /// `u16`: where the lowest cell starts.
    pub(in super::super) const HEAP: usize = 34;
    /// `u16`: bytes between the cells that belong to none.
    pub(in super::super) const GARBAGE: usize = 36;
    /// `u16`: where the last cell was inserted; tells an ascending load from a random one when the page splits.
    pub(in super::super) const LAST_INSERT: usize = 38;
    /// `u16`: bytes that the main parts of all keys in the page share. It may be less than they do.
    pub(in super::super) const PREFIX: usize = 40;
    /// The header's length.
    pub(in super::super) const END: usize = 48;
}

/// Kinds of pages, as the header names them. 0 is none, so that a page of zeros is never taken for one of ours.
pub(super) mod kind {
    /// Cells with bodies.
    pub(in super::super) const LEAF: u8 = 1;
    /// Separators and children.
    pub(in super::super) const BRANCH: u8 = 2;
    /// A block of the free map.
    pub(in super::super) const MAP: u8 = 3;
    /// Roots and stamp.
    pub(in super::super) const META: u8 = 4;
}

/// `N` bytes of the header. Offsets are constants within the page, so this cannot fail.
pub(super) fn header<const AT: usize, const N: usize>(page: &Page) -> [u8; N] {
    const { assert!(AT + N <= PAGE_BYTES) };
    let mut out = [0; N];
    out.copy_from_slice(&page[AT..AT + N]);
    out
}

/// Writes `N` bytes of the header.
pub(super) fn put_header<const AT: usize, const N: usize>(page: &mut Page, bytes: [u8; N]) {
    const { assert!(AT + N <= PAGE_BYTES) };
    page[AT..AT + N].copy_from_slice(&bytes);
}

/// `N` bytes at an offset that came from a page.
pub(super) fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// The page's own idea of its number.
pub(super) fn number(page: &Page) -> PageNumber {
    PageNumber(u64::from_le_bytes(header::<{ field::NUMBER }, 8>(page)))
}

/// The transaction that made the page.
pub(super) fn birth(page: &Page) -> TxnId {
    TxnId(u64::from_le_bytes(header::<{ field::BIRTH }, 8>(page)))
}

/// The page's kind.
pub(super) fn page_kind(page: &Page) -> u8 {
    page[field::KIND]
}

/// Writes number and birth.
pub(super) fn put_identity(page: &mut Page, number: PageNumber, birth: TxnId) {
    put_header::<{ field::NUMBER }, 8>(page, number.0.to_le_bytes());
    put_header::<{ field::BIRTH }, 8>(page, birth.0.to_le_bytes());
}

/// Writes the checksum over the rest of the page.
pub(super) fn seal(page: &mut Page) {
    let checksum = crc32c(0, &page[field::KIND..]);
    put_header::<{ field::CHECKSUM }, 4>(page, checksum.to_le_bytes());
}

/// Whether the checksum fits the rest of the page.
pub(super) fn is_sealed(page: &Page) -> bool {
    u32::from_le_bytes(header::<{ field::CHECKSUM }, 4>(page)) == crc32c(0, &page[field::KIND..])
}

/// An offset, length or count within a page.
pub(super) fn short(value: usize) -> u16 {
    u16::try_from(value).expect("offsets and lengths within a page fit sixteen bits")
}

/// A page number, count or length as an index.
pub(super) fn index(value: u64) -> usize {
    usize::try_from(value).expect("addresses have 64 bits")
}

/// A length or an index as it is stored and summed.
pub(super) fn wide(value: usize) -> u64 {
    u64::try_from(value).expect("addresses have 64 bits")
}

/// Pages that `bytes` take.
pub(super) fn pages_for(bytes: usize) -> u64 {
    wide(bytes.div_ceil(PAGE_BYTES))
}

/// The reserved address range: page number × 4096 from its base.
#[derive(Debug)]
pub struct Arena {
    base: NonNull<u8>,
    reserved_pages: u64,
    /// What to give back on drop, when the arena owns its memory.
    owned: Option<(NonNull<u8>, Layout)>,
}

// SAFETY: the arena is a plain range of memory; who may read or write which page when is the protocol in the module docs.
unsafe impl Send for Arena {}
// SAFETY: as above; shared access hands out shared references to pages that nobody writes.
unsafe impl Sync for Arena {}

/// The right to write pages: one for each store, held by its writer.
#[derive(Debug)]
pub(super) struct WritePermit(());

impl WritePermit {
    /// The permit of a new store. The caller makes one for each arena.
    pub(super) fn new() -> Self {
        Self(())
    }
}

impl Arena {
    /// An arena over memory of the caller's.
    ///
    /// # Safety
    /// `base` is aligned to 4096; from it `reserved_pages` × 4096 bytes of address space belong to this arena alone as long
    /// as it lives, and every page that was granted to the tree (at its creation, by its file's length, or by a completed
    /// `GrowPlan`) stays readable and writable. What the caller does to the mapping keeps the bytes of granted pages.
    pub unsafe fn from_raw(base: NonNull<u8>, reserved_pages: u64) -> Self {
        assert!(base.addr().get().is_multiple_of(PAGE_BYTES), "the base is aligned to pages");
        Self { base, reserved_pages, owned: None }
    }

    /// An arena of zeros in memory of its own, which the system hands out on first touch.
    pub fn anonymous(reserved_pages: u64) -> Self {
        assert!(reserved_pages > 0, "an arena holds at least a page");
        // Asked for with a small alignment, as a larger one makes the allocator write the zeros itself.
        let bytes = (index(reserved_pages) + 1) * PAGE_BYTES;
        let layout = Layout::from_size_align(bytes, 16).expect("a size that memory can have");
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        let skip = start.addr().get().next_multiple_of(PAGE_BYTES) - start.addr().get();
        // SAFETY: one page more than needed was allocated, and `skip` is below a page.
        let base = unsafe { start.add(skip) };
        Self { base, reserved_pages, owned: Some((start, layout)) }
    }

    /// Pages in the range.
    pub fn reserved_pages(&self) -> u64 {
        self.reserved_pages
    }

    /// Copies a file's bytes in, before a store is opened on the arena.
    pub fn load(&mut self, first: PageNumber, bytes: &[u8]) {
        let start = self.offset(first, bytes.len());
        // SAFETY: `offset` checked the range, `&mut self` says that nobody else looks at it.
        let target = unsafe { std::slice::from_raw_parts_mut(self.base.add(start).as_ptr(), bytes.len()) };
        target.copy_from_slice(bytes);
    }

    /// The byte offset of a page, after checking that `bytes` from it lie in the range.
    fn offset(&self, first: PageNumber, bytes: usize) -> usize {
        assert!(first.0 < self.reserved_pages, "page {first} lies in the reserved range");
        let start = index(first.0) * PAGE_BYTES;
        assert!(bytes <= index(self.reserved_pages) * PAGE_BYTES - start, "bytes from {first} lie in the range");
        start
    }

    /// A page. The caller knows that it is granted and that nobody writes it: see the module docs.
    pub(super) fn page(&self, number: PageNumber) -> &Page {
        let start = self.offset(number, PAGE_BYTES);
        // SAFETY: `offset` checked the range, every bit pattern is a page, and reachable pages are not written.
        unsafe { self.base.add(start).cast::<Page>().as_ref() }
    }

    /// Has the processor fetch the start of a page, header and first slots, which a search needs all at once.
    pub(super) fn prefetch(&self, number: PageNumber) {
        #[cfg(target_arch = "x86_64")]
        if number.0 < self.reserved_pages {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            let start = self.offset(number, PAGE_BYTES);
            for line in 0..4 {
                // SAFETY: a hint; it neither reads nor faults.
                unsafe { _mm_prefetch::<_MM_HINT_T0>(self.base.add(start + line * 64).as_ptr().cast()) }
            }
        }
    }

    /// Bytes from the start of a page on; as `page`.
    pub(super) fn bytes(&self, first: PageNumber, length: usize) -> &[u8] {
        let start = self.offset(first, length);
        // SAFETY: as in `page`.
        unsafe { std::slice::from_raw_parts(self.base.add(start).as_ptr(), length) }
    }

    /// A page of the running transaction, to write.
    pub(super) fn page_mut<'a>(&'a self, _permit: &'a mut WritePermit, number: PageNumber) -> &'a mut Page {
        let start = self.offset(number, PAGE_BYTES);
        // SAFETY: `offset` checked the range; the page was made by the running transaction, so no reader reaches it, and
        // the permit's borrow keeps the writer from asking for another page meanwhile.
        unsafe { self.base.add(start).cast::<Page>().as_mut() }
    }

    /// Two different pages of the running transaction, to write.
    pub(super) fn pair_mut<'a>(
        &'a self,
        _permit: &'a mut WritePermit,
        first: PageNumber,
        second: PageNumber,
    ) -> (&'a mut Page, &'a mut Page) {
        assert!(first != second, "a page is borrowed once, {first} was asked for twice");
        let (one, two) = (self.offset(first, PAGE_BYTES), self.offset(second, PAGE_BYTES));
        // SAFETY: as in `page_mut`; the two do not overlap.
        unsafe { (self.base.add(one).cast::<Page>().as_mut(), self.base.add(two).cast::<Page>().as_mut()) }
    }

    /// Writes a run of pages of the running transaction, and zeros after its last byte.
    pub(super) fn write_run(&self, _permit: &mut WritePermit, first: PageNumber, bytes: &[u8]) {
        let whole = bytes.len().next_multiple_of(PAGE_BYTES);
        let start = self.offset(first, whole);
        // SAFETY: as in `page_mut`, for every page of the run.
        let target = unsafe { std::slice::from_raw_parts_mut(self.base.add(start).as_ptr(), whole) };
        let (body, rest) = target.split_at_mut(bytes.len());
        body.copy_from_slice(bytes);
        rest.fill(0);
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if let Some((start, layout)) = self.owned {
            // SAFETY: allocated in `anonymous` with this layout, and given back once.
            unsafe { dealloc(start.as_ptr(), layout) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arena_starts_as_aligned_zeros_and_keeps_its_pages_apart() {
        let arena = Arena::anonymous(8);
        let mut permit = WritePermit::new();
        assert!(arena.page(PageNumber(7)).iter().all(|byte| *byte == 0));
        assert_eq!(arena.page(PageNumber(0)).as_ptr().addr() % PAGE_BYTES, 0);
        arena.page_mut(&mut permit, PageNumber(3)).fill(3);
        assert_eq!(arena.page(PageNumber(3)), &[3; PAGE_BYTES]);
        assert_eq!(arena.page(PageNumber(4)), &[0; PAGE_BYTES]);
        let (one, two) = arena.pair_mut(&mut permit, PageNumber(1), PageNumber(2));
        one.fill(1);
        two.fill(2);
        assert_eq!(arena.bytes(PageNumber(1), 2 * PAGE_BYTES)[PAGE_BYTES - 1..=PAGE_BYTES], [1, 2]);
    }

    #[test]
    fn a_run_is_padded_with_zeros() {
        let arena = Arena::anonymous(8);
        let mut permit = WritePermit::new();
        arena.page_mut(&mut permit, PageNumber(2)).fill(9);
        arena.write_run(&mut permit, PageNumber(1), &[7; PAGE_BYTES + 1]);
        assert_eq!(arena.bytes(PageNumber(1), PAGE_BYTES + 1), [7; PAGE_BYTES + 1]);
        assert!(arena.page(PageNumber(2))[1..].iter().all(|byte| *byte == 0));
    }

    #[test]
    #[should_panic(expected = "lies in the reserved range")]
    fn a_page_outside_is_our_bug() {
        Arena::anonymous(8).page(PageNumber(8));
    }

    #[test]
    fn a_seal_finds_every_flipped_bit() {
        let mut page = [0x5a; PAGE_BYTES];
        seal(&mut page);
        assert!(is_sealed(&page));
        for byte in (0..PAGE_BYTES).step_by(97) {
            page[byte] ^= 1 << (byte % 8);
            assert!(!is_sealed(&page), "a flip in byte {byte}");
            page[byte] ^= 1 << (byte % 8);
        }
    }
}
