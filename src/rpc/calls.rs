//! The calls that are open on one connection, counted, and whether any of them was answered lately.
//!
//! Invariants
//! - A call is counted from its beginning until its reply is gone, once.

use super::context::Context as Shared;
use std::cell::Cell;
use std::rc::Rc;

/// What the tasks of a connection's calls tell its driver.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: Cell<usize>,
    /// Something was sent since the last ping.
    answered: Cell<bool>,
}

/// One open call, counted while it lives.
#[derive(Debug)]
pub(super) struct Open {
    calls: Rc<Calls>,
    shared: Shared,
}

impl Calls {
    /// Calls open now.
    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    /// Something is being sent.
    pub(super) fn on_answer(&self) {
        self.answered.set(true);
    }

    /// Whether anything was sent since the last time this was asked.
    pub(super) fn take_answered(&self) -> bool {
        self.answered.take()
    }
}

impl Open {
    /// A call begins.
    pub(super) fn new(calls: &Rc<Calls>, shared: &Shared) -> Self {
        calls.open.set(calls.open.get() + 1);
        shared.cells().calls_begun.count();
        Self { calls: Rc::clone(calls), shared: shared.clone() }
    }

    /// Something is being sent.
    pub(super) fn on_answer(&self) {
        self.calls.on_answer();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let open = self.calls.open.get();
        assert!(open > 0, "a call ends once");
        self.calls.open.set(open - 1);
        self.shared.cells().calls_ended.count();
    }
}
