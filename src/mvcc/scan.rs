//! A range read in steps, whose answer goes from the pages into the frame without being built in memory.
//!
//! ```text
//! new → encode_whole ─ fits ─────────────────────────────────────────► done (most requests: one descent)
//!          └ too large → prepare … prepare → next_chunk … next_chunk → done
//! ```
//! The first pass (`prepare`) counts, sorts if asked to and sums the encoded length up, so that the frame's length
//! prefix can be written; the second (`next_chunk`) encodes. Between two calls a scan holds keys, never a borrow.
//!
//! Invariants
//! - All calls get the same root (checked by its transaction id); so both passes see the same pairs.
//! - What `next_chunk` appends over all calls is exactly `encoded_length` bytes.
//! - Every step ends: `Work` bounds what it looks at and what it appends (exceeded by at most one pair).
//!
//! Benchmark: benches/mvcc_range.rs.

use super::count::Count;
use super::plan::{Order, Plan};
use super::row::{KeyBuffer, Values, Version, newest_at};
use super::sort::Sorter;
use super::walk::{Mode, Step, Walk};
use super::wire::{self, Tail};
use super::work::{Progress, Work, wide};
use super::{Error, Position};
use crate::command::RangeRequest;
use crate::tree::View;
use crate::types::{Revision, TxnId};

/// Where a pass over the keys stands.
#[derive(Default, Debug)]
struct Pass {
    /// The last key looked at.
    last: Option<Vec<u8>>,
    /// Live keys seen.
    live: u64,
    /// Pairs taken into the answer.
    taken: u64,
}

/// What is to be done next.
#[derive(Debug)]
enum Phase {
    Counting,
    /// Summing the length of the answer up, in the order of the keys.
    Measuring(Pass),
    /// Collecting the pairs to be sorted.
    Collecting(Pass, Sorter),
    Sorting(Sorter),
    /// Summing the length up in sorted order; the place of the next pair.
    MeasuringSorted(Sorter, usize),
    /// Encoding, in the order of the keys.
    Encoding(Pass),
    EncodingSorted(Sorter, usize),
    Done,
}

/// A range request being answered.
#[derive(Debug)]
pub struct Scan {
    plan: Plan,
    root: TxnId,
    phase: Phase,
    count: Count,
    more: bool,
    /// Pairs in the answer, once measured.
    pairs: u64,
    length: u64,
    encoded: u64,
}

impl Scan {
    /// Checks the request against the root that `view` shows.
    pub fn new(view: &View<'_>, request: &RangeRequest) -> Result<Self, Error> {
        Self::at(view, Position::of(&view.stamp()), request)
    }

    /// The same, for a reader within a txn that has written: its position is ahead of the root's.
    pub(super) fn at(view: &View<'_>, position: Position, request: &RangeRequest) -> Result<Self, Error> {
        let plan = Plan::new(request, position)?;
        let count = Count::new(plan.range.copy(), plan.mode);
        let phase = Phase::Counting;
        Ok(Self { plan, root: view.txn(), phase, count, more: false, pairs: 0, length: 0, encoded: 0 })
    }

    /// What the answer's header says: the current revision.
    pub fn revision(&self) -> Revision {
        self.plan.header
    }

    /// Appends the whole answer, without its tail, if that takes less than `bytes_max` bytes and the work given; `None`
    /// and an unchanged `out` otherwise. Only before `prepare`.
    pub fn encode_whole(
        &mut self,
        view: &View<'_>,
        out: &mut Vec<u8>,
        bytes_max: usize,
        work: &mut Work,
    ) -> Result<Option<Tail>, Error> {
        self.assert_root(view);
        work.allow_bytes(bytes_max);
        assert!(matches!(self.phase, Phase::Counting), "a whole answer is tried first");
        let start = out.len();
        let tried = self.try_whole(view, out, work);
        if let Ok(Some(_)) = &tried {
            self.phase = Phase::Done;
        } else {
            out.truncate(start);
        }
        tried
    }

    fn try_whole(&mut self, view: &View<'_>, out: &mut Vec<u8>, work: &mut Work) -> Result<Option<Tail>, Error> {
        if self.plan.count_only {
            let count = self.count.step(view, work)?;
            return Ok(count.map(|count| Tail { more: false, count }));
        }
        if matches!(self.plan.order, Order::By(..)) {
            return Ok(None);
        }
        let (plan, fields) = (&self.plan, self.plan.fields);
        let (mut pass, mut values) = (Pass::default(), Values::new(view));
        let mut cut = Cut::None;
        let limit = plan.limit;
        let reached = walk_some(view, plan, &mut pass, work, |version, taken, work| {
            if limit == Some(taken) {
                cut = Cut::Limit;
                return Ok(Take::Stop);
            }
            let start = out.len();
            wire::put_kvs(out, version, fields.value(version, &mut values)?, fields);
            if work.append(out.len() - start) {
                return Ok(Take::Taken);
            }
            cut = Cut::Work;
            Ok(Take::TakenAndStop)
        })?;
        match cut {
            Cut::None if reached => Ok(Some(Tail { more: false, count: signed(pass.live)? })),
            Cut::None | Cut::Work => Ok(None),
            Cut::Limit => {
                let count = self.count.step(view, work)?;
                Ok(count.map(|count| Tail { more: true, count }))
            }
        }
    }

    /// The first pass; call until `Done`.
    pub fn prepare(&mut self, view: &View<'_>, work: &mut Work) -> Result<Progress, Error> {
        self.assert_root(view);
        work.allow_bytes(usize::MAX);
        loop {
            self.phase = match std::mem::replace(&mut self.phase, Phase::Done) {
                Phase::Counting => self.count(view, work)?,
                Phase::Measuring(pass) => self.measure(view, pass, work)?,
                Phase::Collecting(pass, sorter) => self.collect(view, pass, sorter, work)?,
                Phase::Sorting(mut sorter) => match sorter.step(view, work)? {
                    Progress::Done => Phase::MeasuringSorted(sorter, 0),
                    Progress::More => Phase::Sorting(sorter),
                },
                Phase::MeasuringSorted(sorter, place) => self.measure_sorted(view, sorter, place, work)?,
                ready @ (Phase::Encoding(_) | Phase::EncodingSorted(..) | Phase::Done) => ready,
            };
            if self.is_prepared() {
                return Ok(Progress::Done);
            }
            if work.is_spent() {
                return Ok(Progress::More);
            }
        }
    }

    fn is_prepared(&self) -> bool {
        matches!(self.phase, Phase::Encoding(_) | Phase::EncodingSorted(..) | Phase::Done)
    }

    /// Bytes that the second pass appends, known when prepared.
    pub fn encoded_length(&self) -> u64 {
        assert!(self.is_prepared(), "the length is known after the first pass");
        self.length
    }

    /// What follows the pairs, known when prepared.
    pub fn tail(&self) -> Tail {
        assert!(self.is_prepared(), "the tail is known after the first pass");
        Tail { more: self.more, count: self.count.result().expect("counted in the first pass") }
    }

    /// Pairs in the answer, known when prepared.
    pub(super) fn pairs(&self) -> u64 {
        assert!(self.is_prepared(), "pairs are counted in the first pass");
        self.pairs
    }

    /// The key of the answer's last pair, known when a sorted answer is prepared and nothing of it was encoded.
    pub(super) fn last_key(&self) -> Option<&[u8]> {
        let Phase::EncodingSorted(sorter, 0) = &self.phase else { return None };
        let last = usize::try_from(self.pairs).ok()?.checked_sub(1)?;
        Some(sorter.key(last))
    }

    fn count(&mut self, view: &View<'_>, work: &mut Work) -> Result<Phase, Error> {
        if self.count.step(view, work)?.is_none() {
            return Ok(Phase::Counting);
        }
        Ok(match self.plan.order {
            _ if self.plan.count_only => Phase::Done,
            Order::Keys(_) => Phase::Measuring(Pass::default()),
            Order::By(target, direction) => Phase::Collecting(Pass::default(), Sorter::new(target, direction)),
        })
    }

    /// Sums up the pairs that the answer will have.
    fn measure(&mut self, view: &View<'_>, mut pass: Pass, work: &mut Work) -> Result<Phase, Error> {
        let fields = self.plan.fields;
        let (limit, mut length) = (self.plan.limit, 0);
        let mut more = false;
        let ended = walk_some(view, &self.plan, &mut pass, work, |version, taken, _| {
            more = limit == Some(taken);
            if more {
                return Ok(Take::Stop);
            }
            length += wide(wire::kvs_length(version, fields));
            Ok(Take::Taken)
        })?;
        self.length += length;
        if !ended {
            return Ok(Phase::Measuring(pass));
        }
        self.pairs = pass.taken;
        self.more = more;
        Ok(Phase::Encoding(Pass::default()))
    }

    fn collect(
        &mut self,
        view: &View<'_>,
        mut pass: Pass,
        mut sorter: Sorter,
        work: &mut Work,
    ) -> Result<Phase, Error> {
        let (window, mut values) = (self.plan.window, Values::new(view));
        let ended = walk_some(view, &self.plan, &mut pass, work, |version, taken, _| {
            if window == Some(taken) {
                return Ok(Take::Stop);
            }
            sorter.push(version, &mut values)?;
            Ok(Take::Taken)
        })?;
        if !ended {
            return Ok(Phase::Collecting(pass, sorter));
        }
        let found = wide(sorter.len());
        assert_eq!(found, pass.taken, "every pair taken is to be sorted");
        self.pairs = self.plan.limit.map_or(found, |limit| limit.min(found));
        self.more = found > self.pairs;
        Ok(Phase::Sorting(sorter))
    }

    fn measure_sorted(
        &mut self,
        view: &View<'_>,
        sorter: Sorter,
        mut place: usize,
        work: &mut Work,
    ) -> Result<Phase, Error> {
        let fields = self.plan.fields;
        while wide(place) < self.pairs {
            if !work.spend(1) {
                return Ok(Phase::MeasuringSorted(sorter, place));
            }
            let version = visible(view, self.plan.mode, sorter.key(place))?;
            self.length += wide(wire::kvs_length(&version, fields));
            place += 1;
        }
        Ok(Phase::EncodingSorted(sorter, 0))
    }

    /// The second pass: appends pairs until `bytes_max` is reached or the work is spent. Call until `Done`.
    pub fn next_chunk(
        &mut self,
        view: &View<'_>,
        out: &mut Vec<u8>,
        bytes_max: usize,
        work: &mut Work,
    ) -> Result<Progress, Error> {
        self.assert_root(view);
        work.allow_bytes(bytes_max);
        assert!(self.is_prepared(), "encoding follows the first pass");
        let start = out.len();
        self.phase = match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Encoding(pass) => self.encode(view, pass, out, work)?,
            Phase::EncodingSorted(sorter, place) => self.encode_sorted(view, (sorter, place), out, work)?,
            Phase::Counting
            | Phase::Measuring(_)
            | Phase::Collecting(..)
            | Phase::Sorting(_)
            | Phase::MeasuringSorted(..)
            | Phase::Done => Phase::Done,
        };
        self.encoded += wide(out.len() - start);
        let ended = matches!(self.phase, Phase::Done);
        if self.encoded > self.length || (ended && self.encoded != self.length) {
            // The same pages of the same root: one of them rotted in between.
            return Err(Error::Damaged("a pinned root changed while it was read"));
        }
        Ok(if ended { Progress::Done } else { Progress::More })
    }

    fn encode(&self, view: &View<'_>, mut pass: Pass, out: &mut Vec<u8>, work: &mut Work) -> Result<Phase, Error> {
        let (fields, pairs) = (self.plan.fields, self.pairs);
        if pass.taken == pairs {
            return Ok(Phase::Done);
        }
        let mut values = Values::new(view);
        let ended = walk_some(view, &self.plan, &mut pass, work, |version, taken, work| {
            let start = out.len();
            wire::put_kvs(out, version, fields.value(version, &mut values)?, fields);
            let room = work.append(out.len() - start);
            Ok(if taken + 1 == pairs || !room { Take::TakenAndStop } else { Take::Taken })
        })?;
        // At the end of the range there is no more, whatever was measured: the lengths are compared.
        Ok(if pass.taken == pairs || ended { Phase::Done } else { Phase::Encoding(pass) })
    }

    fn encode_sorted(
        &self,
        view: &View<'_>,
        (sorter, mut place): (Sorter, usize),
        out: &mut Vec<u8>,
        work: &mut Work,
    ) -> Result<Phase, Error> {
        let (fields, mut values) = (self.plan.fields, Values::new(view));
        while wide(place) < self.pairs && work.spend(1) {
            let start = out.len();
            let version = visible(view, self.plan.mode, sorter.key(place))?;
            wire::put_kvs(out, &version, fields.value(&version, &mut values)?, fields);
            work.append(out.len() - start);
            place += 1;
        }
        Ok(if wide(place) == self.pairs { Phase::Done } else { Phase::EncodingSorted(sorter, place) })
    }

    fn assert_root(&self, view: &View<'_>) {
        assert_eq!(view.txn(), self.root, "a scan stays with its root");
    }
}

/// What to do with a pair.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Take {
    /// It was taken; go on.
    Taken,
    /// It was taken; pause behind it.
    TakenAndStop,
    /// It is not taken and nothing after it is.
    Stop,
}

/// Why trying a whole answer ended before the end of the range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Cut {
    None,
    /// By the request's limit: there is more.
    Limit,
    /// By the work given: the answer is too large to be tried whole.
    Work,
}

/// Shows `take` each pair that the plan admits, behind the pass's last key, with the number taken before it. True when
/// nothing is left to be shown; false when the pass stopped in between and goes on behind its last key.
fn walk_some(
    view: &View<'_>,
    plan: &Plan,
    pass: &mut Pass,
    work: &mut Work,
    mut take: impl FnMut(&Version<'_>, u64, &mut Work) -> Result<Take, Error>,
) -> Result<bool, Error> {
    let resume = pass.last.take();
    let mut walk = Walk::new(view, &plan.range, (plan.mode, plan.direction()), resume.as_deref());
    let mut paused = false;
    while !paused && work.spend(1) {
        let version = match walk.step()? {
            Step::Live(version) => version,
            Step::Dead => continue,
            Step::End => return Ok(true),
        };
        pass.live += 1;
        if plan.admits(&version) {
            let taken = take(&version, pass.taken, work)?;
            pass.taken += u64::from(taken != Take::Stop);
            if taken == Take::Stop {
                return Ok(true);
            }
            paused = taken == Take::TakenAndStop;
        }
        // A single key needs no second step to be known as the end.
        if plan.range.is_single() {
            return Ok(true);
        }
    }
    assert!(pass.taken <= pass.live, "only live keys are taken");
    let seen = walk.seen().map(<[u8]>::to_vec);
    pass.last = seen.or(resume);
    Ok(false)
}

/// The version of a key that was visible a moment ago in the same root.
fn visible<'a>(view: &View<'a>, mode: Mode, key: &[u8]) -> Result<Version<'a>, Error> {
    let found = newest_at(view, key, mode.place(), &mut KeyBuffer::default())?;
    found.filter(|version| !version.head.tombstone).ok_or(Error::Damaged("a version vanished from a pinned root"))
}

fn signed(count: u64) -> Result<i64, Error> {
    i64::try_from(count).map_err(|_| Error::Damaged("more live keys than revisions can be"))
}
