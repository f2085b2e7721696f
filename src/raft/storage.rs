//! The recent end of the log in memory, as the consensus library reads it.
//!
//! Invariants
//! - Entries are consecutive; `base` is the place just before the first of them, and its term stays known.
//! - Nothing above the applied index is ever dropped; what is dropped is in the applied state. So every entry that the
//!   library must still look at (to apply, to check before it campaigns) is here.
//! - Beyond that the window is bounded by count and by bytes. A follower that needs what was dropped needs a snapshot:
//!   the library is told "not now", and the wish is handed out.
//!
//! Must not know: files. What is here may be appended only and not yet durable.

use std::cell::Cell;
use std::collections::VecDeque;

use raft::eraftpb;
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use super::messages::Position;
use super::size::wide;
use crate::limits::{RAFT_ENTRY_OVERHEAD_BYTES, RAFT_WINDOW_BYTES_MAX, RAFT_WINDOW_ENTRIES_MAX};
use crate::types::{MemberId, RaftIndex, Term};

/// The window over the log.
#[derive(Debug)]
pub(super) struct Window {
    base: Position,
    entries: VecDeque<eraftpb::Entry>,
    bytes: u64,
    initial: RaftState,
    /// The follower that the library last wanted to send a snapshot to. A cell because the library asks through `&self`.
    snapshot_wanted: Cell<Option<MemberId>>,
}

impl Window {
    /// A window that begins after `base` and holds nothing.
    pub(super) fn new(base: Position, hard_state: eraftpb::HardState, membership: eraftpb::ConfState) -> Self {
        Self {
            base,
            entries: VecDeque::new(),
            bytes: 0,
            initial: RaftState::new(hard_state, membership),
            snapshot_wanted: Cell::new(None),
        }
    }

    /// Appends `entries`; those that stand at or after the first of them are replaced.
    pub(super) fn append(&mut self, entries: &[eraftpb::Entry]) {
        let Some(first) = entries.first() else { return };
        assert!(first.index > self.base.index.0, "entry {} is older than the window", first.index);
        assert!(first.index <= self.last().0 + 1, "entry {} leaves a gap after {}", first.index, self.last());
        while self.entries.back().is_some_and(|last| last.index >= first.index) {
            self.bytes -= self.entries.pop_back().as_ref().map_or(0, cost);
        }
        assert!(self.last().0 + 1 == first.index, "the rest ends just before the first new entry");
        for entry in entries {
            assert!(entry.term > 0, "every entry has a term");
            assert_eq!(entry.index, self.last().0 + 1, "entries are consecutive");
            assert!(entry.term >= self.last_term().0, "terms never fall along a log");
            self.bytes += cost(entry);
            self.entries.push_back(entry.clone());
        }
    }

    /// Drops old entries, none above `applied`, until the rest is within the window's bounds (or within nothing, when
    /// nobody could be sent them: `keep_recent` false).
    pub(super) fn trim(&mut self, applied: RaftIndex, keep_recent: bool) {
        let before = self.base.index;
        let (count_max, bytes_max) =
            if keep_recent { (RAFT_WINDOW_ENTRIES_MAX, RAFT_WINDOW_BYTES_MAX) } else { (0, 0) };
        while self.entries.len() > count_max || self.bytes > bytes_max {
            match self.entries.front() {
                Some(first) if first.index <= applied.0 => {}
                Some(_) | None => break,
            }
            if let Some(first) = self.entries.pop_front() {
                self.bytes -= cost(&first);
                self.base = Position::new(RaftIndex(first.index), Term(first.term));
            }
        }
        assert!(self.base.index <= applied || self.base.index == before, "only applied entries are dropped");
        assert!(self.base.index >= before, "the window moves forward");
        assert!(!self.entries.is_empty() || self.bytes == 0, "an empty window weighs nothing");
    }

    /// The index of the last entry, or of the base when there is none.
    pub(super) fn last(&self) -> RaftIndex {
        self.entries.back().map_or(self.base.index, |entry| RaftIndex(entry.index))
    }

    /// The place just before the first entry.
    pub(super) fn base(&self) -> Position {
        self.base
    }

    /// Bytes that the entries weigh.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The follower that a snapshot was wanted for since the last call.
    pub(super) fn take_snapshot_wanted(&self) -> Option<MemberId> {
        self.snapshot_wanted.take()
    }

    fn last_term(&self) -> Term {
        self.entries.back().map_or(self.base.term, |entry| Term(entry.term))
    }

    /// O(n): the entries are consecutive and weigh what is said.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        let indexes = self.entries.iter().map(|entry| entry.index);
        assert!(indexes.eq((self.base.index.0 + 1)..=self.last().0), "the window has no gap");
        assert_eq!(self.entries.iter().map(cost).sum::<u64>(), self.bytes, "the window's weight is kept");
    }
}

fn cost(entry: &eraftpb::Entry) -> u64 {
    wide(entry.data.len()) + RAFT_ENTRY_OVERHEAD_BYTES
}

impl Storage for Window {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(self.initial.clone())
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<eraftpb::Entry>> {
        if low <= self.base.index.0 {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last().0 + 1 || low > high {
            return Err(StorageError::Unavailable.into());
        }
        let offset = |index: u64| usize::try_from(index - self.base.index.0 - 1).expect("within the window");
        let bytes_max = max_size.into().unwrap_or(u64::MAX);
        let mut bytes = 0u64;
        let within = |entry: &&eraftpb::Entry| {
            let first = bytes == 0;
            bytes = bytes.saturating_add(cost(entry));
            first || bytes <= bytes_max
        };
        Ok(self.entries.range(offset(low)..offset(high)).take_while(within).cloned().collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index < self.base.index.0 {
            return Err(StorageError::Compacted.into());
        }
        if index == self.base.index.0 {
            return Ok(self.base.term.0);
        }
        let offset = usize::try_from(index - self.base.index.0 - 1).map_err(|_| StorageError::Unavailable)?;
        Ok(self.entries.get(offset).ok_or(StorageError::Unavailable)?.term)
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.index.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last().0)
    }

    fn snapshot(&self, _request_index: u64, to: u64) -> raft::Result<eraftpb::Snapshot> {
        self.snapshot_wanted.set(Some(MemberId(to)));
        Err(StorageError::SnapshotTemporarilyUnavailable.into())
    }
}

#[cfg(test)]
#[path = "storage_tests.rs"]
mod tests;
