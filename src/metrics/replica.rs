//! What the replica's shard counts of log, store and consensus.
//!
//! Invariants
//! - Written by the replica's task alone; where it publishes a count that the pure core keeps, the cell is set, not added to.

use super::cell::Counter;
use super::front::USUAL;
use super::histogram::{Histogram, Scale};

/// From 0.1 ms to 52 s.
const FINE: Scale = Scale::seconds(100_000, 20);
/// From 100 ms to 819.2 s, shown in milliseconds.
const COMPACTION: Scale = Scale::millis(100_000_000, 14);

/// Kinds of commands, as etcd's label `op` names them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// A put.
    Put,
    /// A deletion.
    DeleteRange,
    /// A txn.
    Txn,
    /// A compaction.
    Compaction,
    /// An alarm.
    Alarm,
    /// A lease made.
    LeaseGrant,
    /// A lease taken away, or expired.
    LeaseRevoke,
    /// Leases' remaining time noted.
    LeaseCheckpoint,
}

impl Operation {
    /// All of them, by place.
    pub const ALL: [Self; 8] = [
        Self::Put,
        Self::DeleteRange,
        Self::Txn,
        Self::Compaction,
        Self::Alarm,
        Self::LeaseGrant,
        Self::LeaseRevoke,
        Self::LeaseCheckpoint,
    ];

    /// etcd's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Put => "Put",
            Self::DeleteRange => "DeleteRange",
            Self::Txn => "Txn",
            Self::Compaction => "Compaction",
            Self::Alarm => "Alarm",
            Self::LeaseGrant => "LeaseGrant",
            Self::LeaseRevoke => "LeaseRevoke",
            Self::LeaseCheckpoint => "LeaseCheckpoint",
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Put => 0,
            Self::DeleteRange => 1,
            Self::Txn => 2,
            Self::Compaction => 3,
            Self::Alarm => 4,
            Self::LeaseGrant => 5,
            Self::LeaseRevoke => 6,
            Self::LeaseCheckpoint => 7,
        }
    }
}

macro_rules! cells {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The cells of the replica's shard.
        #[derive(Debug)]
        #[repr(align(128))]
        pub struct Replica {
            $($(#[$doc])* pub $name: Counter,)*
            /// Writes of the log: each is durable when it is done.
            pub log_writes: Histogram,
            /// Checkpoints of the tree.
            pub checkpoints: Histogram,
            /// Compactions, from the command to the last row.
            pub compactions: Histogram,
            pub(super) applied: [[Histogram; 2]; Operation::ALL.len()],
        }

        impl Default for Replica {
            fn default() -> Self {
                Self {
                    $($name: Counter::default(),)*
                    log_writes: Histogram::new(USUAL),
                    checkpoints: Histogram::new(USUAL),
                    compactions: Histogram::new(COMPACTION),
                    applied: std::array::from_fn(|_| [Histogram::new(FINE), Histogram::new(FINE)]),
                }
            }
        }
    };
}

cells! {
    /// Changes of the leader seen.
    leader_changes,
    /// Commands that wait for an answer.
    proposals_pending,
    /// Turns that applied commands and took longer than etcd warns at.
    slow_applies,
    /// Puts applied.
    puts,
    /// Bytes of the keys and values put.
    put_bytes,
    /// Deletions applied.
    deletes,
    /// Ranges inside applied txns.
    ranges,
    /// Txns of several operations applied.
    txns,
    /// Leases granted.
    leases_granted,
    /// Leases revoked, by clients or for their time.
    leases_revoked,
    /// Leases revoked for their time.
    leases_expired,
    /// Rows that compactions removed.
    compacted_rows,
    /// When the last compaction ended, in seconds since 1970; 0 before the first.
    compaction_ended,
    /// Bytes written to the log.
    log_bytes,
    /// Bytes of the log's files.
    log_file_bytes,
    /// Groups written to the log.
    groups,
    /// Batches of commands proposed here.
    batches,
    /// Commands in them.
    proposals,
    /// Entries applied.
    entries_applied,
    /// Transactions of the tree that applied them.
    applies,
    /// Times that applying waited for space.
    stalls,
    /// Read rounds begun.
    read_rounds,
    /// Pages that a checkpoint would write.
    dirty_pages,
    /// Pages free to be written.
    free_pages,
    /// Whether writers are refused for lack of disk.
    disk_full,
}

impl Replica {
    /// So many commands of a kind were applied, each in about this time.
    pub fn on_applied(&self, operation: Operation, success: bool, (nanos, times): (u64, u64)) {
        self.applied[operation.place()][usize::from(success)].observe_many(nanos, times);
    }
}
