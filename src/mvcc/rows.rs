//! The history as etcd keeps it: the rows of its bucket `key`, in order.
//!
//! Invariants
//! - A walk goes on at a place, not in the tree, and stays with its root.
//! - What is told of a row's lengths needs no look at its value.

use super::at::At;
use super::row::Version;
use super::row_key::RowKey;
use super::wire::{Fields, pair_length, put_pair};
use super::work::{Progress, Work};
use super::{Compaction, Error};
use crate::tree::{Cursor, TreeId, View};
use crate::types::Revision;

/// One row, while a walk stands on it.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    version: Version<'a>,
    cursor: &'a Cursor<'a>,
}

impl<'a> Row<'a> {
    /// Its key.
    pub fn key(&self) -> RowKey {
        RowKey::of(self.version.at, self.version.head.tombstone)
    }

    /// Bytes of its value, a `mvccpb.KeyValue`.
    pub fn value_length(&self) -> usize {
        pair_length(&self.version, Fields::All)
    }

    /// Finds what a put has written.
    pub fn written(&self) -> Result<&'a [u8], Error> {
        Ok(self.cursor.cell()?.ok_or(Error::Damaged("a row without its cell"))?.body)
    }

    /// Appends its value; `written` is what was found.
    pub fn put_value(&self, written: &[u8], out: &mut Vec<u8>) {
        put_pair(out, &self.version, written, Fields::All);
    }
}

/// What becomes of a walk after a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Walk {
    /// It goes on.
    On,
    /// The step ends behind the row.
    Rest,
}

/// A walk over all rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rows {
    next: At,
}

impl Default for Rows {
    fn default() -> Self {
        Self { next: At::FIRST }
    }
}

impl Rows {
    /// Shows rows until they are all shown, the work is spent, or it is time for a rest.
    pub fn step<E: From<Error>>(
        &mut self,
        view: &View<'_>,
        work: &mut Work,
        mut visit: impl FnMut(&Row<'_>) -> Result<Walk, E>,
    ) -> Result<Progress, E> {
        let tree = |error| E::from(Error::Tree(error));
        let mut cursor = view.cursor(TreeId::Revisions);
        cursor.seek(&self.next.revision_key()).map_err(tree)?;
        while let Some(outline) = cursor.outline().map_err(tree)? {
            let version = Version::of_row(outline)?;
            if version.at < self.next {
                return Err(Error::Damaged("revisions out of order").into());
            }
            if !work.spend(1) {
                return Ok(Progress::More);
            }
            let walk = visit(&Row { version, cursor: &cursor })?;
            self.next = version.at.next()?;
            cursor.next().map_err(tree)?;
            if walk == Walk::Rest {
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Done)
    }
}

/// How far compaction got, as etcd notes it: the revision that was asked for, and the one up to which it is through.
pub fn compaction_marks(view: &View<'_>) -> Result<[Option<RowKey>; 2], Error> {
    let compaction = Compaction::of(view)?;
    let mark = |revision: Revision| (revision.0 > 0).then(|| RowKey::of_revision(revision));
    Ok([mark(compaction.scheduled), mark(compaction.finished)])
}
