//! Flags about the cluster: how it begins and who is told what.

use super::super::flag::{Flag, Group, Kind, in_force};

const fn flag(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    in_force(Group::Clustering, name, kind, default, help)
}

/// A flag of discovery: until there is any, only the default passes.
const fn discovery(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    flag(name, kind, default, help).refused("discovery")
}

/// In the order of `--help`.
pub(super) const FLAGS: &[Flag] = &[
    flag(
        "initial-advertise-peer-urls",
        Kind::Urls,
        "http://localhost:2380",
        "This member's peer URLs, as told to the others.",
    ),
    flag(
        "initial-cluster",
        Kind::Text,
        "default=http://localhost:2380",
        "The members that the cluster begins with, as `name=url,name=url`.",
    ),
    flag(
        "initial-cluster-state",
        Kind::OneOf(&["new", "existing"]),
        "new",
        "Whether the cluster begins now or this member joins one. Only the first start asks.",
    ),
    flag(
        "initial-cluster-token",
        Kind::Text,
        "etcd-cluster",
        "Goes into the ids, so that clusters with the same URLs are told apart.",
    ),
    flag(
        "advertise-client-urls",
        Kind::Urls,
        "http://localhost:2379",
        "This member's client URLs, as told to clients.",
    ),
    discovery("discovery-token", Kind::Text, "", "Token of the cluster at the discovery service."),
    discovery("discovery-endpoints", Kind::UniqueList, "", "gRPC endpoints of the discovery service."),
    discovery("discovery-dial-timeout", Kind::Duration, "2s", "Time to connect to the discovery service."),
    discovery("discovery-request-timeout", Kind::Duration, "5s", "Time for a request to the discovery service."),
    discovery("discovery-keepalive-time", Kind::Duration, "2s", "Time between pings to the discovery service."),
    discovery("discovery-keepalive-timeout", Kind::Duration, "6s", "Time for the answer to such a ping."),
    discovery("discovery-insecure-transport", Kind::Bool, "true", "Speak to the discovery service without TLS."),
    discovery(
        "discovery-insecure-skip-tls-verify",
        Kind::Bool,
        "false",
        "Do not check the discovery service's certificate.",
    ),
    discovery("discovery-cert", Kind::Text, "", "Client certificate for the discovery service."),
    discovery("discovery-key", Kind::Text, "", "Key of that certificate."),
    discovery("discovery-cacert", Kind::Text, "", "Authority that signed the discovery service's certificate."),
    discovery("discovery-user", Kind::Text, "", "`user` or `user:password` for the discovery service."),
    discovery("discovery-password", Kind::Text, "", "Password for the discovery service."),
    discovery(
        "discovery-fallback",
        Kind::OneOf(&["exit", "proxy"]),
        "exit",
        "What to do when discovery fails; only `exit` is left of it.",
    ),
    discovery("discovery-srv", Kind::Text, "", "DNS domain whose SRV records name the first members."),
    discovery("discovery-srv-name", Kind::Text, "", "Suffix of the service names in those records."),
    flag("strict-reconfig-check", Kind::Bool, "true", "Refuse changes of membership that may lose the quorum.")
        .not_yet("changes of membership"),
    flag("pre-vote", Kind::Bool, "true", "Ask whether an election could be won before standing for it.")
        .without("raft always asks first"),
    flag(
        "auto-compaction-retention",
        Kind::Text,
        "0",
        "History to keep: a time (`8h`, or hours without a unit) or a number of revisions; 0 is all.",
    ),
    flag(
        "auto-compaction-mode",
        Kind::Text,
        "periodic",
        "Whether that is a time (`periodic`) or a number (`revision`).",
    ),
    flag(
        "v2-deprecation",
        Kind::SomeOf(&["write-only", "write-only-skip-check", "write-only-drop-data", "gone"]),
        "",
        "Stage of the removal of the v2 store. Deprecated.",
    )
    .without("there has never been a v2 store here"),
];
