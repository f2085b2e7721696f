//! Differences that are known and accepted, each with its reason.
//!
//! **Invariants**: a row names as little as it can; everything else must be equal.

use crate::op::{Body, Op, Seen};

/// The storage version of this line of etcd.
const STORAGE_VERSION: &str = "3.7.0";

/// Makes what may differ equal in one answer, seen from either side.
pub(crate) fn level(seen: &mut Seen) {
    // Go's protobuf library puts a no-break space into its messages in some builds, so that nobody relies on them.
    seen.text = seen.text.replace('\u{a0}', " ");
    // What exactly is wrong with the bytes is each parser's own wording.
    for told in ["error unmarshalling request", "failed to unmarshal the received message"] {
        if let Some(start) = seen.text.find(told) {
            seen.text.truncate(start + told.len());
        }
    }
    // A restarted etcd tells 3.5.0 until its cluster version is decided again, some seconds later.
    if let Body::Status(status) = &mut seen.body
        && status.storage_version == "3.5.0"
    {
        status.storage_version = STORAGE_VERSION.to_owned();
    }
}

/// True if a difference to this version of etcd is accepted.
pub(crate) fn accepted(oracle_version: &str, op: &Op, ours: &Seen, oracle: &Seen) -> bool {
    if oracle_version != "3.5.1" {
        return false;
    }
    match (op, &ours.body, &oracle.body) {
        // RangeStream came with 3.7.
        (Op::RangeStream(_), _, _) => true,
        // hash_revision came with 3.6, and the hash counts other revisions since 3.5.16.
        (Op::HashKv(_), _, _) => true,
        // storageVersion, dbSizeQuota and downgradeInfo came with 3.6.
        (Op::Status, _, _) => true,
        // The wording of the transport is that of its gRPC library.
        (Op::Raw { .. }, _, _) => true,
        // Since 3.7 keys_only is answered from the index.
        (Op::Range(request), Body::Range(_), Body::Range(_)) => request.keys_only,
        _ => false,
    }
}
