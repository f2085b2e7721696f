//! The messages of `proto/`, compiled by `build.rs`. Generated code only: every rule about them lives elsewhere.

/// KV, Watch, Lease, Cluster, Maintenance and Auth: etcd's client API.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::as_conversions)]
pub mod etcdserverpb {
    include!(concat!(env!("OUT_DIR"), "/etcdserverpb.rs"));
}

/// Key-value pairs and events.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::as_conversions)]
pub mod mvccpb {
    include!(concat!(env!("OUT_DIR"), "/mvccpb.rs"));
}

/// Users, roles and permissions.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::as_conversions)]
pub mod authpb {
    include!(concat!(env!("OUT_DIR"), "/authpb.rs"));
}

/// The server-side lock service.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::as_conversions)]
pub mod v3lockpb {
    include!(concat!(env!("OUT_DIR"), "/v3lockpb.rs"));
}

/// The server-side election service.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::as_conversions)]
pub mod v3electionpb {
    include!(concat!(env!("OUT_DIR"), "/v3electionpb.rs"));
}

/// gRPC's own namespace, for the standard health service.
pub mod grpc {
    /// gRPC health checking.
    pub mod health {
        /// Version 1 of the health protocol.
        #[allow(missing_docs, unreachable_pub, clippy::all, clippy::as_conversions)]
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/grpc.health.v1.rs"));
        }
    }
}
