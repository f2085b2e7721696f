//! Moving pages from the end of the file towards its start, so that the end can go back to the file system: what other
//! stores stop for and call defragmentation, in steps of any size within ordinary transactions.
//!
//! Invariants
//! - A sweep changes no cell; it makes copies of pages as any other change would, and those land on the lowest free pages.
//! - A sweep holds a key, no page: other transactions may run between its steps.

use crate::codec::crc32c;
use crate::limits::TREE_SWEEP_RUN_PAGES;

use super::edit;
use super::error::Error;
use super::key::TreeId;
use super::mutate::{Editor, Step};
use super::node::RunRef;
use super::page::index;
use super::view::{View, corrupt, run_pages};

/// A sweep over all trees, between two steps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sweep {
    /// Pages at or above this are to move.
    ceiling: u64,
    /// The tree it is in; past the last when it is over.
    tree: usize,
    /// The first key of the next leaf; `None` at a tree's start.
    key: Option<Vec<u8>>,
}

impl Sweep {
    /// A sweep that moves what lies at or above page `ceiling`.
    pub(super) fn new(ceiling: u64) -> Self {
        Self { ceiling, tree: 0, key: None }
    }

    /// Whether it has been everywhere.
    pub fn is_over(&self) -> bool {
        self.tree >= TreeId::ALL.len()
    }
}

impl Editor {
    /// Goes on over at most `leaves` leaves.
    pub(super) fn sweep(&mut self, sweep: &mut Sweep, leaves: u64) -> Result<(), Error> {
        let mut left = TREE_SWEEP_RUN_PAGES;
        for _ in 0..leaves {
            if left == 0 {
                break;
            }
            let Some(tree) = TreeId::ALL.get(sweep.tree).copied() else { break };
            let Some(key) = self.sweep_key(tree, sweep.key.as_deref())? else {
                sweep.tree += 1;
                sweep.key = None;
                continue;
            };
            let next = self.sweep_leaf((tree, &key), sweep.ceiling, &mut left)?;
            sweep.tree += usize::from(next.is_none());
            sweep.key = next;
        }
        Ok(())
    }

    /// The first key at or after `from`.
    fn sweep_key(&self, tree: TreeId, from: Option<&[u8]>) -> Result<Option<Vec<u8>>, Error> {
        let mut cursor = View::new(self.shared.pages_carefully(), &self.snapshot).cursor(tree);
        match from {
            Some(key) => cursor.seek(key)?,
            None => cursor.seek_first()?,
        };
        Ok(cursor.key()?.map(<[u8]>::to_vec))
    }

    /// Moves the leaf of `key`, its runs and the branches above it, as far as they lie too high; where to go on: at the next
    /// leaf's first key, or at this leaf if no more pages of runs are `left` to be moved in this step.
    fn sweep_leaf(
        &mut self,
        (tree, key): (TreeId, &[u8]),
        ceiling: u64,
        left: &mut u64,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut path = self.descend(tree, key)?;
        self.need_pages(path.pages_needed())?;
        let has_runs = !self.high_runs(path.leaf(), ceiling)?.is_empty();
        let txn = self.txn();
        if has_runs || path.steps().iter().any(|step| step.page.0 >= ceiling && step.birth < txn) {
            self.own(&mut path, key)?;
        }
        if has_runs {
            for (at, run) in self.high_runs(path.leaf(), ceiling)? {
                if *left == 0 {
                    return Ok(Some(key.to_vec()));
                }
                if self.move_run(path.leaf(), at, run)? {
                    *left = left.saturating_sub(run_pages(&run).count);
                }
            }
        }
        let leaf = self.checked(path.leaf().page);
        let mut cursor = View::new(self.shared.pages_carefully(), &self.snapshot).cursor(tree);
        let last = leaf.count().checked_sub(1).and_then(|last| leaf.leaf_cell(last));
        let key = cursor.whole_key(&last.ok_or_else(|| leaf.torn_cell())?)?;
        cursor.seek(key)?;
        cursor.next()?;
        Ok(cursor.key()?.map(<[u8]>::to_vec))
    }

    /// Runs of a leaf's cells that lie too high.
    fn high_runs(&self, leaf: Step, ceiling: u64) -> Result<Vec<(usize, RunRef)>, Error> {
        let node = self.checked(leaf.page);
        let mut out = Vec::new();
        for at in 0..node.count() {
            let cell = node.leaf_cell(at).ok_or_else(|| node.torn_cell())?;
            let runs = [cell.body_run, cell.key.run].into_iter().flatten();
            out.extend(runs.filter(|run| run_pages(run).end().0 > ceiling).map(|run| (at, run)));
        }
        Ok(out)
    }

    /// Writes a copy of a run lower in the file and has its cell name that. Stays if there is no better place; whether it
    /// moved.
    fn move_run(&mut self, leaf: Step, at: usize, old: RunRef) -> Result<bool, Error> {
        let Some(pages) = self.space.take_run(run_pages(&old).count) else { return Ok(false) };
        if pages.first >= old.page {
            self.release(pages, self.txn())?;
            return Ok(false);
        }
        let shared = std::sync::Arc::clone(&self.shared);
        self.fill_run(pages, shared.pages_carefully().run(&old)?);
        // The file may change between the look and the copy: what counts is the copy.
        let copy = shared.arena().bytes(pages.first, index(u64::from(old.length)));
        if crc32c(0, copy) != old.checksum {
            return Err(corrupt(old.page, "checksum of a run"));
        }
        let new = RunRef { page: pages.first, birth: self.txn(), ..old };
        edit::replace_run(self.page_mut(leaf.page), at, old, new);
        assert!(new.birth == self.txn() && new.page < old.page, "a run moves towards the start");
        self.release(run_pages(&old), old.birth)?;
        Ok(true)
    }
}
