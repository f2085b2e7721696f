//! KV's writes, and txns: Put, DeleteRange, Txn, Compact.
//!
//! Invariants
//! - The bytes that are replicated are the client's own; they are decoded here only to be checked.
//! - A txn that only reads is never replicated.
//!
//! Must not know: how a range is read (`range.rs`).

use super::header;
use super::member::{Member, ProposeError};
use super::quota;
use super::server::Service;
use super::slow::{Answer, Noted};
use super::status::Error;
use crate::command::{
    CompactionRequest, DeleteRangeRequest, Kind, Outcome, PutRequest, Response, TxnRequest, TxnResponse,
};
use crate::metrics::{Method, RequestKind, Stopwatch};
use crate::mvcc::{self, check};
use crate::proto::etcdserverpb::CompactionResponse;
use crate::rpc::{self, Status};
use bytes::Bytes;
use prost::Message;

/// What etcd's envelope adds to a request before it compares the size: a header with an id of ten bytes, and the tag
/// of the request.
const ENVELOPE_BYTES: usize = 15;

pub(super) async fn put<M: Member>(service: Service<M>, request: PutRequest, message: Bytes) -> Result<Bytes, Error> {
    // The quota comes first, as in etcd: a full store says so even of a request that is wrong.
    quota::check(service.member(), check::put_cost(&request)).await?;
    check::check_put(&request)?;
    let size = request.encoded_len();
    drop(request);
    propose(&service, (Kind::Put, RequestKind::Put), size, message).await
}

pub(super) async fn delete_range<M: Member>(
    service: Service<M>,
    request: DeleteRangeRequest,
    message: Bytes,
) -> Result<Bytes, Error> {
    check::check_delete_range(&request)?;
    let size = request.encoded_len();
    propose(&service, (Kind::DeleteRange, RequestKind::DeleteRange), size, message).await
}

pub(super) async fn txn<M: Member>(service: Service<M>, request: TxnRequest, message: Bytes) -> Result<Bytes, Error> {
    quota::check(service.member(), check::txn_cost(&request)).await?;
    check::check_txn(&request, service.settings().txn_ops_max)?;
    if !check::is_read_only(&request) {
        let size = request.encoded_len();
        drop(request);
        return propose(&service, (Kind::Txn, RequestKind::Txn), size, message).await;
    }
    let (watch, noted) = (Stopwatch::start(), Noted::begin(Method::KvTxn, &message));
    let response = read_only_txn(&service, &request).await;
    service.front().on_request(RequestKind::ReadonlyTxn, response.is_ok(), watch.nanos());
    let framed = response.map(|response| rpc::framed(&response));
    match &framed {
        Ok(framed) => noted.end_of_read(&service, Answer::Framed(framed)),
        Err(error) => noted.end_of_read(&service, Answer::Error(&Status::from(error.clone()).message)),
    }
    framed
}

async fn read_only_txn<M: Member>(service: &Service<M>, request: &TxnRequest) -> Result<TxnResponse, Error> {
    if !check::is_serializable(request) {
        service.member().read_barrier().await?;
    }
    let pinned = service.member().pin();
    let mut response = mvcc::read_only_txn(&pinned.view(), request)?;
    service.front().ranges.add(u64::try_from(response.responses.len()).unwrap_or(0));
    service.front().read_txns.add(u64::from(response.responses.len() > 1));
    response.header = Some(header::at(service.member(), header::revision(&pinned)));
    Ok(response)
}

pub(super) async fn compact<M: Member>(
    service: Service<M>,
    request: CompactionRequest,
    message: Bytes,
) -> Result<Bytes, Error> {
    let size = request.encoded_len();
    propose(&service, (Kind::Compact, RequestKind::Compaction), size, message).await
}

/// Has a command done and frames its answer. `size` is that of the request as etcd would encode it again: a client may have sent
/// a field twice.
async fn propose<M: Member>(
    service: &Service<M>,
    (kind, request): (Kind, RequestKind),
    size: usize,
    message: Bytes,
) -> Result<Bytes, Error> {
    if exceeds(size, service.settings().request_bytes_max) {
        return Err(Error::RequestTooLarge);
    }
    let member = service.member();
    let watch = Stopwatch::start();
    let proposed = member.propose(kind, message).await;
    // A request that was applied and refused was answered: so etcd counts it.
    let answered = matches!(proposed, Ok(_) | Err(ProposeError::Request(_)));
    service.front().on_request(request, answered, watch.nanos());
    let Outcome { revision, response } = proposed?;
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
        // None of this service's requests is answered so.
        Response::Noop | Response::Lease(_) | Response::Alarm(_) | Response::Downgrade => {
            rpc::framed(&CompactionResponse { header })
        }
    })
}

/// Whether etcd would find a request too large: it counts its own envelope.
fn exceeds(message_bytes: usize, request_bytes_max: usize) -> bool {
    let prefix = prost::length_delimiter_len(message_bytes);
    assert!((1..=10).contains(&prefix), "the length {message_bytes} as a varint");
    message_bytes + prefix + ENVELOPE_BYTES > request_bytes_max
}
