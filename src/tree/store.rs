//! The store: its single writer, its checkpoints and its file.
//!
//! Invariants
//! - One transaction at a time (the borrow checker's doing), one checkpoint at a time, one grow plan at a time.
//! - What the last durable checkpoint or one in progress reaches is held like a reader's pin.
//! - The shell carries out give-backs before any grow plan made after them.
//!
//! Life of a page: granted (`plan_grow`) → taken by a transaction → published → written by a checkpoint → freed by a later
//! transaction → free again once no hold sees it → taken again, or its chunk is given back.
//!
//! Benchmark: benches/tree_cursor.rs.

use std::sync::Arc;

use crate::limits::{PAGE_BYTES, TREE_CHUNK_PAGES, TREE_FILE_PAGES_MIN};
use crate::types::{PageNumber, TxnId};

use super::bitmap::Bitmap;
use super::check;
use super::checkpoint::{CheckpointDone, CheckpointPlan, PlanParts, map_blocks};
use super::edit::SeparatorBytes;
use super::error::Error;
use super::freemap::{self, GroupState, group_count, map_page};
use super::holds::PageRange;
use super::meta::{Meta, pick_from_arena};
use super::mutate::Editor;
use super::page::{Arena, WritePermit};
use super::readers::Shared;
use super::snapshot::{Snapshot, Stamp};
use super::space::{GiveBack, Space};
use super::sweep::Sweep;
use super::txn::Txn;

/// What can be chosen about a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// The file grows by at least this many pages.
    pub grow_pages: u64,
    /// Free pages that stay when space is given back; an eighth of the used ones stay at any rate.
    pub free_pages_kept: u64,
}

impl Default for Config {
    /// Grow by 64 MiB, keep 64 MiB.
    fn default() -> Self {
        Self { grow_pages: 16_384, free_pages_kept: 16_384 }
    }
}

/// Pages to have granted: allocated in the file, and mapped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GrowPlan {
    /// The first page.
    pub first_page: PageNumber,
    /// How many.
    pub page_count: u64,
}

/// Figures of a store, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Transactions published since the start.
    pub commits: u64,
    /// Transactions dropped.
    pub aborts: u64,
    /// Checkpoints finished.
    pub checkpoints: u64,
    /// Pages that checkpoints wrote, map blocks and metas included.
    pub pages_written: u64,
    /// Pages given back to the file system.
    pub pages_given_back: u64,
    /// Pages that wait for old snapshots to go away.
    pub pages_waiting: u64,
    /// Pages of chunks that were given back and not granted again.
    pub pages_in_holes: u64,
    /// Snapshots that keep pages.
    pub snapshots_held: u64,
    /// Whether the free map was damaged when the store was opened, and built anew.
    pub map_rebuilt: bool,
}

/// The single writer of a store.
#[derive(Debug)]
pub struct Tree {
    pub(super) editor: Editor,
    config: Config,
    published: Snapshot,
    /// Checkpoints begun.
    sequence: u64,
    /// The last durable checkpoint's transaction.
    durable: Option<TxnId>,
    /// A checkpoint in progress.
    in_progress: Option<TxnId>,
    groups: Vec<GroupState>,
    /// Whether the checkpoint in progress gives space back.
    giving_back: bool,
    growing: bool,
    pins: Vec<TxnId>,
    stats: Stats,
}

impl Tree {
    /// A new store in a file of `granted_pages` zeros. Its first checkpoint writes everything.
    pub fn create(arena: Arena, config: Config, granted_pages: u64) -> Result<Self, Error> {
        if granted_pages < TREE_FILE_PAGES_MIN {
            return Err(Error::ShortFile { pages_expected: TREE_FILE_PAGES_MIN, pages_found: granted_pages });
        }
        reserve_suffices(&arena, granted_pages)?;
        let granted_pages = whole_chunks(granted_pages);
        let first = Snapshot { txn: TxnId(1), ..Snapshot::default() };
        let mut space = Space::new(first.txn);
        space.grow(PageRange { first: PageNumber(0), count: granted_pages });
        let shared = Shared::new(arena, granted_pages, &first);
        Ok(Self::assemble(Arc::new(shared), config, space, first))
    }

    /// Opens the store in a file of `file_pages` pages, of which the arena holds the bytes.
    pub fn open(arena: Arena, config: Config, file_pages: u64) -> Result<Self, Error> {
        if file_pages < TREE_FILE_PAGES_MIN {
            return Err(Error::ShortFile { pages_expected: TREE_FILE_PAGES_MIN, pages_found: file_pages });
        }
        reserve_suffices(&arena, file_pages)?;
        let meta = pick_from_arena(&arena)?;
        if meta.page_count > file_pages {
            return Err(Error::ShortFile { pages_expected: meta.page_count, pages_found: file_pages });
        }
        if meta.page_count < TREE_FILE_PAGES_MIN || !meta.page_count.is_multiple_of(TREE_CHUNK_PAGES) {
            return Err(Error::Corrupt { page: meta.page_number(), what: "page count" });
        }
        let shared = Arc::new(Shared::new(arena, meta.page_count, &meta.snapshot));
        let loaded = load_map(&shared, &meta);
        let map_rebuilt = loaded.is_none();
        let (live, holes, groups) = match loaded {
            Some(map) => map,
            None => check::rebuild_map(&shared, &meta)?,
        };
        let mut space = Space::new(meta.snapshot.txn);
        space.restore(meta.page_count, live, holes);
        let mut tree = Self::assemble(shared, config, space, meta.snapshot);
        tree.sequence = meta.sequence;
        tree.durable = Some(meta.snapshot.txn);
        tree.groups = groups;
        tree.stats.map_rebuilt = map_rebuilt;
        Ok(tree)
    }

    fn assemble(shared: Arc<Shared>, config: Config, space: Space, published: Snapshot) -> Self {
        let editor = Editor {
            shared,
            permit: WritePermit::new(),
            space,
            snapshot: published,
            scratch: Box::new([0; PAGE_BYTES]),
            cell: Vec::with_capacity(PAGE_BYTES),
            separator: SeparatorBytes::default(),
        };
        Self {
            editor,
            config,
            published,
            sequence: 0,
            durable: None,
            in_progress: None,
            groups: Vec::new(),
            giving_back: false,
            growing: false,
            pins: Vec::new(),
            stats: Stats::default(),
        }
    }

    /// What readers on other threads need.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.editor.shared)
    }

    /// Begins a transaction.
    pub fn begin(&mut self) -> Txn<'_> {
        Txn::begin(self)
    }

    pub(super) fn start(&mut self) {
        assert!(self.editor.snapshot == self.published, "one transaction at a time");
        self.editor.snapshot.txn = self.published.txn.next();
    }

    pub(super) fn publish(&mut self, stamp: Stamp) -> TxnId {
        let editor = &mut self.editor;
        assert!(editor.snapshot.txn == self.published.txn.next(), "a transaction is running");
        assert!(stamp.applied_index >= self.published.stamp.applied_index, "the applied index never goes back");
        editor.snapshot.stamp = stamp;
        self.published = editor.snapshot;
        editor.shared.publish(&self.published);
        editor.shared.scan(&mut self.pins);
        let (pins, durable, in_progress) = (&self.pins, self.durable, self.in_progress);
        editor.space.publish(self.published.txn, |txn| is_held(txn, pins, durable, in_progress));
        self.stats.commits += 1;
        self.published.txn
    }

    pub(super) fn abort(&mut self) {
        self.editor.space.abort();
        self.editor.snapshot = self.published;
        self.stats.aborts += 1;
    }

    /// Looks which snapshots readers still pin and frees what waited for others. Each commit does it too; this is for a
    /// store that has nothing to commit and needs pages.
    pub fn release(&mut self) {
        self.editor.shared.scan(&mut self.pins);
        let (pins, durable, in_progress) = (&self.pins, self.durable, self.in_progress);
        self.editor.space.release(|txn| is_held(txn, pins, durable, in_progress));
    }

    /// A sweep that would let a good part of the file go, if there is: more than a quarter of it is free, and more than twice
    /// what is kept. What lies together in whole chunks goes back without it, so what is still free then lies scattered.
    /// Carried out in steps (`Txn::sweep`), it moves what lies high in the file down; the checkpoints after it give back.
    pub fn plan_sweep(&mut self) -> Option<Sweep> {
        let kept = self.pages_kept();
        let free = self.pages_free();
        // What was just freed comes free with the next checkpoint: before, there is no room low in the file.
        let waits = self.editor.space.waiting() > free / 4;
        if waits || free < (self.pages_used() / 3).max(2 * kept) + TREE_CHUNK_PAGES {
            return None;
        }
        // A quarter more than the trees take, so that runs find their room.
        let ceiling = self.pages_used() * 5 / 4 + kept;
        if self.editor.space.live.last().is_none_or(|last| last < ceiling) {
            // Nothing lies high: what is free is the end already, and goes with the next checkpoints.
            return None;
        }
        self.editor.space.set_ceiling(ceiling);
        Some(Sweep::new(ceiling))
    }

    /// Free pages that are not given back.
    fn pages_kept(&self) -> u64 {
        self.config.free_pages_kept.max(self.pages_used() / 8)
    }

    /// The number of the last published transaction.
    pub fn txn(&self) -> TxnId {
        self.published.txn
    }

    /// What the last published transaction stands for.
    pub fn stamp(&self) -> Stamp {
        self.published.stamp
    }

    /// Pages that can be written now.
    pub fn pages_free(&self) -> u64 {
        self.editor.space.free.count()
    }

    /// Pages that the trees, the metas and the free map take.
    pub fn pages_used(&self) -> u64 {
        self.editor.space.live.count()
    }

    /// Pages of the file, as far as the tree counts on them.
    pub fn file_pages(&self) -> u64 {
        self.editor.space.page_count()
    }

    /// Pages that the next checkpoint would write.
    pub fn dirty_pages(&self) -> u64 {
        self.editor.space.dirty.count()
    }

    /// Figures for metrics.
    pub fn stats(&self) -> Stats {
        let space = &self.editor.space;
        Stats {
            pages_waiting: space.waiting(),
            pages_in_holes: space.holes.count() * TREE_CHUNK_PAGES,
            snapshots_held: super::page::wide(space.holds().count()),
            ..self.stats
        }
    }

    /// What to have granted so that `pages_wanted` more pages, neighbours, can be written: a hole that is large enough, else
    /// the end of the file; at the end of the reserved range any hole. `None` while a grow plan is out, while a checkpoint
    /// that gives space back is in progress, and when there is nothing left.
    pub fn plan_grow(&mut self, pages_wanted: u64) -> Option<GrowPlan> {
        if self.growing || self.giving_back {
            return None;
        }
        let (first, space) = (self.file_pages(), &self.editor.space);
        let most = pages_wanted.max(self.config.grow_pages).max(1).next_multiple_of(TREE_CHUNK_PAGES);
        let left = whole_chunks(self.editor.shared.arena().reserved_pages() - first);
        let end = PageRange { first: PageNumber(first), count: most.min(left) };
        let pages = space
            .lowest_hole(pages_wanted, most)
            .or_else(|| Some(end).filter(|end| end.count > 0))
            .or_else(|| space.lowest_hole(1, most))?;
        self.growing = true;
        Some(GrowPlan { first_page: pages.first, page_count: pages.count })
    }

    /// The plan's pages are granted.
    pub fn on_grow_done(&mut self, plan: &GrowPlan) {
        assert!(self.growing, "a grow plan is out");
        self.growing = false;
        let pages = PageRange { first: plan.first_page, count: plan.page_count };
        assert!(pages.end().0 <= self.editor.shared.arena().reserved_pages(), "the plan kept to the reserved range");
        self.editor.space.grow(pages);
        self.editor.shared.set_granted(self.file_pages());
    }

    /// The plan's pages could not be granted.
    pub fn on_grow_failed(&mut self, _plan: &GrowPlan) {
        assert!(self.growing, "a grow plan is out");
        self.growing = false;
    }

    /// What to write to make the published state durable; `None` if it is already, or a checkpoint is in progress.
    pub fn plan_checkpoint(&mut self) -> Option<CheckpointPlan> {
        let txn = self.published.txn;
        if self.in_progress.is_some() || self.durable == Some(txn) {
            return None;
        }
        let kept = self.pages_kept();
        let editor = &mut self.editor;
        let give_back = if self.growing { GiveBack::default() } else { editor.space.give_back(kept) };
        self.giving_back = !give_back.is_empty();
        let space = &mut editor.space;
        editor.shared.set_granted(space.page_count());
        let groups = group_count(space.page_count());
        let blocks = map_blocks(&mut self.groups, groups, &space.changed, (&space.live, &space.holes), txn);
        self.sequence += 1;
        let meta = Meta {
            sequence: self.sequence,
            page_count: space.page_count(),
            map_digest: freemap::digest(&self.groups),
            snapshot: self.published,
        };
        let mut meta_page = Box::new([0; PAGE_BYTES]);
        meta.encode(&mut meta_page);
        let parts =
            PlanParts { txn, stamp: self.published.stamp, blocks, meta: (meta.page_number(), meta_page), give_back };
        let plan = CheckpointPlan::new(Arc::clone(&editor.shared), &space.dirty, &space.raw, parts);
        space.changed.clear();
        space.dirty.clear();
        space.raw.clear();
        assert!(self.durable < Some(txn), "checkpoints ascend");
        self.in_progress = Some(txn);
        Some(plan)
    }

    /// The plan was carried out, both barriers included.
    pub fn on_checkpoint_done(&mut self, plan: CheckpointPlan) -> CheckpointDone {
        assert!(self.in_progress == Some(plan.txn), "the plan is the one in progress");
        self.in_progress = None;
        self.durable = Some(plan.txn);
        self.giving_back = false;
        self.stats.checkpoints += 1;
        self.stats.pages_written += plan.page_count() + super::page::wide(plan.map_blocks().len()) + 1;
        self.stats.pages_given_back += plan.give_back.pages();
        self.release();
        CheckpointDone { txn: plan.txn, stamp: plan.stamp, give_back: plan.give_back }
    }
}

/// Whether a snapshot is still needed. `pins` ascend.
fn is_held(txn: TxnId, pins: &[TxnId], durable: Option<TxnId>, in_progress: Option<TxnId>) -> bool {
    durable == Some(txn) || in_progress == Some(txn) || pins.binary_search(&txn).is_ok()
}

/// Pages of the whole chunks among `pages`.
fn whole_chunks(pages: u64) -> u64 {
    pages / TREE_CHUNK_PAGES * TREE_CHUNK_PAGES
}

fn reserve_suffices(arena: &Arena, pages_needed: u64) -> Result<(), Error> {
    let pages_reserved = arena.reserved_pages();
    if pages_needed > pages_reserved { Err(Error::ReservedTooSmall { pages_needed, pages_reserved }) } else { Ok(()) }
}

/// The free map of `meta`: live pages, holes, and where each group's block is. `None` if a block is damaged or lost.
pub(super) fn load_map(shared: &Shared, meta: &Meta) -> Option<(Bitmap, Bitmap, Vec<GroupState>)> {
    let (mut live, mut holes, mut groups) = (Bitmap::default(), Bitmap::default(), Vec::new());
    live.grow(meta.page_count);
    holes.grow(meta.page_count.div_ceil(TREE_CHUNK_PAGES));
    for group in 0..group_count(meta.page_count) {
        let block = |slot| {
            let page = shared.arena().page(map_page(group, slot));
            let txn = freemap::parse(page, group, slot).filter(|txn| *txn <= meta.snapshot.txn)?;
            Some((GroupState { slot, txn }, page))
        };
        let (state, page) = [block(0), block(1)].into_iter().flatten().max_by_key(|(state, _)| state.txn)?;
        freemap::load(page, group, &mut live, &mut holes, meta.page_count);
        groups.push(state);
    }
    let mut chunks = 0..meta.page_count / TREE_CHUNK_PAGES;
    let sound = chunks.all(|chunk| !holes.contains(chunk) || live.word(chunk) == 0);
    (sound && freemap::digest(&groups) == meta.map_digest).then_some((live, holes, groups))
}
