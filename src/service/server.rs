//! The services of one executor as a value: the member behind them, their settings, and the shape that all calls with
//! one request share.
//!
//! Invariants
//! - A message is decoded before anything else is judged, and metadata before the request, as etcd's chain does.
//!
//! Must not know: which services there are.

use super::access::Access;
use super::member::Member;
use super::observed::Observed;
use super::slow::{Answer, Noted};
use super::status::Error;
use crate::limits;
use crate::metrics::{Front, Method, Registry, Shape};
use crate::net::Peer;
use crate::rpc::{self, Answers, Call, Head, Reply, Requests, Status};
use crate::types::ShardId;
use bytes::Bytes;
use http::header::HeaderName;
use prost::Message;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

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
    /// Who may ping how often: `--grpc-keepalive-*`.
    pub keepalive: rpc::Keepalive,
    /// From when a read or an applied command is logged as slow: `--warning-apply-duration`.
    pub slow_apply: Duration,
    /// From when a call is: `--warning-unary-request-duration`.
    pub slow_request: Duration,
    /// The shortest time to live of a lease, seconds: it follows from the election timeout.
    pub lease_ttl_seconds_min: i64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            request_bytes_max: limits::REQUEST_BYTES_MAX_DEFAULT,
            txn_ops_max: limits::TXN_OPS_MAX_DEFAULT,
            streams_max: limits::STREAMS_PER_CONNECTION_MAX,
            keepalive: rpc::Keepalive::default(),
            slow_apply: limits::SLOW_APPLY_DEFAULT,
            slow_request: limits::SLOW_REQUEST_DEFAULT,
            lease_ttl_seconds_min: 2,
        }
    }
}

struct Inner<M> {
    member: M,
    settings: Settings,
    context: rpc::Context,
    registry: Arc<Registry>,
    front: Arc<Front>,
    access: Access,
}

/// All services of one executor. Clones share it.
pub struct Service<M>(Rc<Inner<M>>, Option<Peer>);

impl<M> Clone for Service<M> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0), self.1)
    }
}

impl<M: Member> Service<M> {
    /// The services of `member` for one executor that is alone; `shutdown` ends their connections.
    pub fn new(member: M, settings: Settings, shutdown: rpc::Shutdown) -> Self {
        Self::counted(member, settings, shutdown, (Arc::new(Registry::new(1, false)), ShardId(0)), Access::default())
    }

    /// The services of `member` on one of several executors, that counts into its cells of the registry.
    /// `access` says who may call over HTTP.
    pub fn counted(
        member: M,
        settings: Settings,
        shutdown: rpc::Shutdown,
        (registry, shard): (Arc<Registry>, ShardId),
        access: Access,
    ) -> Self {
        let config = rpc::Config {
            message_bytes_max: settings.request_bytes_max + limits::REQUEST_OVERHEAD_BYTES,
            streams_max: settings.streams_max,
            keepalive: settings.keepalive,
        };
        let front = Arc::clone(registry.front(shard));
        let context = rpc::Context::counted(config, shutdown, Arc::clone(&front));
        Self(Rc::new(Inner { member, settings, context, registry, front, access }), None)
    }

    /// The same services for one connection, whose client is told in the log.
    pub fn for_peer(&self, peer: Peer) -> Self {
        Self(Rc::clone(&self.0), Some(peer))
    }

    /// The client of this connection, for the log.
    pub(super) fn remote(&self) -> String {
        self.1.map_or_else(|| "No remote client info.".to_owned(), |peer| peer.to_string())
    }

    /// The member behind the services.
    pub fn member(&self) -> &M {
        &self.0.member
    }

    /// The counters of this executor's front.
    pub(super) fn front(&self) -> &Front {
        &self.0.front
    }

    /// Those of all executors.
    pub(super) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Who may call over HTTP.
    pub(super) fn access(&self) -> &Access {
        &self.0.access
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
    pub(super) fn admit(&self, head: &Head, shape: Shape, learner_serves: bool) -> Result<(), Error> {
        let status = self.member().status();
        if status.is_learner && !learner_serves {
            return Err(Error::NotForLearner);
        }
        let version = head.header(&CLIENT_API_VERSION).unwrap_or(b"unknown");
        let version = std::str::from_utf8(version).map_err(|_| Error::InvalidClientApiVersion)?;
        self.front().clients.count(version, shape);
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
        (reply, observed): (&mut Reply, &mut Observed<M>),
        learner_serves: impl FnOnce(&R) -> bool,
    ) -> Result<(R, Bytes), Error> {
        let message = reply.only(requests, answers).await?;
        self.front().message_received_bytes.add(u64::try_from(message.len()).unwrap_or(u64::MAX));
        let request = R::decode(message.clone()).map_err(|_| Error::Undecodable(answers))?;
        observed.on_request();
        let shape = if answers == Answers::One { Shape::Unary } else { Shape::ServerStream };
        self.admit(head, shape, learner_serves(&request))?;
        Ok((request, message))
    }

    /// A call with one request and one small answer: `work` gets the request and the bytes that it came in, and gives
    /// the framed answer.
    pub(super) async fn unary<R: Message + Default, F: Future<Output = Result<Bytes, Error>>>(
        self,
        (call, method): (Call, Method),
        learner_serves: bool,
        work: impl FnOnce(Self, R, Bytes) -> F,
    ) {
        let Call { head, mut requests, mut reply } = call;
        let service = self.clone();
        let mut observed = Observed::new(&self, method, Answers::One);
        let (asked, told) = ((&mut requests, Answers::One), (&mut reply, &mut observed));
        let mut noted = None;
        let worked = match self.request(&head, asked, told, |_: &R| learner_serves).await {
            Ok((request, message)) => {
                noted = Some(Noted::begin(method, &message));
                let guarded = reply.guard(work(self, request, message)).await;
                guarded.map_err(Error::Call).and_then(|worked| worked)
            }
            Err(error) => Err(error),
        };
        match worked {
            Ok(framed) => {
                noted.into_iter().for_each(|noted| noted.end(&service, Answer::Framed(&framed)));
                observed.on_message(framed.len() - rpc::frame::PREFIX_BYTES);
                observed.end(&Status::OK);
                reply.message(framed).await;
            }
            Err(error) => {
                let status = service.status_of(error);
                noted.into_iter().for_each(|noted| noted.end(&service, Answer::Error(&status.message)));
                observed.end(&status);
                reply.finish(status);
            }
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
