//! `/metrics` beside that of etcd in the same state: families, types, helps, labels and buckets.
//!
//! **Invariants**: what is not there stands in one table, each with its reason; nothing else may be missing or differ.

use std::collections::{BTreeMap, BTreeSet};

use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Client, http_get, oracle_is_old};
use crate::run::{Side, both_with, etcdctl};

/// Families of etcd's that are not here, by their beginning, and why.
const ABSENT: [(&str, &str); 18] = [
    ("go_", "there is no Go runtime"),
    ("etcd_server_go_version", "there is no Go runtime"),
    ("etcd_grpc_proxy_", "a gateway's, linked into etcd's server, where they stay zero"),
    ("etcd_debugging_store_", "of the v2 store, which stays empty"),
    ("etcd_debugging_disk_backend_commit_", "parts of a bbolt commit"),
    ("etcd_debugging_snap_save_", "of v2 snapshots: a checkpoint is etcd_disk_backend_commit"),
    ("etcd_snap_", "of v2 snapshots: a checkpoint is etcd_disk_backend_commit"),
    ("etcd_debugging_mvcc_index_compaction_pause_", "there is no index in memory to be compacted"),
    ("etcd_debugging_mvcc_db_compaction_pause_", "compaction goes in small steps and pauses nobody"),
    ("etcd_mvcc_db_open_read_transactions", "readers pin a root; there are no read transactions to wait for"),
    ("etcd_network_active_peers", "comes with clusters of several members"),
    ("etcd_network_disconnected_peers_total", "comes with clusters of several members"),
    ("etcd_network_peer_", "comes with clusters of several members"),
    ("etcd_network_snapshot_", "comes with clusters of several members"),
    ("etcd_server_learner_promote_failures", "comes with clusters of several members"),
    ("etcd_network_server_stream_failures_total", "appears with a stream's first failure that is not its client's"),
    // Single series of families that are here.
    (
        "etcd_server_apply_duration_seconds{op=\"Cluster",
        "the cluster's version and members' names are not replicated here",
    ),
    ("etcd_server_request_duration_seconds{success=\"true\",type=\"Cluster", "likewise"),
];

fn is_absent(series: &str) -> bool {
    let (name, labels) = series.split_at(series.find('{').unwrap_or(series.len()));
    let parts = ["_bucket", "_sum", "_count"];
    let family = parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
    let series = format!("{family}{labels}");
    ABSENT.iter().any(|(begin, _)| series.starts_with(begin))
}

/// A scrape, taken apart.
#[derive(Debug, Default)]
struct Scrape {
    /// Type and help of each family.
    families: BTreeMap<String, (String, String)>,
    /// Series with their labels, without values.
    series: BTreeMap<String, f64>,
}

fn scrape(side: &Side) -> Scrape {
    let answer = http_get(side.server.client, "GET", "/metrics").expect("metrics");
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{answer:.300?}");
    let mut scrape = Scrape::default();
    for line in side.names.level(&answer.body).lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help");
            scrape.families.entry(name.to_owned()).or_default().1 = help.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            scrape.families.entry(name.to_owned()).or_default().0 = kind.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let value = value.parse().unwrap_or_else(|_| panic!("{line} has no number"));
            assert!(scrape.series.insert(series.to_owned(), value).is_none(), "{series} is there twice");
        }
    }
    scrape
}

/// Everything that leaves a trace in the metrics.
fn use_it(side: &Side) {
    let run = |words: &[&str]| etcdctl(&side.server, words, "");
    for words in [
        &["put", "a", "1"][..],
        &["put", "a", "2"],
        &["get", "a"],
        &["get", "", "--prefix", "--stream"],
        &["get", "a", "--rev=99"],
        &["del", "a"],
        &["compaction", "3"],
        &["compaction", "3"],
        &["endpoint", "status"],
        &["endpoint", "hashkv"],
        &["member", "list"],
        &["alarm", "list"],
    ] {
        run(words);
    }
    etcdctl(&side.server, &["txn"], "mod(\"a\") = \"0\"\n\nput b 1\nput c 2\n\nget a\n\n");
    etcdctl(&side.server, &["txn"], "mod(\"a\") = \"9\"\n\nget b\n\nget a\nget c\n\n");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = Client::open(side.server.client).await.expect("it serves");
        let empty = client.put(&pb::PutRequest::default()).await;
        empty.expect_err("a key is missing");
        client.member_list(&pb::MemberListRequest::default()).await.expect("it serves");
        let raise = pb::AlarmRequest { action: 1, member_id: 77, alarm: 1 };
        client.alarm(&raise).await.expect("a good request");
    });
    for path in ["/health", "/health?exclude=NOSPACE", "/livez", "/readyz", "/readyz/non_learner"] {
        http_get(side.server.client, "GET", path).expect("it serves");
    }
}

fn compare(ours: &Scrape, oracle: &Scrape, wrong: &mut Vec<String>) {
    let is_here = |family: &str| {
        let begins =
            |series: &str| series.strip_prefix(family).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric));
        oracle.series.keys().any(|series| begins(series) && !is_absent(series))
    };
    for (name, theirs) in oracle.families.iter().filter(|(name, _)| is_here(name)) {
        match ours.families.get(name) {
            None => wrong.push(format!("{name} is not there")),
            Some(found) if found != theirs => wrong.push(format!("{name} is {found:?}, not {theirs:?}")),
            Some(_) => {}
        }
    }
    for name in ours.families.keys().filter(|name| !name.starts_with("ringbolt_")) {
        if !oracle.families.contains_key(name) || is_absent(name) {
            wrong.push(format!("{name} is not etcd's, or is not absent"));
        }
    }
    let of = |scrape: &Scrape| -> BTreeSet<String> {
        scrape.series.keys().filter(|name| !name.starts_with("ringbolt_") && !is_absent(name)).cloned().collect()
    };
    let (ours, theirs) = (of(ours), of(oracle));
    wrong.extend(theirs.difference(&ours).map(|series| format!("{series} is not there")));
    wrong.extend(ours.difference(&theirs).map(|series| format!("{series} is not etcd's")));
}

/// Counts that follow from the history alone.
fn is_exact(series: &str) -> bool {
    let counted =
        ["grpc_server_started", "grpc_server_handled", "etcd_mvcc_put", "etcd_mvcc_delete_total", "etcd_mvcc_txn"];
    let other = [
        "etcd_debugging_mvcc_total_put_size_in_bytes",
        "etcd_debugging_mvcc_current_revision",
        "etcd_debugging_mvcc_compact_revision",
        "etcd_server_has_leader",
        "etcd_server_is_leader",
        "etcd_server_leader_changes_seen_total",
        "etcd_server_proposals_failed_total",
        "etcd_server_proposals_pending",
        "etcd_server_quota_backend_bytes",
        "etcd_server_health_",
        "etcd_server_healthcheck",
        "etcd_server_client_requests_total",
        "etcd_debugging_server_alarms",
        "etcd_debugging_mvcc_db_compaction_keys_total",
        "etcd_server_apply_duration_seconds_count",
        "etcd_server_request_duration_seconds_count",
        "etcd_network_client_grpc_received_bytes_total",
        "etcd_mvcc_hash_rev_duration_seconds_count",
        "promhttp_",
    ];
    // Listing alarms goes through etcd's log.
    if series.starts_with("etcd_server_apply_duration_seconds_count{op=\"Alarm\"") {
        return false;
    }
    // How many messages a stream is cut into is each server's own.
    let messages = series.starts_with("grpc_server_msg_") && !series.contains("RangeStream");
    messages || counted.iter().chain(&other).any(|begin| series.starts_with(begin))
}

fn check(flags: &[&str]) {
    if oracle_is_old() {
        return println!("older versions have other families");
    }
    let (sides, _scratch) = both_with("metrics", flags);
    let mut wrong = Vec::new();
    let [ours, oracle] = sides.each_ref().map(scrape);
    compare(&ours, &oracle, &mut wrong);
    sides.iter().for_each(use_it);
    let [ours, oracle] = sides.each_ref().map(scrape);
    compare(&ours, &oracle, &mut wrong);
    for (series, theirs) in oracle.series.iter().filter(|(series, _)| is_exact(series) && !is_absent(series)) {
        let value = ours.series.get(series);
        if value != Some(theirs) {
            wrong.push(format!("{series} is {value:?}, not {theirs}"));
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn metrics_that_dashboards_read_are_there() {
    check(&[]);
}

#[test]
fn extensive_metrics_are_there() {
    check(&["--metrics=extensive"]);
}
