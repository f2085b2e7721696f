//! Walking a tree in key order, forwards and backwards, over all cells or over the weighted ones only.
//!
//! Invariants
//! - A step allocates nothing and touches a page only when it leaves the one before.
//! - A cursor stands at a cell or nowhere; from nowhere, `next` and `prev` stay nowhere.
//! - After an error it stands nowhere.

use crate::limits::TREE_LEVELS_MAX;

use super::error::Error;
use super::key::TreeId;
use super::node::{LeafCell, Node};
use super::view::{Cell, NodeAt, Outline, View, corrupt};

/// A branch on the way down, and the child taken.
#[derive(Clone, Copy, Debug)]
struct Frame<'a> {
    node: Node<'a>,
    at: usize,
}

/// Which way to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Up,
    Down,
}

/// A position in one tree of a view.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    view: View<'a>,
    tree: TreeId,
    /// Branches from the root down; `depth` of them are in use.
    frames: [Option<Frame<'a>>; TREE_LEVELS_MAX],
    depth: usize,
    /// The leaf and the cell.
    leaf: Option<Frame<'a>>,
}

impl<'a> Cursor<'a> {
    /// A cursor that stands nowhere.
    pub(super) fn new(view: View<'a>, tree: TreeId) -> Self {
        Self { view, tree, frames: [None; TREE_LEVELS_MAX], depth: 0, leaf: None }
    }

    /// Goes to the first cell whose key is not below `key`; whether there is one.
    pub fn seek(&mut self, key: &[u8]) -> Result<bool, Error> {
        let Some(leaf) = self.start()? else { return Ok(false) };
        let leaf = self.sink_to(leaf, key)?;
        let (at, _) = leaf.search(&self.view.pages(), key)?;
        if at < leaf.count() {
            self.leaf = Some(Frame { node: leaf, at });
            return Ok(true);
        }
        self.leave_leaf(Way::Up, |_, _| true)
    }

    /// Goes to the first cell; whether there is one.
    pub fn seek_first(&mut self) -> Result<bool, Error> {
        let Some(root) = self.start()? else { return Ok(false) };
        self.sink(root, Way::Up, &|_, _| true)
    }

    /// Goes to the last cell; whether there is one.
    pub fn seek_last(&mut self) -> Result<bool, Error> {
        let Some(root) = self.start()? else { return Ok(false) };
        self.sink(root, Way::Down, &|_, _| true)
    }

    /// Goes to the last cell whose key is below `key`; whether there is one.
    pub fn seek_below(&mut self, key: &[u8]) -> Result<bool, Error> {
        if self.seek(key)? { self.prev() } else { self.seek_last() }
    }

    /// Goes to the first weighted cell whose key is not below `key`, past subtrees without any.
    pub fn seek_weighted(&mut self, key: &[u8]) -> Result<bool, Error> {
        if !self.seek(key)? {
            return Ok(false);
        }
        match &self.leaf {
            Some(leaf) if leaf.node.is_weighted(leaf.at) == Some(true) => Ok(true),
            Some(_) | None => self.next_weighted(),
        }
    }

    /// Goes one cell on; whether there is one.
    // Not an iterator: each step can fail, and the cell is asked for only when it is wanted.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<bool, Error> {
        match &mut self.leaf {
            None => Ok(false),
            Some(leaf) if leaf.at + 1 < leaf.node.count() => {
                leaf.at += 1;
                Ok(true)
            }
            Some(_) => self.leave_leaf(Way::Up, |_, _| true),
        }
    }

    /// Goes one cell back; whether there is one.
    pub fn prev(&mut self) -> Result<bool, Error> {
        match &mut self.leaf {
            None => Ok(false),
            Some(leaf) if leaf.at > 0 => {
                leaf.at -= 1;
                Ok(true)
            }
            Some(_) => self.leave_leaf(Way::Down, |_, _| true),
        }
    }

    /// Goes to the next weighted cell; whether there is one.
    pub fn next_weighted(&mut self) -> Result<bool, Error> {
        self.step(Way::Up, has_weight)
    }

    /// Goes to the weighted cell before; whether there is one.
    pub fn prev_weighted(&mut self) -> Result<bool, Error> {
        self.step(Way::Down, has_weight)
    }

    /// The cell it stands at.
    pub fn cell(&self) -> Result<Option<Cell<'a>>, Error> {
        match &self.leaf {
            Some(leaf) => self.view.cell(leaf.node, leaf.at).map(Some),
            None => Ok(None),
        }
    }

    /// The cell it stands at, without its body: a run that holds the body is not opened.
    pub fn outline(&self) -> Result<Option<Outline<'a>>, Error> {
        match &self.leaf {
            Some(leaf) => self.view.outline(leaf.node, leaf.at).map(Some),
            None => Ok(None),
        }
    }

    /// The key it stands at, without opening the body.
    pub fn key(&self) -> Result<Option<&'a [u8]>, Error> {
        let Some(leaf) = &self.leaf else { return Ok(None) };
        let cell = leaf.node.leaf_cell(leaf.at).ok_or_else(|| leaf.node.torn_cell())?;
        self.view.cell_key(&cell).map(Some)
    }

    /// The whole key of a cell of the same view.
    pub(super) fn whole_key(&self, cell: &LeafCell<'a>) -> Result<&'a [u8], Error> {
        self.view.cell_key(cell)
    }

    /// Forgets its position; the root, if the tree has cells.
    fn start(&mut self) -> Result<Option<Node<'a>>, Error> {
        self.depth = 0;
        self.leaf = None;
        let root = self.view.snapshot().root(self.tree);
        if root.is_empty() {
            return Ok(None);
        }
        self.view.pages().node(NodeAt::root(self.tree, root)).map(Some)
    }

    /// Goes down from `node` to the leaf that `probe` belongs to.
    fn sink_to(&mut self, mut node: Node<'a>, probe: &[u8]) -> Result<Node<'a>, Error> {
        while node.level() > 0 {
            let at = node.search_child(&self.view.pages(), probe)?;
            self.push(Frame { node, at })?;
            node = self.view.pages().child(self.tree, node, at)?;
        }
        Ok(node)
    }

    fn push(&mut self, frame: Frame<'a>) -> Result<(), Error> {
        if frame.at >= frame.node.count() {
            return Err(frame.node.torn_cell());
        }
        let slot = self.frames.get_mut(self.depth).ok_or_else(|| corrupt(frame.node.number(), "levels"))?;
        *slot = Some(frame);
        self.depth += 1;
        Ok(())
    }

    /// Goes down from `node` to its first or last cell that passes `wanted`.
    fn sink(&mut self, mut node: Node<'a>, way: Way, wanted: &impl Fn(Node<'_>, usize) -> bool) -> Result<bool, Error> {
        loop {
            let start = if way == Way::Up { None } else { Some(node.count()) };
            let Some(at) = scan(node, start, way, wanted) else {
                // Only a parent that promises weight where there is none leads here.
                return Err(corrupt(node.number(), "weight"));
            };
            if node.level() == 0 {
                self.leaf = Some(Frame { node, at });
                return Ok(true);
            }
            self.push(Frame { node, at })?;
            node = self.view.pages().child(self.tree, node, at)?;
        }
    }

    /// Goes on to the next cell that passes `wanted`.
    fn step(&mut self, way: Way, wanted: impl Fn(Node<'_>, usize) -> bool) -> Result<bool, Error> {
        let Some(leaf) = &mut self.leaf else { return Ok(false) };
        if let Some(at) = scan(leaf.node, Some(leaf.at), way, &wanted) {
            leaf.at = at;
            return Ok(true);
        }
        self.leave_leaf(way, wanted)
    }

    /// Climbs until a branch has another child that passes, and goes down there.
    fn leave_leaf(&mut self, way: Way, wanted: impl Fn(Node<'_>, usize) -> bool) -> Result<bool, Error> {
        self.leaf = None;
        while let Some(last) = self.depth.checked_sub(1) {
            self.depth = last;
            let Some(frame) = self.frames[last] else { continue };
            if let Some(at) = scan(frame.node, Some(frame.at), way, &wanted) {
                self.push(Frame { node: frame.node, at })?;
                let child = self.view.pages().child(self.tree, frame.node, at)?;
                return self.sink(child, way, &wanted);
            }
        }
        Ok(false)
    }
}

/// Whether cell `at` has weight in or below it.
fn has_weight(node: Node<'_>, at: usize) -> bool {
    node.cell_weight(at).is_some_and(|weight| weight > 0)
}

/// The next cell of `node` after (or before) `from` that passes `wanted`; from the edge if `from` is `None`.
fn scan(node: Node<'_>, from: Option<usize>, way: Way, wanted: &impl Fn(Node<'_>, usize) -> bool) -> Option<usize> {
    match way {
        Way::Up => (from.map_or(0, |at| at + 1)..node.count()).find(|at| wanted(node, *at)),
        Way::Down => (0..from.unwrap_or(node.count())).rev().find(|at| wanted(node, *at)),
    }
}
