//! A write transaction: changes that nobody sees until they are published, all at once, or dropped.
//!
//! Invariants
//! - Dropping it without `commit` leaves trees and free space as they were.
//! - `commit` cannot fail: what could, did so in the operations.

use crate::types::TxnId;

use super::error::Error;
use super::key::TreeId;
use super::mutate::Content;
use super::snapshot::Stamp;
use super::store::Tree;
use super::sweep::Sweep;
use super::view::{Lend, View};

/// The running transaction of a tree.
#[derive(Debug)]
pub struct Txn<'t> {
    tree: &'t mut Tree,
    committed: bool,
}

impl<'t> Txn<'t> {
    /// Begins on what is published.
    pub(super) fn begin(tree: &'t mut Tree) -> Self {
        tree.start();
        Self { tree, committed: false }
    }

    /// Puts a cell in, in the place of the one with its key if there is one; whether the key is new.
    ///
    /// After `OutOfPages` the transaction is as it was before the call.
    pub fn insert(
        &mut self,
        tree: TreeId,
        key: &[u8],
        head: &[u8],
        body: &[u8],
        weighted: bool,
    ) -> Result<bool, Error> {
        self.tree.editor.insert(tree, Content { key, head, body, weighted })
    }

    /// Takes the cell of `key` out; whether there was one.
    pub fn remove(&mut self, tree: TreeId, key: &[u8]) -> Result<bool, Error> {
        self.tree.editor.remove(tree, key)
    }

    /// Sets whether the cell of `key` counts; whether there is one.
    pub fn set_weighted(&mut self, tree: TreeId, key: &[u8], weighted: bool) -> Result<bool, Error> {
        self.tree.editor.set_weighted(tree, key, weighted)
    }

    /// Goes on with a sweep over at most `leaves` leaves. Free pages below its ceiling are what it needs; after
    /// `OutOfPages` it can go on later.
    pub fn sweep(&mut self, sweep: &mut Sweep, leaves: u64) -> Result<(), Error> {
        self.tree.editor.sweep(sweep, leaves)
    }

    /// The trees with the transaction's own changes. Its stamp is still the one before.
    pub fn view(&self) -> View<'_> {
        let editor = &self.tree.editor;
        View::new(editor.shared.pages_carefully(), &editor.snapshot)
    }

    /// Pages that are free for this transaction.
    pub fn pages_free(&self) -> u64 {
        self.tree.pages_free()
    }

    /// Publishes the changes under `stamp`; the transaction's number.
    pub fn commit(mut self, stamp: Stamp) -> TxnId {
        self.committed = true;
        self.tree.publish(stamp)
    }
}

impl Lend for Txn<'_> {
    fn view(&self) -> View<'_> {
        Txn::view(self)
    }
}

impl Drop for Txn<'_> {
    fn drop(&mut self) {
        if !self.committed {
            self.tree.abort();
        }
    }
}
