//! Commands about leases against the store.
//!
//! Invariants
//! - An expiry is carried out only in the term that decided it.
//! - What is noted for the lessor is what was written, in the order of the log.

use crate::command::{LeaseCommand, LeaseResponse, Outcome, Response};
use crate::lease::{Change, Lease};
use crate::mvcc::{Error, Writer};
use crate::types::{LeaseId, Term};

/// Executes a command of an entry of `term`.
pub(super) fn execute(writer: &mut Writer<'_, '_>, term: Term, command: &LeaseCommand) -> Result<LeaseResponse, Error> {
    match command {
        LeaseCommand::Grant(request) => {
            let lease = writer.lease_grant(LeaseId(request.id), request.ttl)?;
            Ok(LeaseResponse::Granted { id: lease.id, ttl_seconds: lease.ttl_seconds })
        }
        LeaseCommand::Revoke(request) => {
            writer.lease_revoke(LeaseId(request.id))?;
            Ok(LeaseResponse::Revoked)
        }
        LeaseCommand::Expire(expiry) if expiry.term != term => Ok(LeaseResponse::Outdated),
        LeaseCommand::Expire(expiry) => {
            writer.lease_revoke(expiry.id)?;
            Ok(LeaseResponse::Revoked)
        }
        LeaseCommand::Checkpoint(request) => {
            for checkpoint in &request.checkpoints {
                writer.lease_checkpoint(LeaseId(checkpoint.id), checkpoint.remaining_ttl)?;
            }
            Ok(LeaseResponse::Checkpointed)
        }
    }
}

/// Notes what a command that succeeded has changed.
pub(super) fn note(command: &LeaseCommand, outcome: &Outcome, changes: &mut Vec<Change>) {
    let Response::Lease(response) = outcome.response else { return };
    match (command, response) {
        (LeaseCommand::Grant(_), LeaseResponse::Granted { id, ttl_seconds }) => {
            changes.push(Change::Granted(Lease { id, ttl_seconds, remaining_seconds: 0 }));
        }
        (LeaseCommand::Revoke(request), LeaseResponse::Revoked) => changes.push(Change::Revoked(LeaseId(request.id))),
        (LeaseCommand::Expire(expiry), LeaseResponse::Revoked) => changes.push(Change::Revoked(expiry.id)),
        (LeaseCommand::Checkpoint(request), _) => {
            let noted = request.checkpoints.iter();
            changes.extend(noted.map(|one| Change::Checkpointed(LeaseId(one.id), one.remaining_ttl)));
        }
        (LeaseCommand::Grant(_) | LeaseCommand::Revoke(_) | LeaseCommand::Expire(_), _) => {}
    }
}
