//! The version that the server says it has.

/// The etcd release whose behaviour this server has, as `--version`, `/version` and Status tell it.
pub const ETCD_VERSION: &str = "3.7.1";

/// The version of a cluster of such servers.
pub const ETCD_CLUSTER_VERSION: &str = "3.7.0";

/// The version of the storage schema.
pub const ETCD_STORAGE_VERSION: &str = "3.7.0";
