//! Turns groups, in order, into the log that they leave: entries, their base and the hard state.
//!
//! Invariants
//! - An entry takes the place of the one at its index and voids all after it.
//! - Entries at or below `floor` are not kept, and nothing else is left out.

use super::entry::{Entry, EntryId, HardState, SnapshotMark};
use super::format::PartHeader;
use super::record::{self, Record};
use crate::types::RaftIndex;
use bytes::Bytes;

/// Intact records that do not make a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Disordered;

/// The log as the groups so far leave it.
#[derive(Debug)]
pub(super) struct Replay {
    floor: RaftIndex,
    applied: RaftIndex,
    /// The entry before the log's oldest group; `None` before the first group.
    start: Option<EntryId>,
    base: EntryId,
    entries: Vec<Entry>,
    end: EntryId,
    hard_state: HardState,
}

impl Replay {
    /// An empty log that will keep entries above `floor`, for a tree that has applied `applied`.
    pub(super) fn new(floor: RaftIndex, applied: RaftIndex) -> Self {
        assert!(floor <= applied, "entries above {applied} are never left out");
        let nothing = EntryId::default();
        Self {
            floor,
            applied,
            start: None,
            base: nothing,
            entries: Vec::new(),
            end: nothing,
            hard_state: HardState::default(),
        }
    }

    /// The log's last entry.
    pub(super) fn end(&self) -> EntryId {
        self.end
    }

    /// The hard state.
    pub(super) fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// The entry before the kept ones, and those.
    pub(super) fn into_entries(self) -> (EntryId, Vec<Entry>) {
        let first = self.entries.first().map_or(self.end.index.next(), |entry| entry.index);
        assert_eq!(first, self.base.index.next(), "the base is right before the entries");
        (self.base, self.entries)
    }

    /// A group whose first parts stood in a segment that was released: its entries are below the checkpoint.
    pub(super) fn skip_group(&mut self, last: &PartHeader) -> Result<(), Disordered> {
        assert!(self.start.is_none(), "only the first group may lack its beginning");
        self.start = Some(last.end);
        self.base = last.end;
        self.end = last.end;
        self.finish(last)
    }

    /// A whole group: its last part's header and its records.
    pub(super) fn group(&mut self, last: &PartHeader, payload: &Bytes) -> Result<(), Disordered> {
        if self.start.is_none() {
            self.start = Some(last.end_before);
            self.base = last.end_before;
            self.end = last.end_before;
        }
        if self.end != last.end_before {
            return Err(Disordered);
        }
        for record in record::decode(payload).map_err(|_| Disordered)? {
            match record {
                Record::Snapshot(mark) => self.begin_anew(mark)?,
                Record::Entry(entry) => self.push(entry)?,
            }
        }
        self.finish(last)
    }

    fn begin_anew(&mut self, mark: SnapshotMark) -> Result<(), Disordered> {
        let base = EntryId { index: mark.index, term: mark.term };
        if base.index.0 == 0 || base.index.0 > super::format::NUMBER_MAX {
            return Err(Disordered);
        }
        self.entries.clear();
        self.start = Some(base);
        self.base = base;
        self.end = base;
        Ok(())
    }

    fn push(&mut self, entry: Entry) -> Result<(), Disordered> {
        let id = EntryId { index: entry.index, term: entry.term };
        if id.index.0 == 0 || id.index > self.end.index.next() {
            return Err(Disordered);
        }
        // The overwritten entries may be in segments that were released since; the tree has applied what took their place.
        let overwrites_released = self.start.is_none_or(|start| id.index <= start.index);
        if overwrites_released && id.index > self.applied {
            return Err(Disordered);
        }
        if overwrites_released {
            self.start = Some(id);
        }
        if overwrites_released || id.index <= self.floor {
            self.entries.clear();
            self.base = id;
        } else {
            assert!(id.index > self.base.index, "the base is the floor or the start");
            let kept = id.index.0 - self.base.index.0 - 1;
            self.entries.truncate(usize::try_from(kept).map_err(|_| Disordered)?);
            self.entries.push(entry);
        }
        self.end = id;
        Ok(())
    }

    fn finish(&mut self, last: &PartHeader) -> Result<(), Disordered> {
        let ordered = self.end == last.end && last.hard_state.commit <= self.end.index;
        self.hard_state = last.hard_state;
        ordered.then_some(()).ok_or(Disordered)
    }
}
