//! Splitting full pages and merging sparse ones, up to the root.
//!
//! Invariants
//! - A leaf with cells, a branch with children: an empty page leaves its parent at once; a root with one child gives way to
//!   it.
//! - A separator's run belongs to the branch cell that names it and moves or dies with it.

use crate::limits::{TREE_KEY_INLINE_BYTES_MAX, TREE_KEY_PREFIX_BYTES, TREE_LEVELS_MAX};
use crate::types::PageNumber;

use super::edit::{self, Child, NewCell, NodeIdentity, SeparatorBytes};
use super::error::Error;
use super::holds::PageRange;
use super::key::{TreeId, separator_length};
use super::mutate::{Editor, Path, Step};
use super::node::{BranchCell, CellKey, Node, PAGE_ROOM, RunRef, SLOT_BYTES, flag};
use super::page::pages_for;
use super::readers::single;
use super::view::{NodeAt, child_at, corrupt, run_pages};

/// Below this a page looks for a neighbour to merge with.
const SPARSE_BYTES: usize = PAGE_ROOM / 4;
/// Two pages merge if the cells of both take no more, so that the next insert does not split them again.
const MERGED_BYTES_MAX: usize = PAGE_ROOM - PAGE_ROOM / 8;

impl Editor {
    /// If the leaf is about to split among huge keys, takes pages for the longest separator that can come of it.
    pub(super) fn reserve_separator(&mut self, path: &Path, key_length: usize) -> Result<Option<PageRange>, Error> {
        let node = self.checked(path.leaf().page);
        if self.cell.len() + SLOT_BYTES <= node.room() {
            return Ok(None);
        }
        let huge = (0..node.count()).filter_map(|at| node.cell_key(at)?.run);
        let longest = huge.map(|run| run_pages(&run).count).max();
        let own = if key_length > TREE_KEY_INLINE_BYTES_MAX { Some(pages_for(key_length)) } else { None };
        let Some(count) = longest.max(own) else { return Ok(None) };
        match self.space.take_run(count) {
            Some(pages) if self.space.free.count() >= path.pages_needed_when_owned() => Ok(Some(pages)),
            Some(pages) => {
                self.release(pages, self.txn())?;
                Err(Error::OutOfPages)
            }
            None => Err(Error::OutOfPages),
        }
    }

    /// Splits the leaf at the path with `self.cell` among its cells.
    pub(super) fn split_leaf(&mut self, path: &Path, reserve: Option<PageRange>) -> Result<(), Error> {
        let Step { page, at, .. } = path.leaf();
        let cell = std::mem::take(&mut self.cell);
        let right = self.split_page(page, path.tree, NewCell { at, bytes: &cell });
        self.cell = cell;
        self.make_separator((page, right), reserve)?;
        self.insert_child(path, path.last(), right)
    }

    /// Splits a page; the number of its new right neighbour.
    fn split_page(&mut self, page: PageNumber, tree: TreeId, new: NewCell<'_>) -> PageNumber {
        let old = self.checked(page);
        let (keep, level) = (edit::split_point(old, new), old.level());
        let (birth, number) = (self.txn(), self.take_page());
        let (left, right) = self.shared.arena().pair_mut(&mut self.permit, page, number);
        edit::init(right, NodeIdentity { tree: tree.number(), level, number, birth });
        edit::split(left, right, &mut self.scratch, keep, new);
        number
    }

    /// Writes into `self.separator` what tells two neighbouring leaves apart.
    fn make_separator(&mut self, leaves: (PageNumber, PageNumber), reserve: Option<PageRange>) -> Result<(), Error> {
        let shared = std::sync::Arc::clone(&self.shared);
        let pages = shared.pages_carefully();
        let (left, right) = (Node::new(shared.arena().page(leaves.0)), Node::new(shared.arena().page(leaves.1)));
        let below: CellKey<'_> = left.cell_key(left.count() - 1).ok_or_else(|| left.torn_cell())?;
        let above: CellKey<'_> = right.cell_key(0).ok_or_else(|| right.torn_cell())?;
        let (below, above) = (below.resolve(&pages)?, above.resolve(&pages)?);
        let length = separator_length(below, above).ok_or_else(|| corrupt(left.number(), "key order"))?;
        self.store_separator(&above[..length], reserve)
    }

    fn store_separator(&mut self, key: &[u8], reserve: Option<PageRange>) -> Result<(), Error> {
        let mut flags = 0;
        let run = if key.len() > TREE_KEY_INLINE_BYTES_MAX {
            flags |= flag::KEY_RUN;
            let pages = reserve.expect("a separator is no longer than the keys that pages were taken for");
            Some(self.fill_reserve(pages, key)?)
        } else {
            if let Some(pages) = reserve {
                self.release(pages, self.txn())?;
            }
            None
        };
        let inline = if run.is_some() { &key[..TREE_KEY_PREFIX_BYTES] } else { key };
        let out = &mut self.separator;
        out.flags = flags;
        out.bytes.clear();
        out.bytes.extend_from_slice(inline);
        out.inline_length = out.bytes.len();
        if let Some(run) = run {
            out.bytes.extend_from_slice(&run.to_bytes());
        }
        Ok(())
    }

    /// Writes a separator into the pages taken for it and frees those it does not need.
    fn fill_reserve(&mut self, pages: PageRange, bytes: &[u8]) -> Result<RunRef, Error> {
        let count = pages_for(bytes.len());
        assert!(count <= pages.count, "pages were taken for the longest separator");
        let rest = PageRange { first: PageNumber(pages.first.0 + count), count: pages.count - count };
        self.release(rest, self.txn())?;
        Ok(self.fill_run(PageRange { first: pages.first, count }, bytes))
    }

    /// Page `right`, split off the page of step `at`, gets its cell in the parent, with `self.separator` as key.
    fn insert_child(&mut self, path: &Path, at: usize, right: PageNumber) -> Result<(), Error> {
        let (mut at, mut right) = (at, right);
        loop {
            let left = path.steps()[at].page;
            let Some(parent) = at.checked_sub(1) else { return self.grow_root(path.tree, left, right) };
            let Step { page, at: child, .. } = path.steps()[parent];
            let left_child = Child::of(self.checked(left));
            edit::set_child(self.page_mut(page), child, left_child);
            let right_child = Child::of(self.checked(right));
            let mut cell = std::mem::take(&mut self.cell);
            self.separator.write_cell(right_child, &mut cell);
            let fits = cell.len() + SLOT_BYTES <= self.checked(page).room();
            if fits {
                let (target, scratch) = self.page_and_scratch(page);
                edit::insert(target, scratch, child + 1, &cell);
                edit::put_last_insert(target, child + 1);
            } else {
                right = self.split_page(page, path.tree, NewCell { at: child + 1, bytes: &cell });
                self.open_first(right)?;
            }
            self.cell = cell;
            if fits {
                self.settle(path, parent);
                return Ok(());
            }
            at = parent;
        }
    }

    /// Takes the key of a branch's first cell into `self.separator` and leaves it none.
    fn open_first(&mut self, page: PageNumber) -> Result<(), Error> {
        let (mut separator, mut open) = (std::mem::take(&mut self.separator), std::mem::take(&mut self.cell));
        let node = self.checked(page);
        let first: BranchCell<'_> = node.branch_cell(0).ok_or_else(|| node.torn_cell())?;
        separator.set_open();
        separator.write_cell(Child { page: first.child, birth: first.birth, weight: first.weight }, &mut open);
        separator.set_from_cell(first.bytes);
        let (target, scratch) = self.page_and_scratch(page);
        edit::remove(target, 0);
        edit::insert(target, scratch, 0, &open);
        self.cell = open;
        self.separator = separator;
        Ok(())
    }

    /// Puts a new root above two pages.
    fn grow_root(&mut self, tree: TreeId, left: PageNumber, right: PageNumber) -> Result<(), Error> {
        let (first, second) = (self.checked(left), self.checked(right));
        let (level, first, second) = (first.level() + 1, Child::of(first), Child::of(second));
        assert!(usize::from(level) < TREE_LEVELS_MAX, "asked before the operation began: {level} levels");
        let (birth, number) = (self.txn(), self.take_page());
        edit::init(self.page_mut(number), NodeIdentity { tree: tree.number(), level, number, birth });
        let mut cell = std::mem::take(&mut self.cell);
        let mut open = SeparatorBytes::default();
        open.set_open();
        for (at, separator, child) in [(0, &open, first), (1, &self.separator, second)] {
            separator.write_cell(child, &mut cell);
            let page = self.shared.arena().page_mut(&mut self.permit, number);
            edit::insert(page, &mut self.scratch, at, &cell);
        }
        self.cell = cell;
        self.set_root(tree, number);
        Ok(())
    }

    fn set_root(&mut self, tree: TreeId, page: PageNumber) {
        let node = self.checked(page);
        let root = super::snapshot::Root { page, birth: node.birth(), weight: node.weight(), level: node.level() };
        assert!(root.level > 0 && root.birth == self.txn(), "a new root is a branch of this transaction");
        self.snapshot.roots[tree.index()] = root;
    }

    /// After a removal: empty pages leave the tree, sparse ones merge, a root with one child gives way.
    pub(super) fn shrink(&mut self, path: &Path) -> Result<(), Error> {
        for at in (1..path.steps().len()).rev() {
            let step = path.steps()[at];
            let node = self.checked(step.page);
            let parent = path.steps()[at - 1];
            if node.count() == 0 {
                self.release(single(step.page), step.birth)?;
                self.remove_child(parent.page, parent.at, true)?;
            } else if node.used() >= SPARSE_BYTES || !self.merge(path, at)? {
                break;
            }
            self.settle(path, at - 1);
        }
        self.shrink_root(path.tree)
    }

    /// Takes cell `at` out of a branch; frees its separator's run, unless that moved elsewhere.
    fn remove_child(&mut self, parent: PageNumber, at: usize, frees_run: bool) -> Result<(), Error> {
        let node = self.checked(parent);
        let cell = node.branch_cell(at).ok_or_else(|| node.torn_cell())?;
        let run = cell.key.run.filter(|_| frees_run);
        let opens_next = at == 0 && node.count() > 1;
        edit::remove(self.page_mut(parent), at);
        if let Some(run) = run {
            self.release(run_pages(&run), run.birth)?;
        }
        if opens_next {
            let node = self.checked(parent);
            let next = node.branch_cell(0).ok_or_else(|| node.torn_cell())?;
            let run = next.key.run;
            self.open_first(parent)?;
            if let Some(run) = run {
                self.release(run_pages(&run), run.birth)?;
            }
        }
        Ok(())
    }

    /// Merges the page of step `at` with a neighbour below the same parent, if both fit into one; whether it did.
    fn merge(&mut self, path: &Path, at: usize) -> Result<bool, Error> {
        let parent = path.steps()[at - 1];
        let before = parent.at.checked_sub(1);
        let after = Some(parent.at).filter(|child| child + 1 < self.checked(parent.page).count());
        for left in [before, after].into_iter().flatten() {
            if self.merge_pair(path.tree, parent.page, left)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Merges children `left` and `left + 1` of a branch, if they fit into one page; whether it did.
    fn merge_pair(&mut self, tree: TreeId, parent: PageNumber, left: usize) -> Result<bool, Error> {
        let shared = std::sync::Arc::clone(&self.shared);
        let (branch, pages) = (Node::new(shared.arena().page(parent)), shared.pages_carefully());
        let (one_at, two_at) = (child_at(tree, branch, left)?, child_at(tree, branch, left + 1)?);
        let (one, two) = (pages.node(one_at)?, pages.node(two_at)?);
        let separator = branch.branch_cell(left + 1).ok_or_else(|| branch.torn_cell())?;
        let pulled_down = if one.level() > 0 { separator.key.inline.len() + super::node::RUN_BYTES } else { 0 };
        if one.used() + two.used() + pulled_down > MERGED_BYTES_MAX {
            return Ok(false);
        }
        let own = self.own_page(one_at)?;
        let two = if shared.is_from_file(two_at.page) { self.own_page(two_at)? } else { two_at.page };
        let (one, two) = (Node::new(shared.arena().page(own)), Node::new(shared.arena().page(two)));
        if one.used() + two.used() + pulled_down > MERGED_BYTES_MAX {
            return Err(corrupt(two_at.page, "changed while it was read"));
        }
        let first = two.cell_bytes(0).ok_or_else(|| two.torn_cell())?;
        let mut cell = std::mem::take(&mut self.cell);
        cell.clear();
        if one.level() > 0 {
            let first = two.branch_cell(0).ok_or_else(|| two.torn_cell())?;
            self.separator.set_from_cell(separator.bytes);
            self.separator.write_cell(Child { page: first.child, birth: first.birth, weight: first.weight }, &mut cell);
        } else {
            cell.extend_from_slice(first);
        }
        let weight = one.weight() + two.weight();
        let (target, scratch) = self.page_and_scratch(own);
        edit::append_all(target, scratch, two, &cell);
        self.cell = cell;
        assert!(self.checked(own).weight() == weight, "merging loses no cell");
        let is_leaf = two.level() == 0;
        let (gone, gone_birth, merged) = (two.number(), two.birth(), Child::of(self.checked(own)));
        self.release(single(gone), gone_birth)?;
        self.remove_child(parent, left + 1, is_leaf)?;
        edit::set_child(self.page_mut(parent), left, merged);
        Ok(true)
    }

    /// The node's page if the transaction made it, else a copy.
    fn own_page(&mut self, node: NodeAt) -> Result<PageNumber, Error> {
        if node.birth == self.txn() {
            return Ok(node.page);
        }
        self.in_use(single(node.page), node.birth)?;
        self.copy_page(node)
    }

    /// Drops empty roots, and roots with a single child.
    pub(super) fn shrink_root(&mut self, tree: TreeId) -> Result<(), Error> {
        for _ in 0..TREE_LEVELS_MAX {
            let root = *self.snapshot.root(tree);
            if root.birth < self.txn() {
                // One that the root before had as its only child: it may be the file's.
                self.shared.pages_carefully().node(NodeAt::root(tree, &root))?;
            }
            let node = self.checked(root.page);
            if node.count() == 0 && root.birth == self.txn() {
                self.snapshot.roots[tree.index()] = super::snapshot::Root::default();
                return self.release(single(root.page), root.birth);
            }
            if root.level == 0 || node.count() > 1 {
                return Ok(());
            }
            let cell = node.branch_cell(0).ok_or_else(|| node.torn_cell())?;
            let (child, birth, weight) = (cell.child, cell.birth, cell.weight);
            self.snapshot.roots[tree.index()] =
                super::snapshot::Root { page: child, birth, weight, level: root.level - 1 };
            self.release(single(root.page), root.birth)?;
        }
        Ok(())
    }
}
