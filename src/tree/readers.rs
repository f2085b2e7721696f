//! What the writer and the readers of all shards share: the arena, published snapshots, reader slots, and which pages were
//! found whole. The only place in the tree with atomics.
//!
//! Publishing. The writer fills a slot of the ring, stores its transaction there (release), then stores `latest`
//! (sequentially consistent), then scans the reader slots, then reuses pages.
//!
//! Pinning (the protocol of LMDB). A reader loads `latest`, stores it into a slot of its own, and loads `latest` again,
//! until both loads agree. Those three and the writer's store and scan are sequentially consistent, so there are two cases:
//! 1. The slot was stored before the writer's scan: the scan sees it, and the pages of that snapshot stay.
//! 2. The scan went first. Then it was preceded by the store of `latest`, the reader's second load sees that newer value,
//!    disagrees with the first, and the reader tries again. What it stored meanwhile only makes pages live longer.
//!
//! So a snapshot that the scan after its successor's publishing did not find can never be pinned again, and the writer
//! forgets it. A second pin of one snapshot on one shard shares the slot (`Rc`), because copying a slot would race with the
//! scan: read the copy's slot too early, the original's too late.
//!
//! Reuse. A reader clears its slot with release after its last look at the pages; the scan's load acquires, so the writer's
//! next write to such a page comes after that look.
//!
//! Invariants
//! - Pages of a snapshot that is latest or in a slot are not written (`holds.rs` decides, by the scan made here).
//! - A bit in `verified` is set by whoever made the page or checked it; it speaks of the bytes the page has now.
//! - A bit in `from_file` is set by whoever found the file's bytes whole: they have a seal, and may rot under us when the
//!   kernel drops its copy and reads them again. A page that was made here has neither seal nor file behind it.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, OnceLock};

use crossbeam_utils::CachePadded;

use crate::limits::{TREE_SLOT_BLOCKS_MAX, TREE_SLOTS_PER_BLOCK, TREE_SNAPSHOT_RING};
use crate::types::{PageNumber, ShardId, TxnId};

use super::holds::PageRange;
use super::page::{Arena, index};
use super::snapshot::{SNAPSHOT_WORDS, STAMP_WORDS, Snapshot, Stamp};

/// Pages whose bits lie together: 128 MiB of file in a page of bits.
const VERIFIED_PAGES: u64 = 32_768;
/// Blocks of slots that are made at once.
const BLOCKS_PER_DIRECTORY: usize = 64;

/// One published snapshot: the transaction it belongs to, and its words.
#[derive(Debug)]
struct RingSlot {
    /// 0 while the words change.
    txn: AtomicU64,
    words: [AtomicU64; SNAPSHOT_WORDS],
}

/// A cache line of slots, owned by one reader at a time.
#[derive(Debug, Default)]
struct SlotBlock {
    /// Pinned transactions; 0 for none.
    slots: [AtomicU64; TREE_SLOTS_PER_BLOCK],
    owned: AtomicBool,
}

type Directory = Box<[CachePadded<SlotBlock>]>;

/// What all shards see of the tree.
#[derive(Debug)]
pub struct Shared {
    arena: Arena,
    /// Pages that may be touched. Grows when a grow plan is done; shrinks when a tail goes back.
    granted: AtomicU64,
    verified: PageBits,
    from_file: PageBits,
    latest: CachePadded<AtomicU64>,
    ring: Box<[CachePadded<RingSlot>]>,
    directories: Box<[OnceLock<Directory>]>,
    /// Blocks that were ever owned: how far a scan goes.
    blocks_used: AtomicUsize,
}

impl Shared {
    /// The shared part of a store whose first snapshot is `snapshot`.
    pub(super) fn new(arena: Arena, granted: u64, snapshot: &Snapshot) -> Self {
        assert!(granted <= arena.reserved_pages(), "granted pages lie in the reserved range");
        let chunks = index(arena.reserved_pages().div_ceil(VERIFIED_PAGES));
        let ring_slot = || RingSlot { txn: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) };
        let shared = Self {
            arena,
            granted: AtomicU64::new(granted),
            verified: PageBits::new(chunks),
            from_file: PageBits::new(chunks),
            latest: CachePadded::new(AtomicU64::new(0)),
            ring: (0..TREE_SNAPSHOT_RING).map(|_| CachePadded::new(ring_slot())).collect(),
            directories: (0..TREE_SLOT_BLOCKS_MAX / BLOCKS_PER_DIRECTORY).map(|_| OnceLock::new()).collect(),
            blocks_used: AtomicUsize::new(0),
        };
        shared.publish(snapshot);
        shared
    }

    /// A reader for one shard, made on that shard.
    pub fn reader(self: &Arc<Self>, shard: ShardId) -> Reader {
        let inner = ReaderInner {
            shared: Arc::clone(self),
            shard,
            blocks: RefCell::default(),
            free: RefCell::default(),
            newest: RefCell::new(Weak::new()),
        };
        Reader { inner: Rc::new(inner) }
    }

    /// The arena.
    pub(super) fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Pages that may be touched.
    pub(super) fn granted(&self) -> u64 {
        self.granted.load(Ordering::Acquire)
    }

    /// Sets the pages that may be touched.
    pub(super) fn set_granted(&self, granted: u64) {
        assert!(granted <= self.arena.reserved_pages(), "granted pages lie in the reserved range");
        self.granted.store(granted, Ordering::Release);
    }

    /// Makes `snapshot` the latest. Called by the writer alone.
    pub(super) fn publish(&self, snapshot: &Snapshot) {
        let txn = snapshot.txn.0;
        assert!(txn > self.latest.load(Ordering::Relaxed), "transactions ascend, {txn} is not new");
        let slot = &self.ring[index(txn) % TREE_SNAPSHOT_RING];
        slot.txn.store(0, Ordering::Relaxed);
        // Whoever reads one of the new words below also sees that the slot is in change.
        fence(Ordering::Release);
        for (word, value) in slot.words.iter().zip(snapshot.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
        slot.txn.store(txn, Ordering::Release);
        self.latest.store(txn, Ordering::SeqCst);
    }

    /// Copies words of the snapshot of `txn`, unless the ring has moved on.
    fn read_ring<const N: usize>(&self, txn: u64) -> Option<[u64; N]> {
        let slot = &self.ring[index(txn) % TREE_SNAPSHOT_RING];
        if slot.txn.load(Ordering::Acquire) != txn {
            return None;
        }
        let words = std::array::from_fn(|at| slot.words[at].load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        (slot.txn.load(Ordering::Relaxed) == txn).then_some(words)
    }

    /// The stamp of the latest snapshot, without pinning it.
    pub fn latest_stamp(&self) -> Stamp {
        loop {
            let txn = self.latest.load(Ordering::Acquire);
            if let Some(words) = self.read_ring::<{ 1 + STAMP_WORDS }>(txn) {
                let mut all = [0; SNAPSHOT_WORDS];
                all[..words.len()].copy_from_slice(&words);
                return Snapshot::from_words(&all).stamp;
            }
        }
    }

    /// The transactions in the reader slots, ascending, into `out`. Called by the writer after `publish`.
    pub(super) fn scan(&self, out: &mut Vec<TxnId>) {
        out.clear();
        let used = self.blocks_used.load(Ordering::SeqCst);
        for slot in (0..used).filter_map(|at| self.block(at)).flat_map(|block| &block.slots) {
            let txn = slot.load(Ordering::SeqCst);
            if txn != 0 {
                out.push(TxnId(txn));
            }
        }
        out.sort_unstable();
        out.dedup();
    }

    fn block(&self, at: usize) -> Option<&SlotBlock> {
        let directory = self.directories.get(at / BLOCKS_PER_DIRECTORY)?.get()?;
        Some(&directory[at % BLOCKS_PER_DIRECTORY])
    }

    /// Takes a block that nobody owns.
    fn claim_block(&self) -> usize {
        for at in 0..TREE_SLOT_BLOCKS_MAX {
            let directory = self.directories[at / BLOCKS_PER_DIRECTORY]
                .get_or_init(|| (0..BLOCKS_PER_DIRECTORY).map(|_| CachePadded::default()).collect());
            let block = &directory[at % BLOCKS_PER_DIRECTORY];
            if block.owned.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                assert!(block.slots.iter().all(|slot| slot.load(Ordering::Relaxed) == 0), "a free block pins nothing");
                // Before the first store into a slot, so that a scan which must see that store goes this far.
                self.blocks_used.fetch_max(at + 1, Ordering::SeqCst);
                return at;
            }
        }
        unreachable!("admission bounds concurrent reads far below {TREE_SLOT_BLOCKS_MAX} blocks of pins")
    }

    /// Whether a page was made or checked since the process began.
    pub(super) fn is_verified(&self, page: PageNumber) -> bool {
        self.verified.contains(page)
    }

    /// Whether a page's bytes are the file's, which were whole when they were looked at last.
    pub(super) fn is_from_file(&self, page: PageNumber) -> bool {
        self.from_file.contains(page)
    }

    /// Notes that pages were made here.
    pub(super) fn set_made(&self, pages: PageRange) {
        for page in pages.first.0..pages.end().0 {
            self.from_file.remove(PageNumber(page));
            self.verified.insert(PageNumber(page));
        }
    }

    /// Notes that a page was read and found whole.
    pub(super) fn set_read(&self, page: PageNumber) {
        self.from_file.insert(page);
        self.verified.insert(page);
    }

    /// Has pages checked again on their next touch. For the shell, after it dropped its own copies of pages that a
    /// checkpoint wrote, and before the checkpoint after that: from here on they are what the file holds.
    pub fn forget_verified(&self, pages: PageRange) {
        (pages.first.0..pages.end().0).for_each(|page| self.verified.remove(PageNumber(page)));
    }
}

/// A bit for each page. Relaxed: the bits say nothing about other memory.
#[derive(Debug)]
struct PageBits(Box<[OnceLock<Box<[AtomicU64]>>]>);

impl PageBits {
    fn new(chunks: usize) -> Self {
        Self((0..chunks).map(|_| OnceLock::new()).collect())
    }

    /// The word of a page's bit, if any bit of its chunk was ever set, and the bit.
    fn word(&self, page: PageNumber) -> Option<(&AtomicU64, u64)> {
        let (chunk, word, mask) = bit_place(page);
        Some((&self.0.get(chunk)?.get()?[word], mask))
    }

    fn contains(&self, page: PageNumber) -> bool {
        self.word(page).is_some_and(|(word, mask)| word.load(Ordering::Relaxed) & mask != 0)
    }

    fn insert(&self, page: PageNumber) {
        let (chunk, word, mask) = bit_place(page);
        let words = self.0[chunk]
            .get_or_init(|| (0..VERIFIED_PAGES / 64).map(|_| AtomicU64::new(0)).collect::<Box<[AtomicU64]>>());
        if words[word].load(Ordering::Relaxed) & mask == 0 {
            words[word].fetch_or(mask, Ordering::Relaxed);
        }
    }

    fn remove(&self, page: PageNumber) {
        if let Some((word, mask)) = self.word(page).filter(|(word, mask)| word.load(Ordering::Relaxed) & mask != 0) {
            word.fetch_and(!mask, Ordering::Relaxed);
        }
    }
}

/// Widens the races of the protocol in tests; nothing otherwise.
fn jitter() {
    #[cfg(test)]
    std::thread::yield_now();
}

/// Where a page's bit stands.
fn bit_place(page: PageNumber) -> (usize, usize, u64) {
    let (chunk, bit) = (page.0 / VERIFIED_PAGES, page.0 % VERIFIED_PAGES);
    (index(chunk), index(bit / 64), 1 << (bit % 64))
}

#[derive(Debug)]
struct ReaderInner {
    shared: Arc<Shared>,
    shard: ShardId,
    /// Blocks owned.
    blocks: RefCell<Vec<usize>>,
    /// Slots of those blocks that pin nothing.
    free: RefCell<Vec<usize>>,
    /// The pin taken last, to share while its snapshot is the latest.
    newest: RefCell<Weak<PinInner>>,
}

impl ReaderInner {
    fn block(&self, at: usize) -> &SlotBlock {
        self.shared.block(at).expect("a block that this reader owns")
    }

    fn slot(&self, at: usize) -> &AtomicU64 {
        &self.block(at / TREE_SLOTS_PER_BLOCK).slots[at % TREE_SLOTS_PER_BLOCK]
    }

    fn take_slot(&self) -> usize {
        if let Some(slot) = self.free.borrow_mut().pop() {
            return slot;
        }
        let block = self.shared.claim_block();
        self.blocks.borrow_mut().push(block);
        let first = block * TREE_SLOTS_PER_BLOCK;
        self.free.borrow_mut().extend(first + 1..first + TREE_SLOTS_PER_BLOCK);
        first
    }
}

impl Drop for ReaderInner {
    fn drop(&mut self) {
        for at in self.blocks.take() {
            let block = self.block(at);
            assert!(block.slots.iter().all(|slot| slot.load(Ordering::Relaxed) == 0), "pins keep their reader alive");
            block.owned.store(false, Ordering::Release);
        }
    }
}

/// One shard's way to the tree. It stays on its shard.
#[derive(Debug)]
pub struct Reader {
    inner: Rc<ReaderInner>,
}

impl Reader {
    /// Pins the latest snapshot.
    pub fn pin(&self) -> Pinned {
        let newest = self.inner.newest.borrow().upgrade();
        if let Some(pin) = newest
            && pin.snapshot.txn.0 == self.inner.shared.latest.load(Ordering::SeqCst)
        {
            return Pinned { inner: pin };
        }
        let slot = self.inner.take_slot();
        let snapshot = self.pin_slot(slot);
        let pin = Rc::new(PinInner { reader: Rc::clone(&self.inner), slot, snapshot });
        *self.inner.newest.borrow_mut() = Rc::downgrade(&pin);
        Pinned { inner: pin }
    }

    /// Store, and load again until stable: see the module docs.
    fn pin_slot(&self, slot: usize) -> Snapshot {
        let (shared, slot) = (&self.inner.shared, self.inner.slot(slot));
        assert!(slot.load(Ordering::Relaxed) == 0, "a free slot pins nothing");
        loop {
            let txn = shared.latest.load(Ordering::SeqCst);
            jitter();
            slot.store(txn, Ordering::SeqCst);
            jitter();
            if shared.latest.load(Ordering::SeqCst) != txn {
                continue;
            }
            if let Some(words) = shared.read_ring(txn) {
                assert!(words[0] == txn, "the ring's slot belongs to the transaction it names");
                return Snapshot::from_words(&words);
            }
        }
    }

    /// The stamp of the latest snapshot, without pinning it.
    pub fn latest_stamp(&self) -> Stamp {
        self.inner.shared.latest_stamp()
    }

    /// The shard it was made for.
    pub fn shard(&self) -> ShardId {
        self.inner.shard
    }
}

#[derive(Debug)]
struct PinInner {
    reader: Rc<ReaderInner>,
    slot: usize,
    snapshot: Snapshot,
}

impl Drop for PinInner {
    fn drop(&mut self) {
        let slot = self.reader.slot(self.slot);
        assert!(slot.load(Ordering::Relaxed) == self.snapshot.txn.0, "the slot holds what was pinned");
        // Release: every look at the snapshot's pages comes before it.
        slot.store(0, Ordering::Release);
        self.reader.free.borrow_mut().push(self.slot);
    }
}

/// A snapshot that stays whole while this lives. Clones share it.
#[derive(Clone, Debug)]
pub struct Pinned {
    inner: Rc<PinInner>,
}

impl Pinned {
    /// What the pages belong to.
    pub(super) fn parts(&self) -> (&Shared, &Snapshot) {
        (&self.inner.reader.shared, &self.inner.snapshot)
    }
}

/// Keeps the count of slots in one place.
const _: () = assert!(TREE_SLOT_BLOCKS_MAX.is_multiple_of(BLOCKS_PER_DIRECTORY), "directories are full");

/// Pages as a range of one.
pub(super) fn single(page: PageNumber) -> PageRange {
    PageRange { first: page, count: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(txn: u64) -> Snapshot {
        let mut snapshot = Snapshot { txn: TxnId(txn), ..Snapshot::default() };
        snapshot.stamp.applied_index.0 = txn * 10;
        snapshot
    }

    fn scan(shared: &Shared) -> Vec<u64> {
        let mut out = vec![];
        shared.scan(&mut out);
        out.iter().map(|txn| txn.0).collect()
    }

    #[test]
    fn pins_show_in_the_scan_until_the_last_clone_is_dropped() {
        let shared = Arc::new(Shared::new(Arena::anonymous(1), 1, &snapshot(1)));
        let (one, two) = (shared.reader(ShardId(0)), shared.reader(ShardId(1)));
        assert_eq!(scan(&shared), [0u64; 0]);
        let first = one.pin();
        let again = one.pin();
        let clone = first.clone();
        let other = two.pin();
        assert_eq!(scan(&shared), [1]);
        shared.publish(&snapshot(2));
        let second = one.pin();
        assert_eq!(scan(&shared), [1, 2]);
        assert_eq!(second.parts().1.stamp.applied_index.0, 20);
        drop((first, again, other));
        assert_eq!(scan(&shared), [1, 2]);
        drop(one);
        assert_eq!(clone.parts().1.txn, TxnId(1));
        drop(clone);
        assert_eq!(scan(&shared), [2]);
        drop(second);
        assert_eq!(scan(&shared), [0u64; 0]);
        assert_eq!(two.latest_stamp().applied_index.0, 20);
    }

    /// The protocol as steps that interleave in every possible way: a reader that pins, and a writer that publishes two
    /// transactions, scans after each, and forgets the snapshots before that it found in no slot.
    #[derive(Clone, Copy)]
    struct Interleaving {
        latest: u64,
        slot: u64,
        /// Steps done of load, store, load; the value loaded first.
        reader: (u8, u64),
        pinned: Option<u64>,
        /// Steps done of publish, scan, publish, scan.
        writer: u8,
        /// Snapshots that the writer forgot.
        forgotten: [bool; 4],
    }

    impl Interleaving {
        fn step_reader(&mut self) {
            self.reader = match self.reader {
                (0, _) => (1, self.latest),
                (1, txn) => {
                    self.slot = txn;
                    (2, txn)
                }
                (_, txn) if txn == self.latest => {
                    self.pinned = Some(txn);
                    (3, txn)
                }
                _ => (0, 0),
            };
        }

        fn step_writer(&mut self) {
            if self.writer.is_multiple_of(2) {
                self.latest += 1;
            } else {
                for txn in 1..self.latest {
                    self.forgotten[index(txn)] |= self.slot != txn;
                }
            }
            self.writer += 1;
        }

        fn explore(self, ends: &mut u32) {
            if let Some(txn) = self.pinned {
                assert!(!self.forgotten[index(txn)], "snapshot {txn} was pinned and forgotten");
            }
            if self.pinned.is_none() {
                let mut next = self;
                next.step_reader();
                next.explore(ends);
            }
            if self.writer < 4 {
                let mut next = self;
                next.step_writer();
                next.explore(ends);
            }
            *ends += u32::from(self.pinned.is_some() && self.writer == 4);
        }
    }

    #[test]
    fn no_interleaving_pins_what_the_writer_forgot() {
        let mut ends = 0;
        let start = Interleaving { latest: 1, slot: 0, reader: (0, 0), pinned: None, writer: 0, forgotten: [false; 4] };
        start.explore(&mut ends);
        assert!(ends > 50, "{ends} interleavings");
    }

    #[test]
    fn many_pins_take_more_blocks_and_give_them_back() {
        let shared = Arc::new(Shared::new(Arena::anonymous(1), 1, &snapshot(1)));
        for _ in 0..3 {
            let reader = shared.reader(ShardId(0));
            let start = shared.latest.load(Ordering::Relaxed);
            let mut pins = vec![];
            for txn in start + 1..start + 200 {
                shared.publish(&snapshot(txn));
                pins.push(reader.pin());
            }
            assert_eq!(scan(&shared), (start + 1..start + 200).collect::<Vec<_>>());
        }
        assert_eq!(scan(&shared), [0u64; 0]);
        assert_eq!(shared.blocks_used.load(Ordering::Relaxed), 199usize.div_ceil(TREE_SLOTS_PER_BLOCK));
    }

    #[test]
    fn verified_bits_are_each_page_s_own() {
        let shared = Shared::new(Arena::anonymous(70_000), 70_000, &snapshot(1));
        shared.set_made(PageRange { first: PageNumber(32_700), count: 100 });
        for page in [32_699, 32_700, 32_799, 32_800, 69_999] {
            assert_eq!(shared.is_verified(PageNumber(page)), (32_700..32_800).contains(&page), "page {page}");
        }
        shared.forget_verified(single(PageNumber(32_768)));
        assert!(!shared.is_verified(PageNumber(32_768)) && shared.is_verified(PageNumber(32_767)));
    }
}
