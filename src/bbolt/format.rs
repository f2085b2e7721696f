//! bbolt's pages byte by byte: format version 2, pages of 4 KiB, little-endian.
//!
//! ```text
//! page     id u64, flags u16, elements u16, further pages u32, then elements, then what they point to
//! leaf     element: flags u32, offset of the key from here u32, bytes of the key u32, bytes of the value u32
//! branch   element: offset of the key from here u32, bytes of the key u32, child u64
//! meta     magic u32, version u32, page size u32, flags u32, root u64, sequence u64, free list u64, pages u64,
//!          transaction u64, FNV-1a of the bytes before
//! bucket   root u64 (0: the page stands behind, inside the value), sequence u64
//! ```
//!
//! Invariants
//! - Every page of a file is a whole number of `PAGE_BYTES`, the rest of the last one zeros.

use crate::limits::PAGE_BYTES;

/// Bytes of a page's header.
pub(super) const HEADER_BYTES: usize = 16;
/// Bytes of an element of a leaf or a branch.
pub(super) const ELEMENT_BYTES: usize = 16;
/// Bytes of a meta.
const META_BYTES: usize = 64;
/// A larger page is not kept inside its bucket's value.
pub(super) const INLINE_BYTES_MAX: usize = PAGE_BYTES / 4;

/// What a page is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Branch,
    Leaf,
    Meta,
    FreeList,
}

impl Kind {
    fn flags(self) -> u16 {
        match self {
            Self::Branch => 0x01,
            Self::Leaf => 0x02,
            Self::Meta => 0x04,
            Self::FreeList => 0x10,
        }
    }
}

/// Element flag of a leaf: the value is a bucket.
pub(super) const BUCKET: u32 = 1;

const MAGIC: u32 = 0xED0C_DAED;
const VERSION: u32 = 2;
/// The page of the empty list of free pages: with it, whoever opens the file need not look for free pages.
pub(super) const FREE_LIST_PAGE: u64 = 2;
/// The first page behind metas and free list.
pub(super) const FIRST_PAGE: u64 = 3;

/// A length as the format's 32 bits.
pub(super) fn short(length: usize) -> u32 {
    u32::try_from(length).expect("keys, values and pages are below 2^31")
}

/// How many pages so many bytes take.
pub(super) fn pages_of(bytes: usize) -> usize {
    bytes.div_ceil(PAGE_BYTES)
}

/// Appends the header of a page that takes `bytes` bytes in all.
pub(super) fn put_header(out: &mut Vec<u8>, id: u64, kind: Kind, elements: usize, bytes: usize) {
    let count = u16::try_from(elements).expect("a page is closed long before 65,536 elements");
    out.extend_from_slice(&id.to_le_bytes());
    out.extend_from_slice(&kind.flags().to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&short(pages_of(bytes).saturating_sub(1)).to_le_bytes());
}

/// Appends the elements of a leaf, whose keys and values follow one another behind them.
pub(super) fn put_leaf_elements(out: &mut Vec<u8>, elements: &[(u32, usize, usize)]) {
    let mut offset = elements.len() * ELEMENT_BYTES;
    for (flags, key, value) in elements {
        for number in [*flags, short(offset), short(*key), short(*value)] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        offset = offset + key + value - ELEMENT_BYTES;
    }
}

/// Appends the elements of a branch: lengths of keys, which follow one another behind them, and children.
pub(super) fn put_branch_elements(out: &mut Vec<u8>, elements: &[(usize, u64)]) {
    let mut offset = elements.len() * ELEMENT_BYTES;
    for (key, child) in elements {
        out.extend_from_slice(&short(offset).to_le_bytes());
        out.extend_from_slice(&short(*key).to_le_bytes());
        out.extend_from_slice(&child.to_le_bytes());
        offset = offset + key - ELEMENT_BYTES;
    }
}

/// Fills a page of so many bytes up with zeros.
pub(super) fn pad(out: &mut Vec<u8>, bytes: usize) {
    out.resize(out.len() + bytes.next_multiple_of(PAGE_BYTES) - bytes, 0);
}

/// Appends the two metas, the newer one first as in bbolt's own copies, and the empty free list.
pub(super) fn put_head(out: &mut Vec<u8>, root: u64, pages: u64) {
    for (page, transaction) in [(0u64, 2u64), (1, 1)] {
        put_header(out, page, Kind::Meta, 0, PAGE_BYTES);
        let start = out.len();
        for number in [MAGIC, VERSION, short(PAGE_BYTES), 0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [root, 0, FREE_LIST_PAGE, pages, transaction] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = fnv1a(&out[start..]);
        out.extend_from_slice(&checksum.to_le_bytes());
        pad(out, HEADER_BYTES + META_BYTES);
    }
    put_header(out, FREE_LIST_PAGE, Kind::FreeList, 0, PAGE_BYTES);
    pad(out, HEADER_BYTES);
}

/// FNV-1a in 64 bits.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix)
}
