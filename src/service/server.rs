//! The services of one executor as a value: the member behind them, their settings, and the shape that all calls with
//! one request share.
//!
//! Invariants
//! - A message is decoded before anything else is judged, and metadata before the request, as etcd's chain does.
//!
//! Must not know: which services there are.

use super::member::Member;
use super::status::Error;
use crate::limits;
use crate::rpc::{self, Answers, Call, Head, Reply, Requests, Status};
use bytes::Bytes;
use http::header::HeaderName;
use prost::Message;
use std::future::Future;
use std::rc::Rc;

static HAS_LEADER: HeaderName = HeaderName::from_static("hasleader");
static CLIENT_API_VERSION: HeaderName = HeaderName::from_static("client-api-version");

/// What an operator may set of the services.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The largest request that is replicated: `--max-request-bytes`.
    pub request_bytes_max: usize,
    /// The most operations of a txn: `--max-txn-ops`.
    pub txn_ops_max: usize,
    /// Streams open at once on one connection: `--max-concurrent-streams`.
    pub streams_max: u32,
    /// The shortest time to live of a lease, seconds: it follows from the election timeout.
    pub lease_ttl_seconds_min: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            request_bytes_max: limits::REQUEST_BYTES_MAX_DEFAULT,
            txn_ops_max: limits::TXN_OPS_MAX_DEFAULT,
            streams_max: limits::STREAMS_PER_CONNECTION_MAX,
            lease_ttl_seconds_min: 2,
        }
    }
}

struct Inner<M> {
    member: M,
    settings: Settings,
    context: rpc::Context,
}

/// All services of one executor. Clones share it.
pub struct Service<M>(Rc<Inner<M>>);

impl<M> Clone for Service<M> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<M: Member> Service<M> {
    /// The services of `member` for one executor; `shutdown` ends their connections.
    pub fn new(member: M, settings: Settings, shutdown: rpc::Shutdown) -> Self {
        let config = rpc::Config {
            message_bytes_max: settings.request_bytes_max + limits::REQUEST_OVERHEAD_BYTES,
            streams_max: settings.streams_max,
        };
        Self(Rc::new(Inner { member, settings, context: rpc::Context::new(config, shutdown) }))
    }

    /// The member behind the services.
    pub fn member(&self) -> &M {
        &self.0.member
    }

    /// The counters of this executor's front.
    pub fn stats(&self) -> rpc::Stats {
        self.0.context.stats()
    }

    /// What a client is told of an error; damage is told to the operator, too.
    pub(super) fn status_of(&self, error: Error) -> Status {
        if let Error::Request(damage) = &error
            && damage.is_fatal()
        {
            self.member().on_damage(damage);
        }
        Status::from(error)
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// What metadata demands, checked before the request itself.
    pub(super) fn admit(&self, head: &Head, learner_serves: bool) -> Result<(), Error> {
        let status = self.member().status();
        if status.is_learner && !learner_serves {
            return Err(Error::NotForLearner);
        }
        if head.header(&CLIENT_API_VERSION).is_some_and(|version| std::str::from_utf8(version).is_err()) {
            return Err(Error::InvalidClientApiVersion);
        }
        if status.leader.0 == 0 && head.header(&HAS_LEADER) == Some(b"true") {
            return Err(Error::NoLeader);
        }
        Ok(())
    }

    /// Reads the one request of a call and does what comes before its own rules.
    pub(super) async fn request<R: Message + Default>(
        &self,
        head: &Head,
        (requests, answers): (&mut Requests, Answers),
        reply: &mut Reply,
        learner_serves: impl FnOnce(&R) -> bool,
    ) -> Result<(R, Bytes), Error> {
        let message = reply.only(requests, answers).await?;
        let request = R::decode(message.clone()).map_err(|_| Error::Undecodable(answers))?;
        self.admit(head, learner_serves(&request))?;
        Ok((request, message))
    }

    /// A call with one request and one small answer: `work` gets the request and the bytes that it came in, and gives
    /// the framed answer.
    pub(super) async fn unary<R: Message + Default, F: Future<Output = Result<Bytes, Error>>>(
        self,
        call: Call,
        learner_serves: bool,
        work: impl FnOnce(Self, R, Bytes) -> F,
    ) {
        let Call { head, mut requests, mut reply } = call;
        let service = self.clone();
        let worked = match self.request(&head, (&mut requests, Answers::One), &mut reply, |_: &R| learner_serves).await
        {
            Ok((request, message)) => {
                let guarded = reply.guard(work(self, request, message)).await;
                guarded.map_err(Error::Call).and_then(|worked| worked)
            }
            Err(error) => Err(error),
        };
        match worked {
            Ok(framed) => reply.message(framed).await,
            Err(error) => reply.finish(service.status_of(error)),
        }
    }

    /// The shutdown switch of this executor's front.
    pub(super) fn shutdown(&self) -> &rpc::Shutdown {
        self.0.context.shutdown()
    }

    /// What all connections of this executor share.
    pub(super) fn context(&self) -> &rpc::Context {
        &self.0.context
    }
}
