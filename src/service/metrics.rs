//! `/metrics`: what the member and its front know of themselves, in Prometheus' text format, under etcd's names.
//!
//! Invariants
//! - A name is written once, with its help and type before it.

use super::member::Member;
use super::server::Service;
use super::version;
use crate::mvcc::Position;
use std::fmt::Display;

/// The text that is being written.
#[derive(Debug, Default)]
struct Page(String);

impl Page {
    fn one(&mut self, kind: &str, name: &str, help: &str, value: impl Display) {
        self.labelled(kind, name, help, "", value);
    }

    fn labelled(&mut self, kind: &str, name: &str, help: &str, labels: &str, value: impl Display) {
        assert!(!self.0.contains(&format!("# TYPE {name} ")), "{name} is written once");
        self.0.push_str(&format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name}{labels} {value}\n"));
    }
}

/// The whole page.
pub(super) fn render<M: Member>(service: &Service<M>) -> String {
    let member = service.member();
    let (status, identity) = (member.status(), member.identity());
    let position = Position::of(&member.pin().view().stamp());
    let front = member.front_stats(service.stats());
    let mut page = Page::default();
    let gauge = "gauge";
    let version_label = format!("{{server_version=\"{}\"}}", version::SERVER);
    page.labelled(gauge, "etcd_server_version", "Which version is running.", &version_label, 1);
    let cluster = version::CLUSTER.rsplit_once('.').map_or(version::CLUSTER, |(minor, _)| minor);
    let cluster_label = format!("{{cluster_version=\"{cluster}\"}}");
    page.labelled(gauge, "etcd_cluster_version", "Which version the cluster runs.", &cluster_label, 1);
    let id_label = format!("{{server_id=\"{}\"}}", identity.member_id);
    page.labelled(gauge, "etcd_server_id", "The member's id in hexadecimal.", &id_label, 1);
    let is_leader = status.leader == identity.member_id;
    for (name, help, value) in [
        ("etcd_server_has_leader", "Whether a leader is known.", u64::from(status.leader.0 != 0)),
        ("etcd_server_is_leader", "Whether this member leads.", u64::from(is_leader)),
        ("etcd_server_is_learner", "Whether this member has no vote.", u64::from(status.is_learner)),
        ("etcd_server_proposals_committed_total", "The last raft index committed.", status.committed.0),
        ("etcd_server_proposals_applied_total", "The last raft index applied.", status.applied.0),
        ("etcd_server_quota_backend_bytes", "The quota of the database.", status.quota_bytes),
        ("etcd_mvcc_db_total_size_in_bytes", "Bytes of the database's file.", status.file_bytes),
        ("etcd_mvcc_db_total_size_in_use_in_bytes", "Bytes of it in use.", status.used_bytes),
    ] {
        page.one(gauge, name, help, value);
    }
    page.one(gauge, "etcd_debugging_mvcc_current_revision", "The store's revision.", position.current);
    page.one(gauge, "etcd_debugging_mvcc_compact_revision", "The compacted revision.", position.compacted);
    for (name, help, value) in [
        ("etcd_network_client_grpc_received_bytes_total", "Bytes received from clients.", front.received_bytes),
        ("etcd_network_client_grpc_sent_bytes_total", "Bytes sent to clients.", front.sent_bytes),
        ("ringbolt_front_connections_total", "Connections accepted.", front.connections_begun),
        ("ringbolt_front_calls_total", "gRPC calls begun.", front.calls_begun),
    ] {
        page.one("counter", name, help, value);
    }
    let connections = front.connections_begun - front.connections_ended;
    page.one(gauge, "ringbolt_front_connections", "Connections open.", connections);
    page.one(gauge, "ringbolt_front_calls", "gRPC calls open.", front.calls_begun - front.calls_ended);
    page.0
}
