//! Which pages of the file are used, free, waiting or given back; handing pages out and taking them in.
//!
//! Invariants
//! - Each granted page is exactly one of: live (in the running transaction's state, or a meta or map page), free, waiting
//!   (at a hold), freed by the running transaction, or in a hole.
//! - `dirty` pages are live or freed by the running transaction, and differ from what the file holds.
//! - An aborted transaction leaves everything as it was, but for which free pages count as hot.
//!
//! It must not know what pages hold.

use crate::limits::{
    TREE_CHUNK_PAGES, TREE_FILE_PAGES_MIN, TREE_GIVE_BACK_CHUNKS_MAX, TREE_GROUP_PAGES, TREE_HOT_PAGES_MAX,
};
use crate::types::{PageNumber, TxnId};

use super::bitmap::Bitmap;
use super::freemap::{group_count, is_reserved, reserved_below};
use super::holds::{Freed, Holds, PageRange};
use super::page::wide;
use super::readers::single;

/// Space that goes back to the file system.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GiveBack {
    /// The file's end that goes.
    pub truncate: Option<PageRange>,
    /// Ranges before that to punch holes into.
    pub punch: Vec<PageRange>,
}

impl GiveBack {
    /// Whether nothing goes back.
    pub fn is_empty(&self) -> bool {
        self.truncate.is_none() && self.punch.is_empty()
    }

    /// Pages in all of it.
    pub(super) fn pages(&self) -> u64 {
        self.truncate.iter().chain(&self.punch).map(|range| range.count).sum()
    }
}

/// The state of every page.
#[derive(Debug)]
pub(super) struct Space {
    page_count: u64,
    pub(super) live: Bitmap,
    pub(super) free: Bitmap,
    /// Live pages that the file does not hold yet.
    pub(super) dirty: Bitmap,
    /// Dirty pages that are part of a run and have no header to seal.
    pub(super) raw: Bitmap,
    /// Chunks whose space went back to the file system.
    pub(super) holes: Bitmap,
    /// Groups of the map that changed since the last checkpoint.
    pub(super) changed: Bitmap,
    /// Free pages touched lately, the latest last. Some may have been handed out since.
    hot: Vec<PageNumber>,
    /// No free page is lower.
    lowest: u64,
    /// While the file is to shrink, pages at or above this are not taken for their warmth.
    ceiling: u64,
    /// Where the search for a run goes on.
    run_from: u64,
    /// The shortest run that was looked for in vain since pages last came free.
    run_missing: u64,
    /// Pages that the running transaction took.
    taken: Vec<PageRange>,
    /// Pages of earlier transactions that the running one freed.
    freed: Vec<Freed>,
    holds: Holds,
    released: Vec<PageRange>,
}

impl Space {
    /// An empty space; `grow` or `restore` adds pages.
    pub(super) fn new(latest: TxnId) -> Self {
        Self {
            page_count: 0,
            live: Bitmap::default(),
            free: Bitmap::default(),
            dirty: Bitmap::default(),
            raw: Bitmap::default(),
            holes: Bitmap::default(),
            changed: Bitmap::default(),
            hot: Vec::new(),
            lowest: 0,
            ceiling: u64::MAX,
            run_from: 0,
            run_missing: u64::MAX,
            taken: Vec::new(),
            freed: Vec::new(),
            holds: Holds::new(latest),
            released: Vec::new(),
        }
    }

    /// Pages of the file.
    pub(super) fn page_count(&self) -> u64 {
        self.page_count
    }

    /// Pages that wait for a snapshot to go away.
    pub(super) fn waiting(&self) -> u64 {
        self.holds.pages()
    }

    /// What is freed but not free.
    pub(super) fn holds(&self) -> &Holds {
        &self.holds
    }

    /// Takes in pages that the file has grown by, or that fill a hole again.
    pub(super) fn grow(&mut self, pages: PageRange) {
        let end = pages.end().0;
        assert!(pages.first.0 <= self.page_count, "the file grows at its end");
        assert!(pages.count.is_multiple_of(TREE_CHUNK_PAGES), "the file grows by whole chunks");
        self.ceiling = u64::MAX;
        self.set_page_count(self.page_count.max(end));
        for page in pages.first.0..end {
            if is_reserved(page) {
                self.live.insert(page);
            } else {
                assert!(!self.live.contains(page), "page {page} comes in new");
                self.put_free(page);
            }
            self.changed.insert(page / TREE_GROUP_PAGES);
        }
        for chunk in pages.first.0 / TREE_CHUNK_PAGES..end.div_ceil(TREE_CHUNK_PAGES) {
            self.holes.remove(chunk);
        }
    }

    /// Makes room in the sets for a file of `page_count` pages.
    fn set_page_count(&mut self, page_count: u64) {
        assert!(page_count.is_multiple_of(TREE_CHUNK_PAGES), "a file of {page_count} pages is not whole chunks");
        self.page_count = page_count;
        for bits in [&mut self.live, &mut self.free, &mut self.dirty, &mut self.raw] {
            bits.grow(page_count);
        }
        self.holes.grow(page_count.div_ceil(TREE_CHUNK_PAGES));
        self.changed.grow(group_count(page_count));
    }

    /// Takes over a file of `page_count` pages in which `live` pages are used and `holes` are not granted.
    pub(super) fn restore(&mut self, page_count: u64, live: Bitmap, holes: Bitmap) {
        assert!(self.page_count == 0, "a space is restored once");
        self.live = live;
        self.holes = holes;
        self.set_page_count(page_count);
        for page in reserved_below(page_count) {
            self.live.insert(page);
        }
        for chunk in 0..page_count / TREE_CHUNK_PAGES {
            if !self.holes.contains(chunk) {
                self.free.set_word(chunk, !self.live.word(chunk));
            }
        }
    }

    fn put_free(&mut self, page: u64) {
        let absent = self.free.insert(page);
        assert!(absent, "page {page} becomes free once");
        self.lowest = self.lowest.min(page);
        self.run_missing = u64::MAX;
    }

    fn put_hot(&mut self, pages: PageRange) {
        for page in pages.first.0..pages.end().0 {
            self.put_free(page);
            if self.hot.len() < TREE_HOT_PAGES_MAX && page < self.ceiling {
                self.hot.push(PageNumber(page));
            }
        }
    }

    /// From here on low pages are preferred to warm ones at or above `ceiling`, until the file grows again.
    pub(super) fn set_ceiling(&mut self, ceiling: u64) {
        self.ceiling = ceiling;
        self.hot.clear();
        self.run_from = 0;
    }

    /// Takes a page: one touched lately, else the lowest.
    pub(super) fn take(&mut self) -> Option<PageNumber> {
        let hot = std::iter::from_fn(|| self.hot.pop()).find(|page| self.free.contains(page.0));
        let page = match hot {
            Some(page) => page,
            None => {
                let page = self.free.next(self.lowest)?;
                self.lowest = page;
                PageNumber(page)
            }
        };
        self.take_range(single(page), false);
        Some(page)
    }

    /// Takes neighbouring pages for a run.
    pub(super) fn take_run(&mut self, count: u64) -> Option<PageRange> {
        assert!(count > 0, "a run has pages");
        if count >= self.run_missing || count > self.free.count() {
            return None;
        }
        let end = self.page_count;
        let ahead = self.free.find_run(self.run_from, end, count);
        let Some(first) = ahead.or_else(|| self.free.find_run(self.lowest, self.run_from, count)) else {
            self.run_missing = count;
            return None;
        };
        let pages = PageRange { first: PageNumber(first), count };
        assert!(pages.end().0 <= end, "a run ends within the file");
        self.run_from = if pages.end().0 < end.min(self.ceiling) { pages.end().0 } else { 0 };
        self.take_range(pages, true);
        Some(pages)
    }

    fn take_range(&mut self, pages: PageRange, raw: bool) {
        for page in pages.first.0..pages.end().0 {
            assert!(self.free.remove(page), "page {page} was free");
            assert!(self.live.insert(page), "page {page} was not live");
            self.dirty.insert(page);
            if raw {
                self.raw.insert(page);
            }
            self.changed.insert(page / TREE_GROUP_PAGES);
        }
        self.taken.push(pages);
    }

    /// Whether all these pages are a tree's.
    pub(super) fn is_live(&self, pages: PageRange) -> bool {
        let Some(end) = pages.first.0.checked_add(pages.count) else { return false };
        end <= self.page_count && (pages.first.0..end).all(|page| self.live.contains(page) && !is_reserved(page))
    }

    /// Frees pages made by transaction `birth`; those of the running one, `txn`, nobody else has seen.
    pub(super) fn free(&mut self, pages: PageRange, birth: TxnId, txn: TxnId) {
        assert!(birth <= txn, "pages are freed after they were made");
        for page in pages.first.0..pages.end().0 {
            assert!(!is_reserved(page), "page {page} is not a tree's to free");
            assert!(self.live.remove(page), "page {page} is freed once");
            self.changed.insert(page / TREE_GROUP_PAGES);
        }
        if birth == txn {
            self.forget_dirty(pages);
            self.put_hot(pages);
        } else {
            self.freed.push(Freed { birth, pages });
        }
    }

    /// Frees the end of a run that the running transaction took too long.
    pub(super) fn forget_dirty(&mut self, pages: PageRange) {
        for page in pages.first.0..pages.end().0 {
            self.dirty.remove(page);
            self.raw.remove(page);
        }
    }

    /// The running transaction was published as `txn`.
    pub(super) fn publish(&mut self, txn: TxnId, is_held: impl Fn(TxnId) -> bool) {
        self.taken.clear();
        let freed = std::mem::take(&mut self.freed);
        freed.iter().for_each(|one| self.forget_dirty(one.pages));
        self.freed = freed;
        self.holds.publish(txn, &mut self.freed, is_held, &mut self.released);
        self.put_released();
    }

    /// Frees what waited for snapshots that are no longer held.
    pub(super) fn release(&mut self, is_held: impl Fn(TxnId) -> bool) {
        assert!(self.taken.is_empty() && self.freed.is_empty(), "no transaction is running");
        self.holds.release(is_held, &mut self.released);
        self.put_released();
    }

    fn put_released(&mut self) {
        let mut released = std::mem::take(&mut self.released);
        released.drain(..).for_each(|pages| self.put_hot(pages));
        self.released = released;
    }

    /// Undoes what the running transaction took and freed.
    pub(super) fn abort(&mut self) {
        for pages in std::mem::take(&mut self.taken) {
            for page in pages.first.0..pages.end().0 {
                // It may have been freed again already.
                if self.live.remove(page) {
                    self.forget_dirty(single(PageNumber(page)));
                    self.put_hot(single(PageNumber(page)));
                }
            }
        }
        for one in std::mem::take(&mut self.freed) {
            for page in one.pages.first.0..one.pages.end().0 {
                assert!(self.live.insert(page), "page {page} was freed by the transaction");
            }
        }
    }

    /// Chooses chunks to hand back to the file system, so that `kept` free pages stay: first the end of the file, then
    /// wholly free chunks from the end down. They are out of use from here on.
    pub(super) fn give_back(&mut self, kept: u64) -> GiveBack {
        let mut spare = self.free.count().saturating_sub(kept) / TREE_CHUNK_PAGES;
        // Not the odd chunk, or the file would shrink and grow in turns.
        if self.free.count() < 2 * kept || spare == 0 {
            return GiveBack::default();
        }
        // Pages near the start serve better than those touched lately while the file shrinks.
        self.hot.clear();
        let truncate = self.cut_tail(&mut spare);
        let (mut punch, mut chunks) = (Vec::new(), 0);
        let mut chunk = self.page_count / TREE_CHUNK_PAGES;
        while chunk > 0 && spare > 0 && chunks < TREE_GIVE_BACK_CHUNKS_MAX {
            chunk -= 1;
            if self.free.word(chunk) != u64::MAX {
                continue;
            }
            self.dig(chunk, &mut punch);
            spare -= 1;
            chunks += 1;
        }
        GiveBack { truncate, punch }
    }

    /// Makes a wholly free chunk a hole; joins it to the range before it in `out`.
    fn dig(&mut self, chunk: u64, out: &mut Vec<PageRange>) {
        self.free.set_word(chunk, 0);
        assert!(self.holes.insert(chunk), "a free chunk is no hole");
        self.changed.insert(chunk * TREE_CHUNK_PAGES / TREE_GROUP_PAGES);
        let first = PageNumber(chunk * TREE_CHUNK_PAGES);
        match out.last_mut() {
            Some(last) if last.first.0 == first.0 + TREE_CHUNK_PAGES => {
                last.first = first;
                last.count += TREE_CHUNK_PAGES;
            }
            Some(_) | None => out.push(PageRange { first, count: TREE_CHUNK_PAGES }),
        }
    }

    /// Cuts free chunks and holes off the end of the file; what was cut off.
    fn cut_tail(&mut self, spare: &mut u64) -> Option<PageRange> {
        let old = self.page_count;
        let mut new = old;
        while new > TREE_FILE_PAGES_MIN {
            let chunk = new / TREE_CHUNK_PAGES - 1;
            let is_hole = self.holes.contains(chunk);
            let free = self.free.word(chunk) == u64::MAX;
            if !(is_hole || (free && *spare > 0)) {
                break;
            }
            *spare -= u64::from(!is_hole);
            self.free.set_word(chunk, 0);
            self.holes.remove(chunk);
            new = chunk * TREE_CHUNK_PAGES;
        }
        // Groups beyond the end have no map to write.
        for group in group_count(new)..group_count(old) {
            self.changed.remove(group);
        }
        assert!((TREE_FILE_PAGES_MIN..=old).contains(&new), "the smallest file stays");
        self.page_count = new;
        // The new last group says that there are no pages beyond.
        self.changed.insert((new - 1) / TREE_GROUP_PAGES);
        (new < old).then_some(PageRange { first: PageNumber(new), count: old - new })
    }

    /// The lowest stretch of holes of at least `least` pages, at most `pages` of it: what to have granted again.
    pub(super) fn lowest_hole(&self, least: u64, pages: u64) -> Option<PageRange> {
        let end = self.page_count / TREE_CHUNK_PAGES;
        let first = self.holes.find_run(0, end, least.div_ceil(TREE_CHUNK_PAGES).max(1))?;
        let (_, chunks) = self.holes.next_stretch(first)?;
        let count = (chunks * TREE_CHUNK_PAGES).min(pages.next_multiple_of(TREE_CHUNK_PAGES));
        assert!(count >= least.min(pages), "the stretch is long enough");
        Some(PageRange { first: PageNumber(first * TREE_CHUNK_PAGES), count })
    }

    /// O(pages): each page is in exactly one state, and sums agree.
    pub(super) fn assert_invariants(&self) {
        let mut waiting = Bitmap::default();
        waiting.grow(self.page_count.max(1));
        let mut add = |pages: PageRange| {
            for page in pages.first.0..pages.end().0 {
                assert!(waiting.insert(page), "page {page} waits once");
            }
        };
        self.holds.each(&mut add);
        self.freed.iter().for_each(|one| add(one.pages));
        for page in 0..self.page_count {
            let states = [
                self.live.contains(page),
                self.free.contains(page),
                waiting.contains(page),
                self.holes.contains(page / TREE_CHUNK_PAGES),
            ];
            let count = states.iter().filter(|state| **state).count();
            assert!(count == 1, "page {page} is live, free, waiting, hole: {states:?}");
            assert!(!is_reserved(page) || self.live.contains(page), "page {page} is reserved");
            assert!(!self.raw.contains(page) || self.dirty.contains(page), "page {page} is raw and not dirty");
        }
        for bits in [&self.live, &self.free, &self.dirty] {
            assert!(bits.last().is_none_or(|last| last < self.page_count), "no page beyond the end");
        }
        assert!(wide(self.hot.len()) <= wide(TREE_HOT_PAGES_MAX), "the hot pages are bounded");
    }
}
