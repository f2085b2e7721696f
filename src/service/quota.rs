//! The quota of the database, as etcd counts against it: before a request is proposed, by what it may add.
//!
//! Invariants
//! - Only requests that can add are refused: deletions and compactions are the way out.
//! - What is counted is what the database uses, not the length of its file: space that was freed is free at once.
//!
//! What a request costs: `mvcc::check`. Source: server/storage/quota.go of etcd.

use crate::service::{Member, ProposeError};

/// Refuses what would take the database of `member` over its quota.
pub(super) fn check<M: Member>(member: &M, cost_bytes: usize) -> Result<(), ProposeError> {
    let status = member.status();
    let after = status.used_bytes.saturating_add(u64::try_from(cost_bytes).unwrap_or(u64::MAX));
    if cost_bytes > 0 && after > status.quota_bytes { Err(ProposeError::NoSpace) } else { Ok(()) }
}
