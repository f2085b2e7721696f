//! Reading a snapshot: pages checked on first touch, point lookups, ranks.
//!
//! Invariants
//! - A page is served only if it was made by this process or its checksum, number and structure were checked since the
//!   process began, and if birth, level and tree are what its parent says: a lost or misdirected write has another birth.
//! - The writer checks what is the file's at each look: it may rot after the first, and nothing that the writer makes of it
//!   would ever be found out.
//! - Nothing here allocates.

use crate::codec::crc32c;
use crate::limits::TREE_LEVELS_MAX;
use crate::types::{PageNumber, TxnId};

use super::cursor::Cursor;
use super::error::Error;
use super::holds::PageRange;
use super::key::TreeId;
use super::node::{LeafCell, Node, RunRef, Runs, flag};
use super::page::{index, is_sealed, number, pages_for};
use super::readers::{Pinned, Shared};
use super::snapshot::{Root, Snapshot, Stamp};

/// A node as its parent names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeAt {
    pub(super) tree: TreeId,
    pub(super) page: PageNumber,
    pub(super) birth: TxnId,
    pub(super) level: u8,
    pub(super) weight: u64,
}

impl NodeAt {
    /// The root of a tree that has cells.
    pub(super) fn root(tree: TreeId, root: &Root) -> Self {
        assert!(!root.is_empty(), "an empty tree has no root page");
        Self { tree, page: root.page, birth: root.birth, level: root.level, weight: root.weight }
    }
}

/// An error about `page`.
pub(super) fn corrupt(page: PageNumber, what: &'static str) -> Error {
    Error::Corrupt { page, what }
}

/// Pages as one user of them looks at them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages<'a> {
    shared: &'a Shared,
    /// Whether pages of the file are checked at each look, not only at the first.
    careful: bool,
}

impl Shared {
    /// Pages as readers look at them: checked once.
    pub(super) fn pages(&self) -> Pages<'_> {
        Pages { shared: self, careful: false }
    }

    /// Pages as the writer looks at them: what it reads decides what becomes of the store, and on one member alone.
    pub(super) fn pages_carefully(&self) -> Pages<'_> {
        Pages { shared: self, careful: true }
    }

    /// A node, checked.
    pub(super) fn node(&self, at: NodeAt) -> Result<Node<'_>, Error> {
        self.pages().node(at)
    }

    /// The child behind cell `at` of a branch.
    pub(super) fn child(&self, tree: TreeId, branch: Node<'_>, at: usize) -> Result<Node<'_>, Error> {
        self.pages().child(tree, branch, at)
    }

    #[cold]
    fn verify_node(&self, at: PageNumber, node: Node<'_>) -> Result<(), Error> {
        verify_whole(at, node)?;
        self.set_read(at);
        Ok(())
    }

    #[cold]
    fn verify_run(&self, run: &RunRef, bytes: &[u8]) -> Result<(), Error> {
        if crc32c(0, bytes) != run.checksum {
            return Err(corrupt(run.page, "checksum of a run"));
        }
        self.set_read(run.page);
        Ok(())
    }
}

/// Whether the bytes of page `at` of the file are those that were written there, and a node.
pub(super) fn verify_whole(at: PageNumber, node: Node<'_>) -> Result<(), Error> {
    if !is_sealed(node.page()) {
        return Err(corrupt(at, "checksum"));
    }
    if node.number() != at {
        return Err(corrupt(at, "holds another page: a write was misdirected"));
    }
    node.validate().map_err(|what| corrupt(at, what))
}

/// Whether a whole node is the one that its parent names.
pub(super) fn verify_place(at: NodeAt, node: Node<'_>) -> Result<(), Error> {
    if node.birth() != at.birth {
        return Err(corrupt(at.page, "birth differs from the parent's: a write was lost"));
    }
    if node.level() != at.level || node.tree() != at.tree.number() || number(node.page()) != at.page {
        return Err(corrupt(at.page, "not the node that the parent names"));
    }
    if node.weight() != at.weight {
        return Err(corrupt(at.page, "weight differs from the parent's"));
    }
    Ok(())
}

/// The child behind cell `at` of a branch, as that names it.
pub(super) fn child_at(tree: TreeId, branch: Node<'_>, at: usize) -> Result<NodeAt, Error> {
    let cell = branch.branch_cell(at).ok_or_else(|| branch.torn_cell())?;
    let level = branch.level().checked_sub(1).ok_or_else(|| branch.torn_cell())?;
    if cell.birth > branch.birth() {
        return Err(corrupt(cell.child, "made after its parent"));
    }
    Ok(NodeAt { tree, page: cell.child, birth: cell.birth, level, weight: cell.weight })
}

impl<'a> Pages<'a> {
    /// A node, checked.
    pub(super) fn node(self, at: NodeAt) -> Result<Node<'a>, Error> {
        let shared = self.shared;
        shared.arena().prefetch(at.page);
        if at.page.0 >= shared.granted() {
            return Err(corrupt(at.page, "page number beyond the file"));
        }
        let node = Node::new(shared.arena().page(at.page));
        if !shared.is_verified(at.page) {
            shared.verify_node(at.page, node)?;
        } else if self.careful && shared.is_from_file(at.page) && !is_sealed(node.page()) {
            return Err(corrupt(at.page, "checksum"));
        }
        verify_place(at, node)?;
        Ok(node)
    }

    /// The child behind cell `at` of a branch.
    pub(super) fn child(self, tree: TreeId, branch: Node<'_>, at: usize) -> Result<Node<'a>, Error> {
        self.node(child_at(tree, branch, at)?)
    }

    /// The bytes of a run, checked.
    pub(super) fn run(self, run: &RunRef) -> Result<&'a [u8], Error> {
        let length = usize::try_from(run.length).map_err(|_| corrupt(run.page, "length of a run"))?;
        let end = run.page.0.checked_add(pages_for(length)).filter(|end| *end <= self.shared.granted());
        if end.is_none() || run.page == PageNumber(0) || length == 0 {
            return Err(corrupt(run.page, "a run beyond the file"));
        }
        let bytes = self.shared.arena().bytes(run.page, length);
        if !self.shared.is_verified(run.page) || (self.careful && self.shared.is_from_file(run.page)) {
            self.shared.verify_run(run, bytes)?;
        }
        Ok(bytes)
    }
}

impl Runs for Pages<'_> {
    fn run(&self, run: &RunRef) -> Result<&[u8], Error> {
        Pages::run(*self, run)
    }
}

impl Runs for Shared {
    fn run(&self, run: &RunRef) -> Result<&[u8], Error> {
        self.pages().run(run)
    }
}

/// Pages of a run.
pub(super) fn run_pages(run: &RunRef) -> PageRange {
    let bytes = index(u64::from(run.length));
    PageRange { first: run.page, count: pages_for(bytes) }
}

/// An entry of a tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cell<'a> {
    /// The whole key.
    pub key: &'a [u8],
    /// The part that always lies in the cell.
    pub head: &'a [u8],
    /// The body, in one piece wherever it lies.
    pub body: &'a [u8],
    /// Whether the cell counts in ranks and weights.
    pub weighted: bool,
}

/// An entry of a tree, but for its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outline<'a> {
    /// The whole key.
    pub key: &'a [u8],
    /// The part that always lies in the cell.
    pub head: &'a [u8],
    /// Bytes of the body.
    pub body_length: usize,
    /// Whether the cell counts in ranks and weights.
    pub weighted: bool,
}

/// A snapshot of all trees, to read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pages: Pages<'a>,
    snapshot: &'a Snapshot,
}

/// Whatever lends a view: a pin, a transaction, or a view.
pub trait Lend {
    /// The view.
    fn view(&self) -> View<'_>;
}

impl Lend for Pinned {
    fn view(&self) -> View<'_> {
        Pinned::view(self)
    }
}

impl Lend for View<'_> {
    fn view(&self) -> View<'_> {
        *self
    }
}

impl Pinned {
    /// The pinned snapshot.
    pub fn view(&self) -> View<'_> {
        let (shared, snapshot) = self.parts();
        View { pages: shared.pages(), snapshot }
    }

    /// What the pinned snapshot stands for.
    pub fn stamp(&self) -> Stamp {
        self.parts().1.stamp
    }

    /// The transaction that made the pinned snapshot.
    pub fn txn(&self) -> TxnId {
        self.parts().1.txn
    }
}

impl<'a> View<'a> {
    /// A view of `snapshot`.
    pub(super) fn new(pages: Pages<'a>, snapshot: &'a Snapshot) -> Self {
        Self { pages, snapshot }
    }

    /// The pages.
    pub(super) fn pages(&self) -> Pages<'a> {
        self.pages
    }

    /// Where the pages are.
    pub(super) fn shared(&self) -> &'a Shared {
        self.pages.shared
    }

    /// The roots.
    pub(super) fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// What the snapshot stands for.
    pub fn stamp(&self) -> Stamp {
        self.snapshot.stamp
    }

    /// The transaction that made the snapshot.
    pub fn txn(&self) -> TxnId {
        self.snapshot.txn
    }

    /// All weighted cells of a tree.
    pub fn weight(&self, tree: TreeId) -> u64 {
        self.snapshot.root(tree).weight
    }

    /// Whether a tree has no cells.
    pub fn is_empty(&self, tree: TreeId) -> bool {
        self.snapshot.root(tree).is_empty()
    }

    /// The cell of `key`.
    pub fn find(&self, tree: TreeId, key: &[u8]) -> Result<Option<Cell<'a>>, Error> {
        let Some(leaf) = self.descend(tree, key, |_, _| Ok(()))? else { return Ok(None) };
        let (at, exact) = leaf.search(&self.pages, key)?;
        if !exact {
            return Ok(None);
        }
        self.cell(leaf, at).map(Some)
    }

    /// Weighted cells whose key is below `key`.
    pub fn rank(&self, tree: TreeId, key: &[u8]) -> Result<u64, Error> {
        let mut rank = 0u64;
        let add = |node: Node<'_>, end: usize, rank: &mut u64| {
            for at in 0..end {
                *rank = rank.saturating_add(node.cell_weight(at).ok_or_else(|| node.torn_cell())?);
            }
            Ok(())
        };
        let leaf = self.descend(tree, key, |branch, child| add(branch, child, &mut rank))?;
        if let Some(leaf) = leaf {
            let (end, _) = leaf.search(&self.pages, key)?;
            add(leaf, end, &mut rank)?;
        }
        Ok(rank)
    }

    /// A cursor, standing nowhere.
    pub fn cursor(&self, tree: TreeId) -> Cursor<'a> {
        Cursor::new(*self, tree)
    }

    /// The leaf that `probe` belongs to; `visit` sees each branch on the way and the child taken.
    fn descend(
        &self,
        tree: TreeId,
        probe: &[u8],
        mut visit: impl FnMut(Node<'a>, usize) -> Result<(), Error>,
    ) -> Result<Option<Node<'a>>, Error> {
        let root = self.snapshot.root(tree);
        if root.is_empty() {
            return Ok(None);
        }
        let mut node = self.pages.node(NodeAt::root(tree, root))?;
        for _ in 0..TREE_LEVELS_MAX {
            if node.level() == 0 {
                return Ok(Some(node));
            }
            let child = node.search_child(&self.pages, probe)?;
            visit(node, child)?;
            node = self.pages.child(tree, node, child)?;
        }
        Err(corrupt(node.number(), "levels"))
    }

    /// Cell `at` of a leaf, with its runs opened.
    pub(super) fn cell(&self, leaf: Node<'a>, at: usize) -> Result<Cell<'a>, Error> {
        let cell = leaf.leaf_cell(at).ok_or_else(|| leaf.torn_cell())?;
        Ok(Cell {
            key: self.cell_key(&cell)?,
            head: cell.head,
            body: match &cell.body_run {
                Some(run) => self.pages.run(run)?,
                None => cell.body,
            },
            weighted: cell.key.flags & flag::WEIGHTED != 0,
        })
    }

    /// Cell `at` of a leaf, without its body.
    pub(super) fn outline(&self, leaf: Node<'a>, at: usize) -> Result<Outline<'a>, Error> {
        let cell = leaf.leaf_cell(at).ok_or_else(|| leaf.torn_cell())?;
        let body_length = match &cell.body_run {
            Some(run) => usize::try_from(run.length).map_err(|_| corrupt(run.page, "length of a run"))?,
            None => cell.body.len(),
        };
        let weighted = cell.key.flags & flag::WEIGHTED != 0;
        Ok(Outline { key: self.cell_key(&cell)?, head: cell.head, body_length, weighted })
    }

    /// The whole key of a leaf's cell.
    pub(super) fn cell_key(&self, cell: &LeafCell<'a>) -> Result<&'a [u8], Error> {
        match &cell.key.run {
            Some(run) => self.pages.run(run),
            None => Ok(cell.key.inline),
        }
    }
}
