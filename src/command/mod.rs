//! What is replicated: commands, the batches they travel in, and what applying one answers.
//!
//! Invariants
//! - The bytes of a batch are the same on every member and for ever: a change of layout is a new version byte.
//! - Parsing copies nothing: every payload is a slice of the entry it came in.
//!
//! Must not know who proposes, stores or applies a batch.

mod batch;
mod lease;
mod outcome;
#[cfg(test)]
mod tests;

pub use batch::{Batch, BatchBuilder, Command, Commands, Kind, Malformed, fuzz_batch};
pub use lease::{LeaseCommand, LeaseExpiry, LeaseResponse};
pub use outcome::{Outcome, Response};
// The messages that commands carry, so that the layers below the front need not name the generated modules.
pub use crate::proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, CompactionRequest, Compare, DeleteRangeRequest,
    DeleteRangeResponse, DowngradeInfo, LeaseCheckpoint, LeaseCheckpointRequest, LeaseGrantRequest, LeaseRevokeRequest,
    PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp, ResponseHeader, ResponseOp, TxnRequest,
    TxnResponse, alarm_request, compare, range_request, request_op, response_op,
};
pub use crate::proto::mvccpb::KeyValue;
