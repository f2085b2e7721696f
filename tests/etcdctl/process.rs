//! What supervisors and test harnesses expect of the process: flags, exit codes, readiness, locks, signals.
//!
//! **Invariants**: every start and stop is awaited by its event, with a deadline.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Client, READY, Scratch, Server, free_address, member_flags, server_under_test};

/// True while the tests themselves are tried out against etcd, which waits where we refuse.
fn is_etcd() -> bool {
    let path = server_under_test().path;
    path.file_name().is_some_and(|name| name == "etcd" || name == "server")
}

fn start(scratch: &Scratch, extra: &[&str]) -> Server {
    Server::start(&server_under_test(), scratch.path(), extra).unwrap_or_else(|failed| panic!("{failed}"))
}

fn output(arguments: &[String], variables: &[(&str, &str)], directory: &Path) -> Output {
    let mut command = Command::new(server_under_test().path);
    command.args(arguments).current_dir(directory);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD")) {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).output().expect("it runs")
}

#[test]
fn version_is_told_as_tools_read_it() {
    let scratch = Scratch::new("version");
    for spelling in ["--version", "-version", "--version=true"] {
        let output = output(&[spelling.to_owned()], &[], scratch.path());
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.lines().next(), Some("etcd Version: 3.7.1"), "{spelling}: {text}");
        assert!(text.lines().count() >= 4, "{spelling}: {text}");
        assert!(output.status.success());
    }
}

/// Arguments, environment, exit code, and a part of what is told.
type Case = (&'static [&'static str], &'static [(&'static str, &'static str)], i32, &'static str);

#[test]
fn bad_flags_are_refused_as_by_etcd() {
    let scratch = Scratch::new("flags");
    let cases: [Case; 14] = [
        (&["--nonsense"], &[], 2, "flag provided but not defined: -nonsense"),
        (&["-nonsense=1"], &[], 2, "flag provided but not defined: -nonsense"),
        (&["--max-txn-ops=x"], &[], 2, "invalid value \"x\" for flag -max-txn-ops"),
        (&["--max-txn-ops=-1"], &[], 2, "invalid value \"-1\" for flag -max-txn-ops"),
        (&["--pre-vote=perhaps"], &[], 2, "invalid boolean value \"perhaps\" for -pre-vote"),
        (&["--data-dir"], &[], 2, "flag needs an argument: -data-dir"),
        (&["---name=x"], &[], 2, "bad flag syntax: ---name=x"),
        (&["nonsense"], &[], 1, "\"nonsense\" is not a valid flag"),
        (&["--listen-client-urls=http://127.0.0.1:1"], &[], 1, "--advertise-client-urls is required"),
        (&["--initial-cluster-state=old"], &[], 2, "invalid value \"old\" for flag -initial-cluster-state"),
        (
            &["--listen-client-urls=http://name.invalid:1", "--advertise-client-urls=http://127.0.0.1:1"],
            &[],
            1,
            "expected IP in URL",
        ),
        (&[], &[("ETCD_MAX_TXN_OPS", "x")], 1, "invalid value \"x\" for ETCD_MAX_TXN_OPS"),
        (&["--name=a"], &[("ETCD_NAME", "b")], 1, "conflicting environment variable"),
        (&["--heartbeat-interval=100", "--election-timeout=100"], &[], 1, "--election-timeout"),
    ];
    let mut wrong = Vec::new();
    for (arguments, variables, code, text) in cases {
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let output = output(&arguments, variables, scratch.path());
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8_lossy(&told).replace("\\\"", "\"");
        if output.status.code() != Some(code) || !told.contains(text) {
            wrong.push(format!(
                "{arguments:?} {variables:?}: {}, wanted {code} and {text:?}: {told:.600}",
                output.status
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn help_is_on_the_standard_output() {
    let scratch = Scratch::new("help");
    for spelling in ["--help", "-h"] {
        let output = output(&[spelling.to_owned()], &[], scratch.path());
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{spelling}: {}", output.status);
        for flag in ["--data-dir", "--listen-client-urls", "--initial-cluster", "--quota-backend-bytes"] {
            assert!(text.contains(flag), "{spelling}: no {flag}");
        }
    }
}

#[test]
fn readiness_is_a_json_line_and_the_directory_is_ours_alone() {
    let scratch = Scratch::new("ready");
    let server = start(&scratch, &[]);
    let line = server.log().lines().find(|line| line.contains(READY)).expect("it is ready").to_owned();
    let fields: serde_json::Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
    assert_eq!(fields["msg"], READY);
    assert_eq!(fields["level"], "info");
    let time = fields["ts"].as_str().unwrap_or_default();
    assert!(time.len() == 27 && time.ends_with('Z') && time.as_bytes()[10] == b'T', "{line}");
    assert!(fields["caller"].is_string(), "{line}");
    let mode = std::fs::metadata(server.data()).expect("a data directory").permissions().mode();
    assert_eq!(mode & 0o7777, 0o700, "{mode:o}");
    assert!(server.await_line("serving client traffic", Duration::from_secs(20)), "{}", server.last_lines(20));
    let bad: Vec<String> = server.log().lines().filter(|line| is_bad(line)).map(str::to_owned).collect();
    assert!(bad.is_empty() || is_etcd(), "lines of level error: {bad:?}");
}

fn is_bad(line: &str) -> bool {
    ["\"level\":\"error\"", "\"level\":\"panic\"", "\"level\":\"fatal\""].iter().any(|level| line.contains(level))
}

#[test]
fn a_second_server_on_the_directory_is_refused() {
    let scratch = Scratch::new("second");
    let first = start(&scratch, &[]);
    if is_etcd() {
        // etcd waits for the lock for ever.
        return;
    }
    let mut second = Server::spawn(&server_under_test(), scratch.path(), &[], free_address(), free_address());
    let failed = second.await_ready(Duration::from_secs(30)).expect_err("the directory is taken");
    assert!(failed.status.is_some_and(|status| !status.success()), "{failed}");
    let data = first.data();
    let name = data.file_name().expect("a name").to_string_lossy();
    assert!(failed.log.contains("lock") && failed.log.contains(name.as_ref()), "{failed}");
    assert_eq!(put_one(&first), 2, "the first one goes on");
}

#[test]
fn a_taken_client_port_is_told() {
    taken_port(|first| (first.client, free_address()));
}

#[test]
#[ignore = "the peer port is opened with the cluster"]
fn a_taken_peer_port_is_told() {
    taken_port(|first| (free_address(), first.peer));
}

fn taken_port(addresses: impl FnOnce(&Server) -> (SocketAddr, SocketAddr)) {
    let scratch = Scratch::new("port");
    let first = start(&scratch, &[]);
    let (client, peer) = addresses(&first);
    let directory = scratch.path().join("second");
    std::fs::create_dir(&directory).expect("a fresh directory");
    let mut second = Server::spawn(&server_under_test(), &directory, &[], client, peer);
    let failed = second.await_ready(Duration::from_secs(30)).expect_err("the port is taken");
    assert!(failed.status.is_some_and(|status| !status.success()), "{failed}");
    assert!(failed.log.contains("address already in use"), "{failed}");
    assert_eq!(put_one(&first), 2, "the first one goes on");
}

/// SIGTERM and SIGINT end it although clients are connected, and what was acknowledged is there again.
#[test]
fn signals_stop_it_cleanly() {
    let scratch = Scratch::new("signals");
    let mut server = start(&scratch, &[]);
    let mut revision = 1;
    for (signal, number) in [("TERM", 15), ("INT", 2)] {
        revision += 1;
        assert_eq!(put_one(&server), revision);
        // etcd waits for a connection that never said a word.
        let idle = (!is_etcd()).then(|| std::net::TcpStream::connect(server.client).expect("it listens"));
        server.signal(signal);
        let status = server.await_exit(Duration::from_secs(30)).expect("it stops");
        assert!(status.success() || status.signal() == Some(number), "{signal}: {status}");
        drop(idle);
        let log = server.log();
        let bad: Vec<&str> = log.lines().filter(|line| is_bad(line)).collect();
        assert!(bad.is_empty() || is_etcd(), "lines of level error: {bad:?}");
        server.restart().unwrap_or_else(|failed| panic!("{failed}"));
    }
    assert_eq!(put_one(&server), revision + 1);
}

/// A supervisor starts it again at once after a SIGKILL: port and directory are free, or waited for.
#[test]
fn after_a_sigkill_it_starts_at_once() {
    let scratch = Scratch::new("at-once");
    let mut server = start(&scratch, &[]);
    for round in 0..10 {
        assert_eq!(put_one(&server), round + 2);
        server.kill();
        server.restart().unwrap_or_else(|failed| panic!("start {round}: {failed}"));
    }
}

/// With data there, the flags of the first start count no more: a directory may be moved and its addresses may change.
#[test]
fn initial_flags_are_ignored_once_there_is_data() {
    let scratch = Scratch::new("moved");
    let mut first = start(&scratch, &[]);
    assert_eq!(put_one(&first), 2);
    assert!(first.stop().is_some(), "it stops");
    let moved = scratch.path().join("elsewhere");
    std::fs::create_dir(&moved).expect("a fresh directory");
    std::fs::rename(first.data(), moved.join("data")).expect("our directories");
    let extra = ["--initial-cluster-token=another", "--initial-cluster-state=existing", "--name=another"];
    let mut second = Server::spawn(&server_under_test(), &moved, &extra, free_address(), free_address());
    second.await_ready(Duration::from_secs(30)).unwrap_or_else(|failed| panic!("{failed}"));
    assert_eq!(put_one(&second), 3, "the data is there");
}

/// Both spellings, both forms and the environment reach the server.
#[test]
fn flags_are_read_in_every_form() {
    let scratch = Scratch::new("spellings");
    let (client, peer) = (free_address(), free_address());
    let directory = scratch.path();
    let flags = member_flags(directory, client, peer);
    // --flag=value, -flag=value, --flag value and -flag value in turn.
    let mut arguments = Vec::new();
    let mut variables = Vec::new();
    for (index, flag) in flags.iter().enumerate() {
        let (name, value) = flag.trim_start_matches('-').split_once('=').expect("each has a value");
        match index % 5 {
            0 => arguments.push(format!("--{name}={value}")),
            1 => arguments.push(format!("-{name}={value}")),
            2 => arguments.extend([format!("--{name}"), value.to_owned()]),
            3 => arguments.extend([format!("-{name}"), value.to_owned()]),
            _ => variables.push((format!("ETCD_{}", name.to_uppercase().replace('-', "_")), value.to_owned())),
        }
    }
    let mut command = Command::new(server_under_test().path);
    command.args(&arguments).envs(variables).current_dir(directory).env_remove("ETCD_NAME");
    let log = std::fs::File::create(directory.join("log")).expect("our directory");
    let mut child = command.stderr(log).spawn().expect("it runs");
    let served = await_serving(client, &mut child);
    let _ = child.kill();
    let _ = child.wait();
    let log = std::fs::read_to_string(directory.join("log")).expect("our file");
    assert!(served, "{arguments:?}\n{log}");
    assert!(directory.join("data").is_dir(), "the data directory is where the flag says");
}

/// Connects until it works or the process has ended.
fn await_serving(client: SocketAddr, child: &mut std::process::Child) -> bool {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while std::time::Instant::now() < deadline && child.try_wait().expect("our child").is_none() {
        match std::net::TcpStream::connect_timeout(&client, Duration::from_secs(1)) {
            Ok(_) => return true,
            // Refused at once while nobody listens: there is no event of this process to wait for.
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
    false
}

fn put_one(server: &Server) -> i64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = Client::open(server.client).await.expect("it serves");
        let request = pb::PutRequest { key: "one".into(), value: "1".into(), ..Default::default() };
        let answer = client.put(&request).await.expect("it serves");
        client.connection.close().await;
        answer.header.expect("each answer has one").revision
    })
}
