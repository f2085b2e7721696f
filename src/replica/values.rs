//! What goes into a replica and what comes out of it.
//!
//! Invariants
//! - Everything that a replica wants done outside of it is an `Output`; whatever is done comes back as an `Input`, once.
//! - Plans come back by value or by their own number: only what was handed out can be reported done.

use std::sync::Arc;

use bytes::Bytes;

use crate::apply;
use crate::command::{Kind, Outcome};
use crate::lease::Remaining;
use crate::mvcc;
use crate::raft::{self, Leadership, Message};
use crate::tree::{self, CheckpointPlan, GiveBack, GrowPlan};
use crate::types::{LeaseId, MemberId, RaftIndex, Revision, ShardId, Term};
use crate::wal;

/// One command that a shard wants replicated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposal {
    /// The shard's number for it, which comes back with the answer.
    pub ticket: u64,
    /// What it does.
    pub kind: Kind,
    /// The request as etcd's protobuf has it. The front has decoded it: one that does not decode stops the member that
    /// applies it.
    pub payload: Bytes,
}

/// Why something outside could not be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failure {
    /// The file system is full, or a quota of it is used up.
    NoSpace,
    /// Anything else, in words for the operator.
    Other(String),
}

/// What a shard asks about leases. Nothing of it is replicated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaseAsk {
    /// Give a lease its whole time again.
    Renew(LeaseId),
    /// How long does it live.
    Remaining(LeaseId),
    /// Which are there.
    List,
}

/// What it is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LeaseAnswer {
    /// The lease has so many seconds again.
    Renewed(i64),
    /// So much is left of it.
    Remaining(Remaining),
    /// These are there, the one that is up first in front.
    Listed(Vec<LeaseId>),
    /// There is no such lease.
    NotFound,
    /// This member does not lead.
    NotLeader,
    /// Too many wait.
    TooMany,
}

/// What a replica is told.
#[derive(Debug)]
pub enum Input {
    /// Commands of a shard, to be replicated in this order.
    Propose {
        /// The shard.
        origin: ShardId,
        /// Its commands.
        proposals: Vec<Proposal>,
    },
    /// Linearizable reads of a shard.
    Read {
        /// The shard.
        origin: ShardId,
        /// Its numbers for them.
        tickets: Vec<u64>,
    },
    /// What a shard asks about leases.
    Lease {
        /// The shard.
        origin: ShardId,
        /// Its numbers for what it asks.
        asks: Vec<(u64, LeaseAsk)>,
    },
    /// Every shard with watchers has looked at history up to this revision: rows that a later compaction makes superfluous
    /// stay. `None` when no shard has watchers.
    Watched(Option<Revision>),
    /// A message of another member.
    Peer(Message),
    /// Another member cannot be reached.
    PeerUnreachable(MemberId),
    /// Time has passed: `next_deadline` came.
    Tick,
    /// All writes of the group are durable.
    AppendDone(wal::Sequence),
    /// The durable mark is durable.
    SealDone,
    /// The steps for the segment are done.
    SegmentReady(wal::SegmentId),
    /// A step for the segment failed. Without space it is tried again later.
    SegmentFailed(wal::SegmentId, Failure),
    /// The pages are granted.
    GrowDone(GrowPlan),
    /// They are not. Without space it is tried again later.
    GrowFailed(GrowPlan, Failure),
    /// The checkpoint was carried out, both barriers included.
    CheckpointDone(CheckpointPlan),
    /// A write to the log, the mark or the tree failed or was short, or its sync failed. Never tried again.
    WriteFailed(String),
    /// Come to a clean end; `Output::Stopped` says when.
    Stop,
}

/// Why a request timed out, as etcd tells it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimeoutCause {
    /// Nothing special.
    Plain,
    /// The leader was lost shortly after the request came.
    LeaderFailed,
    /// The leader, or as leader a majority, could not be heard.
    ConnectionLost,
}

/// Why a request has no outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The command was applied and is wrong in itself; nothing was written.
    Request(mvcc::Error),
    /// There is no space to write it. Nothing was proposed.
    NoSpace,
    /// Too much is waiting. Nothing was proposed.
    TooManyRequests,
    /// It took too long. Whether it takes effect is unknown, for a proposal.
    Timeout(TimeoutCause),
    /// The member stops. Whether it takes effect is unknown, for a proposal.
    Stopped,
}

/// What a ticket is answered.
pub type Answer = (u64, Result<Outcome, Refusal>);

/// What a replica wants done. The order of outputs is the order in which to begin.
#[derive(Debug)]
pub enum Output {
    /// Write a group to the log; then `Input::AppendDone`.
    Append(wal::AppendPlan),
    /// Write the durable mark; then `Input::SealDone`.
    Seal(wal::SealPlan),
    /// Make, recycle or remove a segment; then `Input::SegmentReady` or `Input::SegmentFailed`.
    Segment(wal::SegmentPlan),
    /// Write a checkpoint; then `Input::CheckpointDone`.
    Checkpoint(CheckpointPlan),
    /// Allocate pages of the tree file; then `Input::GrowDone` or `Input::GrowFailed`.
    Grow(GrowPlan),
    /// Space that may go back to the file system, before a later `Grow` is carried out or not at all. Nothing comes back.
    GiveBack(GiveBack),
    /// Send a message to the member it names. It may be lost.
    Send(Message),
    /// Answers for a shard's proposals. Each ticket is answered once.
    Answers {
        /// The shard.
        origin: ShardId,
        /// Its answers.
        answers: Vec<Answer>,
    },
    /// What a shard asked about leases. Each ticket is answered once.
    LeaseAnswers {
        /// The shard.
        origin: ShardId,
        /// Its answers.
        answers: Vec<(u64, LeaseAnswer)>,
    },
    /// Reads that may be served now: what is published has everything that was committed when they were asked.
    ReadReady {
        /// The shard.
        origin: ShardId,
        /// Its reads.
        tickets: Vec<u64>,
        /// The published stamp's applied index is at least this.
        index: RaftIndex,
    },
    /// Reads that cannot be served.
    ReadFailed {
        /// The shard.
        origin: ShardId,
        /// Its reads.
        tickets: Vec<u64>,
        /// Why.
        refusal: Refusal,
    },
    /// Another leader, another term or another role.
    LeaderChanged(Leadership),
    /// A member needs entries that are not here any more: a snapshot would have to be sent.
    SnapshotNeeded {
        /// The member.
        to: MemberId,
    },
    /// The replica came to a clean end: everything is durable and marked so. The last output.
    Stopped,
    /// The replica cannot go on. The last output; what is in flight does not matter any more.
    Fatal(Error),
}

/// Why a replica cannot start or go on.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// Consensus cannot start or go on.
    Raft(raft::Error),
    /// A committed entry cannot be applied.
    Apply(apply::Error),
    /// The store cannot be read or written.
    Store(mvcc::Error),
    /// The log holds entries, but the store is new: it was lost.
    StoreLost {
        /// The last entry of the log.
        last: RaftIndex,
    },
    /// The store has applied entries, but the log is new: it was lost.
    LogMissing {
        /// The last entry that the store has applied.
        applied: RaftIndex,
    },
    /// The configuration names no members, or this is none of them.
    Membership,
    /// A committed change of the members cannot be read.
    Change {
        /// The entry.
        index: RaftIndex,
    },
    /// A write failed.
    Write(String),
}

/// The state of a replica, for status answers and metrics. Cheap: it may be asked for after every turn.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// Who leads.
    pub leadership: Leadership,
    /// The commit index.
    pub committed: RaftIndex,
    /// The applied index.
    pub applied: RaftIndex,
    /// The last index of the log.
    pub appended: RaftIndex,
    /// The term of the last applied entry.
    pub applied_term: Term,
    /// Bytes of the log's files.
    pub wal_bytes: u64,
    /// Pages of the tree file, those in use, and those that a checkpoint would write.
    pub pages: Pages,
    /// Proposals that wait for an answer.
    pub proposals_pending: usize,
    /// Whether writers are refused for lack of space.
    pub no_space: bool,
    /// Whether a compaction still removes rows.
    pub compacting: bool,
    /// Leases.
    pub leases: usize,
    /// Whether pages are moved so that the file can shrink.
    pub sweeping: bool,
    /// Commands and operations applied.
    pub applied_counts: apply::Counts,
    /// Rows that compactions removed.
    pub compacted_rows: u64,
    /// Consensus counts.
    pub counts: raft::Counts,
    /// Replica counts.
    pub stats: Stats,
}

/// Pages of the tree file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pages {
    /// All of them.
    pub file: u64,
    /// In use.
    pub used: u64,
    /// Free to be written.
    pub free: u64,
    /// What a checkpoint would write.
    pub dirty: u64,
}

/// What a replica counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Batches proposed here.
    pub batches: u64,
    /// Commands in them.
    pub proposals: u64,
    /// Groups written to the log.
    pub groups: u64,
    /// Entries applied.
    pub entries_applied: u64,
    /// Transactions of the tree that applied them.
    pub applies: u64,
    /// Times that applying waited for space.
    pub stalls: u64,
    /// Sweeps finished: pages moved so that the file can shrink.
    pub sweeps: u64,
    /// Messages of peers that were no batch of commands.
    pub batches_refused: u64,
    /// Checkpoints finished.
    pub checkpoints: u64,
}

/// The readers' side of the store.
pub type Shared = Arc<tree::Shared>;

impl std::fmt::Display for Error {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Raft(error) => write!(formatter, "consensus stopped: {error}"),
            Self::Apply(error) => write!(formatter, "{error}"),
            Self::Store(error) => write!(formatter, "the store cannot be used: {error}"),
            Self::StoreLost { last } => {
                write!(formatter, "the log holds entries up to {last}, but the store is new: it was lost")
            }
            Self::LogMissing { applied } => {
                write!(formatter, "the store has applied entries up to {applied}, but the log is new: it was lost")
            }
            Self::Membership => write!(formatter, "the members of the cluster cannot be told, or this is none of them"),
            Self::Change { index } => {
                write!(formatter, "raft entry {index} is no change of the members that can be read")
            }
            Self::Write(what) => write!(formatter, "a write failed and is not tried again: {what}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<raft::Error> for Error {
    fn from(error: raft::Error) -> Self {
        Self::Raft(error)
    }
}

impl From<tree::Error> for Error {
    fn from(error: tree::Error) -> Self {
        Self::Store(mvcc::Error::Tree(error))
    }
}

impl From<mvcc::Error> for Error {
    fn from(error: mvcc::Error) -> Self {
        Self::Store(error)
    }
}
