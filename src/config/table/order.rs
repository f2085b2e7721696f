//! All flags in the order of `--help`, and the names of old that are accepted and ignored.
//!
//! Invariants
//! - No name stands twice, and every default is a value that its own kind reads: tests check both.

use super::super::flag::Flag;
use super::{clustering, features, member, monitoring, security};

/// Flags of etcd's past: accepted with or without a value, as boolean flags are, and ignored. `enable-v2` is not among
/// those that etcd 3.7 still takes, but test harnesses go on passing it.
pub(in super::super) const IGNORED: &[&str] = &[
    "cluster-active-size",
    "cluster-remove-delay",
    "cluster-sync-interval",
    "config",
    "enable-v2",
    "force",
    "max-result-buffer",
    "max-retry-attempts",
    "peer-election-timeout",
    "peer-heartbeat-interval",
    "retry-interval",
    "snapshot",
    "test.coverprofile",
    "test.outputdir",
    "v",
    "vv",
];

/// Every flag.
pub(in super::super) fn all() -> impl Iterator<Item = &'static Flag> {
    let parts = [
        member::FLAGS,
        clustering::FLAGS,
        security::FLAGS,
        monitoring::FLAGS,
        features::FLAGS,
        features::UNSAFE,
        features::OWN,
    ];
    parts.into_iter().flatten()
}

/// The place of a flag in `all`, and the flag.
pub(in super::super) fn find(name: &str) -> Option<(usize, &'static Flag)> {
    all().enumerate().find(|(_, flag)| flag.name == name)
}
