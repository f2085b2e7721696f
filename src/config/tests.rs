use std::collections::BTreeSet;
use std::time::Duration;

use super::flag::{Effect, Kind};
use super::table::{IGNORED, all};
use super::value::read;
use super::*;
use crate::log::{Level, Record, Value};

fn host() -> Result<String, String> {
    Ok("192.0.2.7".to_owned())
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn run(flags: &[&str], variables: &[(&str, &str)]) -> Result<Parsed, Exit> {
    let arguments = texts(&[&["ringbolt"], flags].concat());
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let read_file = |path: &str| Err(format!("open {path}: no such file or directory"));
    parse(&arguments, &variables, Outside { default_host: &host, read_file: &read_file })
}

#[track_caller]
pub(crate) fn config(flags: &[&str]) -> Config {
    run(flags, &[]).unwrap().config
}

#[track_caller]
fn exit(flags: &[&str], variables: &[(&str, &str)]) -> Exit {
    run(flags, variables).unwrap_err()
}

fn field(record: &Record, name: &str) -> String {
    match record.fields.iter().find(|(candidate, _)| *candidate == name) {
        Some((_, Value::Text(text))) => text.to_string(),
        other => panic!("no text field {name}: {other:?}"),
    }
}

/// The error of the last record, which must be the refusal of the flags.
#[track_caller]
fn refusal(flags: &[&str], variables: &[(&str, &str)]) -> String {
    let exit = exit(flags, variables);
    assert_eq!((exit.code, exit.stdout.as_str(), exit.stderr.as_str()), (1, "", ""));
    let record = exit.records.iter().rfind(|record| record.message == "failed to verify flags").expect("a refusal");
    field(record, "error")
}

/// The first line on standard error of a call with status 2.
#[track_caller]
fn complaint(flags: &[&str]) -> String {
    let exit = exit(flags, &[]);
    assert_eq!((exit.code, exit.records.len()), (2, 0));
    let (first, rest) = exit.stderr.split_once('\n').unwrap();
    assert!(rest.starts_with("Usage:"));
    first.to_owned()
}

fn messages(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| record.message.as_ref()).collect()
}

#[test]
fn the_table_is_whole_and_sound() {
    let names: Vec<&str> = all().map(|flag| flag.name).chain(IGNORED.iter().copied()).collect();
    let unique: BTreeSet<&str> = names.iter().copied().collect();
    assert_eq!(unique.len(), names.len(), "a name stands twice");
    // etcd 3.7.1 has 113 flags and 15 ignored names; --shards and --enable-v2 come on top.
    assert_eq!((all().count(), IGNORED.len()), (114, 16));
    for flag in all() {
        assert!(read(flag.kind, flag.default).is_ok(), "--{}", flag.name);
        assert!(flag.help.ends_with('.') && !flag.help.is_empty(), "--{}", flag.name);
        assert!(flag.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte.is_ascii_digit()));
    }
}

#[test]
fn each_kind_reads_one_variant_whatever_the_text() {
    for flag in all() {
        let default = std::mem::discriminant(&read(flag.kind, flag.default).unwrap());
        for text in ["", "1", "true", "5s", "http://a:1", "*", "a,b", "AllAlpha=true", "new", "gone"] {
            if let Ok(value) = read(flag.kind, text) {
                assert_eq!(std::mem::discriminant(&value), default, "--{} {text}", flag.name);
            }
        }
    }
}

#[test]
fn without_flags_all_is_as_etcd_has_it() {
    let config = config(&[]);
    assert_eq!(config.name, "default");
    assert_eq!(config.data_dir.to_str(), Some("default.etcd"));
    assert_eq!(config.listen.client[0].as_str(), "http://localhost:2379");
    assert_eq!(config.advertise.peer_texts(), ["http://localhost:2380"]);
    assert_eq!(config.advertise.client_texts(), ["http://localhost:2379"]);
    assert_eq!(config.initial_cluster, "default=http://localhost:2380");
    assert_eq!(config.quota, Quota::Bytes(2_147_483_648));
    assert_eq!(config.requests, RequestBounds { bytes_max: 1_572_864, txn_ops_max: 128, streams_max: u32::MAX });
    assert_eq!((config.raft.heartbeat, config.raft.election_ticks), (Duration::from_millis(100), 10));
    assert_eq!(config.auto_compaction, AutoCompaction::Off);
    assert_eq!(config.keepalive.server_ping_interval, Duration::from_hours(2));
    assert_eq!(config.warnings.unary_request, Duration::from_millis(300));
    assert_eq!(config.watch_progress_notify_interval, Duration::from_mins(10));
    assert_eq!(config.log, crate::log::Options::default());
    assert_eq!((config.shards, config.bcrypt_cost), (None, 10));
    assert!(config.raft.pre_vote && config.strict_reconfig_check && config.grpc_gateway);
}

#[test]
fn both_spellings_and_both_forms_are_the_same() {
    for flags in [&["--name=m"][..], &["-name=m"], &["--name", "m"], &["-name", "m"], &["--name=x", "--name=m"]] {
        assert_eq!(config(flags).name, "m", "{flags:?}");
    }
    assert_eq!(config(&["--name", "--odd"]).name, "--odd");
    assert!(!config(&["--pre-vote=false"]).raft.pre_vote);
    assert!(config(&["-pre-vote"]).raft.pre_vote);
    assert!(!config(&["--pre-vote=F", "--"]).raft.pre_vote);
    assert_eq!(config(&["--max-txn-ops=0x10"]).requests.txn_ops_max, 16);
    assert_eq!(config(&["--quota-backend-bytes", "-1"]).quota, Quota::Unbounded);
    assert_eq!(config(&["--shards=3"]).shards, Some(3));
}

#[test]
fn bad_flags_have_go_s_texts_and_status_2() {
    for (flag, text) in [
        ("-x", "flag provided but not defined: -x"),
        ("--discovery=x", "flag provided but not defined: -discovery"),
        ("--name", "flag needs an argument: -name"),
        ("--=3", "bad flag syntax: --=3"),
        ("---a", "bad flag syntax: ---a"),
        ("-=", "bad flag syntax: -="),
        ("--snapshot-count=abc", "invalid value \"abc\" for flag -snapshot-count: parse error"),
        ("--max-wals=-1", "invalid value \"-1\" for flag -max-wals: parse error"),
        ("--pre-vote=maybe", "invalid boolean value \"maybe\" for -pre-vote: parse error"),
        (
            "--quota-backend-bytes=99999999999999999999",
            "invalid value \"99999999999999999999\" for flag -quota-backend-bytes: value out of range",
        ),
        (
            "--max-concurrent-streams=4294967296",
            "invalid value \"4294967296\" for flag -max-concurrent-streams: strconv.ParseUint: parsing \"4294967296\": value out of range",
        ),
        ("--initial-cluster-state=foo", "invalid value \"foo\" for flag -initial-cluster-state: invalid value"),
        ("--v2-deprecation=goner", "invalid value \"goner\" for flag -v2-deprecation: invalid value \"goner\""),
        ("--grpc-keepalive-timeout=5", "invalid value \"5\" for flag -grpc-keepalive-timeout: parse error"),
        (
            "--listen-client-urls=foo",
            "invalid value \"foo\" for flag -listen-client-urls: URL scheme must be http, https, unix, or unixs: foo",
        ),
        ("--cors=", "invalid value \"\" for flag -cors: URL scheme must be http, https, unix, or unixs: "),
        (
            "--feature-gates=Foo=true",
            "invalid value \"Foo=true\" for flag -feature-gates: unrecognized feature gate: Foo",
        ),
    ] {
        assert_eq!(complaint(&[flag]), text);
    }
}

#[test]
fn help_and_version_end_with_status_0() {
    for flag in ["-h", "--help", "--help=x"] {
        let exit = exit(&[flag, "--name"], &[]);
        assert_eq!(exit.code, 0);
        assert!(exit.stdout.contains("\nMember:\n  --name 'default'\n") && exit.stderr.starts_with("Usage:"));
        for flag in all() {
            assert!(exit.stdout.contains(&format!("\n  --{} '", flag.name)));
        }
    }
    let version = exit(&["--version", "--heartbeat-interval=0"], &[]);
    assert_eq!((version.code, version.stderr.as_str()), (0, ""));
    assert!(version.stdout.starts_with("etcd Version: 3.7.1\nGit SHA: "));
}

#[test]
fn words_that_are_no_flags_are_refused() {
    assert_eq!(refusal(&["foo"], &[]), "\"foo\" is not a valid flag");
    assert_eq!(refusal(&["--name=a", "foo", "--x"], &[]), "\"foo\" is not a valid flag");
    assert_eq!(refusal(&["-"], &[]), "\"-\" is not a valid flag");
    assert_eq!(refusal(&["--", "--name"], &[]), "\"--name\" is not a valid flag");
}

#[test]
fn what_etcd_refuses_is_refused_in_its_words() {
    for (flags, text) in [
        (&["--heartbeat-interval=0"][..], "--heartbeat-interval must be >0 (set to 0ms)"),
        (&["--election-timeout=0"], "--election-timeout must be >0 (set to 0ms)"),
        (
            &["--election-timeout=400"],
            "--election-timeout[400ms] should be at least as 5 times as --heartbeat-interval[100ms]",
        ),
        (
            &["--heartbeat-interval=18446744073709551615"],
            "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[18446744073709551615ms]",
        ),
        (&["--election-timeout=60000"], "--election-timeout[60000ms] is too long, and should be set less than 50000ms"),
        (&["--listen-client-urls=http://foo.com:2379"], "expected IP in URL for binding (http://foo.com:2379)"),
        (&["--listen-peer-urls=http://:1"], "expected IP in URL for binding (http://:1)"),
        (&["--listen-metrics-urls=http://x:1"], "expected IP in URL for binding (http://x:1)"),
        (
            &["--initial-advertise-peer-urls=http://:1"],
            "--initial-advertise-peer-urls \"http://:1\" must be \"host:port\" (unexpected empty host (http://:1))",
        ),
        (
            &["--advertise-client-urls=http://:1,http://a:2"],
            "--advertise-client-urls \"http://:1,http://a:2\" must be in the format \"host:port\", \"unix:/path/to/socket\" or \"unixs:/path/to/socket\" (unexpected empty host (http://:1))",
        ),
        (
            &["--listen-client-urls=http://127.0.0.1:1"],
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
        ),
        (&["--listen-client-urls="], "--advertise-client-urls is required when --listen-client-urls is set explicitly"),
        (&["--auto-compaction-mode=x"], "unknown auto-compaction-mode \"x\""),
        (&["--auto-compaction-mode="], "undefined auto-compaction-mode"),
        (&["--compact-hash-check-time=0"], "--compact-hash-check-time must be >0 (set to 0s)"),
        (&["--logger=capnslog"], "--logger=capnslog is removed in v3.5"),
        (&["--logger=foo"], "unknown logger option \"foo\""),
        (&["--log-level=foo"], "unrecognized level: \"foo\""),
        (&["--log-format=foo"], "unknown log format: foo, supported values json, console"),
        (&["--log-outputs=default,stderr"], "multi logoutput for \"default\" is not supported yet"),
        (&["--discovery-token=x"], "both --discovery-token and --discovery-endpoints must be set"),
        (
            &["--discovery-endpoints=a,", "--discovery-token=x"],
            "--discovery-endpoints must not contain empty endpoints",
        ),
        (
            &["--discovery-srv=x", "--initial-cluster=a=http://b:1"],
            "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \"discovery-endpoints\" or \"discovery-srv\"",
        ),
        (
            &["--discovery-fallback=proxy"],
            "v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\"",
        ),
        (
            &["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
            "min version (TLS1.3) is greater than max version (TLS1.2)",
        ),
        (
            &["--tls-min-version=TLS1.3", "--cipher-suites=a"],
            "cipher suites cannot be configured when only TLS1.3 is enabled",
        ),
        (&["--tls-max-version=1"], "unexpected TLS version \"1\" (must be one of: TLS1.2, TLS1.3)"),
        (
            &["--feature-gates=LeaseCheckpointPersist=true"],
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint",
        ),
        (
            &["--enable-distributed-tracing", "--distributed-tracing-sampling-rate=-1"],
            "distributed tracing configurition is not valid: (tracing sampling rate must be positive)",
        ),
    ] {
        assert_eq!(refusal(flags, &[]), text, "{flags:?}");
    }
}

#[test]
fn what_is_not_there_yet_is_refused_unless_it_is_the_default() {
    for flag in ["--peer-cert-file=x", "--peer-client-cert-auth", "--auth-token=jwt,x"] {
        let text = refusal(&[flag], &[]);
        let name = flag.split('=').next().unwrap();
        assert!(text.starts_with(&format!("{name} is not supported yet")), "{text}");
    }
    assert!(
        refusal(&[], &[("ETCD_PEER_TRUSTED_CA_FILE", "x")]).starts_with("--peer-trusted-ca-file is not supported yet")
    );
    let defaults =
        ["--cert-file=", "--client-cert-auth=false", "--auth-token=simple", "--host-whitelist=*", "--auto-tls=0"];
    assert!(run(&defaults, &[]).is_ok());
}

#[test]
fn a_flag_without_effect_is_told() {
    let parsed = run(&["--backend-batch-limit=5", "--corrupt-check-time=1h", "--max-wals=5"], &[]).unwrap();
    let told: Vec<String> = parsed
        .records
        .iter()
        .filter(|record| record.message.starts_with("flag "))
        .map(|record| field(record, "flag-name"))
        .collect();
    assert_eq!(told, ["--backend-batch-limit", "--corrupt-check-time"]);
    for flag in all().filter(|flag| matches!(flag.effect, Effect::NotYet(_) | Effect::Refused(_))) {
        let at_default = format!("--{}={}", flag.name, flag.default);
        assert!(run(&[&at_default], &[]).is_ok(), "{at_default} must start");
    }
}

#[test]
fn variables_speak_for_flags_that_are_left_out() {
    let parsed =
        run(&["--name=m"], &[("ETCD_DATA_DIR", "d"), ("ETCD_V", "1"), ("HOME", "/"), ("ETCD_PRE_VOTE", "f")]).unwrap();
    assert_eq!(parsed.config.data_dir.to_str(), Some("d"));
    assert!(!parsed.config.raft.pre_vote);
    let used: Vec<String> = parsed.records[..3].iter().map(|record| field(record, "variable-name")).collect();
    assert_eq!(used, ["ETCD_DATA_DIR", "ETCD_PRE_VOTE", "ETCD_V"]);
}

#[test]
fn a_variable_beside_its_flag_ends_the_process() {
    let exit = exit(&["--name=m"], &[("ETCD_FOO", "x"), ("ETCD_NAME", "n"), ("ETCD_BAR", "y")]);
    assert_eq!(exit.code, 1);
    assert_eq!(messages(&exit.records).len(), 2);
    let last = &exit.records[1];
    assert_eq!((last.level, field(last, "environment-variable").as_str()), (Level::Fatal, "ETCD_NAME"));
    assert!(
        last.message.starts_with("conflicting environment variable is shadowed by corresponding command-line flag")
    );
}

#[test]
fn empty_unknown_and_bad_variables() {
    let parsed =
        run(&["--data-dir=d", "--name=m"], &[("ETCD_DEBUG", "x"), ("ETCD_SHARDS", ""), ("ETCD_VERSION", "1")]).unwrap();
    assert_eq!(parsed.config.shards, None);
    let expected = [
        "cannot set special environment variable",
        "unrecognized environment variable",
        "unrecognized environment variable",
    ];
    assert_eq!(messages(&parsed.records)[..3], expected);
    assert_eq!(field(&parsed.records[1], "environment-variable"), "ETCD_DEBUG=x");
    assert_eq!(
        refusal(&[], &[("ETCD_SNAPSHOT_COUNT", "abc")]),
        "invalid value \"abc\" for ETCD_SNAPSHOT_COUNT: parse error"
    );
    // The last bad one by name is told, and the order of the environment does not matter.
    let two = [("ETCD_SNAPSHOT_COUNT", "abc"), ("ETCD_PRE_VOTE", "x")];
    assert_eq!(refusal(&[], &two), "invalid value \"abc\" for ETCD_SNAPSHOT_COUNT: parse error");
}

#[test]
fn passwords_in_variables_are_not_logged() {
    let exit = exit(&[], &[("ETCD_DISCOVERY_PASSWORD", "secret")]);
    assert!(!format!("{exit:?}").contains("secret"));
}

#[test]
fn names_of_old_are_ignored() {
    let parsed = run(&["--force", "-v", "--vv=3", "--enable-v2=true", "--data-dir=d", "--name=m"], &[]).unwrap();
    assert_eq!(parsed.config.name, "m");
    assert_eq!(parsed.config, config(&["--data-dir=d", "--name=m"]));
}

#[test]
fn retention_is_hours_a_time_or_revisions() {
    use crate::gotext::GoDuration;
    const HOUR: i64 = 3_600_000_000_000;
    let of = |flags: &[&str]| config(flags).auto_compaction;
    assert_eq!(of(&["--auto-compaction-retention=5"]), AutoCompaction::Periodic(GoDuration(5 * HOUR)));
    assert_eq!(of(&["--auto-compaction-retention=30m"]), AutoCompaction::Periodic(GoDuration(HOUR / 2)));
    assert_eq!(
        of(&["--auto-compaction-retention=1000", "--auto-compaction-mode=revision"]),
        AutoCompaction::Revision(1000)
    );
    assert_eq!(of(&["--auto-compaction-retention=0s"]), AutoCompaction::Off);
    assert_eq!(of(&["--auto-compaction-retention="]), AutoCompaction::Off);
    for (text, why) in [
        ("abc", "time: invalid duration \"abc\""),
        ("1x", "time: unknown unit \"x\" in duration \"1x\""),
        ("-5", "time: missing unit in duration \"-5\""),
    ] {
        let exit = exit(&[&format!("--auto-compaction-retention={text}")], &[]);
        let last = exit.records.last().unwrap();
        assert_eq!((exit.code, last.message.as_ref()), (1, "discovery failed"));
        assert_eq!(field(last, "error"), format!("error parsing CompactionRetention: {why}"));
    }
}

#[test]
fn open_listeners_advertise_the_default_host() {
    let config = config(&["--name=m", "--listen-peer-urls=http://0.0.0.0:12380"]);
    assert_eq!(config.advertise.peer_texts(), ["http://192.0.2.7:12380"]);
    assert_eq!(config.initial_cluster, "m=http://192.0.2.7:12380");
    let given =
        self::config(&["--listen-client-urls=http://0.0.0.0:1", "--advertise-client-urls=http://localhost:2379"]);
    assert_eq!(given.advertise.client_texts(), ["http://192.0.2.7:1"]);
    let own = self::config(&["--listen-client-urls=http://0.0.0.0:1", "--advertise-client-urls=http://h:1"]);
    assert_eq!(own.advertise.client_texts(), ["http://h:1"]);
}

#[test]
fn listeners_that_cannot_be_served_are_refused() {
    let refused = |flags: &[&str]| check_start(&config(flags)).unwrap_err();
    assert_eq!(
        refused(&["--listen-client-urls=https://127.0.0.1:1", "--advertise-client-urls=https://a:1"]),
        "TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1 with HTTPS scheme"
    );
    assert_eq!(
        refused(&["--listen-peer-urls=https://127.0.0.1:1"]),
        "cannot listen on TLS for 127.0.0.1:1: KeyFile and CertFile are not presented"
    );
    assert!(refused(&["--listen-peer-urls=unix:///a"]).contains("unix:///a"));
    assert!(check_start(&config(&[])).is_ok());
}

fn unresolvable(host: &str) -> Result<String, String> {
    Err(format!("lookup {host}"))
}

#[track_caller]
fn bootstrap_refusal(flags: &[&str], resolve: Resolve<'_>) -> String {
    bootstrap(&config(flags), resolve).unwrap_err()
}

#[test]
fn a_member_alone_has_etcd_s_ids() {
    let begun = bootstrap(&config(&[]), &unresolvable).unwrap();
    assert_eq!(
        (begun.local.to_string().as_str(), begun.cluster.to_string().as_str()),
        ("8e9e05c52164694d", "cdf818194e3a8c32")
    );
    let named = bootstrap(&config(&["--name=x"]), &unresolvable).unwrap();
    assert_eq!(named.local, begun.local);
    let other = bootstrap(&config(&["--name=x", "--initial-cluster-token=t"]), &unresolvable).unwrap();
    assert_ne!(other.local, begun.local);
}

#[test]
fn flags_that_disagree_about_the_cluster_are_refused_in_etcd_s_words() {
    const OWN: &str = "--initial-advertise-peer-urls=http://127.0.0.1:1";
    for (flags, text) in [
        (
            &["--name=x", OWN, "--initial-cluster=y=http://127.0.0.1:1"][..],
            "couldn't find local name \"x\" in the initial cluster configuration",
        ),
        (&["--name=x", "--initial-cluster="], "couldn't find local name \"x\" in the initial cluster configuration"),
        (
            &["--name=x", "--initial-cluster=x"],
            "error setting up initial cluster: URL scheme must be http, https, unix, or unixs: ",
        ),
        (
            &["--name=x", OWN, "--initial-cluster=x=http://127.0.0.1:1,x=http://127.0.0.1:2"],
            "--initial-cluster has x=http://127.0.0.1:2 but missing from --initial-advertise-peer-urls=http://127.0.0.1:1 \
             (len([\"http://127.0.0.1:1\"]) != len([\"http://127.0.0.1:1\" \"http://127.0.0.1:2\"]))",
        ),
        (
            &[
                "--name=x",
                "--initial-advertise-peer-urls=http://127.0.0.1:1,http://127.0.0.1:2",
                "--initial-cluster=x=http://127.0.0.1:1",
            ],
            "--initial-advertise-peer-urls has http://127.0.0.1:2 but missing from --initial-cluster=x=http://127.0.0.1:1,x=http://127.0.0.1:2",
        ),
        (
            &["--name=x", OWN, "--initial-cluster=x=http://127.0.0.1:1,y=http://127.0.0.1:1"],
            "initial cluster x=http://127.0.0.1:1,y=http://127.0.0.1:1 has duplicate url",
        ),
    ] {
        assert_eq!(bootstrap_refusal(flags, &unresolvable), text, "{flags:?}");
    }
    let several = ["--name=x", OWN, "--initial-cluster=x=http://127.0.0.1:1,y=http://127.0.0.1:2"];
    assert!(
        bootstrap_refusal(&several, &unresolvable)
            .starts_with("clusters of more than one member are not supported yet")
    );
    assert!(bootstrap_refusal(&["--initial-cluster-state=existing"], &unresolvable).contains("is not supported yet"));
}

#[test]
fn names_and_addresses_of_one_host_agree_once_resolved() {
    let flags = ["--name=x", "--initial-advertise-peer-urls=http://10.0.0.1:1", "--initial-cluster=x=http://h:1"];
    let known = |_: &str| Ok("10.0.0.1:1".to_owned());
    assert!(bootstrap(&config(&flags), &known).is_ok());
    let other = |host: &str| Ok(if host == "h:1" { "10.0.0.2:1".to_owned() } else { host.to_owned() });
    assert_eq!(
        bootstrap_refusal(&flags, &other),
        "--initial-cluster has x=http://h:1 but missing from --initial-advertise-peer-urls=http://10.0.0.1:1 \
         (resolved urls: \"http://10.0.0.1:1\" != \"http://10.0.0.2:1\")"
    );
    assert!(
        bootstrap_refusal(&flags, &unresolvable)
            .contains("(failed to resolve \"http://10.0.0.1:1\" (lookup 10.0.0.1:1))")
    );
}

#[test]
fn no_command_line_makes_the_parser_panic() {
    let names: Vec<&str> = all().map(|flag| flag.name).collect();
    let values = [
        "",
        "0",
        "1",
        "-1",
        "x",
        "5s",
        "99999999999999999999",
        "http://a:1",
        "http://0.0.0.0:0",
        "unix:/a",
        "new",
        "a=http://b:1",
        "AllAlpha=true",
        "é\n",
    ];
    let mut state = 0x0123_4567_89ab_cdefu64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state).unwrap() % bound
    };
    for _ in 0..5_000 {
        let mut flags = Vec::new();
        let mut variables = Vec::new();
        for _ in 0..next(4) {
            flags.push(format!(
                "{}{}={}",
                ["-", "--", "---"][next(3)],
                names[next(names.len())],
                values[next(values.len())]
            ));
            variables.push((super::flag::variable_of(names[next(names.len())]), values[next(values.len())]));
        }
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        match run(&flags, &variables) {
            Ok(parsed) => {
                let _ = (
                    check_start(&parsed.config),
                    bootstrap(&parsed.config, &unresolvable),
                    describe(&parsed.config, false),
                );
            }
            Err(exit) => assert!(exit.code <= 2 && (exit.code != 1 || !exit.records.is_empty())),
        }
    }
}

#[test]
fn every_kind_has_a_name() {
    assert!(all().all(|flag| !flag.kind.name().is_empty()));
    assert_eq!(Kind::OneOf(&["a", "b"]).name(), "a, b");
}

#[test]
fn the_readme_table_has_every_flag() {
    let table = readme_table();
    assert_eq!(table.lines().count(), 2 + all().count());
    assert!(table.contains("| `--peer-cert-file` | text |  | refused: waits for TLS between members |"));
}

#[test]
fn a_file_is_read_instead_of_flags_and_variables() {
    let read_file = |path: &str| match path {
        "f" => Ok("name: from-file\ndata-dir: /d\nlisten-client-urls: http://127.0.0.1:1\n".to_owned()),
        _ => Err(format!("open {path}: no such file or directory")),
    };
    let outside = Outside { default_host: &host, read_file: &read_file };
    let name = |text: &str, value: &str| vec![(text.to_owned(), value.to_owned())];
    let parsed = parse(&texts(&["x", "--config-file=f", "--name=flag"]), &name("ETCD_NAME", "env"), outside).unwrap();
    assert_eq!((parsed.config.name.as_str(), parsed.config.data_dir.to_str()), ("from-file", Some("/d")));
    // Unlike on a command line, the default of what is advertised stays.
    assert_eq!(parsed.config.advertise.client_texts(), ["http://localhost:2379"]);
    let loaded =
        parsed.records.iter().find(|record| record.message.starts_with("loaded server configuration")).unwrap();
    assert_eq!(field(loaded, "path"), "f");
    let by_variable = parse(&texts(&["x"]), &name("ETCD_CONFIG_FILE", "f"), outside).unwrap();
    assert_eq!(by_variable.config.name, "from-file");
    let missing = parse(&texts(&["x", "--config-file", "g"]), &[], outside).unwrap_err();
    assert_eq!((missing.code, field(&missing.records[1], "error").as_str()), (1, "open g: no such file or directory"));
}

#[test]
fn rotation_needs_one_file_and_a_whole_configuration() {
    let file = "--log-outputs=/x/log";
    let rotation = config(&["--enable-log-rotation", file]).log.rotation.unwrap();
    assert_eq!((rotation.bytes_max, rotation.files_max, rotation.days_max), (100 << 20, 0, 0));
    let json =
        r#"--log-rotation-config-json={"maxsize": 1, "maxage": 2, "maxbackups": 3, "compress": true, "filename": "y"}"#;
    let rotation = config(&["--enable-log-rotation", "--log-outputs=stderr,/x/log", json]).log.rotation.unwrap();
    assert_eq!((rotation.bytes_max, rotation.files_max, rotation.days_max), (1 << 20, 3, 2));
    assert!(rotation.compress);
    let single = "--log-outputs requires a single file path when --log-rotate-config-json is defined";
    assert_eq!(refusal(&["--enable-log-rotation"], &[]), single);
    assert_eq!(refusal(&["--enable-log-rotation", "--log-outputs=/a,/b"], &[]), single);
    for (json, begin) in
        [("{", "improperly formatted log rotation config: "), (r#"{"maxsize": true}"#, "invalid log rotation config: ")]
    {
        let flag = format!("--log-rotation-config-json={json}");
        assert!(refusal(&["--enable-log-rotation", file, &flag], &[]).starts_with(begin), "{json}");
    }
    assert!(config(&[file]).log.rotation.is_none());
}

#[test]
fn keepalive_that_is_zero_is_grpcs_own() {
    let keepalive = config(&["--grpc-keepalive-min-time=0s", "--grpc-keepalive-interval=0s"]).keepalive;
    assert_eq!(
        (keepalive.client_ping_min, keepalive.server_ping_interval),
        (Duration::from_mins(5), Duration::from_hours(2))
    );
    let keepalive = config(&["--grpc-keepalive-interval=10ms", "--grpc-keepalive-timeout=3s"]).keepalive;
    assert_eq!(
        (keepalive.server_ping_interval, keepalive.server_ping_timeout),
        (Duration::from_secs(1), Duration::from_secs(3))
    );
}

#[test]
fn gates_without_effect_are_told() {
    let parsed = run(&["--feature-gates=LeaseCheckpoint=true,PriorityRequest=true"], &[]).unwrap();
    let told = parsed.records.iter().filter(|record| record.message.starts_with("feature gate ")).count();
    assert_eq!(told, 1);
}
