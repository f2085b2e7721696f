//! A checkpoint as a value: which pages to write, and their bytes.
//!
//! Invariants
//! - Everything a plan names stays as it is until the plan is done: its snapshot is a hold.
//! - The order is part of the plan: pages and map blocks, barrier, meta, barrier. Then the plan goes back to the tree, by
//!   value: only what was carried out can be reported done.

use std::sync::Arc;

use crate::types::{PageNumber, TxnId};

use super::bitmap::Bitmap;
use super::freemap::{GroupState, encode, map_page};
use super::holds::PageRange;
use super::page::{Page, seal};
use super::readers::Shared;
use super::snapshot::Stamp;
use super::space::GiveBack;

/// Pages to write that lie together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct WriteRange {
    pages: PageRange,
    /// Parts of runs, without header.
    raw: bool,
}

/// What to write, and in which order. Send it to the thread that writes, and from there back.
#[derive(Debug)]
pub struct CheckpointPlan {
    shared: Arc<Shared>,
    pub(super) txn: TxnId,
    pub(super) stamp: Stamp,
    ranges: Vec<WriteRange>,
    blocks: Vec<(PageNumber, Box<Page>)>,
    meta: (PageNumber, Box<Page>),
    pub(super) give_back: GiveBack,
}

/// What a plan is made of.
#[derive(Debug)]
pub(super) struct PlanParts {
    pub(super) txn: TxnId,
    pub(super) stamp: Stamp,
    pub(super) blocks: Vec<(PageNumber, Box<Page>)>,
    pub(super) meta: (PageNumber, Box<Page>),
    pub(super) give_back: GiveBack,
}

impl CheckpointPlan {
    /// A plan that writes `dirty` pages, `raw` ones among them without header.
    pub(super) fn new(shared: Arc<Shared>, dirty: &Bitmap, raw: &Bitmap, parts: PlanParts) -> Self {
        let mut ranges: Vec<WriteRange> = Vec::new();
        let mut from = 0;
        while let Some(page) = dirty.next(from) {
            from = page + 1;
            let is_raw = raw.contains(page);
            match ranges.last_mut() {
                Some(last) if last.pages.end().0 == page && last.raw == is_raw => last.pages.count += 1,
                Some(_) | None => {
                    let pages = PageRange { first: PageNumber(page), count: 1 };
                    ranges.push(WriteRange { pages, raw: is_raw });
                }
            }
        }
        assert!(ranges.is_sorted_by_key(|range| range.pages.first), "a plan writes in the file's order");
        let PlanParts { txn, stamp, blocks, meta, give_back } = parts;
        Self { shared, txn, stamp, ranges, blocks, meta, give_back }
    }

    /// The transaction that the checkpoint makes durable.
    pub fn txn(&self) -> TxnId {
        self.txn
    }

    /// What it stands for.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The pages of the trees to write, ascending. Neighbouring ranges may touch.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = PageRange> + '_ {
        self.ranges.iter().map(|range| range.pages)
    }

    /// Pages in all ranges.
    pub fn page_count(&self) -> u64 {
        self.ranges.iter().map(|range| range.pages.count).sum()
    }

    /// Copies one page of the ranges, sealed, as the file is to hold it.
    ///
    /// # Panics
    /// If the page is in none of the ranges.
    pub fn write_page(&self, page: PageNumber, out: &mut Page) {
        let at = self.ranges.partition_point(|range| range.pages.end() <= page);
        assert!(at < self.ranges.len() && self.ranges[at].pages.first <= page, "page {page} is one of the plan's");
        let range = self.ranges[at];
        out.copy_from_slice(self.shared.arena().page(page));
        if !range.raw {
            assert!(super::page::number(out) == page, "a node knows its number");
            seal(out);
        }
    }

    /// The free map's blocks to write, sealed: after the ranges or among them, before the first barrier.
    pub fn map_blocks(&self) -> impl ExactSizeIterator<Item = (PageNumber, &Page)> {
        self.blocks.iter().map(|(number, page)| (*number, &**page))
    }

    /// The meta page, sealed: between the two barriers.
    pub fn meta(&self) -> (PageNumber, &Page) {
        (self.meta.0, &self.meta.1)
    }
}

/// What a finished checkpoint means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckpointDone {
    /// The transaction that is durable now.
    pub txn: TxnId,
    /// What it stands for: the WAL through its applied index is needed no more.
    pub stamp: Stamp,
    /// Space that may go back to the file system. Optional, but if done, then before any grow plan made later.
    pub give_back: GiveBack,
}

/// Writes the blocks of the changed groups for the checkpoint of `txn`, and notes where they go.
pub(super) fn map_blocks(
    groups: &mut Vec<GroupState>,
    group_count: u64,
    changed: &Bitmap,
    bits: (&Bitmap, &Bitmap),
    txn: TxnId,
) -> Vec<(PageNumber, Box<Page>)> {
    groups.resize(super::page::index(group_count), GroupState::default());
    let mut blocks = Vec::new();
    for (group, state) in (0..).zip(groups.iter_mut()) {
        if state.txn != TxnId(0) && !changed.contains(group) {
            continue;
        }
        assert!(state.txn < txn, "a checkpoint is newer than the one before");
        *state = GroupState { slot: 1 - state.slot, txn };
        let mut page = Box::new([0; crate::limits::PAGE_BYTES]);
        encode(&mut page, group, state.slot, txn, bits);
        blocks.push((map_page(group, state.slot), page));
    }
    blocks
}
