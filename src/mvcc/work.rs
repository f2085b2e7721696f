//! How much one step of a long operation may do before it gives way to others.
//!
//! Invariants
//! - A step that was given any work spends at least one cell, so that repeated steps always end.

/// Cells of the tree that the current step may still look at.
#[derive(Debug)]
pub struct Work {
    left: usize,
}

/// Whether an operation that goes in steps is through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Call again.
    More,
    /// Nothing is left to do.
    Done,
}

impl Work {
    /// Work on `cells` cells, at least one.
    pub fn cells(cells: usize) -> Self {
        Self { left: cells.max(1) }
    }

    /// No bound: for places that must finish at once, such as reads within a replicated txn.
    pub fn unbounded() -> Self {
        Self { left: usize::MAX }
    }

    /// Takes `cells` off; false when nothing was left.
    pub(super) fn spend(&mut self, cells: usize) -> bool {
        assert!(cells > 0, "a step looks at something");
        if self.left == 0 {
            return false;
        }
        self.left = self.left.saturating_sub(cells);
        true
    }

    /// Whether the step must end.
    pub fn is_spent(&self) -> bool {
        self.left == 0
    }
}
