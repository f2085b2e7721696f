//! `/metrics`: what the member and its shards know of themselves, under etcd's names.
//!
//! Invariants
//! - What stands here is what was counted or can be read at once; a scrape makes nobody wait.

use super::member::{Member, MemberStatus};
use super::server::Service;
use super::{alarm, downgrade};
use crate::identity::{ETCD_VERSION, Version};
use crate::metrics::{Front, Page, Process, Registry, Type};
use crate::mvcc::Position;
use crate::tree::TreeId;

/// The whole page.
pub(super) fn render<M: Member>(service: &Service<M>) -> String {
    let mut page = Page::default();
    let registry = service.registry();
    let status = service.member().status();
    show_identity(service, &mut page);
    show_consensus(registry, &status, &service.member().identity().member_id.to_string(), &mut page);
    show_store(service, &mut page);
    show_alarms(service, &mut page);
    registry.show(&mut page);
    let process = Process::read();
    process.show(&mut page);
    if let (Some(open), Some(max)) = process.files() {
        page.gauge("os_fd_used", "The number of used file descriptors.", open);
        page.gauge("os_fd_limit", "The file descriptor limit.", max);
    }
    show_scrapes(registry, &mut page);
    service.front().scrapes.count();
    page.finish()
}

fn show_identity<M: Member>(service: &Service<M>, page: &mut Page) {
    let id = service.member().identity().member_id.to_string();
    let help = "Which version is running. 1 for 'server_version' label with current version.";
    page.family("etcd_server_version", Type::Gauge, help).value(&[("server_version", ETCD_VERSION)], 1);
    // What is wrong with the rows is told to whoever asks for the version itself.
    let minor = downgrade::now(service.member()).map_or(Version::OWN, |versions| versions.cluster()).short();
    let help = "Which version is running. 1 for 'cluster_version' label with current cluster version";
    page.family("etcd_cluster_version", Type::Gauge, help).value(&[("cluster_version", &*minor)], 1);
    let help = "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.";
    page.family("etcd_server_id", Type::Gauge, help).value(&[("server_id", &id)], 1);
    let known = page.family("etcd_network_known_peers", Type::Gauge, "The current number of known peers.");
    for member in service.member().members() {
        known.value(&[("Local", &id), ("Remote", &member.id.to_string())], 1);
    }
}

fn show_consensus(registry: &Registry, status: &MemberStatus, id: &str, page: &mut Page) {
    let replica = registry.replica();
    let leads = status.leader.to_string() == id;
    for (name, help, value) in [
        (
            "etcd_server_has_leader",
            "Whether or not a leader exists. 1 is existence, 0 is not.",
            u64::from(status.leader.0 != 0),
        ),
        ("etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.", u64::from(leads)),
        (
            "etcd_server_is_learner",
            "Whether or not this member is a learner. 1 if is, 0 otherwise.",
            u64::from(status.is_learner),
        ),
        (
            "etcd_server_proposals_committed_total",
            "The total number of consensus proposals committed.",
            status.committed.0,
        ),
        ("etcd_server_proposals_applied_total", "The total number of consensus proposals applied.", status.applied.0),
        (
            "etcd_server_proposals_pending",
            "The current number of pending proposals to commit.",
            replica.proposals_pending.get(),
        ),
    ] {
        page.gauge(name, help, value);
    }
    let reads_failed = registry.total(|front| front.reads_failed.get());
    for (name, help, value) in [
        ("etcd_server_leader_changes_seen_total", "The number of leader changes seen.", replica.leader_changes.get()),
        (
            "etcd_server_proposals_failed_total",
            "The total number of failed proposals seen.",
            registry.total(|front| front.proposals_failed.get()),
        ),
        (
            "etcd_server_slow_apply_total",
            "The total number of slow apply requests (likely overloaded from slow disk).",
            replica.slow_applies.get() + registry.total(|front| front.slow_reads.get()),
        ),
        ("etcd_server_read_indexes_failed_total", "The total number of failed read indexes seen.", reads_failed),
        (
            "etcd_server_slow_read_indexes_total",
            "The total number of pending read indexes not in sync with leader's or timed out read index requests.",
            reads_failed,
        ),
    ] {
        page.counter(name, help, value);
    }
}

fn show_store<M: Member>(service: &Service<M>, page: &mut Page) {
    let (member, registry) = (service.member(), service.registry());
    let (status, replica) = (member.status(), registry.replica());
    let pinned = member.pin();
    let position = Position::of(&pinned.stamp());
    for (name, help, value) in [
        ("etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.", signed(status.quota_bytes)),
        (
            "etcd_mvcc_db_total_size_in_bytes",
            "Total size of the underlying database physically allocated in bytes.",
            signed(status.file_bytes),
        ),
        (
            "etcd_mvcc_db_total_size_in_use_in_bytes",
            "Total size of the underlying database logically in use in bytes.",
            signed(status.used_bytes),
        ),
        ("etcd_debugging_mvcc_current_revision", "The current revision of store.", position.current.0),
        ("etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in store.", position.compacted.0),
        ("etcd_debugging_mvcc_keys_total", "Total number of keys.", signed(pinned.view().weight(TreeId::Keys))),
        (
            "etcd_debugging_mvcc_total_put_size_in_bytes",
            "The total size of put kv pairs seen by this member.",
            signed(replica.put_bytes.get()),
        ),
        (
            "etcd_debugging_mvcc_db_compaction_last",
            "The unix time of the last db compaction. Resets to 0 on start.",
            signed(replica.compaction_ended.get()),
        ),
        ("etcd_debugging_auth_revision", "The current revision of auth store.", 1),
    ] {
        page.gauge(name, help, value);
    }
    let total = |of: fn(&Front) -> u64| registry.total(of);
    for (name, help, value) in [
        ("etcd_mvcc_put_total", "Total number of puts seen by this member.", replica.puts.get()),
        ("etcd_mvcc_delete_total", "Total number of deletes seen by this member.", replica.deletes.get()),
        (
            "etcd_mvcc_range_total",
            "Total number of ranges seen by this member.",
            replica.ranges.get() + total(|front| front.ranges.get()),
        ),
        (
            "etcd_mvcc_txn_total",
            "Total number of txns seen by this member.",
            replica.txns.get() + total(|front| front.read_txns.get()),
        ),
        (
            "etcd_debugging_mvcc_db_compaction_keys_total",
            "Total number of db keys compacted.",
            replica.compacted_rows.get(),
        ),
    ] {
        page.counter(name, help, value);
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// etcd's gauge counts by member and kind; there is none until the first alarm.
fn show_alarms<M: Member>(service: &Service<M>, page: &mut Page) {
    let help = "Alarms for every member in cluster. 1 for 'server_id' label with current ID. 2 for 'alarm_type' label \
                with type of this alarm";
    let family = page.family("etcd_debugging_server_alarms", Type::Gauge, help);
    for alarm in alarm::all(service.member()).unwrap_or_default() {
        let kind = alarm::name(&alarm).map_or_else(|| alarm.alarm.to_string(), str::to_owned);
        family.value(&[("alarm_type", &kind), ("server_id", &format!("{:x}", alarm.member_id))], 1);
    }
}

/// What Prometheus' own handler tells of itself.
fn show_scrapes(registry: &Registry, page: &mut Page) {
    let help = "Current number of scrapes being served.";
    page.gauge("promhttp_metric_handler_requests_in_flight", help, 1);
    let help = "Total number of scrapes by HTTP status code.";
    let family = page.family("promhttp_metric_handler_requests_total", Type::Counter, help);
    family.value(&[("code", "200")], registry.total(|front| front.scrapes.get()));
    family.value(&[("code", "500")], 0);
    family.value(&[("code", "503")], 0);
}
