//! What crosses between the replica's shard and the others, always in batches.
//!
//! Invariants
//! - The mesh is a star: every other shard has one bounded channel to the replica's shard and one back.
//! - A message is a batch: everything that gathered on a shard while the last message was on its way. Crossing costs
//!   more than the work it carries, so it is paid once a batch.
//! - Besides `tree::readers`, this is the only place of the process where threads meet.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::command::Outcome;
use crate::net::Connection;
use crate::replica::{LeaseAnswer, LeaseAsk, Proposal, Refusal};
use crate::types::{MemberId, RaftIndex, Revision, Term};

/// From a front shard to the replica's.
#[derive(Debug, Default)]
pub(super) struct ToReplica {
    /// Writes, each with the ticket its answer will carry.
    pub(super) proposals: Vec<Proposal>,
    /// A ticket for the reads that gathered, all released by one read-index round.
    pub(super) read: Option<u64>,
    /// Questions about leases, each with the ticket its answer will carry.
    pub(super) leases: Vec<(u64, LeaseAsk)>,
    /// Up to which revision the shard's watchers were told of changes, when that is news; nothing when it has none.
    pub(super) watched: Option<Option<Revision>>,
    /// Connections that ended since the last message, so that new ones go where there are fewest.
    pub(super) connections_closed: u64,
    /// Whether the shard was told to stop and its calls are finished.
    pub(super) drained: bool,
}

/// From the replica's shard to a front shard.
#[derive(Debug, Default)]
pub(super) struct ToFront {
    /// Outcomes of proposals, by ticket.
    pub(super) answers: Vec<(u64, Result<Outcome, Refusal>)>,
    /// Read tickets: `Ok` when this process has applied what they must see.
    pub(super) reads: Vec<(u64, Result<(), Refusal>)>,
    /// Answers about leases, by ticket.
    pub(super) leases: Vec<(u64, LeaseAnswer)>,
    /// Whether there is a newer root, for a shard that has watchers.
    pub(super) changed: bool,
    /// Connections to serve from now on.
    pub(super) connections: Vec<Connection>,
    /// Whether to end all connections and stop.
    pub(super) stop: bool,
}

impl ToReplica {
    /// Whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        let asks = !self.proposals.is_empty() || self.read.is_some() || !self.leases.is_empty();
        !asks && self.watched.is_none() && self.connections_closed == 0 && !self.drained
    }
}

impl ToFront {
    /// Whether there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        let answers = !self.answers.is_empty() || !self.reads.is_empty() || !self.leases.is_empty();
        !answers && !self.changed && self.connections.is_empty() && !self.stop
    }
}

/// What the replica tells everybody about itself: each word is published alone, so two of them may be of different
/// moments, which is all that `Status` promises.
#[derive(Debug, Default)]
pub struct Board {
    /// The last id that was made here.
    id: AtomicU64,
    leader: AtomicU64,
    term: AtomicU64,
    committed: AtomicU64,
    applied: AtomicU64,
    file_bytes: AtomicU64,
    used_bytes: AtomicU64,
    no_space: AtomicU64,
}

/// One reading of the board.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Reading {
    /// The leader's id, 0 when there is none.
    pub(super) leader: MemberId,
    /// The raft term.
    pub(super) term: Term,
    /// The committed index.
    pub(super) committed: RaftIndex,
    /// The applied index.
    pub(super) applied: RaftIndex,
    /// The tree file's length, bytes.
    pub(super) file_bytes: u64,
    /// Bytes of its pages in use.
    pub(super) used_bytes: u64,
    /// Whether the disk has no room for more.
    pub(super) no_space: bool,
}

impl Board {
    /// A board with nothing on it; the first id made here comes after `id`.
    pub fn new(id: u64) -> Self {
        Self { id: AtomicU64::new(id), ..Self::default() }
    }

    /// An id that nobody had before: etcd's member and start time, counted up.
    pub(super) fn next_id(&self) -> u64 {
        self.id.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// Puts a new reading up.
    pub(super) fn publish(&self, reading: &Reading) {
        self.leader.store(reading.leader.0, Ordering::Relaxed);
        self.term.store(reading.term.0, Ordering::Relaxed);
        self.committed.store(reading.committed.0, Ordering::Relaxed);
        self.applied.store(reading.applied.0, Ordering::Relaxed);
        self.file_bytes.store(reading.file_bytes, Ordering::Relaxed);
        self.used_bytes.store(reading.used_bytes, Ordering::Relaxed);
        self.no_space.store(u64::from(reading.no_space), Ordering::Relaxed);
    }

    /// What stands there now.
    pub(super) fn read(&self) -> Reading {
        Reading {
            leader: MemberId(self.leader.load(Ordering::Relaxed)),
            term: Term(self.term.load(Ordering::Relaxed)),
            committed: RaftIndex(self.committed.load(Ordering::Relaxed)),
            applied: RaftIndex(self.applied.load(Ordering::Relaxed)),
            file_bytes: self.file_bytes.load(Ordering::Relaxed),
            used_bytes: self.used_bytes.load(Ordering::Relaxed),
            no_space: self.no_space.load(Ordering::Relaxed) != 0,
        }
    }
}
