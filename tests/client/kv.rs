//! Typed calls of the client API, for tests that send only good input.
//!
//! **Invariants**: a status that is not OK, a lost connection and an undecodable answer are three different errors.

use std::net::SocketAddr;

use bytes::Bytes;
use prost::Message;
use ringbolt::proto::etcdserverpb as pb;

use super::grpc::{Call, Connection, Lost};

/// gRPC status codes by name.
pub(crate) mod code {
    pub(crate) const OK: u32 = 0;
    pub(crate) const UNKNOWN: u32 = 2;
    pub(crate) const INVALID_ARGUMENT: u32 = 3;
    pub(crate) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(crate) const OUT_OF_RANGE: u32 = 11;
    pub(crate) const UNIMPLEMENTED: u32 = 12;
    pub(crate) const INTERNAL: u32 = 13;
    pub(crate) const UNAVAILABLE: u32 = 14;
    pub(crate) const DATA_LOSS: u32 = 15;
}

/// A gRPC status that is not OK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// The code.
    pub(crate) code: u32,
    /// The text.
    pub(crate) text: String,
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    /// The server said no.
    Status(Status),
    /// Whether the server did it is unknown.
    Lost(Lost),
    /// The server broke the protocol.
    Malformed(String),
}

impl From<Lost> for CallError {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

/// A connection with typed calls.
#[derive(Clone)]
pub(crate) struct Client {
    /// The connection itself, for raw calls.
    pub(crate) connection: Connection,
}

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident: $path:literal, $request:ident => $response:ident;)*) => { $(
        $(#[$doc])*
        pub(crate) async fn $name(&self, request: &pb::$request) -> Result<pb::$response, CallError> {
            self.unary(concat!("/etcdserverpb.", $path), request).await
        }
    )* };
}

impl Client {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Lost> {
        Ok(Self { connection: Connection::open(address).await? })
    }

    unary! {
        /// KV.Range.
        range: "KV/Range", RangeRequest => RangeResponse;
        /// KV.Put.
        put: "KV/Put", PutRequest => PutResponse;
        /// KV.DeleteRange.
        delete_range: "KV/DeleteRange", DeleteRangeRequest => DeleteRangeResponse;
        /// KV.Txn.
        txn: "KV/Txn", TxnRequest => TxnResponse;
        /// KV.Compact.
        compact: "KV/Compact", CompactionRequest => CompactionResponse;
        /// Lease.LeaseGrant.
        lease_grant: "Lease/LeaseGrant", LeaseGrantRequest => LeaseGrantResponse;
        /// Lease.LeaseRevoke.
        lease_revoke: "Lease/LeaseRevoke", LeaseRevokeRequest => LeaseRevokeResponse;
        /// Lease.LeaseTimeToLive.
        lease_time_to_live: "Lease/LeaseTimeToLive", LeaseTimeToLiveRequest => LeaseTimeToLiveResponse;
        /// Lease.LeaseLeases.
        lease_leases: "Lease/LeaseLeases", LeaseLeasesRequest => LeaseLeasesResponse;
        /// Maintenance.Status.
        status: "Maintenance/Status", StatusRequest => StatusResponse;
        /// Maintenance.HashKV.
        hash_kv: "Maintenance/HashKV", HashKvRequest => HashKvResponse;
        /// Maintenance.Alarm.
        alarm: "Maintenance/Alarm", AlarmRequest => AlarmResponse;
        /// Cluster.MemberList.
        member_list: "Cluster/MemberList", MemberListRequest => MemberListResponse;
    }

    /// KV.RangeStream, its messages merged into the one response they stand for.
    pub(crate) async fn range_stream(&self, request: &pb::RangeRequest) -> Result<pb::RangeResponse, CallError> {
        let frames = self.frames("/etcdserverpb.KV/RangeStream", request).await?;
        // Concatenated messages are the merged message.
        let whole = frames.concat();
        let merged = pb::RangeStreamResponse::decode(whole.as_slice());
        let merged = merged.map_err(|error| CallError::Malformed(error.to_string()))?;
        Ok(merged.range_response.unwrap_or_default())
    }

    /// Any unary call with one message each way.
    pub(crate) async fn unary<A: Message + Default>(&self, path: &str, request: &impl Message) -> Result<A, CallError> {
        let frames = self.frames(path, request).await?;
        let [one] = frames.as_slice() else {
            return Err(CallError::Malformed(format!("{} messages from {path}", frames.len())));
        };
        A::decode(one.as_ref()).map_err(|error| CallError::Malformed(format!("{path}: {error}")))
    }

    async fn frames(&self, path: &str, request: &impl Message) -> Result<Vec<Bytes>, CallError> {
        let answer = self.connection.call(&Call::new(path, request)).await?;
        match answer.code {
            Some(code::OK) => Ok(answer.frames.into_iter().map(|frame| frame.bytes).collect()),
            Some(code) => Err(CallError::Status(Status { code, text: answer.text })),
            None => Err(CallError::Malformed(format!("no grpc-status from {path}: {answer:?}"))),
        }
    }
}
