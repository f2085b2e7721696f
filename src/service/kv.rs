//! KV's writes, and txns: Put, DeleteRange, Txn, Compact.
//!
//! Invariants
//! - The bytes that are replicated are the client's own; they are decoded here only to be checked.
//! - A txn that only reads is never replicated.
//!
//! Must not know: how a range is read (`range.rs`).

use super::header;
use super::member::Member;
use super::quota;
use super::server::Service;
use super::status::Error;
use crate::command::{CompactionRequest, DeleteRangeRequest, Kind, Outcome, PutRequest, Response, TxnRequest};
use crate::mvcc::{self, check};
use crate::proto::etcdserverpb::CompactionResponse;
use crate::rpc;
use bytes::Bytes;

/// What etcd's envelope adds to a request before it compares the size: a header with an id of ten bytes, and the tag
/// of the request.
const ENVELOPE_BYTES: usize = 15;

pub(super) async fn put<M: Member>(service: Service<M>, request: PutRequest, message: Bytes) -> Result<Bytes, Error> {
    check::check_put(&request)?;
    quota::check(service.member(), quota::put_cost(&request))?;
    drop(request);
    propose(&service, Kind::Put, message).await
}

pub(super) async fn delete_range<M: Member>(
    service: Service<M>,
    request: DeleteRangeRequest,
    message: Bytes,
) -> Result<Bytes, Error> {
    check::check_delete_range(&request)?;
    propose(&service, Kind::DeleteRange, message).await
}

pub(super) async fn txn<M: Member>(service: Service<M>, request: TxnRequest, message: Bytes) -> Result<Bytes, Error> {
    check::check_txn(&request, service.settings().txn_ops_max)?;
    if !check::is_read_only(&request) {
        quota::check(service.member(), quota::txn_cost(&request))?;
        drop(request);
        return propose(&service, Kind::Txn, message).await;
    }
    if !check::is_serializable(&request) {
        service.member().read_barrier().await?;
    }
    let pinned = service.member().pin();
    let mut response = mvcc::read_only_txn(&pinned.view(), &request)?;
    response.header = Some(header::at(service.member(), header::revision(&pinned)));
    Ok(rpc::framed(&response))
}

pub(super) async fn compact<M: Member>(
    service: Service<M>,
    _: CompactionRequest,
    message: Bytes,
) -> Result<Bytes, Error> {
    propose(&service, Kind::Compact, message).await
}

/// Has a command done and frames its answer.
async fn propose<M: Member>(service: &Service<M>, kind: Kind, message: Bytes) -> Result<Bytes, Error> {
    if exceeds(message.len(), service.settings().request_bytes_max) {
        return Err(Error::RequestTooLarge);
    }
    let member = service.member();
    let Outcome { revision, response } = member.propose(kind, message).await?;
    let header = Some(header::at(member, revision));
    Ok(match response {
        Response::Put(mut response) => {
            response.header = header;
            rpc::framed(&response)
        }
        Response::DeleteRange(mut response) => {
            response.header = header;
            rpc::framed(&response)
        }
        Response::Txn(mut response) => {
            response.header = header;
            rpc::framed(&response)
        }
        Response::Compact { compacted, physical_wait } => {
            if physical_wait {
                member.compaction_finished(compacted).await?;
            }
            rpc::framed(&CompactionResponse { header })
        }
        // Clients have no way to propose it.
        Response::Noop => rpc::framed(&CompactionResponse { header }),
    })
}

/// Whether etcd would find a request too large: it counts its own envelope.
fn exceeds(message_bytes: usize, request_bytes_max: usize) -> bool {
    let prefix = prost::length_delimiter_len(message_bytes);
    assert!((1..=10).contains(&prefix), "the length {message_bytes} as a varint");
    message_bytes + prefix + ENVELOPE_BYTES > request_bytes_max
}
