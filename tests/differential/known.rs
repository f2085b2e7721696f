//! Differences that are known and accepted, each with its reason.
//!
//! **Invariants**: a row names as little as it can; everything else must be equal.

use prost::Message;
use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Call, oracle_is_old};
use crate::op::{Body, Op, Seen};

/// The storage version of this line of etcd.
const STORAGE_VERSION: &str = "3.7.0";

/// Makes what may differ equal in one answer, seen from either side.
pub(crate) fn level(seen: &mut Seen) {
    // Go's protobuf library puts a no-break space into its messages in some builds, so that nobody relies on them.
    seen.text = seen.text.replace('\u{a0}', " ");
    // What exactly is wrong with the bytes is each parser's own wording.
    for told in ["error unmarshalling request", "failed to unmarshal the received message", "flate: corrupt input"] {
        if let Some(start) = seen.text.find(told) {
            seen.text.truncate(start + told.len());
        }
    }
    // A new etcd tells none, a restarted one 3.5.0, until its cluster version is decided, some seconds later.
    if let Body::Status(status) = &mut seen.body
        && matches!(status.storage_version.as_str(), "" | "3.5.0")
    {
        status.storage_version = STORAGE_VERSION.to_owned();
    }
}

/// True if a difference to this version of etcd is accepted: the table of what PyPI's 3.5.1 answers otherwise.
pub(crate) fn accepted(op: &Op, ours: &Seen, oracle: &Seen) -> bool {
    match op {
        // Which of two faults of one txn is told was another one then.
        Op::Txn(_) => oracle_is_old() && ours.code != Some(0) && oracle.code != Some(0),
        // hash_revision came with 3.6, and the hash counts other revisions since 3.5.16.
        Op::HashKv(_) => oracle_is_old(),
        // storageVersion, dbSizeQuota and downgradeInfo came with 3.6.
        Op::Status => oracle_is_old(),
        _ => false,
    }
}

/// True if this version of etcd must not be sent the operation, since it answers otherwise and may change its history
/// by it.
pub(crate) fn left_out(op: &Op) -> bool {
    if let Op::Raw { call, .. } = op
        && is_of_another_wire_type(call)
    {
        return true;
    }
    if !oracle_is_old() {
        return false;
    }
    match op {
        // RangeStream came with 3.7; the wording of bad input is that of the gRPC library, and some of it is fatal.
        Op::RangeStream(_) | Op::Raw { .. } => true,
        // The check of the sort options came later.
        Op::Range(request) => is_bad_sort(request),
        Op::Txn(request) => has_bad_sort(request),
        _ => false,
    }
}

/// True if a field of the message that is known has another wire type: Go's parser skips such a field as if it were
/// unknown, prost refuses the message. No client sends one, and what a write would do differs from here on.
fn is_of_another_wire_type(call: &Call) -> bool {
    let Some(message) = call.body.get(5..) else { return false };
    let decoded = match call.path.as_str() {
        "/etcdserverpb.KV/Range" | "/etcdserverpb.KV/RangeStream" => pb::RangeRequest::decode(message).err(),
        "/etcdserverpb.KV/Put" => pb::PutRequest::decode(message).err(),
        "/etcdserverpb.KV/DeleteRange" => pb::DeleteRangeRequest::decode(message).err(),
        "/etcdserverpb.KV/Txn" => pb::TxnRequest::decode(message).err(),
        _ => None,
    };
    decoded.is_some_and(|error| error.to_string().contains("invalid wire type"))
}

fn is_bad_sort(request: &pb::RangeRequest) -> bool {
    !(0..=2).contains(&request.sort_order) || !(0..=4).contains(&request.sort_target)
}

fn has_bad_sort(request: &pb::TxnRequest) -> bool {
    use pb::request_op::Request;
    let ops = request.success.iter().chain(&request.failure).filter_map(|op| op.request.as_ref());
    ops.into_iter().any(|op| match op {
        Request::RequestRange(range) => is_bad_sort(range),
        Request::RequestTxn(inner) => has_bad_sort(inner),
        Request::RequestPut(_) | Request::RequestDeleteRange(_) => false,
    })
}
