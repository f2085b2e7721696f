//! Which messages of peers the consensus library may see.
//!
//! The library trusts its peers: a commit index beyond the log, a term of 0, an answer about entries that were never sent,
//! and it panics or believes nonsense. So everything is compared with our own log first.
//!
//! Invariants
//! - Whatever bytes a peer sends, the library does not panic on what passes here.
//! - A correct peer's message always passes, unless our own log has lost what we acknowledged: that is `LogLost`.
//! - This looks, it never changes anything.

use raft::{RawNode, StateRole};

use super::messages::{Body, Message, Position};
use super::storage::Window;
use crate::limits::RAFT_INDEX_MAX;
use crate::types::{MemberId, RaftIndex, Term};

/// What to do with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Hand it on.
    Pass,
    /// Leave it out: not for us, impossible, or of no use in our role.
    Drop,
    /// A leader knows that we acknowledged entries up to `commit`, and we do not have them: our disk lost them. Going on
    /// would let this member elect a leader without them.
    LogLost {
        /// What the leader holds to be committed here.
        commit: RaftIndex,
        /// Our last entry.
        last: RaftIndex,
    },
}

/// Judges `message`.
pub(super) fn check(node: &RawNode<Window>, message: &Message) -> Verdict {
    let raft = &node.raft;
    let from_stranger = message.from == MemberId(0) || message.from.0 == raft.id;
    if from_stranger || message.to.0 != raft.id || message.term == Term(0) {
        return Verdict::Drop;
    }
    match &message.body {
        Body::Append { previous, entries, .. } => pass_if(is_append_sound(message.term, *previous, entries)),
        Body::Heartbeat { commit, .. } => check_heartbeat(node, message.term, *commit),
        Body::AppendAccepted { matched, commit } => {
            pass_if(is_known(node, message.term, *matched) && is_known(node, message.term, *commit))
        }
        Body::AppendRejected { previous, hint, commit } => {
            let known = is_known(node, message.term, *previous) && is_known(node, message.term, *commit);
            pass_if(known && hint.index.0 < RAFT_INDEX_MAX)
        }
        Body::HeartbeatAnswer { .. } | Body::TimeoutNow => Verdict::Pass,
        Body::VoteRequest { last, commit, .. } => pass_if(commit.index <= last.index && commit.term <= last.term),
        Body::VoteAnswer { .. } => Verdict::Pass,
        Body::Propose { .. } => pass_if(raft.state == StateRole::Leader && message.term.0 == raft.term),
        Body::ReadRequest { context } => pass_if(raft.state == StateRole::Leader && context.member == message.from),
        Body::ReadAnswer { context, .. } => pass_if(context.member.0 == raft.id),
    }
}

fn pass_if(sound: bool) -> Verdict {
    if sound { Verdict::Pass } else { Verdict::Drop }
}

/// Whether entries after `previous` could stand in a leader's log of term `term`. Their indexes are consecutive already.
fn is_append_sound(term: Term, previous: Position, entries: &[crate::wal::Entry]) -> bool {
    let terms_rise = entries.is_sorted_by_key(|entry| entry.term);
    let first_fits = entries.first().is_none_or(|first| first.term >= previous.term && first.term > Term(0));
    let consecutive = entries.first().is_none_or(|first| first.index == previous.index.next());
    let within = entries.last().map_or(previous.term, |last| last.term) <= term;
    let base_fits = (previous.index == RaftIndex(0)) == (previous.term == Term(0));
    terms_rise && first_fits && consecutive && within && base_fits
}

/// Whether `index` is in our log, so that a follower can speak of it.
fn is_known(node: &RawNode<Window>, term: Term, index: RaftIndex) -> bool {
    // A follower's answer matters only to the leader of its term; in any other the library ignores it.
    let matters = node.raft.state == StateRole::Leader && term.0 == node.raft.term;
    !matters || index.0 <= node.raft.raft_log.last_index()
}

/// A heartbeat carries a commit index no higher than what its sender knows our log to hold.
fn check_heartbeat(node: &RawNode<Window>, term: Term, commit: RaftIndex) -> Verdict {
    let last = RaftIndex(node.raft.raft_log.last_index());
    if term.0 < node.raft.term || commit <= last {
        return Verdict::Pass;
    }
    if term.0 == node.raft.term && node.raft.state == StateRole::Leader {
        return Verdict::Drop;
    }
    Verdict::LogLost { commit, last }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
