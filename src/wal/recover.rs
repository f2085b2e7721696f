//! Recovery: decides from fully read files what the log is, or why it is refused. `verdict.rs` holds the table.
//!
//! Invariants
//! - What was reported durable is in the result, or there is no result.
//! - Nothing is changed before the result is there; its steps may be cut short by a crash at any point and recovery then
//!   gives the same log again.
//! - Every start begins an epoch after the last whole group, so that what was cut stays cut.
//! - No bytes make it panic.

use super::append::{Log, Point, Resumed};
use super::entry::{Entry, EntryId, HardState, IndexRange, Sequence, SnapshotMark};
use super::error::{Error, What};
use super::format::{HeaderCopy, NUMBER_MAX, PartHeader, genesis};
use super::input::RecoverInput;
use super::lineup::{Lineup, line_up};
use super::mark::Mark;
use super::name::{FileName, Step};
use super::replay::Replay;
use super::scan::{Cursor, Evidence, Part, Scan};
use super::segment::{Segment, Segments, State};
use super::verdict::{Facts, Verdict};
use crate::limits::{WAL_BLOCK_BYTES, WAL_HEADERS_REDUNDANT};
use crate::types::RaftIndex;
use bytes::Bytes;
use std::collections::VecDeque;

/// A log that is in order.
#[derive(Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// The entry before the first of `entries`, at or below `tree_applied`.
    pub base: EntryId,
    /// The entries after `base`, without gaps, to the log's end.
    pub entries: Vec<Entry>,
    /// The newest hard state. Its commit may be below `tree_applied`, since it is written lazily.
    pub hard_state: HardState,
    /// Why the log ends where it does.
    pub ending: Ending,
    /// To be carried out, in order, before `log` is used.
    pub repairs: Vec<Step>,
    /// What was odd but harmless, for the process's log.
    pub notes: Vec<String>,
    /// The tree was installed from this snapshot, but its mark did not reach the log: plan it before anything else.
    pub snapshot_due: Option<SnapshotMark>,
    /// The appender.
    pub log: Log,
}

/// How a log ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// It was never used.
    Fresh,
    /// Nothing stands after the last group.
    Clean,
    /// What stood after the last whole group was never reported durable and was cut.
    Cut,
}

/// Recovers a log.
pub fn recover(input: RecoverInput<'_>) -> Result<Recovered, Error> {
    input.config.assert_valid();
    assert!(input.identity.member.0 != 0, "a member has an id");
    let lineup = line_up(&input)?;
    let scan = Scan::new(lineup.views.clone(), lineup.mark);
    let mut walk = Walk::new(&input, &scan, lineup.mark);
    let ending = loop {
        if let Some(ending) = walk.step()? {
            break ending;
        }
    };
    let kept = walk.kept;
    let hard_state = walk.replay.hard_state();
    assert_eq!(walk.replay.end(), kept.point.end, "the replay ends with the last whole group");
    let met = meet_tree(&input, &scan, walk.replay)?;
    let (log, repairs) = resume(&input, &lineup, &scan, kept, hard_state);
    let Met { base, entries, snapshot_due } = met;
    Ok(Recovered { base, entries, hard_state, ending, repairs, notes: lineup.notes, snapshot_due, log })
}

/// Walks the chain of parts from the oldest segment on.
struct Walk<'a, 'b> {
    input: &'b RecoverInput<'a>,
    scan: &'b Scan<'a>,
    mark: Option<Mark>,
    cursor: Cursor,
    started: bool,
    last: Option<PartHeader>,
    /// Records of the parts of a group whose last part was not reached yet.
    pending: Vec<u8>,
    /// The chain and copy of each of its parts.
    pending_copies: Vec<HeaderCopy>,
    /// The group's first parts stood in a released segment.
    headless: bool,
    replay: Replay,
    kept: Kept,
}

/// What is known after the last whole group.
struct Kept {
    point: Point,
    /// The view of the segment in which it ends.
    view: usize,
    epoch: u64,
    copies: VecDeque<HeaderCopy>,
    /// For each view, the highest index of the groups that touch it.
    index_max: Vec<RaftIndex>,
    /// The same for a group whose end was not reached yet: merged with its last part.
    pending: Vec<usize>,
}

impl<'a, 'b> Walk<'a, 'b> {
    fn new(input: &'b RecoverInput<'a>, scan: &'b Scan<'a>, mark: Option<Mark>) -> Self {
        let first = scan.views()[0].header.id;
        let chain = genesis(input.identity);
        let last = (first.0 == 1).then_some((Sequence(0), chain));
        let point =
            Point { sequence: Sequence(0), chain, end: EntryId::default(), segment: first, offset: WAL_BLOCK_BYTES };
        let index_max = vec![RaftIndex::default(); scan.views().len()];
        let floor = RaftIndex(input.tree_applied.0.saturating_sub(input.entries_kept));
        Self {
            input,
            scan,
            mark,
            cursor: Cursor { view: 0, offset: WAL_BLOCK_BYTES, last, epoch: 0 },
            started: last.is_none(),
            last: None,
            pending: Vec::new(),
            pending_copies: Vec::new(),
            headless: false,
            replay: Replay::new(floor, input.tree_applied),
            kept: Kept { point, view: 0, epoch: 0, copies: VecDeque::new(), index_max, pending: Vec::new() },
        }
    }

    /// Looks at the next place: `None` if a part was kept, else how the log ends.
    fn step(&mut self) -> Result<Option<Ending>, Error> {
        let settled = self.scan.settle(self.cursor);
        self.cursor = settled.unwrap_or(self.cursor);
        let part = settled.and_then(|cursor| self.scan.read(&cursor));
        let successor = part.as_ref().is_some_and(|part| self.scan.follows(&self.cursor, self.last.as_ref(), part));
        let body = part.as_ref().is_some_and(|part| part.payload.is_some());
        // Only a broken place needs a look at all that follows.
        let good = successor && body && self.mark.is_some();
        let evidence = match settled {
            Some(cursor) if !good => self.scan.evidence_after(&cursor),
            Some(_) | None => Evidence::default(),
        };
        let facts = Facts {
            marked: self.mark.is_some(),
            started: self.started,
            header: part.is_some(),
            successor,
            body,
            attested: self.is_attested(&evidence),
            later: evidence.later,
            contradicted: evidence.contradicted,
        };
        match (facts.verdict(), part) {
            (Verdict::Keep, Some(Part { header, chain, payload: Some(payload) })) => {
                self.keep(header, chain, payload).map(|()| None)
            }
            (Verdict::End, _) if self.pending_copies.is_empty() => Ok(Some(Ending::Clean)),
            (Verdict::End | Verdict::Cut, _) => Ok(Some(Ending::Cut)),
            (Verdict::Fresh, _) => Ok(Some(Ending::Fresh)),
            (Verdict::MarkLost, _) => Err(Error::new(FileName::Mark, 0, What::MarkLost)),
            (Verdict::TwoHistories, _) => Err(self.refusal(What::TwoHistories, &evidence)),
            (Verdict::Lost, _) => Err(self.refusal(self.how_lost(&evidence), &evidence)),
            (Verdict::Keep, _) => unreachable!("the table keeps only what is whole"),
        }
    }

    fn marked_through(&self) -> Sequence {
        self.mark.map_or(Sequence(0), |mark| mark.durable_through)
    }

    fn is_attested(&self, evidence: &Evidence) -> bool {
        let durable_through = self.marked_through().max(evidence.durable_through);
        durable_through >= self.cursor.expected() || self.is_behind_tree()
    }

    /// The tree has applied what the log does not have, and no snapshot explains it: the tree of an installed snapshot
    /// is durable before the log is told.
    fn is_behind_tree(&self) -> bool {
        let RecoverInput { tree_applied, tree_installed, .. } = *self.input;
        self.kept.point.end.index < tree_applied && tree_applied != tree_installed
    }

    fn how_lost(&self, evidence: &Evidence) -> What {
        let by_log = self.marked_through().max(evidence.durable_through) >= self.cursor.expected();
        if by_log {
            return What::Lost;
        }
        What::BehindTree { end: self.kept.point.end.index, applied: self.input.tree_applied }
    }

    fn refusal(&self, what: What, evidence: &Evidence) -> Error {
        let first = self.kept.point.end.index.next();
        let marked = self.mark.map_or(RaftIndex::default(), |mark| mark.end.index);
        let last = marked.max(evidence.durable_end).max(self.input.tree_applied);
        let lost = (first <= last).then_some(IndexRange { first, last });
        let file = self.scan.views()[self.cursor.view].file();
        Error { lost, ..Error::new(file, self.cursor.offset, what) }
    }

    fn disordered(&self) -> Error {
        self.refusal(What::Disordered, &Evidence::default())
    }

    fn keep(&mut self, header: PartHeader, chain: u64, payload: &[u8]) -> Result<(), Error> {
        if self.last.is_none() && self.cursor.last.is_none() {
            self.headless = header.group_first < header.sequence;
        }
        self.started = true;
        self.pending_copies.push(header.copy(chain));
        self.kept.pending.push(self.cursor.view);
        let extent = header.extent();
        let after = Cursor {
            offset: self.cursor.offset + extent,
            last: Some((header.sequence, chain)),
            epoch: header.epoch,
            view: self.cursor.view,
        };
        if !header.group_ends {
            if !self.headless {
                self.pending.extend_from_slice(payload);
            }
        } else {
            self.finish_group(&header, payload)?;
            let segment = self.scan.views()[after.view].header.id;
            let sequence = header.sequence;
            self.kept.point = Point { sequence, chain, end: header.end, segment, offset: after.offset };
            self.kept.view = after.view;
            self.kept.epoch = header.epoch;
        }
        self.cursor = after;
        self.last = Some(header);
        Ok(())
    }

    fn finish_group(&mut self, header: &PartHeader, payload: &[u8]) -> Result<(), Error> {
        let replayed = if std::mem::take(&mut self.headless) {
            self.replay.skip_group(header)
        } else if self.pending.is_empty() {
            self.replay.group(header, &Bytes::copy_from_slice(payload))
        } else {
            self.pending.extend_from_slice(payload);
            self.replay.group(header, &Bytes::from(std::mem::take(&mut self.pending)))
        };
        replayed.map_err(|_| self.disordered())?;
        for view in self.kept.pending.drain(..) {
            self.kept.index_max[view] = self.kept.index_max[view].max(header.index_max);
        }
        for copy in self.pending_copies.drain(..) {
            self.kept.copies.truncate(WAL_HEADERS_REDUNDANT - 1);
            self.kept.copies.push_front(copy);
        }
        Ok(())
    }
}

/// The log as raft is to have it.
struct Met {
    base: EntryId,
    entries: Vec<Entry>,
    snapshot_due: Option<SnapshotMark>,
}

/// Checks the log against the tree, and gives what raft needs of it.
fn meet_tree(input: &RecoverInput<'_>, scan: &Scan<'_>, replay: Replay) -> Result<Met, Error> {
    let applied = EntryId { index: input.tree_applied, term: input.tree_term };
    let end = replay.end();
    let (base, entries) = replay.into_entries();
    let file = scan.views()[0].file();
    let at_applied = entries.iter().find(|entry| entry.index == applied.index).map_or(base.term, |entry| entry.term);
    let known = end.index >= applied.index && base.index <= applied.index;
    if known && at_applied == applied.term {
        return Ok(Met { base, entries, snapshot_due: None });
    }
    // A snapshot takes the place of the whole log, and its tree is durable before the log is told. What the log holds
    // beyond it was never committed.
    if applied.index == input.tree_installed && base.index <= applied.index {
        let snapshot_due = Some(SnapshotMark { index: applied.index, term: applied.term });
        return Ok(Met { base: applied, entries: Vec::new(), snapshot_due });
    }
    if known {
        return Err(Error::new(file, 0, What::OtherTerm { log: at_applied, tree: applied.term }));
    }
    assert!(end.index >= applied.index, "the walk refuses a log that is behind the tree");
    let lost = Some(IndexRange { first: applied.index.next(), last: base.index });
    let what = What::AheadOfTree { base: base.index, applied: applied.index };
    Err(Error { lost, ..Error::new(file, 0, what) })
}

/// The appender that goes on after the last whole group, and the steps before it may.
fn resume(
    input: &RecoverInput<'_>,
    lineup: &Lineup<'_>,
    scan: &Scan<'_>,
    kept: Kept,
    hard_state: HardState,
) -> (Log, Vec<Step>) {
    let mark_epoch = lineup.mark.map_or(0, |mark| mark.epoch);
    let epoch = mark_epoch.max(kept.epoch) + 1;
    assert!(epoch <= NUMBER_MAX + 1, "epochs on disk are bounded when they are parsed");
    let point = kept.point;
    let active = kept.view;
    assert_eq!(scan.views()[active].header.id, point.segment, "the log ends in this segment");
    let mut list = lineup.released.clone();
    for (at, view) in scan.views().iter().enumerate() {
        let state = match at.cmp(&active) {
            std::cmp::Ordering::Less => State::Full,
            std::cmp::Ordering::Equal => State::Active,
            std::cmp::Ordering::Greater => State::Spare,
        };
        let header = view.header;
        let index_max = kept.index_max[at];
        list.push(Segment { id: header.id, signature: header.signature, bytes: header.bytes, index_max, state });
    }
    let segments = Segments::new(input.config, input.identity, input.boot, list, point.offset);
    let counter = lineup.mark.map_or(0, |mark| mark.counter);
    let resumed = Resumed { epoch, boot: input.boot, point, hard_state, copies: kept.copies, counter };
    let (log, marks) = Log::resume(input.identity, segments, resumed);
    // What was read may be on its way to the medium still; the mark must not be there before it.
    let synced_from = lineup.mark.and_then(|mark| scan.view_of(mark.segment)).unwrap_or(0);
    let mut repairs: Vec<Step> =
        scan.views()[synced_from..=active.max(synced_from)].iter().map(|view| Step::Sync(view.file())).collect();
    repairs.extend(marks);
    repairs.extend(lineup.removable.iter().map(|file| Step::Remove(*file)));
    repairs.push(Step::SyncDirectory);
    (log, repairs)
}
