//! From a path to the service behind it, and the shape that all calls with one request share.
//!
//! Invariants
//! - A message is decoded before anything else is judged, and metadata before the request, as etcd's chain does.
//! - A path that no service here has is answered in grpc-go's words; so is a service that is still to come.

use super::member::Member;
use super::status::Error;
use super::{cluster, health, http, kv, maintenance, range};
use crate::limits;
use crate::net;
use crate::rpc::{self, Answers, Call, Code, Handler, Head, Reply, Requests, Status, http1};
use ::http::header::HeaderName;
use bytes::Bytes;
use prost::Message;
use std::future::Future;
use std::io;
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
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            request_bytes_max: limits::REQUEST_BYTES_MAX_DEFAULT,
            txn_ops_max: limits::TXN_OPS_MAX_DEFAULT,
            streams_max: limits::STREAMS_PER_CONNECTION_MAX,
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

/// Serves one accepted connection on this executor, to its end.
pub async fn serve_connection<M: Member>(connection: net::Connection, service: Service<M>) -> io::Result<()> {
    let context = service.0.context.clone();
    rpc::serve(connection.attach()?, service, context).await
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

    pub(super) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// What metadata demands, checked before the request itself.
    fn admit(&self, head: &Head, learner_serves: bool) -> Result<(), Error> {
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
    async fn unary<R: Message + Default, F: Future<Output = Result<Bytes, Error>>>(
        self,
        call: Call,
        learner_serves: bool,
        work: impl FnOnce(Self, R, Bytes) -> F,
    ) {
        let Call { head, mut requests, mut reply } = call;
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
            Err(error) => reply.finish(error.into()),
        }
    }

    async fn route(self, call: Call) {
        match call.head.path() {
            "/etcdserverpb.KV/Range" => range::range(self, call).await,
            "/etcdserverpb.KV/Put" => self.unary(call, false, kv::put).await,
            "/etcdserverpb.KV/Txn" => self.unary(call, false, kv::txn).await,
            "/etcdserverpb.KV/DeleteRange" => self.unary(call, false, kv::delete_range).await,
            "/etcdserverpb.KV/Compact" => self.unary(call, false, kv::compact).await,
            "/etcdserverpb.KV/RangeStream" => Box::pin(range::range_stream(self, call)).await,
            "/etcdserverpb.Maintenance/Status" => self.unary(call, true, maintenance::status).await,
            "/etcdserverpb.Maintenance/HashKV" => self.unary(call, false, maintenance::hash_kv).await,
            "/etcdserverpb.Maintenance/Alarm" => self.unary(call, false, maintenance::alarm).await,
            "/etcdserverpb.Cluster/MemberList" => self.unary(call, false, cluster::member_list).await,
            "/grpc.health.v1.Health/Check" => self.unary(call, true, health::check).await,
            "/grpc.health.v1.Health/List" => self.unary(call, true, health::list).await,
            "/grpc.health.v1.Health/Watch" => Box::pin(health::watch(self, call)).await,
            path => {
                let status = nowhere(path);
                call.reply.finish(status);
            }
        }
    }

    /// The shutdown switch of this executor's front.
    pub(super) fn shutdown(&self) -> &rpc::Shutdown {
        self.0.context.shutdown()
    }
}

/// The services that have at least one method here.
const SERVICES: [&str; 4] =
    ["etcdserverpb.KV", "etcdserverpb.Maintenance", "etcdserverpb.Cluster", "grpc.health.v1.Health"];

/// What grpc-go says of a path that leads nowhere.
fn nowhere(path: &str) -> Status {
    let Some((service, method)) = path.strip_prefix('/').and_then(|path| path.rsplit_once('/')) else {
        return Status::new(Code::Unimplemented, format!("malformed method name: {path:?}"));
    };
    let text = if SERVICES.contains(&service) {
        format!("unknown method {method} for service {service}")
    } else {
        format!("unknown service {service}")
    };
    Status::new(Code::Unimplemented, text)
}

impl<M: Member> Handler for Service<M> {
    fn call(&self, call: Call) -> impl Future<Output = ()> + 'static {
        self.clone().route(call)
    }

    fn request(&self, request: http1::Request) -> impl Future<Output = http1::Response> + 'static {
        http::answer(self.clone(), request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_nowhere_are_told_so_in_grpc_gos_words() {
        for (path, text) in [
            ("/a.B/C", "unknown service a.B"),
            ("/a/b/C", "unknown service a/b"),
            ("/etcdserverpb.KV/Nope", "unknown method Nope for service etcdserverpb.KV"),
            ("/etcdserverpb.KV", "malformed method name: \"/etcdserverpb.KV\""),
            ("/", "malformed method name: \"/\""),
        ] {
            assert_eq!(nowhere(path), Status::new(Code::Unimplemented, text));
        }
    }
}
