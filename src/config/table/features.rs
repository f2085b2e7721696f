//! Flags about checks, pacing and what is better left alone; and ringbolt's own.

use super::super::flag::{Flag, Group, Kind, in_force};

const fn flag(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    in_force(Group::Features, name, kind, default, help)
}

const STEPS: &str = "compaction runs in small steps between other work and needs no pacing by hand";

/// In the order of `--help`.
pub(super) const FLAGS: &[Flag] = &[
    flag("corrupt-check-time", Kind::Duration, "0s", "Time between two comparisons of the members' data; 0 is never.")
        .not_yet("the cluster"),
    flag(
        "compact-hash-check-time",
        Kind::Duration,
        "1m0s",
        "Time between two comparisons of the members' compaction hashes.",
    )
    .not_yet("the cluster"),
    flag("compaction-batch-limit", Kind::Int, "0", "Revisions that one step of compaction deletes.").without(STEPS),
    flag("compaction-sleep-interval", Kind::Duration, "0s", "Pause between two steps of compaction.").without(STEPS),
    flag(
        "watch-progress-notify-interval",
        Kind::Duration,
        "0s",
        "Time between two progress notifications of a quiet watch; 0 is 10m.",
    ),
    flag("downgrade-check-time", Kind::Duration, "5s", "Time between two looks at a downgrade's progress.")
        .without("a downgrade takes effect at once; there is nothing to look at again"),
    flag("warning-apply-duration", Kind::Duration, "100ms", "Time from which applying a request is logged as slow."),
    flag(
        "bootstrap-defrag-threshold-megabytes",
        Kind::Uint,
        "0",
        "Free space from which the store is defragmented at start.",
    )
    .without("free space is reused and given back while the server runs"),
    flag("max-learners", Kind::Int, "1", "Learners that the cluster may have.").not_yet("changes of membership"),
    flag("config-file", Kind::Text, "", "File to read the configuration from instead of flags and environment."),
    flag("version", Kind::Bool, "false", "Print the version and exit."),
];

/// Unsafe flags.
pub(super) const UNSAFE: &[Flag] = &[
    in_force(
        Group::Unsafe,
        "force-new-cluster",
        Kind::Bool,
        "false",
        "Make a new cluster of this member alone from its data.",
    )
    .without("a member is a cluster of its own already, as long as there are no clusters of several"),
    in_force(Group::Unsafe, "unsafe-no-fsync", Kind::Bool, "false", "Do not wait for the disk.")
        .without("a write is acknowledged when it is durable, always"),
];

/// Flags that etcd does not have.
pub(super) const OWN: &[Flag] =
    &[in_force(Group::Ringbolt, "shards", Kind::Uint, "0", "Executors, each on a core of its own; 0 is one a core.")];
