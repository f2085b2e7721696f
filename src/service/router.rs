//! From a path to the service behind it.
//!
//! Invariants
//! - A path that no service here has is answered in grpc-go's words; so is a service that is still to come.

use super::entry::Entry;
use super::member::Member;
use super::server::Service;
use super::{alarm, cluster, downgrade, health, http, kv, lease, maintenance, range, snapshot, watch};
use crate::metrics::Method;
use crate::net::Traffic;
use crate::rpc::{self, Call, Code, Handler, HttpRequest, HttpResponse, Status};
use ::http::header::{CONTENT_TYPE, HeaderValue};
use ::http::request::Parts;
use futures_lite::io::{AsyncRead, AsyncWrite};
use std::future::Future;
use std::io;

/// Serves one accepted connection on this executor, to its end.
///
/// `stream` is the connection attached to this executor, or what TLS makes of it.
pub async fn serve_connection<T, M>(stream: T, service: Service<M>) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    M: Member,
{
    serve_entered(stream, service, Entry::default()).await
}

/// Serves one accepted connection as the listener has it that it came in through.
pub async fn serve_entered<T, M>(stream: T, service: Service<M>, entry: Entry) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    M: Member,
{
    let context = service.context().clone();
    rpc::serve(stream, Entered { service, entry }, context).await
}

/// The services as one connection sees them.
struct Entered<M> {
    service: Service<M>,
    entry: Entry,
}

impl<M> Clone for Entered<M> {
    fn clone(&self) -> Self {
        Self { service: self.service.clone(), entry: self.entry }
    }
}

impl<M: Member> Service<M> {
    async fn route(self, call: Call) {
        let Some(method) = Method::of(call.head.path()) else { return go_nowhere(call) };
        match method {
            Method::KvRange => range::range(self, call).await,
            Method::KvPut => self.unary((call, method), false, kv::put).await,
            Method::KvTxn => self.unary((call, method), false, kv::txn).await,
            Method::KvDeleteRange => self.unary((call, method), false, kv::delete_range).await,
            Method::KvCompact => self.unary((call, method), false, kv::compact).await,
            Method::KvRangeStream => Box::pin(range::range_stream(self, call)).await,
            Method::Watch => Box::pin(watch::watch(self, call)).await,
            Method::LeaseGrant => self.unary((call, method), false, lease::grant).await,
            Method::LeaseRevoke => self.unary((call, method), false, lease::revoke).await,
            Method::LeaseKeepAlive => Box::pin(lease::keep_alive(self, call)).await,
            Method::LeaseTimeToLive => self.unary((call, method), false, lease::time_to_live).await,
            Method::LeaseLeases => self.unary((call, method), false, lease::leases).await,
            Method::MaintenanceStatus => self.unary((call, method), true, maintenance::status).await,
            Method::MaintenanceHashKV => self.unary((call, method), false, maintenance::hash_kv).await,
            Method::MaintenanceAlarm => self.unary((call, method), false, alarm::alarm).await,
            Method::MaintenanceHash => self.unary((call, method), false, snapshot::hash).await,
            Method::MaintenanceSnapshot => Box::pin(snapshot::snapshot(self, call)).await,
            Method::MaintenanceDefragment => self.unary((call, method), false, maintenance::defragment).await,
            Method::MaintenanceMoveLeader => self.unary((call, method), false, maintenance::move_leader).await,
            Method::MaintenanceDowngrade => self.unary((call, method), false, downgrade::downgrade).await,
            Method::MemberList => self.unary((call, method), false, cluster::member_list).await,
            Method::HealthCheck => self.unary((call, method), true, health::check).await,
            Method::HealthList => self.unary((call, method), true, health::list).await,
            Method::HealthWatch => Box::pin(health::watch(self, call)).await,
            // Still to come.
            Method::MemberAdd
            | Method::MemberPromote
            | Method::MemberRemove
            | Method::MemberUpdate
            | Method::AuthDisable
            | Method::AuthEnable
            | Method::AuthRoleAdd
            | Method::AuthRoleDelete
            | Method::AuthRoleGet
            | Method::AuthRoleGrantPermission
            | Method::AuthRoleList
            | Method::AuthRoleRevokePermission
            | Method::AuthStatus
            | Method::AuthUserAdd
            | Method::AuthUserChangePassword
            | Method::AuthUserDelete
            | Method::AuthUserGet
            | Method::AuthUserGrantRole
            | Method::AuthUserList
            | Method::AuthUserRevokeRole
            | Method::Authenticate => go_nowhere(call),
        }
    }
}

fn go_nowhere(call: Call) {
    let status = nowhere(call.head.path());
    call.reply.finish(status);
}

/// The services that have at least one method here.
const SERVICES: [&str; 6] = [
    "etcdserverpb.KV",
    "etcdserverpb.Watch",
    "etcdserverpb.Lease",
    "etcdserverpb.Maintenance",
    "etcdserverpb.Cluster",
    "grpc.health.v1.Health",
];

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

impl<M: Member> Handler for Entered<M> {
    fn call(&self, call: Call) -> impl Future<Output = ()> + 'static {
        self.service.clone().route(call)
    }

    fn request(&self, request: HttpRequest) -> impl Future<Output = HttpResponse> + 'static {
        http::answer(self.service.clone(), request, self.entry)
    }

    fn speaks_http1(&self) -> bool {
        self.entry.traffic.has_http()
    }

    /// In plain, HTTP/2 is for calls alone.
    fn speaks_http2(&self) -> bool {
        self.entry.secure || self.entry.traffic.has_grpc()
    }

    /// Through TLS a client may have chosen HTTP/2 for any request.
    fn is_call(&self, request: &Parts) -> bool {
        let says_grpc = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
        match (self.entry.secure, self.entry.traffic) {
            (false, _) | (true, Traffic::Grpc) => true,
            (true, Traffic::Both) => request.headers.get(CONTENT_TYPE).is_some_and(says_grpc),
            (true, Traffic::Http | Traffic::Metrics) => false,
        }
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
