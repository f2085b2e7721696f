//! Ordering the pairs of a range by something else than their keys, in steps.
//!
//! Invariants
//! - Only keys, numbers and the first bytes of values are held: a sorted answer of any size is still encoded from the
//!   pages, pair by pair.
//! - Pairs that compare equal stand as in etcd's answer (see `quicksort`).

use super::Error;
use super::quicksort::Quicksort;
use super::ranking::Ranking;
use super::row::{Values, Version};
use super::walk::Direction;
use super::work::{Progress, Work};
use crate::command::range_request::SortTarget;
use crate::tree::View;

/// Collects pairs, then sorts them.
#[derive(Debug)]
pub(super) struct Sorter {
    target: SortTarget,
    direction: Direction,
    keys: Vec<Box<[u8]>>,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Pairs are compared by these numbers.
    Numbers(Vec<i64>),
    /// By their values, which get numbers first.
    Values(Ranking),
    /// The numbers are sorted, or being sorted.
    Sorting(Quicksort),
}

impl Sorter {
    /// An empty collection.
    pub(super) fn new(target: SortTarget, direction: Direction) -> Self {
        let by_value = target == SortTarget::Value;
        let phase = if by_value { Phase::Values(Ranking::new()) } else { Phase::Numbers(Vec::new()) };
        Self { target, direction, keys: Vec::new(), phase }
    }

    /// Adds a pair; pairs come in the order of their keys.
    pub(super) fn push(&mut self, version: &Version<'_>, values: &mut Values<'_>) -> Result<(), Error> {
        assert!(!matches!(self.phase, Phase::Sorting(_)), "pairs are collected before they are sorted");
        assert!(self.keys.last().is_none_or(|last| **last < *version.key), "pairs come in the order of their keys");
        self.keys.push(Box::from(version.key));
        let number = match self.target {
            SortTarget::Version => version.head.version,
            SortTarget::Create => version.head.create.0,
            SortTarget::Key | SortTarget::Mod | SortTarget::Value => version.at.main.0,
        };
        match &mut self.phase {
            Phase::Numbers(numbers) => numbers.push(number),
            Phase::Values(ranking) => ranking.push(values.of(version)?, version.at),
            Phase::Sorting(_) => {}
        }
        Ok(())
    }

    /// Pairs collected.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key of the pair at `place` of the sorted order.
    ///
    /// # Panics
    /// Before it is sorted.
    pub(super) fn key(&self, place: usize) -> &[u8] {
        let sorted = if let Phase::Sorting(sorted) = &self.phase { Some(sorted.place(place)) } else { None };
        &self.keys[sorted.expect("the order is known once it is sorted")]
    }

    /// Sorts until it is done or the work is spent.
    pub(super) fn step(&mut self, view: &View<'_>, work: &mut Work) -> Result<Progress, Error> {
        let descending = self.direction == Direction::Descending;
        let numbers = match &mut self.phase {
            Phase::Sorting(sorting) => return Ok(sorting.step(work)),
            Phase::Numbers(numbers) => Some(std::mem::take(numbers)),
            Phase::Values(ranking) => ranking.step(view, &self.keys, work)?,
        };
        let Some(numbers) = numbers else { return Ok(Progress::More) };
        assert_eq!(numbers.len(), self.keys.len(), "a number for each pair");
        let mut sorting = Quicksort::new(numbers.into_iter(), descending);
        let progress = sorting.step(work);
        self.phase = Phase::Sorting(sorting);
        Ok(progress)
    }
}
