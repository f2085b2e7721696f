//! What a driver starts from: its configuration, and the log and the store of the last run, made to fit together.
//!
//! Invariants
//! - A driver begins only where log and store agree: no entry is missing between them, the applied entry has the same term
//!   in both, nothing that is said to be committed is absent. Anything else is an `Error` with the places in it.

use super::convert::{entry_to_library, hard_state_to_library};
use super::membership::Membership;
use super::messages::Position;
use super::storage::Window;
use crate::limits::{
    RAFT_COMMITTED_BYTES_MAX, RAFT_MESSAGE_BYTES_MAX, RAFT_MESSAGES_IN_FLIGHT_MAX, RAFT_UNCOMMITTED_BYTES_MAX,
};
use crate::types::{BootNonce, MemberId, RaftIndex};
use crate::wal::{Entry, HardState};

/// What does not change while the member runs.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// This member.
    pub member: MemberId,
    /// This run of it.
    pub nonce: BootNonce,
    /// Determines the election timeouts.
    pub seed: u64,
    /// Ticks without a leader before an election, at least.
    pub election_ticks: usize,
    /// Ticks between heartbeats.
    pub heartbeat_ticks: usize,
}

/// What the log and the store hold when the member starts.
#[derive(Clone, Debug)]
pub struct Start {
    /// The members, as of `applied`.
    pub membership: Membership,
    /// The newest hard state of the log; for a log that was never written, the bootstrap's.
    pub hard_state: HardState,
    /// The place that the store has applied up to.
    pub applied: Position,
    /// The place just before the first of `entries`, at or below `applied`.
    pub base: Position,
    /// The entries of the log after `base`, consecutive, to its end.
    pub entries: Vec<Entry>,
}

/// Why the driver cannot start or go on. Nothing is retried: the member stops.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// The log and the store do not fit together.
    Start {
        /// What does not fit.
        what: &'static str,
        /// Where the store stands.
        applied: Position,
        /// The first and the last index of the log; the last is below the first when it is empty.
        log: (RaftIndex, RaftIndex),
    },
    /// The configuration is impossible.
    Config {
        /// The library's words.
        what: String,
    },
    /// A leader proves that this member acknowledged entries which its log no longer has.
    LogLost {
        /// Who proves it.
        leader: MemberId,
        /// Up to where the entries are committed and were acknowledged.
        commit: RaftIndex,
        /// The last entry of the log.
        last: RaftIndex,
    },
}

/// The library's configuration.
pub(super) fn library_config(config: &Config, applied: RaftIndex) -> raft::Config {
    raft::Config {
        id: config.member.0,
        election_tick: config.election_ticks,
        heartbeat_tick: config.heartbeat_ticks,
        applied: applied.0,
        max_size_per_msg: RAFT_MESSAGE_BYTES_MAX,
        max_inflight_msgs: RAFT_MESSAGES_IN_FLIGHT_MAX,
        check_quorum: true,
        pre_vote: true,
        max_uncommitted_size: RAFT_UNCOMMITTED_BYTES_MAX,
        max_committed_size_per_ready: RAFT_COMMITTED_BYTES_MAX,
        ..raft::Config::default()
    }
}

/// The window for a start, if log and store fit together.
pub(super) fn window(start: Start, hard_state: HardState) -> Result<Window, Error> {
    let Start { membership, applied, base, entries, .. } = start;
    let last = entries.last().map_or(base, |entry| Position::new(entry.index, entry.term));
    let refuse = |what| Err(Error::Start { what, applied, log: (base.index.next(), last.index) });
    let follows = |left: &Entry, right: &Entry| right.index == left.index.next() && left.term <= right.term;
    let begins = entries.first().is_none_or(|first| first.index == base.index.next() && first.term >= base.term);
    if !begins || !entries.is_sorted_by(follows) {
        return refuse("the log has a gap, or its terms fall");
    }
    if base.index > applied.index {
        return refuse("entries are missing between the store and the log");
    }
    if last.index < applied.index {
        return refuse("the log ends before what the store has applied");
    }
    if hard_state.commit > last.index || hard_state.term < last.term {
        return refuse("the log lacks entries that it says are committed, or its term is behind them");
    }
    let mut window = Window::new(base, hard_state_to_library(hard_state), membership.to_library());
    let entries: Vec<_> = entries.into_iter().map(entry_to_library).collect();
    window.append(&entries);
    match raft::Storage::term(&window, applied.index.0) {
        Ok(term) if term == applied.term.0 => Ok(window),
        Ok(_) | Err(_) => refuse("the log and the store disagree about the term of the applied entry"),
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start { what, applied, log: (first, last) } => write!(
                formatter,
                "the store has applied index {} of term {} and the log has {first} to {last}: {what}",
                applied.index, applied.term
            ),
            Self::Config { what } => write!(formatter, "the configuration is impossible: {what}"),
            Self::LogLost { leader, commit, last } => write!(
                formatter,
                "member {leader} knows that this one acknowledged entries up to {commit}, but its log ends at {last}: the \
                 disk lost what it had reported durable; remove this member and add it again"
            ),
        }
    }
}

impl std::error::Error for Error {}
