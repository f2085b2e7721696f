//! Walking whole trees: every page's structure, order, counts and weights, and which pages are reached.
//!
//! Invariants
//! - It reads pages through the same checks as every reader, and then everything that those leave to the writer.
//! - It changes nothing.

use crate::limits::TREE_CHUNK_PAGES;
use crate::types::{PageNumber, TxnId};

use super::bitmap::Bitmap;
use super::error::Error;
use super::freemap::{GroupState, group_count, is_reserved};
use super::holds::PageRange;
use super::key::TreeId;
use super::meta::Meta;
use super::node::{Node, RunRef, Runs};
use super::readers::{Shared, single};
use super::snapshot::Snapshot;
use super::store::Tree;
use super::view::{NodeAt, View, corrupt, run_pages};

/// What a walk over all trees found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CheckReport {
    /// Leaves and branches.
    pub node_pages: u64,
    /// Pages of runs.
    pub run_pages: u64,
    /// Cells in all leaves.
    pub cells: u64,
    /// Weighted cells.
    pub weighted: u64,
    /// Bytes of nodes that cells and slots take.
    pub bytes_used: u64,
    /// Levels of the highest tree.
    pub levels: u64,
}

struct Walk<'a> {
    shared: &'a Shared,
    reached: Bitmap,
    report: CheckReport,
}

/// Keys between which a subtree's keys must lie: at or above the first, below the second.
#[derive(Clone, Copy)]
struct Bounds<'a> {
    low: Option<&'a [u8]>,
    high: Option<&'a [u8]>,
}

impl<'a> Walk<'a> {
    fn new(shared: &'a Shared, page_count: u64) -> Self {
        let mut reached = Bitmap::default();
        reached.grow(page_count);
        Self { shared, reached, report: CheckReport::default() }
    }

    fn trees(&mut self, snapshot: &Snapshot) -> Result<(), Error> {
        for tree in TreeId::ALL {
            let root = snapshot.root(tree);
            if root.is_empty() {
                continue;
            }
            let node = self.shared.node(NodeAt::root(tree, root))?;
            self.report.levels = self.report.levels.max(u64::from(root.level) + 1);
            self.node(tree, node, Bounds { low: None, high: None })?;
        }
        Ok(())
    }

    fn reach(&mut self, pages: PageRange) -> Result<(), Error> {
        for page in pages.first.0..pages.end().0 {
            if page >= self.shared.granted() || is_reserved(page) || !self.reached.insert(page) {
                return Err(corrupt(PageNumber(page), "reached twice, or not a tree's page"));
            }
        }
        Ok(())
    }

    fn run(&mut self, run: Option<RunRef>, parent: TxnId) -> Result<(), Error> {
        let Some(run) = run else { return Ok(()) };
        if run.birth > parent {
            return Err(corrupt(run.page, "a run made after its cell"));
        }
        self.shared.run(&run)?;
        self.report.run_pages += run_pages(&run).count;
        self.reach(run_pages(&run))
    }

    fn node(&mut self, tree: TreeId, node: Node<'a>, bounds: Bounds<'a>) -> Result<(), Error> {
        node.validate().map_err(|what| corrupt(node.number(), what))?;
        self.reach(single(node.number()))?;
        self.report.node_pages += 1;
        self.report.bytes_used += super::page::wide(node.used());
        let shared = self.shared;
        let mut before = bounds.low;
        for at in 0..node.count() {
            let cell = node.cell_key(at).ok_or_else(|| node.torn_cell())?;
            self.run(cell.run, node.birth())?;
            if node.level() > 0 && at == 0 {
                continue;
            }
            let key = cell.resolve(shared)?;
            let ascends = before.is_none_or(|before| if at == 0 { before <= key } else { before < key });
            if !ascends || bounds.high.is_some_and(|high| key >= high) {
                return Err(corrupt(node.number(), "key order"));
            }
            before = Some(key);
        }
        if node.level() == 0 { self.leaf(node) } else { self.children(tree, node, bounds) }
    }

    fn leaf(&mut self, node: Node<'a>) -> Result<(), Error> {
        for at in 0..node.count() {
            let cell = node.leaf_cell(at).ok_or_else(|| node.torn_cell())?;
            self.run(cell.body_run, node.birth())?;
        }
        self.report.cells += super::page::wide(node.count());
        self.report.weighted += node.weight();
        Ok(())
    }

    fn children(&mut self, tree: TreeId, node: Node<'a>, bounds: Bounds<'a>) -> Result<(), Error> {
        let shared = self.shared;
        let separator = |at: usize| match node.cell_key(at) {
            Some(key) => key.resolve(shared).map(Some),
            None => Ok(None),
        };
        for at in 0..node.count() {
            let child = shared.child(tree, node, at)?;
            let low = if at == 0 { bounds.low } else { separator(at)? };
            let high = separator(at + 1)?.or(bounds.high);
            self.node(tree, child, Bounds { low, high })?;
        }
        Ok(())
    }
}

impl View<'_> {
    /// Reads every page of the snapshot and checks all that can be.
    pub fn check(&self) -> Result<CheckReport, Error> {
        let shared = self.shared();
        let mut walk = Walk::new(shared, shared.granted());
        walk.trees(self.snapshot())?;
        Ok(walk.report)
    }
}

impl Tree {
    /// Checks the published state and that free space and trees agree: each page is reached or free, none both.
    pub fn check(&self) -> Result<CheckReport, Error> {
        let shared = &self.editor.shared;
        let mut walk = Walk::new(shared, self.file_pages());
        walk.trees(&self.editor.snapshot)?;
        let live = &self.editor.space.live;
        for page in 0..self.file_pages() {
            let is_used = walk.reached.contains(page) || is_reserved(page);
            if is_used != live.contains(page) {
                let what = if is_used { "reached but free in the map" } else { "used in the map but not reached" };
                return Err(corrupt(PageNumber(page), what));
            }
        }
        Ok(walk.report)
    }

    /// O(pages): what the free space promises.
    pub fn assert_invariants(&self) {
        self.editor.space.assert_invariants();
    }
}

/// Builds the free map from the trees themselves, when its blocks are damaged. Every wholly free chunk counts as a hole: it
/// may be one, and then it must be granted again before it is written.
pub(super) fn rebuild_map(shared: &Shared, meta: &Meta) -> Result<(Bitmap, Bitmap, Vec<GroupState>), Error> {
    let mut walk = Walk::new(shared, meta.page_count);
    walk.trees(&meta.snapshot)?;
    let mut holes = Bitmap::default();
    let chunks = meta.page_count / TREE_CHUNK_PAGES;
    holes.grow(meta.page_count.div_ceil(TREE_CHUNK_PAGES));
    for chunk in 0..chunks {
        let pages = chunk * TREE_CHUNK_PAGES..(chunk + 1) * TREE_CHUNK_PAGES;
        if walk.reached.word(chunk) == 0 && !pages.clone().any(is_reserved) {
            holes.insert(chunk);
        }
    }
    let groups = super::page::index(group_count(meta.page_count));
    Ok((walk.reached, holes, vec![GroupState::default(); groups]))
}
