//! Between our messages and entries and the consensus library's.
//!
//! Invariants
//! - Both directions are total over what the driver lets pass; nothing is parsed or serialised here, payload bytes are
//!   shared, not copied.
//! - The library's own forwarding of proposals and reads is never used, so those types never come out of it.

use bytes::Bytes;
use raft::eraftpb::{self, EntryType, MessageType};

use super::messages::{Ballot, Body, Message, Position, ReadContext};
use crate::types::{MemberId, RaftIndex, Term};
use crate::wal::{Entry, EntryKind, HardState};

/// The library's entry for one of ours.
pub(super) fn entry_to_library(entry: Entry) -> eraftpb::Entry {
    eraftpb::Entry {
        entry_type: match entry.kind {
            EntryKind::Normal => EntryType::EntryNormal,
            EntryKind::ConfChange => EntryType::EntryConfChange,
            EntryKind::ConfChangeV2 => EntryType::EntryConfChangeV2,
        },
        term: entry.term.0,
        index: entry.index.0,
        data: entry.data,
        ..Default::default()
    }
}

/// Our entry for one of the library's.
pub(super) fn entry_from_library(entry: eraftpb::Entry) -> Entry {
    assert!(entry.context.is_empty(), "nothing of ours puts a context on an entry");
    assert!(entry.index > 0 && entry.term > 0, "an entry that was appended has its place");
    Entry {
        index: RaftIndex(entry.index),
        term: Term(entry.term),
        kind: match entry.entry_type {
            EntryType::EntryNormal => EntryKind::Normal,
            EntryType::EntryConfChange => EntryKind::ConfChange,
            EntryType::EntryConfChangeV2 => EntryKind::ConfChangeV2,
        },
        data: entry.data,
    }
}

/// Our hard state for the library's.
pub(super) fn hard_state_from_library(state: &eraftpb::HardState) -> HardState {
    HardState { term: Term(state.term), vote: MemberId(state.vote), commit: RaftIndex(state.commit) }
}

/// The library's hard state for ours.
pub(super) fn hard_state_to_library(state: HardState) -> eraftpb::HardState {
    eraftpb::HardState { term: state.term.0, vote: state.vote.0, commit: state.commit.0, ..Default::default() }
}

/// Our message for one that the library sends. `None` for what it never sends to a peer as we use it.
pub(super) fn message_from_library(mut message: eraftpb::Message) -> Option<Message> {
    let commit = RaftIndex(message.commit);
    let committed = Position::new(commit, Term(message.commit_term));
    let at = Position::new(RaftIndex(message.index), Term(message.log_term));
    let context = ReadContext::from_bytes(&message.context);
    let body = match message.msg_type {
        MessageType::MsgAppend => {
            let entries = message.take_entries().into_iter().map(entry_from_library).collect();
            Body::Append { previous: at, commit, entries }
        }
        MessageType::MsgAppendResponse if message.reject => {
            assert_eq!(message.request_snapshot, 0, "no member asks for a snapshot this way");
            let hint = Position::new(RaftIndex(message.reject_hint), Term(message.log_term));
            Body::AppendRejected { previous: RaftIndex(message.index), hint, commit }
        }
        MessageType::MsgAppendResponse => Body::AppendAccepted { matched: RaftIndex(message.index), commit },
        MessageType::MsgHeartbeat => Body::Heartbeat { commit, context },
        MessageType::MsgHeartbeatResponse => Body::HeartbeatAnswer { commit, context },
        MessageType::MsgRequestVote | MessageType::MsgRequestPreVote => Body::VoteRequest {
            ballot: ballot(message.msg_type),
            last: at,
            commit: committed,
            forced: message.context == raft::CAMPAIGN_TRANSFER,
        },
        MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse => {
            Body::VoteAnswer { ballot: ballot(message.msg_type), granted: !message.reject, commit: committed }
        }
        MessageType::MsgTimeoutNow => Body::TimeoutNow,
        MessageType::MsgHup
        | MessageType::MsgBeat
        | MessageType::MsgPropose
        | MessageType::MsgSnapshot
        | MessageType::MsgUnreachable
        | MessageType::MsgSnapStatus
        | MessageType::MsgCheckQuorum
        | MessageType::MsgTransferLeader
        | MessageType::MsgReadIndex
        | MessageType::MsgReadIndexResp => return None,
    };
    Some(Message { from: MemberId(message.from), to: MemberId(message.to), term: Term(message.term), body })
}

fn ballot(kind: MessageType) -> Ballot {
    if matches!(kind, MessageType::MsgRequestPreVote | MessageType::MsgRequestPreVoteResponse) {
        Ballot::Pre
    } else {
        Ballot::Real
    }
}

/// The library's message for one that `check` let pass. `None` for the bodies that the driver answers itself.
pub(super) fn message_to_library(message: Message) -> Option<eraftpb::Message> {
    let mut out = eraftpb::Message {
        from: message.from.0,
        to: message.to.0,
        term: message.term.0,
        ..eraftpb::Message::default()
    };
    match message.body {
        Body::Append { previous, commit, entries } => {
            out.msg_type = MessageType::MsgAppend;
            (out.index, out.log_term, out.commit) = (previous.index.0, previous.term.0, commit.0);
            out.set_entries(entries.into_iter().map(entry_to_library).collect());
        }
        Body::AppendAccepted { matched, commit } => {
            out.msg_type = MessageType::MsgAppendResponse;
            (out.index, out.commit) = (matched.0, commit.0);
        }
        Body::AppendRejected { previous, hint, commit } => {
            out.msg_type = MessageType::MsgAppendResponse;
            (out.index, out.commit, out.reject) = (previous.0, commit.0, true);
            (out.reject_hint, out.log_term) = (hint.index.0, hint.term.0);
        }
        Body::Heartbeat { commit, context } => {
            out.msg_type = MessageType::MsgHeartbeat;
            (out.commit, out.context) = (commit.0, context_bytes(context));
        }
        Body::HeartbeatAnswer { commit, context } => {
            out.msg_type = MessageType::MsgHeartbeatResponse;
            (out.commit, out.context) = (commit.0, context_bytes(context));
        }
        Body::VoteRequest { ballot, last, commit, forced } => {
            out.msg_type = match ballot {
                Ballot::Pre => MessageType::MsgRequestPreVote,
                Ballot::Real => MessageType::MsgRequestVote,
            };
            (out.index, out.log_term) = (last.index.0, last.term.0);
            (out.commit, out.commit_term) = (commit.index.0, commit.term.0);
            if forced {
                out.context = Bytes::from_static(raft::CAMPAIGN_TRANSFER);
            }
        }
        Body::VoteAnswer { ballot, granted, commit } => {
            out.msg_type = match ballot {
                Ballot::Pre => MessageType::MsgRequestPreVoteResponse,
                Ballot::Real => MessageType::MsgRequestVoteResponse,
            };
            out.reject = !granted;
            (out.commit, out.commit_term) = (commit.index.0, commit.term.0);
        }
        Body::TimeoutNow => out.msg_type = MessageType::MsgTimeoutNow,
        Body::Propose { .. } | Body::ReadRequest { .. } | Body::ReadAnswer { .. } => return None,
    }
    Some(out)
}

fn context_bytes(context: Option<ReadContext>) -> Bytes {
    context.map_or_else(Bytes::new, |context| Bytes::copy_from_slice(&context.to_bytes()))
}
