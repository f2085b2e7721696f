//! Lease: grants and revocations through the log, renewals and questions answered from the leader's memory.
//!
//! Invariants
//! - What is replicated for a grant has its id and its time to live settled, so that every member does the same.
//! - Renewals on a stream are answered in their order; those that arrived together travel together.
//! - A lease that is not found is looked for once more behind what is committed: its grant may be on the way.

use super::header;
use super::member::{Member, ProposeError};
use super::observed::Observed;
use super::quota;
use super::server::Service;
use super::status::Error;
use crate::command::{Kind, LeaseGrantRequest, LeaseResponse, LeaseRevokeRequest, Outcome, Response};
use crate::lease;
use crate::limits;
use crate::metrics::{Method, RequestKind, Shape, Stopwatch};
use crate::proto::etcdserverpb::{
    LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseLeasesRequest, LeaseLeasesResponse,
    LeaseRevokeResponse, LeaseStatus, LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use crate::replica::{LeaseAnswer, LeaseAsk};
use crate::rpc::{self, Answers, Call, Reply, Requests, Status};
use crate::types::LeaseId;
use bytes::Bytes;
use prost::Message;
use std::future::{Future, poll_fn};
use std::task::Poll;

pub(super) async fn grant<M: Member>(
    service: Service<M>,
    request: LeaseGrantRequest,
    _: Bytes,
) -> Result<Bytes, Error> {
    let member = service.member();
    quota::check(member, limits::LEASE_COST_BYTES).await?;
    let mut id = request.id;
    while id == 0 {
        id = (member.next_id() & (u64::MAX >> 1)).cast_signed();
    }
    let ttl = lease::ttl_raised(request.ttl, service.settings().lease_ttl_seconds_min);
    let command = LeaseGrantRequest { ttl, id };
    let watch = Stopwatch::start();
    let proposed = member.propose(Kind::LeaseGrant, command.encode_to_vec().into()).await;
    service.front().on_request(RequestKind::LeaseGrant, was_answered(&proposed), watch.nanos());
    let Outcome { revision, response } = proposed?;
    service.front().lease_ttls.observe(u64::try_from(ttl).unwrap_or(0));
    let header = Some(header::at(member, revision));
    if let Response::Lease(LeaseResponse::Granted { id: granted, ttl_seconds }) = response {
        assert_eq!((granted.0, ttl_seconds), (id, ttl), "what was settled is what is granted");
    }
    Ok(rpc::framed(&LeaseGrantResponse { header, id, ttl, error: String::new() }))
}

pub(super) async fn revoke<M: Member>(
    service: Service<M>,
    _: LeaseRevokeRequest,
    message: Bytes,
) -> Result<Bytes, Error> {
    let member = service.member();
    let watch = Stopwatch::start();
    let proposed = member.propose(Kind::LeaseRevoke, message).await;
    service.front().on_request(RequestKind::LeaseRevoke, was_answered(&proposed), watch.nanos());
    Ok(rpc::framed(&LeaseRevokeResponse { header: Some(header::at(member, proposed?.revision)) }))
}

/// A command that was applied and refused was answered: so etcd counts it.
fn was_answered(proposed: &Result<Outcome, ProposeError>) -> bool {
    matches!(proposed, Ok(_) | Err(ProposeError::Request(_)))
}

pub(super) async fn time_to_live<M: Member>(
    service: Service<M>,
    request: LeaseTimeToLiveRequest,
    _: Bytes,
) -> Result<Bytes, Error> {
    let member = service.member();
    member.read_barrier().await?;
    let answer = member.lease(LeaseAsk::Remaining(LeaseId(request.id))).await?;
    let pinned = member.pin();
    let header = Some(header::at(member, header::revision(&pinned)));
    let mut response = LeaseTimeToLiveResponse { header, id: request.id, ttl: -1, ..Default::default() };
    if let LeaseAnswer::Remaining(remaining) = answer {
        (response.ttl, response.granted_ttl) = (remaining.seconds, remaining.granted_seconds);
        if request.keys {
            let keys = lease::attached(&pinned.view(), LeaseId(request.id), None, usize::MAX);
            let keys = keys.map_err(|error| Error::Request(error.into()))?;
            response.keys = keys.into_iter().map(Bytes::from).collect();
        }
    }
    Ok(rpc::framed(&response))
}

pub(super) async fn leases<M: Member>(service: Service<M>, _: LeaseLeasesRequest, _: Bytes) -> Result<Bytes, Error> {
    let member = service.member();
    let mut leases = Vec::new();
    if let LeaseAnswer::Listed(ids) = member.lease(LeaseAsk::List).await? {
        leases.extend(ids.into_iter().map(|id| LeaseStatus { id: id.0 }));
    }
    Ok(rpc::framed(&LeaseLeasesResponse { header: Some(header::now(member)), leases }))
}

/// Serves `Lease.LeaseKeepAlive`.
pub(super) async fn keep_alive<M: Member>(service: Service<M>, call: Call) {
    let Call { head, mut requests, mut reply } = call;
    let mut observed = Observed::new(&service, Method::LeaseKeepAlive, Answers::Many);
    let ended = match service.admit(&head, Shape::BidiStream, false) {
        Ok(()) => renew_all(&service, &mut requests, (&mut reply, &mut observed)).await,
        Err(error) => Err(error),
    };
    let status = ended.map_or_else(|error| service.status_of(error), |()| Status::OK);
    observed.end(&status);
    reply.finish(status);
}

async fn renew_all<M: Member>(
    service: &Service<M>,
    requests: &mut Requests,
    (reply, observed): (&mut Reply, &mut Observed<M>),
) -> Result<(), Error> {
    let member = service.member();
    loop {
        let Some(first) = reply.next(requests).await? else { return Ok(()) };
        let ids = arrived(first, requests).await?;
        // Before the renewals: what is answered holds at a revision that is not later than they.
        let header = header::now(member);
        let asked: Vec<_> = ids.iter().map(|id| member.lease(LeaseAsk::Renew(*id))).collect();
        let mut out = Vec::with_capacity(ids.len() * 64);
        for (id, answer) in ids.into_iter().zip(asked) {
            observed.on_request();
            let ttl = reply.guard(renewed(member, id, answer)).await??;
            service.front().leases_renewed.add(u64::from(ttl > 0));
            let response = rpc::framed(&LeaseKeepAliveResponse { header: Some(header), id: id.0, ttl });
            observed.on_message(response.len() - rpc::frame::PREFIX_BYTES);
            out.extend_from_slice(&response);
        }
        reply.write(Bytes::from(out)).await?;
    }
}

/// The seconds that a renewal answers.
async fn renewed<M: Member>(
    member: &M,
    id: LeaseId,
    answer: impl Future<Output = Result<LeaseAnswer, ProposeError>>,
) -> Result<i64, Error> {
    let answer = answer.await?;
    if answer != LeaseAnswer::NotFound {
        return seconds(answer);
    }
    member.read_barrier().await?;
    seconds(member.lease(LeaseAsk::Renew(id)).await?)
}

/// The lease of a request and of those that arrived with it.
async fn arrived(first: Bytes, requests: &mut Requests) -> Result<Vec<LeaseId>, Error> {
    let mut ids = vec![decode(first)?];
    while ids.len() < limits::LEASE_RENEWALS_PER_TURN_MAX {
        let next = poll_fn(|context| match requests.poll_next(context) {
            Poll::Ready(Ok(Some(message))) => Poll::Ready(Some(message)),
            // What ends the stream is met again by the next turn.
            Poll::Ready(Ok(None) | Err(_)) | Poll::Pending => Poll::Ready(None),
        });
        let Some(message) = next.await else { break };
        ids.push(decode(message)?);
    }
    Ok(ids)
}

fn decode(message: Bytes) -> Result<LeaseId, Error> {
    let request = LeaseKeepAliveRequest::decode(message).map_err(|_| Error::Undecodable(Answers::Many))?;
    Ok(LeaseId(request.id))
}

/// What a renewal answers: 0 seconds for a lease that is not there.
fn seconds(answer: LeaseAnswer) -> Result<i64, Error> {
    match answer {
        LeaseAnswer::Renewed(seconds) => Ok(seconds),
        LeaseAnswer::NotFound => Ok(0),
        LeaseAnswer::NotLeader => Err(Error::NoLeader),
        LeaseAnswer::TooMany => Err(Error::Propose(ProposeError::TooManyRequests)),
        LeaseAnswer::Remaining(_) | LeaseAnswer::Listed(_) => Err(Error::NoLeader),
    }
}
