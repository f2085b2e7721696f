//! What the services need of the member behind them: a way to propose, a way to read, and what it knows of itself.
//!
//! Invariants
//! - An outcome is given only when the command is durable and applied; after a barrier a pin is linearizable.
//! - Every error has its own variant: which code and text a client gets for it is decided in `status.rs` alone.
//!
//! Must not know: gRPC, connections.

use crate::command::{Kind, Outcome};
use crate::log::Logger;
use crate::mvcc;
use crate::replica::{LeaseAnswer, LeaseAsk};
use crate::service::Watches;
use crate::tree::Pinned;
use crate::types::{ClusterId, MemberId, Now, RaftIndex, Revision, Term};
use bytes::Bytes;
use std::future::Future;

/// The member that the services speak for. Cheap to clone: each call has its own.
pub trait Member: Clone + 'static {
    /// Has a command replicated and applied. `payload` is the request as etcd's protobuf has it. A future that is
    /// dropped stops waiting; the command may be applied all the same. Bounded in time by the implementation.
    fn propose(&self, kind: Kind, payload: Bytes) -> impl Future<Output = Result<Outcome, ProposeError>>;

    /// Resolves when a pin taken afterwards shows everything that was acknowledged, by any member, before the call.
    fn read_barrier(&self) -> impl Future<Output = Result<(), ReadError>>;

    /// Resolves when the rows that a compaction to `through` makes superfluous are gone.
    fn compaction_finished(&self, through: Revision) -> impl Future<Output = Result<(), ProposeError>>;

    /// Asks the member's leases something; in the order of the calls, whether they are waited for or not.
    fn lease(&self, ask: LeaseAsk) -> impl Future<Output = Result<LeaseAnswer, ProposeError>>;

    /// The watchers of this executor.
    fn watches(&self) -> &Watches;

    /// The monotonic time.
    fn now(&self) -> Now;

    /// An id that this cluster has not used: etcd's way of making them.
    fn next_id(&self) -> u64;

    /// The newest root, kept for as long as the value lives.
    fn pin(&self) -> Pinned;

    /// What the member knows now.
    fn status(&self) -> MemberStatus;

    /// A read met a damaged page or row, which was not served: to be told to the operator.
    fn on_damage(&self, error: &mvcc::Error);

    /// Where slow requests are told, if anywhere.
    fn logger(&self) -> Option<&Logger> {
        None
    }

    /// Who the member is.
    fn identity(&self) -> &Identity;

    /// All members of the cluster, by id.
    fn members(&self) -> Vec<MemberRecord> {
        let Identity { member_id, name, peer_urls, client_urls, .. } = self.identity();
        vec![MemberRecord {
            id: *member_id,
            name: name.clone(),
            peer_urls: peer_urls.clone(),
            client_urls: client_urls.clone(),
            is_learner: self.status().is_learner,
        }]
    }
}

/// Who a member is: fixed for as long as it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The member.
    pub member_id: MemberId,
    /// Its name, for people.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
}

/// One line of the list of members.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberRecord {
    /// The member.
    pub id: MemberId,
    /// Its name; empty until it has started.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it has started.
    pub client_urls: Vec<String>,
    /// Whether it has no vote.
    pub is_learner: bool,
}

/// What a member knows at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemberStatus {
    /// Raft's term.
    pub term: Term,
    /// The leader; `MemberId(0)` when there is none.
    pub leader: MemberId,
    /// The last index known to be committed.
    pub committed: RaftIndex,
    /// The last index applied.
    pub applied: RaftIndex,
    /// Bytes of the database's file.
    pub file_bytes: u64,
    /// Bytes of it in use.
    pub used_bytes: u64,
    /// The quota for it.
    pub quota_bytes: u64,
    /// Whether the member has no vote.
    pub is_learner: bool,
}

/// Why a wait for the cluster ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timeout {
    /// For no reason known.
    Plain,
    /// The leader was lost shortly before.
    LeaderFailed,
    /// The other members cannot be reached.
    ConnectionLost,
}

/// Why a command was not done, or is not known to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProposeError {
    /// The request is wrong in the state that it met; nothing was changed.
    Request(mvcc::Error),
    /// The database is at its quota, or the disk is full.
    NoSpace,
    /// Too much is committed and not yet applied.
    TooManyRequests,
    /// There is no leader.
    NoLeader,
    /// The leader changed while the command was under way.
    LeaderChanged,
    /// It took too long; it may still be applied.
    Timeout(Timeout),
    /// The member is stopping.
    Stopped,
}

/// Why a linearizable read cannot be served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadError {
    /// There is no leader.
    NoLeader,
    /// The leader changed while the read waited.
    LeaderChanged,
    /// It took too long.
    Timeout(Timeout),
    /// The member is stopping.
    Stopped,
}
