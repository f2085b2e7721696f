//! Flags about the member itself: its place on disk, its listeners, its bounds.

use super::super::flag::{Flag, Group, Kind, in_force};

const fn flag(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    in_force(Group::Member, name, kind, default, help)
}

const BBOLT: &str = "there is no bbolt file; the tree has a free map and checkpoints of its own";

/// In the order of `--help`.
pub(super) const FLAGS: &[Flag] = &[
    flag("name", Kind::Text, "default", "The member's name, by which --initial-cluster refers to it."),
    flag(
        "data-dir",
        Kind::Text,
        "",
        "Directory of the member's data; empty is `<name>.etcd` in the working directory.",
    ),
    flag("wal-dir", Kind::Text, "", "Directory of the write-ahead log; empty is `member/wal` in the data directory."),
    flag("snapshot-count", Kind::Uint, "10000", "Applied entries between two raft snapshots.")
        .without("the log is freed by checkpoints of the tree, which go by bytes and time"),
    flag("snapshot-catchup-entries", Kind::Uint, "5000", "Entries kept for followers that lag.").not_yet("the cluster"),
    flag("heartbeat-interval", Kind::Uint, "100", "Milliseconds between two heartbeats of the leader."),
    flag(
        "election-timeout",
        Kind::Uint,
        "1000",
        "Milliseconds without a heartbeat until a follower stands for election.",
    ),
    flag("initial-election-tick-advance", Kind::Bool, "true", "Shorten the first election after a start.")
        .not_yet("the cluster (a member alone elects itself at once)"),
    flag("listen-peer-urls", Kind::Urls, "http://localhost:2380", "URLs to listen on for other members.")
        .not_yet("the cluster"),
    flag(
        "listen-client-urls",
        Kind::Urls,
        "http://localhost:2379",
        "URLs to listen on for clients: gRPC, and HTTP too.",
    ),
    flag(
        "listen-client-http-urls",
        Kind::Urls,
        "",
        "URLs for HTTP clients alone; --listen-client-urls then serves only gRPC.",
    ),
    flag("max-snapshots", Kind::Uint, "5", "Raft snapshot files to keep. Deprecated.")
        .without("no snapshot files are written; the tree's file holds three checkpoints' metas"),
    flag("max-wals", Kind::Uint, "5", "WAL files to keep.")
        .without("segments are recycled as soon as a checkpoint covers them"),
    flag("memory-mlock", Kind::Bool, "false", "Keep the store's pages in memory once they were read (mlock)."),
    flag("quota-backend-bytes", Kind::Int, "0", "Bytes the store may grow to; 0 is 2 GiB, less than 0 is no bound."),
    flag("backend-bbolt-freelist-type", Kind::Text, "map", "Kind of bbolt's free list.").without(BBOLT),
    flag("backend-batch-interval", Kind::Duration, "0s", "Time between two commits of bbolt.").without(BBOLT),
    flag("backend-batch-limit", Kind::Int, "0", "Operations between two commits of bbolt.").without(BBOLT),
    flag("max-txn-ops", Kind::Uint, "128", "Operations that one transaction may have."),
    flag("max-request-bytes", Kind::Uint, "1572864", "Bytes that one request may have."),
    flag(
        "max-concurrent-streams",
        Kind::Uint32,
        "4294967295",
        "Streams that a client may have open on one connection.",
    ),
    flag("grpc-keepalive-min-time", Kind::Duration, "5s", "Shortest time between two pings of a client."),
    flag(
        "grpc-keepalive-interval",
        Kind::Duration,
        "2h0m0s",
        "Idle time after which the server pings a client; 0 is never.",
    ),
    flag("grpc-keepalive-timeout", Kind::Duration, "20s", "Time a pinged client has to answer."),
    flag(
        "socket-reuse-port",
        Kind::Bool,
        "false",
        "Listen with SO_REUSEPORT, so that several processes may share a port.",
    ),
    flag(
        "socket-reuse-address",
        Kind::Bool,
        "false",
        "Listen with SO_REUSEADDR, so that a port in TIME_WAIT may be used.",
    )
    .without("every listener is opened so"),
    flag("enable-grpc-gateway", Kind::Bool, "true", "Serve the JSON form of the API under /v3.")
        .not_yet("the JSON gateway"),
    flag("raft-read-timeout", Kind::Duration, "5s", "Time a peer's connection may be silent; at least 5s.")
        .not_yet("the cluster"),
    flag("raft-write-timeout", Kind::Duration, "5s", "Time a write to a peer may take; at least 5s.")
        .not_yet("the cluster"),
    flag("feature-gates", Kind::Gates, "", "Gates of experimental features, as `Name=true,Other=false`."),
];
