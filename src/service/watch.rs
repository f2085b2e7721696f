//! Watch: many watchers on one stream, requests and events at the same time.
//!
//! Invariants
//! - A client that does not read is not read from either, once what waits for it has reached its bound.
//! - Requests are carried out in their order, each against the newest root.
//!
//! Must not know: how watchers find their events (`watch`).

use super::member::{Member, ProposeError};
use super::observed::Observed;
use super::server::Service;
use super::status::Error;
use super::watches::Stream;
use crate::limits;
use crate::metrics::{Method, Shape, Stopwatch};
use crate::mvcc::Progress;
use crate::proto::etcdserverpb::watch_create_request::FilterType;
use crate::proto::etcdserverpb::watch_request::RequestUnion;
use crate::proto::etcdserverpb::{WatchCreateRequest, WatchRequest};
use crate::rpc::{Answers, Call, Code, Reply, Requests, Status};
use crate::types::Revision;
use crate::watch::{Create, End};
use futures_lite::FutureExt;
use prost::Message;
use std::convert::Infallible;
use std::future::poll_fn;

/// Serves `Watch.Watch`.
pub(super) async fn watch<M: Member>(service: Service<M>, call: Call) {
    let Call { head, mut requests, mut reply } = call;
    let mut observed = Observed::new(&service, Method::Watch, Answers::Many);
    let ended = match service.admit(&head, Shape::BidiStream, false) {
        Err(error) => error,
        Ok(()) => {
            let stream = service.member().watches().open(service.member().now());
            let stopped = async {
                service.shutdown().begun().await;
                Err(Error::Propose(ProposeError::Stopped))
            };
            let taken = take(&service, &stream, &mut requests);
            let sent = send(&service, &stream, (&mut reply, &mut observed));
            let Err(error) = taken.or(sent).or(stopped).await;
            error
        }
    };
    let mut status = service.status_of(ended);
    if status.code == Code::Canceled {
        status = Status::new(Code::Canceled, "etcdserver: watch canceled");
    }
    observed.end(&status);
    reply.finish(status);
}

/// Takes requests for as long as the client sends any.
async fn take<M: Member>(service: &Service<M>, stream: &Stream, requests: &mut Requests) -> Result<Infallible, Error> {
    loop {
        stream.room().await;
        let Some(message) = poll_fn(|context| requests.poll_next(context)).await? else {
            // What is watched goes on after the client's last request.
            return std::future::pending().await;
        };
        let request = WatchRequest::decode(message).map_err(|_| Error::Undecodable(Answers::Many))?;
        let member = service.member();
        match request.request_union {
            Some(RequestUnion::CreateRequest(request)) => {
                stream.create(member.now(), create(request), &member.pin());
            }
            Some(RequestUnion::CancelRequest(request)) => stream.cancel(request.watch_id, &member.pin()),
            Some(RequestUnion::ProgressRequest(_)) => progress(member, stream).await,
            None => {}
        }
    }
}

/// Answers how far a stream is, as far as the newest root goes.
async fn progress(member: &impl Member, stream: &Stream) {
    for _ in 0..limits::WATCH_STEPS_BEFORE_PROGRESS_MAX {
        // The shard's own telling goes on between the steps: an older root would be one step back.
        if member.watches().work(member.now(), &member.pin(), member.status().term) == Progress::Done {
            break;
        }
        glommio::executor().yield_now().await;
    }
    stream.progress();
}

fn create(request: WatchCreateRequest) -> Create {
    let left_out = |filter: FilterType| request.filters.contains(&i32::from(filter));
    Create {
        no_puts: left_out(FilterType::Noput),
        no_deletions: left_out(FilterType::Nodelete),
        start: Revision(request.start_revision),
        notify: request.progress_notify,
        previous: request.prev_kv,
        id: request.watch_id,
        fragment: request.fragment,
        key: request.key,
        range_end: request.range_end,
    }
}

/// Sends what is queued, as the client takes it.
async fn send<M: Member>(
    service: &Service<M>,
    stream: &Stream,
    (reply, observed): (&mut Reply, &mut Observed<M>),
) -> Result<Infallible, Error> {
    loop {
        while let Some((chunk, events)) = stream.next_chunk(service.member().status().term) {
            observed.on_message(chunk.len());
            let watch = Stopwatch::start();
            reply.write(chunk).await?;
            service.front().on_watch_sent(events, watch.nanos());
        }
        service.member().watches().publish(service.front());
        match stream.end() {
            Some(Ok(End::TooLarge(length))) => return Err(Error::ResponseTooLarge(length)),
            Some(Err(error)) => return Err(Error::Request(error)),
            None => {}
        }
        reply.guard(stream.woken()).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Kind;
    use crate::proto::etcdserverpb::PutRequest;
    use crate::service::fake::FakeMember;
    use futures_lite::future::zip;
    use glommio::{LocalExecutorBuilder, Placement};

    /// What is told in between is newer than the root that the first step saw.
    #[test]
    fn progress_goes_on_when_others_tell_of_newer_roots_meanwhile() {
        let executor = LocalExecutorBuilder::new(Placement::Unbound).make().unwrap();
        executor.run(async {
            let member = FakeMember::new();
            let put = async |key: u64| {
                let request = PutRequest { key: key.to_be_bytes().to_vec().into(), ..Default::default() };
                member.propose(Kind::Put, request.encode_to_vec().into()).await.unwrap();
            };
            for key in 0..2 * u64::try_from(limits::WATCH_CELLS_PER_STEP).unwrap() {
                put(key).await;
            }
            let stream = member.watches().open(member.now());
            let from = |start| Create {
                start: Revision(start),
                id: 0,
                key: b"\0"[..].into(),
                range_end: b"\0"[..].into(),
                ..create(WatchCreateRequest::default())
            };
            stream.create(member.now(), from(1), &member.pin());
            zip(progress(&member, &stream), async {
                put(7).await;
                put(8).await;
            })
            .await;
            assert!(stream.next_chunk(member.status().term).is_some());
        });
    }
}
