//! Inserting, removing and weighing cells: the way down, pages made the transaction's own, the way up.
//!
//! Invariants
//! - A page made by the running transaction is edited in place; any other is copied first, and its parents with it, so what
//!   is published never changes.
//! - Before the first change of an operation there are pages enough for all of it: `OutOfPages` leaves the transaction with
//!   the cells that it had before the operation.
//! - A page of the file is edited as a copy that was checked after it was made: what rots under us is found there, and what
//!   `edit.rs` asserts holds of bytes that nothing outside can change. After any other error than `OutOfPages` the
//!   transaction must be dropped.
//! - After each operation a branch's cell says of its child what the child's header says.

use std::sync::Arc;

use crate::codec::crc32c;
use crate::limits::{
    TREE_BODY_INLINE_BYTES_MAX, TREE_HEAD_BYTES_MAX, TREE_KEY_INLINE_BYTES_MAX, TREE_KEY_PREFIX_BYTES, TREE_LEVELS_MAX,
    TREE_RUN_BYTES_MAX,
};
use crate::types::{PageNumber, TxnId};

use super::edit::{self, Child, NodeIdentity, SeparatorBytes};
use super::error::Error;
use super::holds::PageRange;
use super::key::TreeId;
use super::node::{LeafCell, Node, RunRef, SLOT_BYTES, flag};
use super::page::{Page, WritePermit, pages_for, put_identity, short};
use super::readers::{Shared, single};
use super::snapshot::{Root, Snapshot};
use super::space::Space;
use super::view::{NodeAt, corrupt, run_pages, verify_place, verify_whole};

/// What the running transaction works with.
#[derive(Debug)]
pub(super) struct Editor {
    pub(super) shared: Arc<Shared>,
    pub(super) permit: WritePermit,
    pub(super) space: Space,
    /// The running transaction and its roots.
    pub(super) snapshot: Snapshot,
    /// Copies of pages while they are rearranged.
    pub(super) scratch: Box<Page>,
    /// The cell being built.
    pub(super) cell: Vec<u8>,
    /// The separator on its way up.
    pub(super) separator: SeparatorBytes,
}

/// A node on the way down.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Step {
    pub(super) page: PageNumber,
    pub(super) birth: TxnId,
    pub(super) level: u8,
    pub(super) weight: u64,
    /// The child taken; in the leaf, where the key stands or belongs.
    pub(super) at: usize,
}

impl Step {
    /// As its parent names it.
    fn named(&self, tree: TreeId) -> NodeAt {
        NodeAt { tree, page: self.page, birth: self.birth, level: self.level, weight: self.weight }
    }
}

/// The way from the root to a leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) tree: TreeId,
    steps: [Step; TREE_LEVELS_MAX],
    /// Steps; the last is the leaf's.
    length: usize,
    /// Whether the key is there.
    pub(super) exact: bool,
}

impl Path {
    /// Steps from the root to the leaf.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps[..self.length]
    }

    /// Index of the leaf's step.
    pub(super) fn last(&self) -> usize {
        self.length - 1
    }

    /// The leaf's step.
    pub(super) fn leaf(&self) -> Step {
        self.steps[self.last()]
    }

    /// Pages that an operation along this path may need: a copy and a split of each, a sibling to merge, and a new root.
    pub(super) fn pages_needed(&self) -> u64 {
        self.pages_needed_when_owned() + super::page::wide(self.length)
    }

    /// The same once every page of the path is the transaction's own.
    pub(super) fn pages_needed_when_owned(&self) -> u64 {
        super::page::wide(self.length) * 2 + 2
    }
}

/// What a cell is to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content<'a> {
    pub(super) key: &'a [u8],
    pub(super) head: &'a [u8],
    pub(super) body: &'a [u8],
    pub(super) weighted: bool,
}

/// Runs taken for a new cell.
#[derive(Clone, Copy, Debug, Default)]
struct CellRuns {
    body: Option<RunRef>,
    key: Option<RunRef>,
}

impl Editor {
    /// The running transaction.
    pub(super) fn txn(&self) -> TxnId {
        self.snapshot.txn
    }

    /// Puts a cell in, or in the place of the one with its key; whether the key is new.
    pub(super) fn insert(&mut self, tree: TreeId, content: Content<'_>) -> Result<bool, Error> {
        let longest = content.key.len().max(content.body.len());
        if longest > TREE_RUN_BYTES_MAX {
            return Err(Error::TooLarge { bytes: longest });
        }
        assert!(content.head.len() <= TREE_HEAD_BYTES_MAX, "a head of {} bytes", content.head.len());
        let is_first = self.ensure_root(tree)?;
        let result = self.insert_below(tree, content);
        if is_first && result.is_err() {
            self.shrink_root(tree)?;
        }
        result
    }

    /// Puts a cell into a tree that has a root.
    fn insert_below(&mut self, tree: TreeId, content: Content<'_>) -> Result<bool, Error> {
        let mut path = self.descend(tree, content.key)?;
        if path.length == TREE_LEVELS_MAX {
            return Err(corrupt(path.steps()[0].page, "levels"));
        }
        let runs = self.take_runs(&content, path.pages_needed())?;
        self.build_cell(&content, runs);
        self.own(&mut path, content.key)?;
        let reserve = match self.reserve_separator(&path, content.key.len()) {
            Ok(reserve) => reserve,
            Err(error) => return self.undo_runs(runs, error),
        };
        if path.exact && reserve.is_none() && self.overwrite(&path) {
            return Ok(false);
        }
        if path.exact {
            self.remove_cell(&path)?;
        }
        self.insert_cell(&path, reserve)?;
        Ok(!path.exact)
    }

    /// Writes `self.cell` over the cell at the path, if that has the same size and no runs; whether it did.
    fn overwrite(&mut self, path: &Path) -> bool {
        let Step { page, at, .. } = path.leaf();
        let old = self.checked(page).leaf_cell(at);
        assert!(old.is_some(), "the search found cell {at}");
        let fits = old
            .is_some_and(|old| old.bytes.len() == self.cell.len() && old.body_run.is_none() && old.key.run.is_none());
        if fits {
            let target = self.shared.arena().page_mut(&mut self.permit, page);
            edit::overwrite(target, at, &self.cell);
            self.settle(path, path.last());
        }
        fits
    }

    /// Takes the cell of `key` out; whether there was one.
    pub(super) fn remove(&mut self, tree: TreeId, key: &[u8]) -> Result<bool, Error> {
        if self.snapshot.root(tree).is_empty() {
            return Ok(false);
        }
        let mut path = self.descend(tree, key)?;
        if !path.exact {
            return Ok(false);
        }
        self.need_pages(path.pages_needed())?;
        self.own(&mut path, key)?;
        let before = self.checked(path.leaf().page).count();
        self.remove_cell(&path)?;
        assert!(self.checked(path.leaf().page).count() + 1 == before, "one cell is gone");
        self.settle(&path, path.last());
        self.shrink(&path)?;
        Ok(true)
    }

    /// Sets or clears the weight of the cell of `key`; whether there is one.
    pub(super) fn set_weighted(&mut self, tree: TreeId, key: &[u8], weighted: bool) -> Result<bool, Error> {
        if self.snapshot.root(tree).is_empty() {
            return Ok(false);
        }
        let mut path = self.descend(tree, key)?;
        if !path.exact {
            return Ok(false);
        }
        let leaf = self.shared.pages_carefully().node(path.leaf().named(tree))?;
        if leaf.is_weighted(path.leaf().at) == Some(weighted) {
            return Ok(true);
        }
        self.need_pages(path.pages_needed())?;
        self.own(&mut path, key)?;
        let Step { page, at, .. } = path.leaf();
        edit::set_weighted(self.page_mut(page), at, weighted);
        self.settle(&path, path.last());
        Ok(true)
    }

    /// A page of the running transaction.
    pub(super) fn page_mut(&mut self, page: PageNumber) -> &mut Page {
        self.shared.arena().page_mut(&mut self.permit, page)
    }

    /// A page of the running transaction and the scratch page.
    pub(super) fn page_and_scratch(&mut self, page: PageNumber) -> (&mut Page, &mut Page) {
        (self.shared.arena().page_mut(&mut self.permit, page), &mut self.scratch)
    }

    /// A page of the transaction's own.
    pub(super) fn checked(&self, page: PageNumber) -> Node<'_> {
        Node::new(self.shared.arena().page(page))
    }

    pub(super) fn need_pages(&self, count: u64) -> Result<(), Error> {
        if self.space.free.count() < count { Err(Error::OutOfPages) } else { Ok(()) }
    }

    /// Takes a page for the running transaction. There is one: the operation asked before it began.
    pub(super) fn take_page(&mut self) -> PageNumber {
        let page = self.space.take().expect("the operation began with pages enough");
        assert!(page.0 < self.shared.granted(), "page {page} is granted");
        self.shared.set_made(single(page));
        page
    }

    /// Whether pages that another page names are the trees' own. A page named twice is found out when the first naming is
    /// gone.
    pub(super) fn in_use(&self, pages: PageRange, birth: TxnId) -> Result<(), Error> {
        if birth <= self.txn() && self.space.is_live(pages) {
            return Ok(());
        }
        Err(corrupt(pages.first, "named by a page, but not in use"))
    }

    /// Frees a page or a run.
    pub(super) fn release(&mut self, pages: PageRange, birth: TxnId) -> Result<(), Error> {
        self.in_use(pages, birth)?;
        self.space.free(pages, birth, self.snapshot.txn);
        Ok(())
    }

    /// Makes the first leaf of an empty tree; whether it was empty.
    fn ensure_root(&mut self, tree: TreeId) -> Result<bool, Error> {
        if !self.snapshot.root(tree).is_empty() {
            return Ok(false);
        }
        self.need_pages(1)?;
        let number = self.take_page();
        let birth = self.txn();
        edit::init(self.page_mut(number), NodeIdentity { tree: tree.number(), level: 0, number, birth });
        self.snapshot.roots[tree.index()] = Root { page: number, birth, weight: 0, level: 0 };
        Ok(true)
    }

    /// The way to where `key` is or belongs.
    pub(super) fn descend(&self, tree: TreeId, key: &[u8]) -> Result<Path, Error> {
        let pages = self.shared.pages_carefully();
        let mut node = pages.node(NodeAt::root(tree, self.snapshot.root(tree)))?;
        let mut path = Path { tree, steps: [Step::default(); TREE_LEVELS_MAX], length: 0, exact: false };
        loop {
            let is_leaf = node.level() == 0;
            let at = if is_leaf {
                let (at, exact) = node.search(&pages, key)?;
                path.exact = exact;
                at
            } else {
                node.search_child(&pages, key)?
            };
            let step = path.steps.get_mut(path.length).ok_or_else(|| corrupt(node.number(), "levels"))?;
            let (page, birth) = (node.number(), node.birth());
            *step = Step { page, birth, level: node.level(), weight: node.weight(), at };
            path.length += 1;
            self.in_use(single(node.number()), node.birth())?;
            if is_leaf {
                return Ok(path);
            }
            node = pages.child(tree, node, at)?;
        }
    }

    /// Makes every page of the path to `key` the transaction's own.
    pub(super) fn own(&mut self, path: &mut Path, key: &[u8]) -> Result<(), Error> {
        let txn = self.txn();
        let shared_from = path.steps().iter().position(|step| step.birth != txn).unwrap_or(path.length);
        for at in shared_from..path.length {
            let old = path.steps[at];
            if old.birth >= txn {
                return Err(corrupt(old.page, "made after its parent"));
            }
            let from_file = self.shared.is_from_file(old.page);
            let page = self.copy_page(old.named(path.tree))?;
            path.steps[at].page = page;
            path.steps[at].birth = txn;
            if from_file {
                self.confirm(path, at, key)?;
            }
            self.settle_one(path, at);
        }
        Ok(())
    }

    /// Whether a page of the path, copied and whole, leads where the page did that was searched.
    fn confirm(&self, path: &Path, at: usize, key: &[u8]) -> Result<(), Error> {
        let (step, pages) = (path.steps[at], self.shared.pages_carefully());
        let node = self.checked(step.page);
        let same = if at == path.last() {
            node.search(&pages, key)? == (step.at, path.exact)
        } else {
            let child = node.search_child(&pages, key)?;
            let Step { page, birth, weight, .. } = path.steps[at + 1];
            let named = node.branch_cell(child).map(|cell| (cell.child, cell.birth, cell.weight));
            child == step.at && named == Some((page, birth, weight))
        };
        if same { Ok(()) } else { Err(corrupt(step.page, "changed while it was read")) }
    }

    /// Copies a page of an earlier transaction and frees it. One of the file is checked as a copy.
    pub(super) fn copy_page(&mut self, old: NodeAt) -> Result<PageNumber, Error> {
        let (txn, page) = (self.txn(), self.take_page());
        let from = self.shared.arena().page(old.page);
        let copy = self.shared.arena().page_mut(&mut self.permit, page);
        if self.shared.is_from_file(old.page) {
            copy.copy_from_slice(from);
            verify_whole(old.page, Node::new(copy))?;
            verify_place(old, Node::new(copy))?;
        } else {
            edit::copy(from, copy);
        }
        put_identity(self.page_mut(page), page, txn);
        self.release(single(old.page), old.birth)?;
        Ok(page)
    }

    /// Has the parent of step `at`, or the root slot, say what that page's header says; whether that was news.
    fn settle_one(&mut self, path: &Path, at: usize) -> bool {
        let node = self.checked(path.steps[at].page);
        let (child, level) = (Child::of(node), node.level());
        match at.checked_sub(1) {
            Some(parent) => {
                let Step { page, at, .. } = path.steps[parent];
                edit::set_child(self.page_mut(page), at, child)
            }
            None => {
                let root = Root { page: child.page, birth: child.birth, weight: child.weight, level };
                std::mem::replace(&mut self.snapshot.roots[path.tree.index()], root) != root
            }
        }
    }

    /// The same for step `from` and those above, as far up as it is news.
    pub(super) fn settle(&mut self, path: &Path, from: usize) {
        assert!(from < path.length, "a step of the path");
        for at in (0..=from).rev() {
            if !self.settle_one(path, at) {
                break;
            }
        }
    }

    /// Takes and writes the runs of a cell, and checks that `needed` pages are left.
    fn take_runs(&mut self, content: &Content<'_>, needed: u64) -> Result<CellRuns, Error> {
        let mut runs = CellRuns::default();
        if content.body.len() > TREE_BODY_INLINE_BYTES_MAX {
            runs.body = Some(self.write_run(content.body)?);
        }
        if content.key.len() > TREE_KEY_INLINE_BYTES_MAX {
            match self.write_run(content.key) {
                Ok(run) => runs.key = Some(run),
                Err(error) => return self.undo_runs(runs, error),
            }
        }
        match self.need_pages(needed) {
            Ok(()) => Ok(runs),
            Err(error) => self.undo_runs(runs, error),
        }
    }

    fn undo_runs<T>(&mut self, runs: CellRuns, error: Error) -> Result<T, Error> {
        for run in [runs.body, runs.key].into_iter().flatten() {
            self.release(run_pages(&run), run.birth)?;
        }
        Err(error)
    }

    /// Writes a new run.
    pub(super) fn write_run(&mut self, bytes: &[u8]) -> Result<RunRef, Error> {
        let pages = self.space.take_run(pages_for(bytes.len())).ok_or(Error::OutOfPages)?;
        Ok(self.fill_run(pages, bytes))
    }

    /// Writes a run into pages taken for it.
    pub(super) fn fill_run(&mut self, pages: PageRange, bytes: &[u8]) -> RunRef {
        assert!(pages.count == pages_for(bytes.len()), "a run fills its pages");
        self.shared.arena().write_run(&mut self.permit, pages.first, bytes);
        self.shared.set_made(pages);
        let length = u32::try_from(bytes.len()).expect("bounded by TREE_RUN_BYTES_MAX");
        RunRef { page: pages.first, birth: self.txn(), length, checksum: crc32c(0, bytes) }
    }

    /// Writes the cell's bytes into `self.cell`.
    fn build_cell(&mut self, content: &Content<'_>, runs: CellRuns) {
        let mut flags = if content.weighted { flag::WEIGHTED } else { 0 };
        let body = if runs.body.is_some() { &[][..] } else { content.body };
        let key = if runs.key.is_some() { &content.key[..TREE_KEY_PREFIX_BYTES] } else { content.key };
        if runs.body.is_some() {
            flags |= flag::BODY_RUN;
        }
        if runs.key.is_some() {
            flags |= flag::KEY_RUN;
        }
        let out = &mut self.cell;
        out.clear();
        assert!(key.len() <= TREE_KEY_INLINE_BYTES_MAX, "a longer key lies in a run");
        assert!(body.len() <= TREE_BODY_INLINE_BYTES_MAX, "a longer body lies in a run");
        let [head_length, _] = short(content.head.len()).to_le_bytes();
        out.extend_from_slice(&[flags, head_length]);
        out.extend_from_slice(&short(key.len()).to_le_bytes());
        out.extend_from_slice(&short(body.len()).to_le_bytes());
        for part in [key, content.head, body] {
            out.extend_from_slice(part);
        }
        for run in [runs.body, runs.key].into_iter().flatten() {
            out.extend_from_slice(&run.to_bytes());
        }
    }

    /// Takes the leaf's cell at the path out and frees its runs.
    fn remove_cell(&mut self, path: &Path) -> Result<(), Error> {
        let Step { page, at, .. } = path.leaf();
        let node = self.checked(page);
        let cell: LeafCell<'_> = node.leaf_cell(at).ok_or_else(|| node.torn_cell())?;
        let runs = [cell.body_run, cell.key.run];
        for run in runs.into_iter().flatten() {
            self.release(run_pages(&run), run.birth)?;
        }
        edit::remove(self.page_mut(page), at);
        Ok(())
    }

    /// Puts `self.cell` into the leaf at the path, splitting pages as needed.
    fn insert_cell(&mut self, path: &Path, reserve: Option<PageRange>) -> Result<(), Error> {
        let Step { page, at, .. } = path.leaf();
        if self.cell.len() + SLOT_BYTES <= self.checked(page).room() {
            let cell = std::mem::take(&mut self.cell);
            let (target, scratch) = self.page_and_scratch(page);
            edit::insert(target, scratch, at, &cell);
            edit::put_last_insert(target, at);
            self.cell = cell;
            self.settle(path, path.last());
        } else {
            self.split_leaf(path, reserve)?;
            return Ok(());
        }
        if let Some(pages) = reserve {
            self.release(pages, self.txn())?;
        }
        Ok(())
    }
}
