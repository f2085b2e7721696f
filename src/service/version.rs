//! The versions that clients are told: those of the etcd that this server stands in for.

/// The server's, in `Status` and `/version`.
pub const SERVER: &str = "3.7.1";

/// The cluster's.
pub const CLUSTER: &str = "3.7.0";

/// The storage schema's.
pub const STORAGE: &str = "3.7.0";
