//! What the library wants on disk and what it may say only afterwards.
//!
//! Each `Ready` of the library is numbered. Its entries and its hard state become part of the *staged* group; the group
//! leaves as one WAL write when there is room for one (so what queued meanwhile shares it) and is then *in flight*, until
//! it is durable; then the library learns the number, and the held messages go out.
//!
//! Invariants
//! - Numbers, entries and messages keep their order: a message that speaks of group *n* is never sent before *n* and all
//!   older groups are durable.
//! - While a new term or vote is not durable, nothing at all is sent, whatever the role. The library lets a leader speak
//!   at once, which is right only when its term was durable before it won; a single voter wins within the same ready:
//!    1. the only voter wins term 5 in memory and sends entry 10 of term 5 to a learner; 2. it crashes before the write;
//!    3. it starts in term 4, wins term 5 again and writes another entry 10 of term 5: two logs, one place.
//! - While a group that replaces older entries is not durable, no older group is reported. The library knows an entry by
//!   index and term alone, and would take the older write for the newer one of the same entry:
//!    1. entries 6 to 8 of term 2 are in flight; 2. a leader of term 3 replaces 6, which is in flight too; 3. a leader of
//!       term 4 sends 6 to 8 of term 2 again; 4. the first write is done: 8 of term 2 counts as durable, though a crash now
//!       would leave 6 of term 3.
//! - At most one group is staged; a ready without anything to write joins the youngest group.

use std::collections::VecDeque;

use super::messages::{Body, Message};
use super::size::wide;
use crate::limits::RAFT_ENTRY_OVERHEAD_BYTES;
use crate::types::RaftIndex;
use crate::wal::{Entry, HardState};

/// The number of a group of log writes, from 1, ascending.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Group(pub u64);

/// One group to write to the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Append {
    /// Its number; `Driver::on_durable` wants it back.
    pub group: Group,
    /// Entries, consecutive; the first may stand at an index that was appended before: then it and all after it are
    /// replaced.
    pub entries: Vec<Entry>,
    /// The hard state as of this group, when it changed.
    pub hard_state: Option<HardState>,
}

/// What one ready of the library asks for, in our types.
#[derive(Debug)]
pub(super) struct ReadyParts {
    /// The library's number.
    pub(super) number: u64,
    /// Entries to write.
    pub(super) entries: Vec<Entry>,
    /// The hard state, if it changed.
    pub(super) hard_state: Option<HardState>,
    /// Messages to send.
    pub(super) messages: Vec<Message>,
    /// Whether the library lets the messages go before the write (it leads).
    pub(super) messages_at_once: bool,
}

#[derive(Debug)]
struct Held {
    number: u64,
    vote_changed: bool,
    /// Whether the group's entries replace older ones.
    replaces: bool,
    /// What the group's entries weigh, those that a later ready replaced included.
    bytes: u64,
    messages: Vec<Message>,
}

#[derive(Debug)]
struct Staged {
    held: Held,
    entries: Vec<Entry>,
}

/// The groups that are not durable yet.
#[derive(Debug)]
pub(super) struct Unpersisted {
    in_flight: VecDeque<(Group, Held)>,
    staged: Option<Staged>,
    /// The newest hard state known, and the one in the youngest group.
    hard_state: HardState,
    hard_state_written: HardState,
    last_group: Group,
    /// The last index of the log, with everything staged.
    end: RaftIndex,
    /// The number that is durable and not reported yet, because a group that replaces entries is not durable.
    unreported: Option<u64>,
    /// What the entries of all groups that are not durable weigh.
    bytes: u64,
}

impl Unpersisted {
    /// Nothing to write; `hard_state` is what the log holds, `end` its last index.
    pub(super) fn new(hard_state: HardState, end: RaftIndex) -> Self {
        Self {
            in_flight: VecDeque::new(),
            staged: None,
            hard_state,
            hard_state_written: hard_state,
            last_group: Group(0),
            end,
            unreported: None,
            bytes: 0,
        }
    }

    /// Takes one ready. What may be said at once goes to `outbox`. Returns the number to report as persisted now, when
    /// nothing needs writing and nothing older is unwritten.
    pub(super) fn handle_ready(&mut self, parts: ReadyParts, outbox: &mut VecDeque<Message>) -> Option<u64> {
        let ReadyParts { number, entries, hard_state, messages, messages_at_once } = parts;
        let vote_changed = hard_state.is_some_and(|state| {
            assert!(state.term >= self.hard_state.term, "terms never fall");
            (state.term, state.vote) != (self.hard_state.term, self.hard_state.vote)
        });
        self.hard_state = hard_state.unwrap_or(self.hard_state);
        let vote_pending = vote_changed || self.is_vote_pending();
        let must_write = vote_changed || !entries.is_empty();
        let idle = !must_write && self.is_empty();
        // A heartbeat's answer says only that this term's leader is heard, which no write makes truer: so reads do not
        // wait for the disk.
        let needs_no_write = |message: &Message| matches!(message.body, Body::HeartbeatAnswer { .. });
        let may_leave = |message: &Message| !vote_pending && (messages_at_once || idle || needs_no_write(message));
        let (leave, hold): (Vec<_>, Vec<_>) = messages.into_iter().partition(may_leave);
        outbox.extend(leave);
        if idle {
            assert!(hold.is_empty(), "with nothing to write, nothing is held");
            return Some(number);
        }
        let bytes = entries.iter().map(weight).sum();
        self.bytes += bytes;
        let replaces = entries.first().is_some_and(|first| first.index <= self.end);
        self.end = entries.last().map_or(self.end, |last| last.index);
        self.stage(Held { number, vote_changed, replaces, bytes, messages: hold }, entries, must_write);
        None
    }

    fn stage(&mut self, held: Held, entries: Vec<Entry>, must_write: bool) {
        match (&mut self.staged, self.in_flight.back_mut()) {
            (Some(staged), _) => {
                merge_entries(&mut staged.entries, entries);
                staged.held.join(held);
            }
            (None, Some((_, youngest))) if !must_write => youngest.join(held),
            (None, _) => self.staged = Some(Staged { held, entries }),
        }
    }

    /// The staged group, which is in flight from now on.
    pub(super) fn poll_append(&mut self) -> Option<Append> {
        let staged = self.staged.take()?;
        let group = Group(self.last_group.0 + 1);
        self.last_group = group;
        let hard_state = (self.hard_state != self.hard_state_written).then_some(self.hard_state);
        assert!(hard_state.is_some() || !staged.entries.is_empty(), "a group has something to write");
        assert!(hard_state.is_some() || !staged.held.vote_changed, "a new vote is written");
        self.hard_state_written = self.hard_state;
        assert!(self.in_flight.back().is_none_or(|(_, held)| held.number < staged.held.number), "numbers rise");
        self.in_flight.push_back((group, staged.held));
        Some(Append { group, entries: staged.entries, hard_state })
    }

    /// `group` and all older ones are durable. Their messages go to `outbox`; returns the number to report, if any.
    pub(super) fn on_durable(&mut self, group: Group, outbox: &mut VecDeque<Message>) -> Option<u64> {
        assert!(group <= self.last_group, "group {} was never handed out", group.0);
        let mut number = self.unreported.take();
        while self.in_flight.front().is_some_and(|(front, _)| *front <= group) {
            let (_, held) = self.in_flight.pop_front()?;
            assert!(number < Some(held.number), "numbers rise");
            number = Some(held.number);
            self.bytes -= held.bytes;
            outbox.extend(held.messages);
        }
        assert!(!self.is_empty() || self.bytes == 0, "with nothing waiting nothing weighs");
        if self.is_replacing() {
            self.unreported = number;
            return None;
        }
        number
    }

    fn is_replacing(&self) -> bool {
        self.staged.as_ref().is_some_and(|staged| staged.held.replaces)
            || self.in_flight.iter().any(|(_, held)| held.replaces)
    }

    /// What the entries weigh that are not durable.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether everything is durable.
    pub(super) fn is_empty(&self) -> bool {
        self.staged.is_none() && self.in_flight.is_empty()
    }

    /// Whether a group waits for room in the log.
    pub(super) fn has_staged(&self) -> bool {
        self.staged.is_some()
    }

    /// Groups in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    fn is_vote_pending(&self) -> bool {
        self.staged.as_ref().is_some_and(|staged| staged.held.vote_changed)
            || self.in_flight.iter().any(|(_, held)| held.vote_changed)
    }
}

impl Held {
    fn join(&mut self, younger: Held) {
        assert!(younger.number > self.number, "numbers rise");
        self.number = younger.number;
        self.vote_changed |= younger.vote_changed;
        self.replaces |= younger.replaces;
        self.bytes += younger.bytes;
        self.messages.extend(younger.messages);
    }
}

/// An entry's data and its envelope in the log.
fn weight(entry: &Entry) -> u64 {
    wide(entry.data.len()) + RAFT_ENTRY_OVERHEAD_BYTES
}

/// Adds `younger` after `entries`, in place of what stood at their indexes and later.
fn merge_entries(entries: &mut Vec<Entry>, younger: Vec<Entry>) {
    let Some(first) = younger.first() else { return };
    let kept = entries.partition_point(|entry| entry.index < first.index);
    entries.truncate(kept);
    if let Some(last) = entries.last() {
        assert_eq!(last.index.next(), first.index, "entries of a group are consecutive");
        assert!(last.term <= first.term, "terms never fall along a log");
    }
    entries.extend(younger);
}

#[cfg(test)]
#[path = "unpersisted_tests.rs"]
mod tests;
