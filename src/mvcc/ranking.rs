//! Numbers for values, so that comparing the numbers is comparing the values.
//!
//! Invariants
//! - Only the first bytes of each value are held; longer equal beginnings are compared in the pages.
//! - Equal values have equal numbers.
//!
//! A bottom-up merge sort over indexes, so that it can stop after any comparison and go on later.

use std::cmp::Ordering;

use super::Error;
use super::at::At;
use super::row::Values;
use super::work::Work;
use crate::limits::MVCC_SORT_PREFIX_BYTES;
use crate::tree::View;

/// One value to be ranked.
#[derive(Debug)]
struct Entry {
    prefix: Box<[u8]>,
    at: At,
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

/// Ranks values in steps.
#[derive(Debug)]
pub(super) struct Ranking {
    entries: Vec<Entry>,
    order: Vec<usize>,
    merged: Vec<usize>,
    merge: Option<Merge>,
    sorted: bool,
    /// The rank of each entry, as far as they are known; one for each place of `order` that was passed.
    ranks: Vec<i64>,
    passed: usize,
}

impl Ranking {
    /// Nothing to rank yet.
    pub(super) fn new() -> Self {
        let (entries, order, merged, ranks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { entries, order, merged, merge: None, sorted: false, ranks, passed: 0 }
    }

    /// Adds a value and where it was written.
    pub(super) fn push(&mut self, value: &[u8], at: At) {
        assert!(!self.sorted && self.merge.is_none(), "values are collected before they are ranked");
        let length = value.len().min(MVCC_SORT_PREFIX_BYTES);
        self.order.push(self.entries.len());
        self.entries.push(Entry { prefix: Box::from(&value[..length]), at });
    }

    /// Ranks until all are, or the work is spent. `keys` are those of the values, in the order of `push`.
    pub(super) fn step(
        &mut self,
        view: &View<'_>,
        keys: &[Box<[u8]>],
        work: &mut Work,
    ) -> Result<Option<Vec<i64>>, Error> {
        assert_eq!(keys.len(), self.entries.len(), "a key for each value");
        if !self.sorted && !self.sort(view, keys, work)? {
            return Ok(None);
        }
        self.ranks.resize(self.order.len(), 0);
        while let Some(own) = self.order.get(self.passed).copied() {
            if !work.spend(1) {
                return Ok(None);
            }
            self.ranks[own] = match self.passed.checked_sub(1).map(|before| self.order[before]) {
                None => 0,
                Some(before) => {
                    let ordering = self.compare(view, keys, (before, own))?;
                    if ordering.is_gt() {
                        return Err(Error::Damaged("a pinned root changed while it was read"));
                    }
                    self.ranks[before] + i64::from(ordering.is_lt())
                }
            };
            self.passed += 1;
        }
        Ok(Some(std::mem::take(&mut self.ranks)))
    }

    /// Sorts the order until it is, or the work is spent; whether it is.
    fn sort(&mut self, view: &View<'_>, keys: &[Box<[u8]>], work: &mut Work) -> Result<bool, Error> {
        let mut merge = self.merge.take().unwrap_or_else(|| self.pair(0, 1));
        loop {
            while merge.a < merge.a_end || merge.b < merge.b_end {
                if !work.spend(1) {
                    self.merge = Some(merge);
                    return Ok(false);
                }
                self.take_smaller(view, keys, &mut merge)?;
            }
            if merge.b_end < self.order.len() {
                merge = self.pair(merge.b_end, merge.width);
                continue;
            }
            assert_eq!(self.merged.len(), self.order.len(), "a pass moves every value");
            std::mem::swap(&mut self.order, &mut self.merged);
            self.merged.clear();
            if merge.width >= self.order.len() {
                self.sorted = true;
                return Ok(true);
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

    fn take_smaller(&mut self, view: &View<'_>, keys: &[Box<[u8]>], merge: &mut Merge) -> Result<(), Error> {
        let from_a = if merge.a == merge.a_end {
            false
        } else if merge.b == merge.b_end {
            true
        } else {
            self.compare(view, keys, (self.order[merge.a], self.order[merge.b]))?.is_le()
        };
        let taken = if from_a { &mut merge.a } else { &mut merge.b };
        self.merged.push(self.order[*taken]);
        *taken += 1;
        Ok(())
    }

    fn compare(&self, view: &View<'_>, keys: &[Box<[u8]>], (a, b): (usize, usize)) -> Result<Ordering, Error> {
        let ordering = self.entries[a].prefix.cmp(&self.entries[b].prefix);
        if ordering.is_ne() || self.entries[a].prefix.len() < MVCC_SORT_PREFIX_BYTES {
            return Ok(ordering);
        }
        let mut values = Values::new(view);
        let mut value = |of: usize| values.at(&keys[of], self.entries[of].at);
        Ok(value(a)?.cmp(value(b)?))
    }
}
