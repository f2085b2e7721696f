//! etcdctl's watch and lease commands: what they print is what they print against etcd.
//!
//! **Invariants**: ids that a server picks are masked; so is what is left of a lease, which depends on when it is asked.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::client::{Server, tool};
use crate::run::{both, etcdctl};

/// Runs a watch until it has printed so many lines; what it printed, and what it complained about.
fn watch(server: &Server, arguments: &[&str], lines: usize) -> (Vec<String>, String) {
    let mut command = Command::new(tool("etcdctl"));
    command.arg(format!("--endpoints={}", server.client)).arg("watch").args(arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCDCTL")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("etcdctl runs");
    let out = BufReader::new(child.stdout.take().expect("piped"));
    let printed: Vec<String> = out.lines().take(lines).map(|line| line.expect("text")).collect();
    child.kill().expect("our child");
    let output = child.wait_with_output().expect("our child");
    (printed, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn watches_print_what_they_print_with_etcd() {
    let (sides, _scratch) = both("ctl-watch");
    let seen = sides.iter().map(|side| {
        let server = &side.server;
        let run = |arguments: &[&str]| assert_eq!(etcdctl(server, arguments, "").code, Some(0), "{arguments:?}");
        run(&["put", "a1", "one"]);
        run(&["put", "a1", "two"]);
        run(&["put", "b", "x"]);
        run(&["del", "a1"]);
        run(&["put", "a2", "three"]);
        let mut seen = vec![
            watch(server, &["a", "--prefix", "--rev=1"], 12),
            watch(server, &["a", "--prefix", "--rev=1", "--prev-kv"], 16),
            watch(server, &["a1", "--rev=2", "-w=fields"], 25),
            watch(server, &["a1", "b", "--rev=3", "--progress-notify"], 9),
        ];
        run(&["compact", "4"]);
        // It ends by itself.
        seen.push(watch(server, &["a", "--prefix", "--rev=2"], 100));
        seen.push(watch(server, &["b", "a", "--rev=2"], 100));
        seen
    });
    let seen: Vec<_> = seen.collect();
    let levelled = |at: usize| {
        let names = &sides[at].names;
        let level = |(lines, error): &(Vec<String>, String)| (names.level(&lines.join("\n")), names.level(error));
        seen[at].iter().map(level).collect::<Vec<_>>()
    };
    assert_eq!(levelled(0), levelled(1));
    assert!(seen[0].iter().all(|(_, error)| !error.contains("GoAway")), "{seen:?}");
}

#[test]
fn leases_print_what_they_print_with_etcd() {
    let (sides, _scratch) = both("ctl-lease");
    let seen = sides.iter().map(|side| {
        let server = &side.server;
        let granted = etcdctl(server, &["lease", "grant", "600"], "");
        let text = String::from_utf8_lossy(&granted.out).into_owned();
        let id = text.split_whitespace().nth(1).expect("lease ID granted").to_owned();
        let lease = format!("--lease={id}");
        let commands: Vec<Vec<&str>> = vec![
            vec!["put", "k2", "v", &lease],
            vec!["put", "k1", "v", &lease],
            vec!["lease", "timetolive", &id],
            vec!["lease", "timetolive", &id, "--keys"],
            vec!["lease", "keep-alive", "--once", &id],
            vec!["lease", "list"],
            vec!["lease", "grant", "9000000001"],
            vec!["lease", "revoke", &id],
            vec!["get", "", "--prefix", "--keys-only"],
            vec!["lease", "revoke", &id],
            vec!["lease", "timetolive", &id],
            vec!["lease", "keep-alive", "--once", &id],
            vec!["lease", "keep-alive", &id],
            vec!["put", "k", "v", &lease],
        ];
        let mask = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).replace(&id, "LEASE");
            // Of "remaining(599s)" and "attached keys([k1 k2])" the first depends on time, the second on a map's order.
            let text = text.replace("k2 k1", "k1 k2");
            let words = text.split(' ').map(|word| if word.starts_with("remaining(") { "remaining" } else { word });
            side.names.level(&words.collect::<Vec<_>>().join(" "))
        };
        let mut seen = vec![(granted.code, mask(&granted.out), String::new())];
        for command in &commands {
            let printed = etcdctl(server, command, "");
            // The log lines of a retry have times and addresses in them.
            let error = printed.error.lines().filter(|line| !line.starts_with('{')).collect::<Vec<_>>().join("\n");
            seen.push((printed.code, mask(&printed.out), mask(error.as_bytes())));
        }
        seen
    });
    let seen: Vec<_> = seen.collect();
    assert_eq!(seen[0], seen[1]);
}
