//! What can be chosen about a replica.
//!
//! Invariants
//! - Nothing here changes while the replica runs.

use std::time::Duration;

use crate::limits::{
    REPLICA_CATCH_UP_ENTRIES, REPLICA_CHECKPOINT_DIRTY_PAGES, REPLICA_CHECKPOINT_INTERVAL, REPLICA_ELECTION_TICKS,
    REPLICA_FREE_PAGES_LOW, REPLICA_REQUEST_TIMEOUT_BASE, REPLICA_TICK, REPLICA_WAL_CHECKPOINT_BYTES,
};
use crate::types::{BootNonce, MemberId};

/// When the tree is written behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckpointPolicy {
    /// At the latest this long after the last one, if anything changed.
    pub interval: Duration,
    /// As soon as so many pages would be written.
    pub dirty_pages_max: u64,
    /// As soon as the log's files take so many bytes.
    pub wal_bytes_max: u64,
}

/// What can be chosen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// This member.
    pub member: MemberId,
    /// Drawn at random for this run: never the same for two runs of a member.
    pub nonce: BootNonce,
    /// Determines what is left to chance.
    pub seed: u64,
    /// The voters of a new cluster, itself among them. Looked at only when the store is new.
    pub voters: Vec<MemberId>,
    /// One tick: the time between heartbeats.
    pub tick: Duration,
    /// Ticks without a leader before an election, at least.
    pub election_ticks: usize,
    /// When the tree is written behind.
    pub checkpoint: CheckpointPolicy,
    /// Free pages below which the tree file grows ahead of use.
    pub free_pages_low: u64,
    /// Entries below the checkpoint that stay in the log for followers that lag.
    pub catch_up_entries: u64,
    /// Whether the remaining time of long leases is noted in the log now and then.
    pub lease_checkpoints: bool,
}

impl Config {
    /// etcd's defaults for `member`.
    pub fn new(member: MemberId, nonce: BootNonce, seed: u64, voters: Vec<MemberId>) -> Self {
        Self {
            member,
            nonce,
            seed,
            voters,
            tick: REPLICA_TICK,
            election_ticks: REPLICA_ELECTION_TICKS,
            checkpoint: CheckpointPolicy {
                interval: REPLICA_CHECKPOINT_INTERVAL,
                dirty_pages_max: REPLICA_CHECKPOINT_DIRTY_PAGES,
                wal_bytes_max: REPLICA_WAL_CHECKPOINT_BYTES,
            },
            free_pages_low: REPLICA_FREE_PAGES_LOW,
            catch_up_entries: REPLICA_CATCH_UP_ENTRIES,
            lease_checkpoints: false,
        }
    }

    /// The shortest election timeout.
    pub fn election_timeout(&self) -> Duration {
        let ticks = u32::try_from(self.election_ticks).unwrap_or(u32::MAX);
        self.tick.saturating_mul(ticks)
    }

    /// How long a request may take: etcd's 5 s and two election timeouts.
    pub fn request_timeout(&self) -> Duration {
        REPLICA_REQUEST_TIMEOUT_BASE.saturating_add(self.election_timeout().saturating_mul(2))
    }
}
