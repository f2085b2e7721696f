//! The quota of the database, as etcd counts against it: before a request is proposed, by what it may add.
//!
//! Invariants
//! - Only requests that can add are refused: deletions and compactions are the way out.
//! - What is counted is what the database uses, not the length of its file: space that was freed is free at once.
//!
//! Source: server/storage/quota.go of etcd (the cost of a put, the larger branch of a txn).

use crate::limits::PUT_OVERHEAD_BYTES;
use crate::proto::etcdserverpb::{PutRequest, RequestOp, TxnRequest, request_op::Request};
use crate::service::{Member, ProposeError};

/// Refuses what would take the database of `member` over its quota.
pub(super) fn check<M: Member>(member: &M, cost_bytes: u64) -> Result<(), ProposeError> {
    let status = member.status();
    let after = status.used_bytes.saturating_add(cost_bytes);
    if cost_bytes > 0 && after > status.quota_bytes { Err(ProposeError::NoSpace) } else { Ok(()) }
}

/// What a put may add.
pub(super) fn put_cost(request: &PutRequest) -> u64 {
    let bytes = request.key.len().saturating_add(request.value.len());
    PUT_OVERHEAD_BYTES.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// What a txn may add: the dearer of its branches. Nested ones count as etcd counts them: not at all.
pub(super) fn txn_cost(request: &TxnRequest) -> u64 {
    branch_cost(&request.success).max(branch_cost(&request.failure))
}

fn branch_cost(operations: &[RequestOp]) -> u64 {
    let cost = |operation: &RequestOp| match &operation.request {
        Some(Request::RequestPut(put)) => put_cost(put),
        Some(Request::RequestRange(_) | Request::RequestDeleteRange(_) | Request::RequestTxn(_)) | None => 0,
    };
    operations.iter().map(cost).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_txn_costs_its_dearer_branch() {
        let put = |bytes: usize| PutRequest { value: vec![0; bytes].into(), ..Default::default() };
        let operation = |bytes| RequestOp { request: Some(Request::RequestPut(put(bytes))) };
        let request = TxnRequest {
            success: vec![operation(10), operation(20)],
            failure: vec![operation(500)],
            ..Default::default()
        };
        assert_eq!(put_cost(&put(10)), 266);
        assert_eq!(txn_cost(&request), 756);
        assert_eq!(txn_cost(&TxnRequest::default()), 0);
    }
}
