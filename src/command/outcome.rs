//! What a command answers once it is applied.
//!
//! Invariants
//! - The outer header is `None`: cluster, member and term are the front's to fill in, the revision is in `Outcome`.
//! - Headers inside a txn's responses carry their revision already, as etcd's do.

use super::{AlarmResponse, DeleteRangeResponse, LeaseResponse, PutResponse, TxnResponse};
use crate::types::Revision;

/// The result of a command that was applied.
#[derive(Clone, PartialEq, Debug)]
pub struct Outcome {
    /// What the answer's header says: the store's revision after the command.
    pub revision: Revision,
    /// The rest of the answer.
    pub response: Response,
}

/// The answer by kind of command.
#[derive(Clone, PartialEq, Debug)]
pub enum Response {
    /// To `Command::Put`.
    Put(PutResponse),
    /// To `Command::DeleteRange`.
    DeleteRange(DeleteRangeResponse),
    /// To `Command::Txn`.
    Txn(TxnResponse),
    /// To `Command::Compact`.
    Compact {
        /// The compacted revision: with `physical_wait`, the answer is due when the compaction finished up to here.
        compacted: Revision,
        /// Whether the client wants its answer only after the rows are gone.
        physical_wait: bool,
    },
    /// To `Command::Noop`.
    Noop,
    /// To `Command::Alarm`: the alarm that was raised or disarmed, if there was one.
    Alarm(AlarmResponse),
    /// To `Command::Downgrade`.
    Downgrade,
    /// To `Command::Lease`.
    Lease(LeaseResponse),
}
