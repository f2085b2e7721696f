//! Ordering the pairs of a range by something else than their keys, in steps.
//!
//! Invariants
//! - Only keys, numbers and the first bytes of values are held: a sorted answer of any size is still encoded from the
//!   pages, pair by pair.
//! - Pairs that compare equal stand in the order of their keys, in both directions.
//!
//! A bottom-up merge sort over indexes, so that it can stop after any comparison and go on later.

use std::cmp::Ordering;

use super::Error;
use super::row::{At, KeyBuffer, Version, newest_at};
use super::walk::Direction;
use super::work::{Progress, Work};
use crate::command::range_request::SortTarget;
use crate::limits::MVCC_SORT_PREFIX_BYTES;
use crate::tree::View;

/// One pair to be sorted.
#[derive(Debug)]
struct Entry {
    key: Box<[u8]>,
    by: By,
}

/// What an entry is compared by.
#[derive(Debug)]
enum By {
    Number(i64),
    /// The value's first bytes; the rest is looked up when they are equal and there is a rest.
    Value {
        prefix: Box<[u8]>,
        at: At,
    },
}

/// Where a merge stands: `order[a..a_end]` and `order[b..b_end]` are being merged into `merged`.
#[derive(Clone, Copy, Debug)]
struct Merge {
    width: usize,
    a: usize,
    a_end: usize,
    b: usize,
    b_end: usize,
}

/// Collects pairs, then sorts them.
#[derive(Debug)]
pub(super) struct Sorter {
    target: SortTarget,
    direction: Direction,
    entries: Vec<Entry>,
    order: Vec<usize>,
    merged: Vec<usize>,
    merge: Option<Merge>,
    sorted: bool,
}

impl Sorter {
    /// An empty collection.
    pub(super) fn new(target: SortTarget, direction: Direction) -> Self {
        let (entries, order, merged) = (Vec::new(), Vec::new(), Vec::new());
        Self { target, direction, entries, order, merged, merge: None, sorted: false }
    }

    /// Adds a pair; pairs come in the order of their keys.
    pub(super) fn push(&mut self, version: &Version<'_>) {
        assert!(!self.sorted && self.merge.is_none(), "pairs are collected before they are sorted");
        let by = match self.target {
            SortTarget::Key | SortTarget::Mod => By::Number(version.at.main.0),
            SortTarget::Version => By::Number(version.head.version),
            SortTarget::Create => By::Number(version.head.create.0),
            SortTarget::Value => {
                let length = version.value.len().min(MVCC_SORT_PREFIX_BYTES);
                By::Value { prefix: Box::from(&version.value[..length]), at: version.at }
            }
        };
        self.order.push(self.entries.len());
        self.entries.push(Entry { key: Box::from(version.key), by });
    }

    /// Pairs collected.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The key of the pair at `place` of the sorted order.
    pub(super) fn key(&self, place: usize) -> &[u8] {
        assert!(self.sorted, "the order is known once it is sorted");
        &self.entries[self.order[place]].key
    }

    /// Sorts until it is done or the work is spent.
    pub(super) fn step(&mut self, view: &View<'_>, work: &mut Work) -> Result<Progress, Error> {
        if self.sorted {
            return Ok(Progress::Done);
        }
        let mut merge = self.merge.take().unwrap_or_else(|| self.pair(0, 1));
        loop {
            while merge.a < merge.a_end || merge.b < merge.b_end {
                if !work.spend(1) {
                    self.merge = Some(merge);
                    return Ok(Progress::More);
                }
                self.take_smaller(view, &mut merge)?;
            }
            if merge.b_end < self.order.len() {
                merge = self.pair(merge.b_end, merge.width);
                continue;
            }
            assert_eq!(self.merged.len(), self.order.len(), "a pass moves every pair");
            std::mem::swap(&mut self.order, &mut self.merged);
            self.merged.clear();
            if merge.width >= self.order.len() {
                self.sorted = true;
                return Ok(Progress::Done);
            }
            merge = self.pair(0, merge.width.saturating_mul(2));
        }
    }

    /// The merge of the two runs of `width` that begin at `start`.
    fn pair(&self, start: usize, width: usize) -> Merge {
        let end = |from: usize| from.saturating_add(width).min(self.order.len());
        let a_end = end(start);
        Merge { width, a: start, a_end, b: a_end, b_end: end(a_end) }
    }

    fn take_smaller(&mut self, view: &View<'_>, merge: &mut Merge) -> Result<(), Error> {
        let from_a = if merge.a == merge.a_end {
            false
        } else if merge.b == merge.b_end {
            true
        } else {
            let (a, b) = (&self.entries[self.order[merge.a]], &self.entries[self.order[merge.b]]);
            let ordering = compare(view, a, b)?;
            // On equality the one from `a`, whose key is smaller.
            match self.direction {
                Direction::Ascending => ordering.is_le(),
                Direction::Descending => ordering.is_ge(),
            }
        };
        let taken = if from_a { &mut merge.a } else { &mut merge.b };
        self.merged.push(self.order[*taken]);
        *taken += 1;
        Ok(())
    }
}

fn compare(view: &View<'_>, a: &Entry, b: &Entry) -> Result<Ordering, Error> {
    match (&a.by, &b.by) {
        (By::Number(a), By::Number(b)) => Ok(a.cmp(b)),
        (By::Value { prefix: a_prefix, at: a_at }, By::Value { prefix: b_prefix, at: b_at }) => {
            let ordering = a_prefix.cmp(b_prefix);
            if ordering.is_ne() || a_prefix.len() < MVCC_SORT_PREFIX_BYTES {
                return Ok(ordering);
            }
            Ok(value(view, &a.key, *a_at)?.cmp(value(view, &b.key, *b_at)?))
        }
        (By::Number(_), By::Value { .. }) => Ok(Ordering::Less),
        (By::Value { .. }, By::Number(_)) => Ok(Ordering::Greater),
    }
}

fn value<'a>(view: &View<'a>, key: &[u8], at: At) -> Result<&'a [u8], Error> {
    let found = newest_at(view, key, at, &mut KeyBuffer::default())?;
    Ok(found.ok_or(Error::Damaged("a version vanished from a pinned root"))?.value)
}
