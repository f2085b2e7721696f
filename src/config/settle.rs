//! Settings become the typed configuration.
//!
//! Invariants
//! - Every flag that is carried is read here and nowhere else.
//! - Nothing here refuses anything: `check` has done so before.

use std::path::PathBuf;
use std::time::Duration;

use super::derived::{advertised_clients, data_dir, initial_cluster};
use super::model::{
    Advertise, AutoCompaction, Config, GrpcKeepalive, Listen, MemberState, Quota, RaftTiming, RequestBounds, Warnings,
};
use super::settings::Settings;
use super::tls::client_tls;
use crate::limits::{self, ELECTION_HEARTBEATS_MIN, QUOTA_BYTES_DEFAULT, WATCH_PROGRESS_INTERVAL_DEFAULT};
use crate::log;

/// Builds the configuration from settings that were checked.
pub(super) fn settle(settings: &Settings, log: log::Options, auto_compaction: AutoCompaction) -> Config {
    let name = settings.text("name").to_owned();
    assert!(!log.targets.is_empty(), "a log goes somewhere");
    Config {
        data_dir: data_dir(settings, &name),
        wal_dir: Some(settings.text("wal-dir")).filter(|path| !path.is_empty()).map(PathBuf::from),
        listen: listen(settings),
        tls: client_tls(settings),
        advertise: advertise(settings),
        initial_cluster: initial_cluster(settings),
        initial_cluster_state: if settings.text("initial-cluster-state") == "new" {
            MemberState::New
        } else {
            MemberState::Existing
        },
        initial_cluster_token: settings.text("initial-cluster-token").to_owned(),
        strict_reconfig_check: settings.bool("strict-reconfig-check"),
        learners_max: settings.signed("max-learners"),
        raft: raft(settings),
        quota: quota(settings.signed("quota-backend-bytes")),
        requests: requests(settings),
        keepalive: keepalive(settings),
        auto_compaction,
        warnings: warnings(settings),
        watch_progress_notify_interval: or_default(
            settings.duration("watch-progress-notify-interval").to_std(),
            WATCH_PROGRESS_INTERVAL_DEFAULT,
        ),
        extensive_metrics: settings.text("metrics") == "extensive",
        memory_mlock: settings.bool("memory-mlock"),
        grpc_gateway: settings.bool("enable-grpc-gateway"),
        bcrypt_cost: bcrypt_cost(settings.unsigned("bcrypt-cost")),
        auth_token_ttl: Duration::from_secs(settings.unsigned("auth-token-ttl")),
        cors: settings.list("cors").to_owned(),
        host_whitelist: settings.list("host-whitelist").to_owned(),
        gates: settings.gates("feature-gates"),
        log,
        shards: Some(to_usize(settings.unsigned("shards"))).filter(|shards| *shards > 0),
        name,
    }
}

fn listen(settings: &Settings) -> Listen {
    Listen {
        client: settings.urls("listen-client-urls").to_owned(),
        client_http: settings.urls("listen-client-http-urls").to_owned(),
        peer: settings.urls("listen-peer-urls").to_owned(),
        metrics: settings.urls("listen-metrics-urls").to_owned(),
        reuse_port: settings.bool("socket-reuse-port"),
        reuse_address: settings.bool("socket-reuse-address"),
    }
}

fn advertise(settings: &Settings) -> Advertise {
    Advertise { client: advertised_clients(settings), peer: settings.urls("initial-advertise-peer-urls").to_owned() }
}

fn raft(settings: &Settings) -> RaftTiming {
    let heartbeat_millis = settings.unsigned("heartbeat-interval");
    assert!(heartbeat_millis > 0, "checked before");
    let election_ticks = settings.unsigned("election-timeout") / heartbeat_millis;
    assert!(election_ticks >= ELECTION_HEARTBEATS_MIN, "checked before: {election_ticks}");
    RaftTiming {
        heartbeat: Duration::from_millis(heartbeat_millis),
        election_ticks,
        pre_vote: settings.bool("pre-vote"),
        advance_first_election: settings.bool("initial-election-tick-advance"),
        catchup_entries: settings.unsigned("snapshot-catchup-entries"),
    }
}

fn quota(bytes: i64) -> Quota {
    match u64::try_from(bytes) {
        Ok(0) => Quota::Bytes(QUOTA_BYTES_DEFAULT),
        Ok(bytes) => Quota::Bytes(bytes),
        Err(_) => Quota::Unbounded,
    }
}

fn requests(settings: &Settings) -> RequestBounds {
    RequestBounds {
        bytes_max: to_usize(settings.unsigned("max-request-bytes")),
        txn_ops_max: to_usize(settings.unsigned("max-txn-ops")),
        streams_max: u32::try_from(settings.unsigned("max-concurrent-streams")).unwrap_or(u32::MAX),
    }
}

fn keepalive(settings: &Settings) -> GrpcKeepalive {
    let [client, interval, timeout] = ["grpc-keepalive-min-time", "grpc-keepalive-interval", "grpc-keepalive-timeout"]
        .map(|name| settings.duration(name).to_std());
    // What etcd does not set stands at gRPC's own defaults: a zero switches nothing off.
    let pings = !interval.is_zero() && !timeout.is_zero();
    let (server_ping_interval, server_ping_timeout) =
        if pings { (interval, timeout) } else { (limits::KEEPALIVE_INTERVAL, limits::KEEPALIVE_TIMEOUT) };
    GrpcKeepalive {
        client_ping_min: or_default(client, limits::PING_INTERVAL_MIN_UNSET),
        server_ping_interval: server_ping_interval.max(limits::KEEPALIVE_INTERVAL_MIN),
        server_ping_timeout,
    }
}

fn warnings(settings: &Settings) -> Warnings {
    Warnings {
        apply: settings.duration("warning-apply-duration").to_std(),
        unary_request: or_default(
            settings.duration("warning-unary-request-duration").to_std(),
            Duration::from_millis(300),
        ),
    }
}

/// bcrypt takes 4 to 31; etcd falls back to 10 with a warning.
fn bcrypt_cost(given: u64) -> u32 {
    u32::try_from(given).ok().filter(|cost| (4..=31).contains(cost)).unwrap_or(10)
}

fn or_default(given: Duration, default: Duration) -> Duration {
    if given.is_zero() { default } else { given }
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
