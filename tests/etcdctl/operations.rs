//! What an operator sets up and sees: configuration files, the notify socket, signals, compaction by itself, slow requests in
//! the log, rotation.
//!
//! **Invariants**: every event is awaited, with a deadline.

use std::os::unix::net::UnixDatagram;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{READY, Scratch, Server, free_address, http_get, member_flags, server_under_test};
use crate::run::etcdctl;

const PATIENCE: Duration = Duration::from_secs(60);

/// The server under test without any ETCD_ variable, its log in a file of the directory.
fn command(directory: &Path) -> Command {
    // Whoever runs the tests may ignore SIGHUP (nohup), and what it starts inherits that.
    let mut command = Command::new("env");
    command.arg("--default-signal=HUP").arg(server_under_test().path);
    command.current_dir(directory).stdin(Stdio::null());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD")) {
        command.env_remove(name);
    }
    let log = || std::fs::OpenOptions::new().create(true).append(true).open(directory.join("log")).expect("our file");
    command.stdout(log()).stderr(log());
    command
}

/// Ends with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn log(directory: &Path) -> String {
    std::fs::read_to_string(directory.join("log")).unwrap_or_default()
}

#[track_caller]
fn await_log(directory: &Path, text: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !log(directory).contains(text) {
        assert!(Instant::now() < deadline, "no {text:?} in\n{}", log(directory));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A configuration file as installers write them: YAML, and the same as JSON.
#[test]
fn a_configuration_file_starts_it() {
    for form in ["yaml", "json"] {
        let scratch = Scratch::new(form);
        let (client, peer) = (free_address(), free_address());
        let data = scratch.path().join("data");
        let text = if form == "yaml" {
            format!(
                "# of an installer\nname: infra0\ndata-dir: {}\nlisten-client-urls: http://{client}\n\
                 advertise-client-urls: http://{client}\nlisten-peer-urls: http://{peer}\n\
                 initial-advertise-peer-urls: http://{peer}\ninitial-cluster: infra0=http://{peer}\n\
                 initial-cluster-state: new\ninitial-cluster-token: 'k8s_etcd'\nheartbeat-interval: 100\n\
                 election-timeout: 1000\nsnapshot-count: 10000\nquota-backend-bytes: 8.589934592e+09\n\
                 auto-compaction-retention: \"8\"\ndiscovery:\ndiscovery-fallback: 'proxy'\nenable-v2: true\n\
                 client-transport-security:\n  cert-file:\n  client-cert-auth: false\n\
                 peer-transport-security:\n  cert-file:\n  auto-tls: no\nlogger: zap\nlog-outputs: [stderr]\n",
                data.display()
            )
        } else {
            serde_json::json!({
                "name": "infra0", "data-dir": data, "listen-client-urls": format!("http://{client}"),
                "advertise-client-urls": format!("http://{client}"), "listen-peer-urls": format!("http://{peer}"),
                "initial-advertise-peer-urls": format!("http://{peer}"),
                "initial-cluster": format!("infra0=http://{peer}"), "log-outputs": ["stderr"], "max-txn-ops": 10,
            })
            .to_string()
        };
        let file = scratch.path().join("etcd.conf");
        std::fs::write(&file, text).unwrap();
        // Flags and variables beside it count for nothing.
        let mut command = command(scratch.path());
        command.arg("--config-file").arg(&file).arg("--name=other").env("ETCD_NAME", "third").arg0("etcd");
        let _server = Ended(command.spawn().expect("it runs"));
        await_log(scratch.path(), READY);
        let told = log(scratch.path());
        assert!(told.contains("loaded server configuration") && told.contains("\"name\":\"infra0\""), "{told}");
        let answer = http_get(client, "GET", "/health").expect("it serves");
        assert_eq!(answer.status, 200);
        assert!(data.is_dir());
    }
}

#[test]
fn a_bad_configuration_file_names_line_and_field() {
    let scratch = Scratch::new("bad-file");
    std::fs::write(scratch.path().join("f.yaml"), "name: a\nmax-txn-ops: many\n").unwrap();
    let mut child = command(scratch.path()).arg("--config-file=f.yaml").spawn().expect("it runs");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let told = log(scratch.path());
    assert!(told.contains("f.yaml:2: max-txn-ops: expected a whole number"), "{told}");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 2, "nothing was written but the log");
}

/// systemd's notify protocol: READY=1 only when clients are served, STOPPING=1 when it drains.
#[test]
fn the_supervisor_is_told() {
    let scratch = Scratch::new("notify");
    let path = scratch.path().join("notify");
    let socket = UnixDatagram::bind(&path).expect("our directory");
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let receive = || {
        let mut bytes = [0; 4096];
        let length = socket.recv(&mut bytes).expect("the server tells");
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    };
    let (client, peer) = (free_address(), free_address());
    let mut command = command(scratch.path());
    command.args(member_flags(scratch.path(), client, peer)).env("NOTIFY_SOCKET", &path);
    let mut server = Ended(command.spawn().expect("it runs"));
    let told = receive();
    assert!(told.lines().any(|line| line == "READY=1"), "{told}");
    assert_eq!(http_get(client, "GET", "/health").expect("it serves").status, 200);
    signal(&server.0, "TERM");
    let told = receive();
    assert!(told.lines().any(|line| line == "STOPPING=1"), "{told}");
    let status = server.0.wait().unwrap();
    assert!(status.success() || status.signal() == Some(15), "{status}");
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(child.id().to_string()).status().expect("kill runs");
    assert!(status.success());
}

#[test]
fn sighup_stops_it_cleanly_and_sigquit_tells_what_it_was_at() {
    let scratch = Scratch::new("signals-more");
    let start = || {
        let mut command = command(scratch.path());
        command.args(member_flags(scratch.path(), free_address(), free_address()));
        let server = Ended(command.spawn().expect("it runs"));
        await_log(scratch.path(), READY);
        server
    };
    let mut server = start();
    signal(&server.0, "HUP");
    assert!(server.0.wait().unwrap().success());
    std::fs::remove_file(scratch.path().join("log")).unwrap();
    let mut server = start();
    signal(&server.0, "QUIT");
    assert_eq!(server.0.wait().unwrap().code(), Some(2), "as Go's runtime");
    let told = log(scratch.path());
    assert!(told.contains("SIGQUIT") && told.contains("\"revision\":1"), "{told}");
    std::fs::remove_file(scratch.path().join("log")).unwrap();
    drop(start());
}

#[test]
fn history_is_compacted_by_itself() {
    let scratch = Scratch::new("auto-compaction");
    let server = Server::start(&server_under_test(), scratch.path(), &["--auto-compaction-retention=1s"]);
    let server = server.unwrap_or_else(|failed| panic!("{failed}"));
    for value in ["1", "2", "3"] {
        assert_eq!(etcdctl(&server, &["put", "a", value], "").code, Some(0));
    }
    // What was current when the last put was done is what is left, once that is a period ago.
    let done = "\"msg\":\"completed auto periodic compaction\",\"revision\":4,";
    assert!(server.await_line(done, PATIENCE), "{}", server.last_lines(20));
    let old = etcdctl(&server, &["get", "a", "--rev=3"], "");
    assert!(old.error.contains("required revision has been compacted"), "{old:?}");
    let line = server.log().lines().find(|line| line.contains("starting auto periodic")).unwrap().to_owned();
    assert!(line.contains("\"compact-period\":\"1s\"") && line.contains("\"revision\":"), "{line}");
}

#[test]
fn slow_requests_are_told_without_their_values() {
    let scratch = Scratch::new("slow");
    let flags = ["--warning-unary-request-duration=1ns", "--warning-apply-duration=1ns"];
    let server =
        Server::start(&server_under_test(), scratch.path(), &flags).unwrap_or_else(|failed| panic!("{failed}"));
    assert_eq!(etcdctl(&server, &["put", "some-key", "some-secret"], "").code, Some(0));
    assert_eq!(etcdctl(&server, &["get", "some-key"], "").code, Some(0));
    assert!(server.await_line("read-only range ", PATIENCE), "{}", server.last_lines(20));
    assert!(server.await_line("request stats", PATIENCE), "{}", server.last_lines(20));
    let log = server.log();
    let put = log.lines().find(|line| line.contains("/etcdserverpb.KV/Put")).expect("the put was slow");
    let fields: serde_json::Value = serde_json::from_str(put).unwrap();
    assert_eq!((&fields["level"], &fields["msg"]), (&"warn".into(), &"request stats".into()));
    assert_eq!(fields["request content"], "key:\"some-key\" value_size:11");
    assert_eq!((&fields["request count"], &fields["response count"]), (&1.into(), &0.into()));
    assert!(fields["remote"].as_str().is_some_and(|remote| remote.starts_with("127.0.0.1:")), "{put}");
    assert!(fields["start time"].as_str().is_some_and(|time| time.len() == 27), "{put}");
    let read = log.lines().find(|line| line.contains("read-only range ")).expect("the read was slow");
    let fields: serde_json::Value = serde_json::from_str(read).unwrap();
    assert_eq!((&fields["msg"], &fields["expected-duration"]), (&"apply request took too long".into(), &"1ns".into()));
    assert!(fields["response"].as_str().is_some_and(|text| text.starts_with("range_response_count:1 size:")), "{read}");
    assert!(!log.contains("some-secret"));
}

#[test]
fn a_full_log_file_is_put_aside() {
    let scratch = Scratch::new("rotation");
    let path = scratch.path().join("logs").join("server.log");
    let output = format!("--log-outputs={}", path.display());
    let flags = member_flags(scratch.path(), free_address(), free_address());
    let mut command = command(scratch.path());
    command.args(flags).args(["--enable-log-rotation", &output, "--log-level=debug"]);
    command.arg("--log-rotation-config-json={\"maxsize\": 1, \"maxbackups\": 1}");
    // A file that is full already: the first line of this start does not fit any more.
    std::fs::create_dir(path.parent().unwrap()).unwrap();
    std::fs::write(&path, vec![b'\n'; 1 << 20]).unwrap();
    let _server = Ended(command.spawn().expect("it runs"));
    let deadline = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&path).unwrap_or_default().contains(READY) {
        assert!(Instant::now() < deadline, "{}", log(scratch.path()));
        std::thread::sleep(Duration::from_millis(10));
    }
    let names: Vec<String> = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.len() == 2 && names.iter().all(|name| name.starts_with("server")), "{names:?}");
}

/// Memory that is locked: it takes the right to, which a machine of tests may not give.
#[test]
fn the_store_can_be_locked_in_memory() {
    let scratch = Scratch::new("mlock");
    match Server::start(&server_under_test(), scratch.path(), &["--memory-mlock"]) {
        Ok(server) => {
            assert_eq!(etcdctl(&server, &["put", "a", "1"], "").code, Some(0));
            let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
            let locked = status.lines().find(|line| line.starts_with("VmLck:")).expect("the kernel tells");
            assert!(!locked.trim_end().ends_with(" 0 kB"), "{locked}");
        }
        Err(failed) => assert!(failed.log.contains("--memory-mlock: raise the limit"), "{failed}"),
    }
}

/// A refusal is told where the log was asked to go, and one about the log itself on the standard error: beside etcd.
#[test]
fn refusals_go_into_the_log_that_was_asked_for() {
    let told = |program: &Path, name: &str, output: &str| {
        let scratch = Scratch::new(name);
        let mut command = Command::new(program);
        command.current_dir(scratch.path()).arg(format!("--log-outputs={output}")).arg("--heartbeat-interval=0");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD")) {
            command.env_remove(name);
        }
        let ended = command.output().expect("it runs");
        let file = std::fs::read_to_string(scratch.path().join("rel.log")).unwrap_or_default();
        let [out, error, file] = [ended.stdout, ended.stderr, file.into_bytes()].map(|bytes| {
            let text = String::from_utf8(bytes).expect("text").replace(&scratch.path().display().to_string(), "DIR");
            let records = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a record"));
            records.map(|record| format!("{} {}", record["msg"], record["error"])).collect::<Vec<_>>()
        });
        (ended.status.code(), out, error, file)
    };
    let programs = [server_under_test(), crate::client::oracle()];
    for output in ["stdout", "stderr", "default", "rel.log", "/nonexistent/x", "stdout,stderr", "/dev/null", "/tmp"] {
        let [ours, theirs] = programs.each_ref().map(|program| told(&program.path, "refusals", output));
        assert_eq!(ours, theirs, "--log-outputs={output}");
    }
}
