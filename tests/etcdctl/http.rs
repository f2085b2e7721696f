//! What curl sees on the client port: `/health`, `/version`, `/metrics` and paths that are not there.
//!
//! **Invariants**: status, content type and body of the fixed answers are etcd's.

use crate::client::{http_get, oracle_is_old};
use crate::run::both;

#[test]
fn fixed_answers_are_those_of_etcd() {
    let (sides, _scratch) = both("http");
    let mut wrong = Vec::new();
    for (method, path) in [
        ("GET", "/health"),
        ("GET", "/health?serializable=true"),
        ("GET", "/health?exclude=NOSPACE"),
        ("POST", "/health"),
        ("GET", "/livez"),
        ("GET", "/livez/serializable_read"),
        ("GET", "/livez/nothing"),
        ("GET", "/readyz"),
        ("GET", "/readyz/linearizable_read"),
        ("POST", "/readyz"),
        ("GET", "/version"),
        ("GET", "/"),
        ("GET", "/nothing"),
        ("GET", "/v2/keys"),
        ("GET", "/v3alpha/kv/range"),
    ] {
        if oracle_is_old() && ["/livez", "/readyz", "/version"].iter().any(|new| path.starts_with(new)) {
            // The probes came later, and the version is its own.
            continue;
        }
        let [ours, oracle] = sides.each_ref().map(|side| {
            let answer = http_get(side.server.client, method, path);
            let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
            let header = |name: &str| answer.header(name).map(str::to_owned);
            (answer.status, header("content-type"), header("allow"), side.names.level(&answer.body))
        });
        if ours != oracle {
            wrong.push(format!("{method} {path}\n  ours   {ours:?}\n  oracle {oracle:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Series that dashboards and `etcdctl check datascale` read.
const METRICS: [&str; 20] = [
    "etcd_server_has_leader",
    "etcd_server_is_leader",
    "etcd_server_leader_changes_seen_total",
    "etcd_server_proposals_committed_total",
    "etcd_server_proposals_applied_total",
    "etcd_server_proposals_pending",
    "etcd_server_proposals_failed_total",
    "etcd_server_version",
    "etcd_server_id",
    "etcd_server_quota_backend_bytes",
    "etcd_mvcc_db_total_size_in_bytes",
    "etcd_mvcc_db_total_size_in_use_in_bytes",
    "etcd_debugging_mvcc_keys_total",
    "etcd_debugging_mvcc_current_revision",
    "etcd_mvcc_put_total",
    "etcd_mvcc_range_total",
    "etcd_disk_wal_fsync_duration_seconds",
    "etcd_disk_backend_commit_duration_seconds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
];

#[ignore = "most families of etcd's come with the metrics work"]
#[test]
fn metrics_that_dashboards_read_are_there() {
    let (sides, _scratch) = both("metrics");
    let [ours, oracle] = sides.each_ref().map(|side| http_get(side.server.client, "GET", "/metrics").expect("metrics"));
    for answer in [&oracle, &ours] {
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{answer:.300?}");
        let missing: Vec<&str> =
            METRICS.into_iter().filter(|name| !answer.body.lines().any(|line| is_of(line, name))).collect();
        assert!(missing.is_empty(), "missing: {missing:?}");
    }
    let names = |body: &str| -> Vec<String> {
        let types = body.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
    };
    let ours = names(&ours.body);
    let theirs: Vec<String> = names(&oracle.body).into_iter().filter(|name| !name.starts_with("go_")).collect();
    let missing: Vec<&String> = theirs.iter().filter(|name| !ours.contains(name)).collect();
    println!("{} of etcd's {} series are not there yet: {missing:?}", missing.len(), theirs.len());
}

fn is_of(line: &str, name: &str) -> bool {
    let rest = line.strip_prefix(name).map(|rest| rest.trim_start_matches("_bucket").trim_start_matches("_count"));
    rest.is_some_and(|rest| rest.starts_with([' ', '{']))
}
