//! The version that the server says it has.

/// The etcd release whose behaviour this server has, as `--version`, `/version` and Status tell it.
pub const ETCD_VERSION: &str = "3.7.1";
