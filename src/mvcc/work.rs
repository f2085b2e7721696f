//! How much one step of a long operation may do before it gives way to others.
//!
//! Invariants
//! - A step is given at least one cell and one byte, so that repeated steps always end.

/// What the current step may still do.
#[derive(Debug)]
pub struct Work {
    /// Cells of the tree that it may look at.
    cells: usize,
    /// Bytes that it may append to an answer; the last pair may go beyond.
    bytes: usize,
}

/// A length in memory as a number of the wire.
pub(super) fn wide(length: usize) -> u64 {
    u64::try_from(length).expect("a length fits 64 bits")
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
    /// A step that looks at up to `cells` cells.
    pub fn cells(cells: usize) -> Self {
        Self { cells: cells.max(1), bytes: usize::MAX }
    }

    /// No bound: for places that must finish at once, such as reads within a replicated txn.
    pub fn unbounded() -> Self {
        Self::cells(usize::MAX)
    }

    /// Lets the step append up to `bytes` bytes and the rest of a pair.
    pub(super) fn allow_bytes(&mut self, bytes: usize) {
        self.bytes = bytes.max(1);
    }

    /// Takes `cells` off; false when nothing was left.
    pub(super) fn spend(&mut self, cells: usize) -> bool {
        assert!(cells > 0, "a step looks at something");
        let left = !self.is_spent();
        self.cells = self.cells.saturating_sub(cells);
        left
    }

    /// Takes `bytes` that were appended off; false when the step must append no more.
    pub(super) fn append(&mut self, bytes: usize) -> bool {
        assert!(bytes > 0, "a pair has bytes");
        self.bytes = self.bytes.saturating_sub(bytes);
        self.bytes > 0
    }

    /// Whether the step must end.
    pub fn is_spent(&self) -> bool {
        self.cells == 0 || self.bytes == 0
    }
}
