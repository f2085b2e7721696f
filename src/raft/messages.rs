//! What members say to each other, as types of our own.
//!
//! Invariants
//! - Bytes from a peer become a `Message` only through `wire`, never through a protobuf parser, and reach the consensus
//!   library only after `check`.
//! - The entries of an `Append` follow `previous` without a gap: the wire carries no index for them, so a gap cannot be
//!   written down.
//! - Proposals and reads of other members travel in their own bodies, not in the library's: a doubled or delayed one is
//!   told apart by its sequence (proposals) or answered with a fresh round (reads).
//!
//! Must not know: how bytes travel, who is connected.

use bytes::Bytes;

use crate::types::{BootNonce, MemberId, RaftIndex, Term};
use crate::wal::Entry;

/// A place in the log: an index, and the term of the entry there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Position {
    /// The entry's term; compared first, as the protocol compares logs.
    pub term: Term,
    /// The entry's index.
    pub index: RaftIndex,
}

impl Position {
    /// The place of index `index`, term `term`.
    pub fn new(index: RaftIndex, term: Term) -> Self {
        Self { term, index }
    }
}

/// Names one round of a linearizable read. Never used twice: a retried read gets the next counter, and a member that
/// starts again a new nonce, so that an acknowledgement can only ever speak for the round that asked for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ReadContext {
    /// Who made it.
    pub member: MemberId,
    /// In which of that member's runs.
    pub nonce: BootNonce,
    /// Which of that run's rounds, from 1.
    pub counter: u64,
}

impl ReadContext {
    /// Bytes of a context, on the wire and in the library's messages.
    pub const BYTES: usize = 24;

    /// The bytes that stand for it.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.member.0.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.nonce.0.to_le_bytes());
        bytes[16..].copy_from_slice(&self.counter.to_le_bytes());
        bytes
    }

    /// The context that `bytes` stand for, if they have the length of one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|offset| bytes[at + offset]));
        Some(Self { member: MemberId(word(0)), nonce: BootNonce(word(8)), counter: word(16) })
    }
}

/// Which of the two rounds of an election.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ballot {
    /// Would you vote for me? Changes nobody's term.
    Pre,
    /// The vote itself.
    Real,
}

/// What a message says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// The leader's entries after `previous`, and how far it has committed.
    Append {
        /// The entry just before the first of `entries`.
        previous: Position,
        /// The leader's commit index.
        commit: RaftIndex,
        /// Entries with consecutive indexes from `previous.index + 1`.
        entries: Vec<Entry>,
    },
    /// The log is the leader's up to `matched`, durably.
    AppendAccepted {
        /// The last index known to be the leader's.
        matched: RaftIndex,
        /// The follower's commit index.
        commit: RaftIndex,
    },
    /// There is another entry, or none, at `previous`.
    AppendRejected {
        /// The index that was asked for.
        previous: RaftIndex,
        /// Where the leader may try next.
        hint: Position,
        /// The follower's commit index.
        commit: RaftIndex,
    },
    /// I lead this term.
    Heartbeat {
        /// The commit index, as far as the receiver's log is known to reach.
        commit: RaftIndex,
        /// The read round that this heartbeat confirms, if any.
        context: Option<ReadContext>,
    },
    /// You lead this term.
    HeartbeatAnswer {
        /// The follower's commit index.
        commit: RaftIndex,
        /// The round that is acknowledged.
        context: Option<ReadContext>,
    },
    /// Vote for me in the term of this message.
    VoteRequest {
        /// Which round of the election.
        ballot: Ballot,
        /// The candidate's last entry.
        last: Position,
        /// The candidate's last committed entry.
        commit: Position,
        /// Whether the old leader asked for this election, so that nobody holds on to it.
        forced: bool,
    },
    /// The answer to a request for a vote.
    VoteAnswer {
        /// Which round of the election.
        ballot: Ballot,
        /// Whether the vote is the candidate's.
        granted: bool,
        /// The voter's last committed entry, when it refuses.
        commit: Position,
    },
    /// Stand for election at once: the leader hands over.
    TimeoutNow,
    /// Commands for the leader of this message's term to append.
    Propose {
        /// The run of the sender that proposes.
        nonce: BootNonce,
        /// Counts the sender's forwarded proposals in that run, from 1: the leader takes each number once.
        sequence: u64,
        /// A batch of commands, opaque here.
        data: Bytes,
    },
    /// How far must I have applied to read what is committed now?
    ReadRequest {
        /// The asking member's round.
        context: ReadContext,
    },
    /// The answer to it.
    ReadAnswer {
        /// The asking member's round.
        context: ReadContext,
        /// Everything committed when the request was made is at or below this.
        index: RaftIndex,
    },
}

/// One message between two members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// Who says it.
    pub from: MemberId,
    /// To whom.
    pub to: MemberId,
    /// The sender's term; for a pre-vote the term that it would stand for.
    pub term: Term,
    /// What is said.
    pub body: Body,
}
