//! From a path to the service behind it.
//!
//! Invariants
//! - A path that no service here has is answered in grpc-go's words; so is a service that is still to come.

use super::member::Member;
use super::server::Service;
use super::{cluster, health, http, kv, lease, maintenance, range, watch};
use crate::rpc::{self, Call, Code, Handler, HttpRequest, HttpResponse, Status};
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
    let context = service.context().clone();
    rpc::serve(stream, service, context).await
}

impl<M: Member> Service<M> {
    async fn route(self, call: Call) {
        match call.head.path() {
            "/etcdserverpb.KV/Range" => range::range(self, call).await,
            "/etcdserverpb.KV/Put" => self.unary(call, false, kv::put).await,
            "/etcdserverpb.KV/Txn" => self.unary(call, false, kv::txn).await,
            "/etcdserverpb.KV/DeleteRange" => self.unary(call, false, kv::delete_range).await,
            "/etcdserverpb.KV/Compact" => self.unary(call, false, kv::compact).await,
            "/etcdserverpb.KV/RangeStream" => Box::pin(range::range_stream(self, call)).await,
            "/etcdserverpb.Watch/Watch" => Box::pin(watch::watch(self, call)).await,
            "/etcdserverpb.Lease/LeaseGrant" => self.unary(call, false, lease::grant).await,
            "/etcdserverpb.Lease/LeaseRevoke" => self.unary(call, false, lease::revoke).await,
            "/etcdserverpb.Lease/LeaseKeepAlive" => Box::pin(lease::keep_alive(self, call)).await,
            "/etcdserverpb.Lease/LeaseTimeToLive" => self.unary(call, false, lease::time_to_live).await,
            "/etcdserverpb.Lease/LeaseLeases" => self.unary(call, false, lease::leases).await,
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

impl<M: Member> Handler for Service<M> {
    fn call(&self, call: Call) -> impl Future<Output = ()> + 'static {
        self.clone().route(call)
    }

    fn request(&self, request: HttpRequest) -> impl Future<Output = HttpResponse> + 'static {
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
