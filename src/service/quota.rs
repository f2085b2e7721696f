//! The quota of the database, as etcd counts against it: before a request is looked at, by what it may add.
//!
//! Invariants
//! - Only requests that can add are refused: deletions and compactions are the way out.
//! - Whoever is refused was told so after the alarm NOSPACE stands: from then on the replicated state refuses, on every
//!   member, until the alarm is disarmed.
//! - What is counted is what the database uses, not the length of its file: space that was freed is free at once.
//!
//! What a request costs: `mvcc::check`. Source: server/storage/quota.go of etcd.

use super::alarm;
use super::status::Error;
use crate::service::{Member, ProposeError};

/// Refuses what would take the database of `member` to its quota, and raises the alarm.
pub(super) async fn check<M: Member>(member: &M, cost_bytes: usize) -> Result<(), Error> {
    if fits(member, cost_bytes) {
        return Ok(());
    }
    alarm::raise_no_space(member).await?;
    Err(ProposeError::NoSpace.into())
}

fn fits<M: Member>(member: &M, cost_bytes: usize) -> bool {
    let status = member.status();
    let after = status.used_bytes.saturating_add(u64::try_from(cost_bytes).unwrap_or(u64::MAX));
    cost_bytes == 0 || after < status.quota_bytes
}
