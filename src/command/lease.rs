//! Commands about leases, and what they answer.
//!
//! Invariants
//! - An expiry names the term whose leader decided it, so that it has no effect once a newer term has begun: a leader that
//!   was cut off must not take away what its successor renewed.

use prost::Message;

use super::{Command, Kind, LeaseCheckpointRequest, LeaseGrantRequest, LeaseRevokeRequest};
use crate::codec::{self, Reader};
use crate::types::{LeaseId, Term};

/// A leader's decision that a lease has expired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseExpiry {
    /// The term in which its leader decided it.
    pub term: Term,
    /// The lease.
    pub id: LeaseId,
}

impl LeaseExpiry {
    /// The payload: term and id, little-endian.
    pub fn encode(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.term.0.to_le_bytes());
        bytes[8..].copy_from_slice(&self.id.0.to_le_bytes());
        bytes
    }

    /// What `encode` made.
    pub fn decode(payload: &[u8]) -> Result<Self, codec::Malformed> {
        let mut reader = Reader::new(payload);
        let (term, id) = (Term(reader.u64()?), LeaseId(reader.u64()?.cast_signed()));
        if reader.is_empty() { Ok(Self { term, id }) } else { Err(codec::Malformed) }
    }
}

/// One decoded command about leases.
#[derive(Clone, PartialEq, Debug)]
pub enum LeaseCommand {
    /// Makes a lease.
    Grant(LeaseGrantRequest),
    /// Takes a lease away, and the keys that hang on it.
    Revoke(LeaseRevokeRequest),
    /// The same, because its time is up.
    Expire(LeaseExpiry),
    /// Notes how much time is left of some leases.
    Checkpoint(LeaseCheckpointRequest),
}

impl LeaseCommand {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Grant(_) => Kind::LeaseGrant,
            Self::Revoke(_) => Kind::LeaseRevoke,
            Self::Expire(_) => Kind::LeaseExpire,
            Self::Checkpoint(_) => Kind::LeaseCheckpoint,
        }
    }

    /// Kind and payload, for a batch.
    pub fn encode(&self) -> (Kind, Vec<u8>) {
        match self {
            Self::Grant(request) => (Kind::LeaseGrant, request.encode_to_vec()),
            Self::Revoke(request) => (Kind::LeaseRevoke, request.encode_to_vec()),
            Self::Expire(expiry) => (Kind::LeaseExpire, expiry.encode().to_vec()),
            Self::Checkpoint(request) => (Kind::LeaseCheckpoint, request.encode_to_vec()),
        }
    }
}

impl From<LeaseCommand> for Command {
    fn from(command: LeaseCommand) -> Self {
        Self::Lease(command)
    }
}

/// What a command about leases answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaseResponse {
    /// The lease is there.
    Granted {
        /// Its id.
        id: LeaseId,
        /// The time to live that it has.
        ttl_seconds: i64,
    },
    /// The lease and its keys are gone.
    Revoked,
    /// An expiry of an older term: nothing was done.
    Outdated,
    /// What is left is noted.
    Checkpointed,
}
