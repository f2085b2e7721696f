//! Calls that etcd refuses.

/// One call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// Everything after the program's name.
    pub(crate) flags: &'static [&'static str],
    /// Variables beside those of the machine.
    pub(crate) variables: &'static [(&'static str, &'static str)],
    /// What the file `etcd.conf` holds, if there is one.
    pub(crate) file: Option<&'static str>,
}

const fn case(flags: &'static [&'static str], variables: &'static [(&'static str, &'static str)]) -> Case {
    Case { flags, variables, file: None }
}

/// A call with a configuration file; flags and variables beside it count for nothing.
const fn file(text: &'static str) -> Case {
    Case { flags: &["--config-file=etcd.conf"], variables: &[], file: Some(text) }
}

/// Configuration files that cannot be read. etcd names Go's types there, ringbolt the line and the field.
pub(crate) fn unreadable() -> Vec<Case> {
    vec![
        file("name: 123\n"),
        file("name: a\n x: 3\n"),
        file("- a\n"),
        file("heartbeat-interval: x\n"),
        file("heartbeat-interval: -1\n"),
        file("heartbeat-interval: 1.5\n"),
        file("max-concurrent-streams: 4294967296\n"),
        file("grpc-keepalive-min-time: 5s\n"),
        file("log-outputs: stderr\n"),
        file("cipher-suites: TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n"),
        file("client-transport-security: 3\n"),
        file("client-transport-security: {client-cert-auth: maybe}\n"),
        file("peer-transport-security: [a]\n"),
        file("socket-options: {reuse-port: 3}\n"),
        file("auto-compaction-retention: 1\n"),
        file("pre-vote: 'true'\n"),
        file("feature-gates: Foo=true\n"),
        file("peer-transport-security:\n"),
        file("{\"name\": \"a\"\n"),
    ]
}

/// Configuration files that are read and refused.
fn files() -> Vec<Case> {
    vec![
        Case { flags: &["--config-file=nothere"], variables: &[], file: None },
        Case { flags: &[], variables: &[("ETCD_CONFIG_FILE", "nothere")], file: None },
        Case {
            flags: &["--config-file=etcd.conf", "--heartbeat-interval=100", "--name=flag"],
            variables: &[("ETCD_NAME", "variable"), ("ETCD_HEARTBEAT_INTERVAL", "x")],
            file: Some("name: a\nheartbeat-interval: 0\n"),
        },
        Case {
            flags: &["--bad", "--config-file=etcd.conf"],
            variables: &[],
            file: Some("name: a\nheartbeat-interval: 0\n"),
        },
        file("heartbeat-interval: 0\n"),
        file("name: a\nname: b\nheartbeat-interval: 0\n"),
        file("Heartbeat-Interval: 0\n"),
        file("{\"heartbeat-interval\": 0, \"name\": \"j\"}\n"),
        file("name: a\nheartbeat-interval: 1e2\nelection-timeout: 400\n"),
        file("name: a\nelection-timeout: 60000\n"),
        file("listen-client-urls: foo\n"),
        file("listen-peer-urls: http://a\n"),
        file("listen-client-http-urls: foo\n"),
        file("initial-advertise-peer-urls: foo\n"),
        file("advertise-client-urls: foo\n"),
        file("listen-metrics-urls: foo\n"),
        file("name: a\nlisten-client-urls: http://foo.com:2379\n"),
        file("initial-cluster-state: foo\n"),
        file("feature-gates: LeaseCheckpointPersist=true\nname: a\n"),
        file("name: a\nauto-compaction-mode: x\n"),
        file("name: a\nmax-snapshots: 3\nheartbeat-interval: 0\n"),
        file("name: a\ntls-min-version: TLS1.3\ntls-max-version: TLS1.2\n"),
        file("name: a\ncompact-hash-check-time: 0\n"),
        file("logger: capnslog\n"),
        file("log-outputs: [stdout, systemd/journal]\n"),
        file("log-outputs: [default, stderr]\n"),
        file("name: a\nenable-log-rotation: true\n"),
        file("discovery-srv: x\ninitial-cluster: a=http://b:1\n"),
        file("data-dir:\nwal-dir:\ncors:\nname: a\nheartbeat-interval: 0\n"),
        file(
            "name: x\nlisten-peer-urls: http://127.0.0.1:0\nlisten-client-urls: http://127.0.0.1:0\nauto-compaction-retention: abc\n",
        ),
        file(
            "name: x\nlisten-peer-urls: http://127.0.0.1:0\nlisten-client-urls: http://127.0.0.1:0\ninitial-cluster: y=http://127.0.0.1:1\n",
        ),
    ]
}

/// Each flag's reading, each check, each rule about variables, each disagreement about the first members.
pub(crate) fn all() -> Vec<Case> {
    let mut all = of_flags();
    all.extend(files());
    all
}

fn of_flags() -> Vec<Case> {
    vec![
        case(&["-x"], &[]),
        case(&["--name"], &[]),
        case(&["--=3"], &[]),
        case(&["---a"], &[]),
        case(&["-"], &[]),
        case(&["--", "--heartbeat-interval=0"], &[]),
        case(&["foo"], &[]),
        case(&["--listen-client-urls=foo"], &[]),
        case(&["--snapshot-count=abc"], &[]),
        case(&["--pre-vote=maybe"], &[]),
        case(&["--max-concurrent-streams=99999999999"], &[]),
        case(&["--max-concurrent-streams=x"], &[]),
        case(&["--quota-backend-bytes=99999999999999999999999"], &[]),
        case(&["--quota-backend-bytes=-0x10", "--heartbeat-interval=0"], &[]),
        case(&["--initial-cluster-state=foo"], &[]),
        case(&["--grpc-keepalive-timeout=5"], &[]),
        case(&["--grpc-keepalive-timeout=5x"], &[]),
        case(&["--feature-gates=Foo=true"], &[]),
        case(&["--feature-gates=AllAlpha"], &[]),
        case(&["--feature-gates=AllAlpha=x"], &[]),
        case(&["--feature-gates=LeaseCheckpointPersist=true"], &[]),
        case(&["--listen-client-urls=http://foo.com:2379"], &[]),
        case(&["--listen-peer-urls=http://foo:1"], &[]),
        case(&["--election-timeout=400"], &[]),
        case(&["--election-timeout=60000"], &[]),
        case(&["--auto-compaction-mode=x"], &[]),
        case(&["--auto-compaction-mode="], &[]),
        case(&["--compact-hash-check-time=0"], &[]),
        case(&["--compact-hash-check-time=-5s"], &[]),
        case(&["--logger=capnslog"], &[]),
        case(&["--logger=foo"], &[]),
        case(&["--log-format=foo"], &[]),
        case(&["--log-outputs=default,stderr"], &[]),
        case(&["--log-outputs=stdout,systemd/journal"], &[]),
        case(&["--v2-deprecation=goner"], &[]),
        case(&["--discovery-fallback=proxy"], &[]),
        case(&["--discovery-fallback=x"], &[]),
        case(&["--cors="], &[]),
        case(&["--cors=x"], &[]),
        case(&["--tls-min-version=x"], &[]),
        case(&["--tls-min-version=TLS1.3", "--heartbeat-interval=0"], &[]),
        case(&["--listen-client-urls=http://127.0.0.1:23790"], &[]),
        case(&["--listen-client-urls="], &[]),
        case(&["--discovery-token=x"], &[]),
        case(&["--discovery-endpoints=x"], &[]),
        case(&["--max-snapshots=-1", "--heartbeat-interval=0"], &[]),
        case(&["--name=a", "--heartbeat-interval=0"], &[]),
        case(&["--data-dir"], &[]),
        case(&["--pre-vote", "--heartbeat-interval=0"], &[]),
        case(&["--enable-v2x"], &[]),
        case(&["--discovery=x"], &[]),
        case(&["--metrics"], &[]),
        case(&["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"], &[]),
        case(&["--tls-min-version=TLS1.3", "--cipher-suites=a"], &[]),
        case(&["--election-timeout=0"], &[]),
        case(&["--discovery-endpoints=a,", "--discovery-token=x", "--initial-cluster="], &[]),
        case(&["--discovery-srv=x", "--initial-cluster=a=http://b:1"], &[]),
        case(&["--initial-advertise-peer-urls=http://:1"], &[]),
        case(&["--advertise-client-urls=http://:1,http://a:2"], &[]),
        case(&["--pre-vote", "false"], &[]),
        case(&["-pre-vote=0", "--heartbeat-interval=0"], &[]),
        case(&["--name", "-x", "--heartbeat-interval=0"], &[]),
        case(
            &[
                "--name=",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=http://127.0.0.1:1",
            ],
            &[],
        ),
        case(&["--name=a", "foo", "--x"], &[]),
        case(&["--", "foo"], &[]),
        case(&["-name", "a", "-", "x"], &[]),
        case(&["--enable-distributed-tracing", "--distributed-tracing-sampling-rate=-1"], &[]),
        case(&["--enable-distributed-tracing=true", "--distributed-tracing-sampling-rate=1000001"], &[]),
        case(&["--force", "--snapshot", "-v", "--vv=3", "--test.outputdir=x", "--heartbeat-interval=0"], &[]),
        case(&["--max-snapshots=3", "--heartbeat-interval=0"], &[]),
        case(&["--raft-read-timeout=1s", "--raft-write-timeout=4999ms", "--heartbeat-interval=0"], &[]),
        case(&["--feature-gates=LeaseCheckpoint=true", "--heartbeat-interval=0"], &[]),
        case(&["--name=bar"], &[("ETCD_NAME", "foo")]),
        case(&["--name=bar"], &[("ETCD_FOO", "bar"), ("ETCD_NAME", ""), ("ETCD_VERSION", "true")]),
        case(
            &["--heartbeat-interval=0"],
            &[("ETCD_DATA_DIR", "q"), ("ETCD_FOO", "bar"), ("ETCD_NAME", ""), ("ETCD_VERSION", "true")],
        ),
        case(&[], &[("ETCD_SNAPSHOT_COUNT", "abc")]),
        case(&[], &[("ETCD_PRE_VOTE", "maybe"), ("ETCD_SNAPSHOT_COUNT", "abc"), ("ETCD_ZZZ", "1")]),
        case(
            &["--heartbeat-interval=0"],
            &[("ETCD_FORCE", "x"), ("ETCD_LISTEN_CLIENT_URLS", "http://127.0.0.1:1"), ("ETCD_V", "1")],
        ),
        case(&[], &[("ETCD_LISTEN_CLIENT_URLS", "http://127.0.0.1:1")]),
        case(&[], &[("ETCD_LISTEN_CLIENT_URLS", "foo"), ("ETCD_NAME", "aa")]),
        case(&["--heartbeat-interval=0"], &[("ETCDCTL_API", "3"), ("ETCD_UNSUPPORTED_ARCH", "x")]),
        case(&["--pre-vote"], &[("ETCD_AAA", "1"), ("ETCD_PRE_VOTE", "true")]),
        case(
            &[
                "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=http://127.0.0.1:1",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--name=x",
                "--initial-cluster=y=http://127.0.0.1:1",
                "--initial-advertise-peer-urls=http://127.0.0.1:1",
            ],
            &[],
        ),
        case(
            &[
                "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=http://127.0.0.1:1",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--name=x",
                "--initial-cluster=x=http://127.0.0.1:1,x=http://127.0.0.1:2",
                "--initial-advertise-peer-urls=http://127.0.0.1:1",
            ],
            &[],
        ),
        case(
            &[
                "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=http://127.0.0.1:1",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--name=x",
                "--initial-cluster=x=http://127.0.0.1:1",
                "--initial-advertise-peer-urls=http://127.0.0.1:1,http://127.0.0.1:2",
            ],
            &[],
        ),
        case(
            &[
                "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=http://127.0.0.1:1",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--name=x",
                "--initial-cluster=x=http://127.0.0.1:1,y=http://127.0.0.1:1",
                "--initial-advertise-peer-urls=http://127.0.0.1:1",
            ],
            &[],
        ),
        case(
            &[
                "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=http://127.0.0.1:1",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--name=x",
                "--initial-cluster=",
            ],
            &[],
        ),
        case(
            &[
                "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=http://127.0.0.1:1",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--name=x",
                "--initial-cluster=x",
            ],
            &[],
        ),
        case(
            &[
                "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=http://127.0.0.1:1",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--name=x",
                "--initial-cluster=x=foo",
            ],
            &[],
        ),
        case(
            &[
                "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=http://127.0.0.1:1",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--name=x",
                "--initial-cluster==",
            ],
            &[],
        ),
        case(
            &[
                "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=http://127.0.0.1:1",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--auto-compaction-retention=abc",
            ],
            &[],
        ),
        case(
            &[
                "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=http://127.0.0.1:1",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--auto-compaction-retention=1x",
            ],
            &[],
        ),
        case(
            &[
                "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=http://127.0.0.1:1",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--auto-compaction-retention=-5",
            ],
            &[],
        ),
        case(
            &[
                "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=http://127.0.0.1:1",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--auto-compaction-retention=99999999999999999999",
            ],
            &[],
        ),
        case(
            &[
                "--listen-client-urls=https://127.0.0.1:0",
                "--advertise-client-urls=https://127.0.0.1:0",
                "--listen-peer-urls=http://127.0.0.1:1",
            ],
            &[],
        ),
        case(
            &[
                "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=https://127.0.0.1:0",
                "--listen-peer-urls=https://127.0.0.1:33800",
            ],
            &[],
        ),
        case(
            &[
                "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=http://127.0.0.1:1",
                "--listen-peer-urls=http://127.0.0.1:0",
                "--initial-advertise-peer-urls=http://127.0.0.1:1",
            ],
            &[],
        ),
    ]
}
