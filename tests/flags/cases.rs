//! Calls that etcd refuses.

/// One call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    /// Everything after the program's name.
    pub(crate) flags: &'static [&'static str],
    /// Variables beside those of the machine.
    pub(crate) variables: &'static [(&'static str, &'static str)],
}

const fn case(flags: &'static [&'static str], variables: &'static [(&'static str, &'static str)]) -> Case {
    Case { flags, variables }
}

/// Each flag's reading, each check, each rule about variables, each disagreement about the first members.
pub(crate) fn all() -> Vec<Case> {
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
