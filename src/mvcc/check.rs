//! What the front checks before it proposes or reads: everything that needs only the request.
//!
//! Invariants
//! - Checks stand in etcd's order, because the first one that fails names the error.
//! - Nothing here looks at the store; the checks that do are made when the request is applied.
//! - The depth of nested txns is bounded by the decoder (100 messages deep), so recursion is too.

use super::Error;
use super::intervals::BranchWrites;
use crate::command::range_request::{SortOrder, SortTarget};
use crate::command::request_op::Request;
use crate::command::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};

/// What a key costs besides its bytes, as etcd reckons for its quota.
const PAIR_OVERHEAD_BYTES: usize = 256;

/// A key, and sort options inside their enums.
pub fn check_range(request: &RangeRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        return Err(Error::EmptyKey);
    }
    let order = SortOrder::try_from(request.sort_order);
    let target = SortTarget::try_from(request.sort_target);
    if order.is_err() || target.is_err() { Err(Error::InvalidSortOption) } else { Ok(()) }
}

/// The same, and what a streamed range cannot do.
pub fn check_range_stream(request: &RangeRequest) -> Result<(), Error> {
    check_range(request)?;
    let ascending = request.sort_order == i32::from(SortOrder::Ascend);
    let natural = request.sort_order == i32::from(SortOrder::None)
        || (ascending && request.sort_target == i32::from(SortTarget::Key));
    if !natural {
        return Err(Error::StreamSortUnsupported);
    }
    let filters =
        [request.min_mod_revision, request.max_mod_revision, request.min_create_revision, request.max_create_revision];
    if filters.iter().any(|bound| *bound != 0) {
        return Err(Error::StreamFiltersUnsupported);
    }
    Ok(())
}

/// A key, and no value or lease beside the flag that ignores it.
pub fn check_put(request: &PutRequest) -> Result<(), Error> {
    if request.key.is_empty() {
        Err(Error::EmptyKey)
    } else if request.ignore_value && !request.value.is_empty() {
        Err(Error::ValueProvided)
    } else if request.ignore_lease && request.lease != 0 {
        Err(Error::LeaseProvided)
    } else {
        Ok(())
    }
}

/// A key.
pub fn check_delete_range(request: &DeleteRangeRequest) -> Result<(), Error> {
    if request.key.is_empty() { Err(Error::EmptyKey) } else { Ok(()) }
}

/// Number of operations, then the operations, then keys written twice.
pub fn check_txn(request: &TxnRequest, ops_max: usize) -> Result<(), Error> {
    check_ops(request, ops_max)?;
    BranchWrites::of(&request.success)?;
    BranchWrites::of(&request.failure)?;
    Ok(())
}

fn check_ops(request: &TxnRequest, ops_max: usize) -> Result<(), Error> {
    let ops = request.compare.len().max(request.success.len()).max(request.failure.len());
    let left = ops_max.checked_sub(ops).ok_or(Error::TooManyOps)?;
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(Error::EmptyKey);
    }
    request.success.iter().chain(&request.failure).try_for_each(|op| check_op(op, left))
}

fn check_op(op: &RequestOp, ops_left: usize) -> Result<(), Error> {
    match &op.request {
        Some(Request::RequestRange(range)) => check_range(range),
        Some(Request::RequestPut(put)) => check_put(put),
        Some(Request::RequestDeleteRange(delete)) => check_delete_range(delete),
        Some(Request::RequestTxn(txn)) => check_ops(txn, ops_left),
        None => Err(Error::KeyNotFound),
    }
}

/// Whether a txn holds ranges alone, in both branches: such a one is answered without raft. A nested txn counts as
/// a write, whatever it holds.
pub fn is_read_only(request: &TxnRequest) -> bool {
    ops(request).all(|op| matches!(op.request, Some(Request::RequestRange(_))))
}

/// Whether every operation is a serializable range, so that not even a read index is needed.
pub fn is_serializable(request: &TxnRequest) -> bool {
    ops(request).all(|op| matches!(&op.request, Some(Request::RequestRange(range)) if range.serializable))
}

fn ops(request: &TxnRequest) -> impl Iterator<Item = &RequestOp> {
    request.success.iter().chain(&request.failure)
}

/// Bytes that a put counts for against the quota.
pub fn put_cost(request: &PutRequest) -> usize {
    PAIR_OVERHEAD_BYTES + request.key.len() + request.value.len()
}

/// Bytes that a txn counts for against the quota: the dearer branch.
pub fn txn_cost(request: &TxnRequest) -> usize {
    let branch = |ops: &[RequestOp]| ops.iter().map(op_cost).fold(0usize, usize::saturating_add);
    branch(&request.success).max(branch(&request.failure))
}

fn op_cost(op: &RequestOp) -> usize {
    match &op.request {
        Some(Request::RequestPut(put)) => put_cost(put),
        Some(Request::RequestTxn(txn)) => txn_cost(txn),
        Some(Request::RequestRange(_) | Request::RequestDeleteRange(_)) | None => 0,
    }
}

/// Whether a txn has a put in some branch: what etcd refuses while there is no space.
pub fn has_put(request: &TxnRequest) -> bool {
    ops(request).any(|op| match &op.request {
        Some(Request::RequestPut(_)) => true,
        Some(Request::RequestTxn(txn)) => has_put(txn),
        Some(Request::RequestRange(_) | Request::RequestDeleteRange(_)) | None => false,
    })
}
