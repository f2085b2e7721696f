//! The figures of watches and leases beside etcd's after the same history, and the page as Prometheus' own tools read it.
//!
//! **Invariants**: what is compared follows from the history alone; a figure that is not there yet is waited for, with a
//! deadline.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{http_get, oracle_is_old, tool};
use crate::run::{Side, both, etcdctl};

/// Families whose values follow from the history.
const FIGURES: [&str; 12] = [
    "etcd_debugging_mvcc_watcher_total",
    "etcd_debugging_mvcc_watch_stream_total",
    "etcd_debugging_mvcc_slow_watcher_total",
    "etcd_debugging_mvcc_pending_events_total",
    "etcd_debugging_mvcc_events_total",
    "etcd_debugging_lease_granted_total",
    "etcd_debugging_lease_renewed_total",
    "etcd_debugging_lease_revoked_total",
    "etcd_debugging_server_lease_expired_total",
    "etcd_debugging_lease_ttl_total_count",
    "etcd_server_request_duration_seconds_count{success=\"true\",type=\"LeaseGrant\"}",
    "etcd_server_apply_duration_seconds_count{op=\"LeaseGrant\",success=\"true\",version=\"v3\"}",
];

fn figure(side: &Side, name: &str) -> Option<f64> {
    let page = http_get(side.server.client, "GET", "/metrics").expect("metrics").body;
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// Waits until a figure has a value: the servers count what happened a moment ago.
fn await_figure(side: &Side, name: &str, wanted: f64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while figure(side, name) != Some(wanted) {
        assert!(Instant::now() < deadline, "{name} is {:?}, not {wanted}", figure(side, name));
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// `etcdctl watch` from the beginning of history.
struct Watching(Child, BufReader<ChildStdout>);

impl Watching {
    fn begin(side: &Side) -> Self {
        let mut command = Command::new(tool("etcdctl"));
        command.arg(format!("--endpoints={}", side.server.client)).args(["watch", "--prefix", "w", "--rev=1"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("etcdctl runs");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        Self(child, out)
    }

    /// Reads the three lines of so many puts.
    fn see(&mut self, puts: usize) {
        for _ in 0..puts * 3 {
            let mut line = String::new();
            assert!(self.1.read_line(&mut line).expect("our pipe") > 0, "the watch ended");
        }
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The same history for both; the watch is still open when it ends.
fn live(side: &Side) -> Watching {
    let run = |words: &[&str]| {
        let printed = etcdctl(&side.server, words, "");
        assert_eq!(printed.code, Some(0), "{words:?}: {}", printed.error);
        String::from_utf8(printed.out).expect("text")
    };
    for key in ["w1", "w2", "x", "w3"] {
        run(&["put", key, "1"]);
    }
    let mut watching = Watching::begin(side);
    watching.see(3);
    run(&["put", "w4", "1"]);
    run(&["put", "y", "1"]);
    watching.see(1);
    let granted = run(&["lease", "grant", "100"]);
    let id = granted.split(' ').nth(1).expect("lease ID granted").to_owned();
    run(&["lease", "keep-alive", "--once", &id]);
    run(&["lease", "keep-alive", "--once", &id]);
    run(&["lease", "revoke", &id]);
    run(&["lease", "grant", "1"]);
    await_figure(side, "etcd_debugging_server_lease_expired_total", 1.0);
    await_figure(side, "etcd_debugging_mvcc_events_total", 4.0);
    watching
}

#[test]
fn watches_and_leases_are_counted_as_by_etcd() {
    if oracle_is_old() {
        return println!("older versions have other families");
    }
    let (sides, _scratch) = both("figures");
    let watching = sides.each_ref().map(live);
    let mut wrong = Vec::new();
    for name in FIGURES {
        let [ours, theirs] = sides.each_ref().map(|side| figure(side, name));
        if ours != theirs || ours.is_none() {
            wrong.push(format!("{name} is {ours:?}, not {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    drop(watching);
    for side in &sides {
        await_figure(side, "etcd_debugging_mvcc_watcher_total", 0.0);
        await_figure(side, "etcd_debugging_mvcc_watch_stream_total", 0.0);
    }
}

fn installed(program: &str) -> bool {
    let there = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !there {
        println!("SKIPPED: no {program} on this machine; .ci/run installs Debian's prometheus");
    }
    there
}

/// promtool finds nothing in our page that it does not find in etcd's.
#[test]
fn promtool_takes_the_page() {
    if !installed("promtool") {
        return;
    }
    let (sides, _scratch) = both("promtool");
    let _watching = sides.each_ref().map(live);
    let told = sides.each_ref().map(|side| {
        let page = http_get(side.server.client, "GET", "/metrics").expect("metrics").body;
        let mut child = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool runs");
        child.stdin.take().expect("piped").write_all(page.as_bytes()).expect("promtool reads");
        let output = child.wait_with_output().expect("our child");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let [ours, theirs] = told;
    let new: Vec<&String> = ours.iter().filter(|line| !theirs.contains(line)).collect();
    assert!(new.is_empty(), "{new:?}");
}

/// Prometheus scrapes it and answers queries of etcd's dashboard from what it found.
#[test]
fn prometheus_scrapes_it() {
    if !installed("prometheus") {
        return;
    }
    let (sides, scratch) = both("prometheus");
    let [ours, _] = &sides;
    let port = crate::client::free_address();
    let configuration = scratch.path().join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: etcd\n  static_configs:\n  - targets: ['{}']\n",
        ours.server.client
    );
    std::fs::write(&configuration, text).expect("our directory");
    let log = std::fs::File::create(scratch.path().join("prometheus.log")).expect("our directory");
    let mut prometheus = Command::new("prometheus")
        .arg(format!("--config.file={}", configuration.display()))
        .arg(format!("--storage.tsdb.path={}", scratch.path().join("tsdb").display()))
        .arg(format!("--web.listen-address={port}"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("prometheus runs");
    let _watching = live(ours);
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut left =
        vec!["up", "etcd_server_has_leader", "etcd_debugging_mvcc_watcher_total", "process_resident_memory_bytes"];
    while !left.is_empty() && Instant::now() < deadline {
        left.retain(|name| {
            let answer = http_get(port, "GET", &format!("/api/v1/query?query={name}>0"));
            !answer.is_ok_and(|answer| answer.body.contains("\"value\":["))
        });
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = prometheus.kill();
    let _ = prometheus.wait();
    assert!(left.is_empty(), "no values of {left:?}");
}
