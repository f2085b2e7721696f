//! What etcd refuses before it starts, in its order and words.
//!
//! Invariants
//! - Only the settings are looked at: no file, no name, no clock.

use std::path::PathBuf;

use super::derived;
use super::flag::Effect;
use super::gates::Gate;
use super::model::{AutoCompaction, CompactionMode};
use super::settings::Settings;
use super::table::all;
use crate::gotext::{GoDuration, parse_duration, quote, quote_list};
use crate::identity::Url;
use crate::limits::{ELECTION_HEARTBEATS_MIN, ELECTION_MILLIS_MAX, LOG_FILE_MEBIBYTES_DEFAULT};
use crate::log::{Format, Level, Options, Record, Rotation, Target};

/// The one refusal that etcd tells twice.
pub(super) const UNADVERTISED: &str = "--advertise-client-urls is required when --listen-client-urls is set explicitly";

/// Checks what comes before everything else, and what the log is to be like: the other refusals go into that log.
pub(super) fn check_log(settings: &Settings) -> Result<Options, String> {
    if settings.text("discovery-fallback") == "proxy" {
        return Err("v2 proxy is deprecated, and --discovery-fallback can't be configured as \"proxy\"".to_owned());
    }
    log_options(settings)
}

/// Checks the other settings in etcd's order; what is to be logged goes to `records`.
pub(super) fn check(settings: &Settings, records: &mut Vec<Record>) -> Result<(), String> {
    check_urls(settings, records)?;
    check_discovery(settings)?;
    check_timing(settings)?;
    if derived::advertised_clients(settings).is_none() {
        return Err(UNADVERTISED.to_owned());
    }
    compaction_mode(settings)?;
    check_features(settings, records)?;
    if settings.text("name") == "default" {
        records.push(Record::warn(
            "it isn't recommended to use default name, please set a value for --name. \
             Note that etcd might run into issue when multiple members have the same default name",
            vec![("name", "default".into())],
        ));
    }
    check_tls(settings)
}

/// What etcd says of flags that it is about to drop.
pub(super) fn deprecations(settings: &Settings) -> Vec<Record> {
    let texts = [
        ("max-snapshots", "--max-snapshots is deprecated in 3.6 and will be decommissioned in 3.8."),
        (
            "v2-deprecation",
            "--v2-deprecation is deprecated and scheduled for removal in v3.8. The default value is enforced, ignoring user input.",
        ),
    ];
    texts
        .into_iter()
        .filter(|(name, _)| settings.is_given(name))
        .map(|(_, text)| Record::warn(text, Vec::new()))
        .collect()
}

/// Refuses what is not there yet and would be missed; says which flags do nothing.
pub(super) fn check_effects(settings: &Settings, records: &mut Vec<Record>) -> Result<(), String> {
    for flag in all() {
        let name = format!("--{}", flag.name);
        match flag.effect {
            Effect::Refused(what) if !settings.is_default(flag) => {
                return Err(format!(
                    "{name} is not supported yet: it waits for {what}; remove the flag to start without it"
                ));
            }
            Effect::NotYet(what) if !settings.is_default(flag) => {
                let fields = vec![("flag-name", name.into()), ("waits-for", what.into())];
                records.push(Record::warn("flag has no effect yet", fields));
            }
            Effect::Without(reason) if !settings.is_default(flag) => {
                let fields = vec![("flag-name", name.into()), ("reason", reason.into())];
                records.push(Record::info("flag is accepted without effect", fields));
            }
            Effect::InForce | Effect::NotYet(_) | Effect::Without(_) | Effect::Refused(_) => {}
        }
    }
    for (gate, reason) in settings.gates("feature-gates").without_effect() {
        let fields = vec![("gate", gate.into()), ("reason", reason.into())];
        records.push(Record::info("feature gate is accepted without effect", fields));
    }
    Ok(())
}

fn log_options(settings: &Settings) -> Result<Options, String> {
    match settings.text("logger") {
        "zap" => {}
        "capnslog" => return Err("--logger=capnslog is removed in v3.5".to_owned()),
        other => return Err(format!("unknown logger option {}", quote(other))),
    }
    let outputs = settings.list("log-outputs");
    let has = |word: &str| outputs.iter().any(|output| output == word);
    if outputs.len() > 1 && has("default") {
        return Err("multi logoutput for \"default\" is not supported yet".to_owned());
    }
    let rotation = if settings.bool("enable-log-rotation") { Some(rotation(settings)?) } else { None };
    let level = Level::parse(settings.text("log-level")).map_err(|unknown| unknown.to_string())?;
    let format = match settings.text("log-format") {
        "" | "json" => Format::Json,
        "console" => Format::Console,
        other => return Err(format!("unknown log format: {other}, supported values json, console")),
    };
    if outputs.len() > 1 && has("systemd/journal") {
        let shown = quote_list(outputs.iter().map(String::as_str));
        return Err(format!(
            "running with systemd/journal but other '--log-outputs' values ({shown}) are configured with 'default'; \
             override 'default' value with something else"
        ));
    }
    let targets =
        if outputs.is_empty() { vec![Target::Stderr] } else { outputs.iter().map(|output| target(output)).collect() };
    Ok(Options { level, format, targets, rotation })
}

/// Rotation of the one file among the outputs.
fn rotation(settings: &Settings) -> Result<Rotation, String> {
    let outputs = settings.list("log-outputs");
    let files = outputs.iter().filter(|output| !matches!(output.as_str(), "default" | "stderr" | "stdout")).count();
    if files > 1 || (files == 0 && outputs.len() <= 1) {
        return Err("--log-outputs requires a single file path when --log-rotate-config-json is defined".to_owned());
    }
    read_rotation(settings.text("log-rotation-config-json"))
}

/// lumberjack's fields: sizes in MiB, times in days; negative numbers count as none.
fn read_rotation(text: &str) -> Result<Rotation, String> {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Fields {
        maxsize: i64,
        maxage: i64,
        maxbackups: i64,
        #[serde(rename = "localtime")]
        _localtime: bool,
        compress: bool,
    }
    let fields: Fields = serde_json::from_str(text).map_err(|error| {
        let about =
            if error.is_data() { "invalid log rotation config" } else { "improperly formatted log rotation config" };
        format!("{about}: {error}")
    })?;
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    let mebibytes = if fields.maxsize > 0 { count(fields.maxsize) } else { LOG_FILE_MEBIBYTES_DEFAULT };
    Ok(Rotation {
        bytes_max: mebibytes.saturating_mul(1 << 20),
        files_max: count(fields.maxbackups),
        days_max: count(fields.maxage),
        compress: fields.compress,
    })
}

fn target(output: &str) -> Target {
    match output {
        "default" | "stderr" => Target::Stderr,
        "stdout" => Target::Stdout,
        "systemd/journal" => Target::Journal,
        path => Target::File(PathBuf::from(path)),
    }
}

fn check_urls(settings: &Settings, records: &mut Vec<Record>) -> Result<(), String> {
    for name in ["listen-peer-urls", "listen-client-urls", "listen-client-http-urls"] {
        settings.urls(name).iter().try_for_each(check_bindable)?;
    }
    if settings.urls("listen-client-http-urls").is_empty() {
        let text = "Running http and grpc server on single port. This is not recommended for production.";
        records.push(Record::warn(text, Vec::new()));
    }
    settings.urls("listen-metrics-urls").iter().try_for_each(check_bindable)?;
    let peers = settings.urls("initial-advertise-peer-urls");
    let joined = |urls: &[Url]| quote(&urls.iter().map(Url::as_str).collect::<Vec<_>>().join(","));
    peers
        .iter()
        .try_for_each(check_has_host)
        .map_err(|why| format!("--initial-advertise-peer-urls {} must be \"host:port\" ({why})", joined(peers)))?;
    let clients = derived::advertised_clients(settings).unwrap_or_default();
    clients.iter().try_for_each(check_has_host).map_err(|why| {
        let forms = "\"host:port\", \"unix:/path/to/socket\" or \"unixs:/path/to/socket\"";
        format!("--advertise-client-urls {} must be in the format {forms} ({why})", joined(&clients))
    })
}

/// A listener's host is an address or `localhost`: a name may mean another machine tomorrow.
fn check_bindable(url: &Url) -> Result<(), String> {
    match url.host_and_port() {
        None | Some(("localhost", _)) => Ok(()),
        Some((host, _)) if host.parse::<std::net::IpAddr>().is_ok() => Ok(()),
        Some(_) => Err(format!("expected IP in URL for binding ({url})")),
    }
}

fn check_has_host(url: &Url) -> Result<(), String> {
    match url.host_and_port() {
        Some(("", _)) => Err(format!("unexpected empty host ({url})")),
        Some(_) | None => Ok(()),
    }
}

fn check_discovery(settings: &Settings) -> Result<(), String> {
    let endpoints = settings.list("discovery-endpoints");
    let ways = [
        !derived::initial_cluster(settings).is_empty(),
        !settings.text("discovery-srv").is_empty(),
        !endpoints.is_empty(),
    ];
    let state = settings.text("initial-cluster-state");
    if !matches!(state, "new" | "existing") {
        return Err(format!("unexpected clusterState {}", quote(state)));
    }
    if ways.iter().filter(|way| **way).count() > 1 {
        return Err("multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \"discovery-endpoints\" or \"discovery-srv\"".to_owned());
    }
    if settings.text("discovery-token").is_empty() != endpoints.is_empty() {
        return Err("both --discovery-token and --discovery-endpoints must be set".to_owned());
    }
    if endpoints.iter().any(|endpoint| endpoint.trim().is_empty()) {
        return Err("--discovery-endpoints must not contain empty endpoints".to_owned());
    }
    Ok(())
}

fn check_timing(settings: &Settings) -> Result<(), String> {
    let heartbeat = settings.unsigned("heartbeat-interval");
    let election = settings.unsigned("election-timeout");
    for (name, millis) in [("heartbeat-interval", heartbeat), ("election-timeout", election)] {
        if millis == 0 {
            return Err(format!("--{name} must be >0 (set to 0ms)"));
        }
    }
    if heartbeat.saturating_mul(ELECTION_HEARTBEATS_MIN) > election {
        return Err(format!(
            "--election-timeout[{election}ms] should be at least as 5 times as --heartbeat-interval[{heartbeat}ms]"
        ));
    }
    if election > ELECTION_MILLIS_MAX {
        return Err(format!(
            "--election-timeout[{election}ms] is too long, and should be set less than {ELECTION_MILLIS_MAX}ms"
        ));
    }
    Ok(())
}

fn compaction_mode(settings: &Settings) -> Result<CompactionMode, String> {
    match settings.text("auto-compaction-mode") {
        "periodic" => Ok(CompactionMode::Periodic),
        "revision" => Ok(CompactionMode::Revision),
        "" => Err("undefined auto-compaction-mode".to_owned()),
        other => Err(format!("unknown auto-compaction-mode {}", quote(other))),
    }
}

/// What is kept of history; etcd looks at this only when it starts, after the listeners are there.
pub(super) fn auto_compaction(settings: &Settings) -> Result<AutoCompaction, String> {
    let mode = compaction_mode(settings)?;
    let text = match settings.text("auto-compaction-retention") {
        "" => "0",
        given => given,
    };
    // A plain number counts hours or revisions.
    let count = text.parse::<i64>().ok().filter(|count| *count >= 0);
    match (count, mode) {
        (Some(0), _) => Ok(AutoCompaction::Off),
        (Some(revisions), CompactionMode::Revision) => Ok(AutoCompaction::Revision(revisions)),
        (Some(hours), CompactionMode::Periodic) => {
            Ok(AutoCompaction::Periodic(GoDuration(hours.saturating_mul(3_600_000_000_000))))
        }
        (None, _) => {
            let length = parse_duration(text).map_err(|why| format!("error parsing CompactionRetention: {why}"))?;
            let of_mode = match mode {
                CompactionMode::Periodic => AutoCompaction::Periodic(length),
                // etcd takes a time's nanoseconds for a number of revisions.
                CompactionMode::Revision => AutoCompaction::Revision(length.0),
            };
            Ok(if length.0 == 0 { AutoCompaction::Off } else { of_mode })
        }
    }
}

fn check_features(settings: &Settings, records: &mut Vec<Record>) -> Result<(), String> {
    let sampling = settings.signed("distributed-tracing-sampling-rate");
    if settings.bool("enable-distributed-tracing") && !(0..=1_000_000).contains(&sampling) {
        let bound = if sampling < 0 { "positive" } else { "less than 1000000" };
        return Err(format!("distributed tracing configurition is not valid: (tracing sampling rate must be {bound})"));
    }
    let gates = settings.gates("feature-gates");
    match (gates.enabled(Gate::LeaseCheckpoint), gates.enabled(Gate::LeaseCheckpointPersist)) {
        (true, false) => records.push(Record::warn(
            "Detected that checkpointing is enabled without persistence. Consider enabling feature gate LeaseCheckpointPersist",
            Vec::new(),
        )),
        (false, true) => {
            return Err("enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint".to_owned());
        }
        (true, true) | (false, false) => {}
    }
    let hash_check = settings.duration("compact-hash-check-time");
    if hash_check.0 <= 0 {
        return Err(format!("--compact-hash-check-time must be >0 (set to {hash_check})"));
    }
    Ok(())
}

fn check_tls(settings: &Settings) -> Result<(), String> {
    let (min_text, max_text) = (settings.text("tls-min-version"), settings.text("tls-max-version"));
    let (min, max) = (tls_version(min_text)?, tls_version(max_text)?);
    if max != 0 && min > max {
        return Err(format!("min version ({min_text}) is greater than max version ({max_text})"));
    }
    if min == 13 && !settings.list("cipher-suites").is_empty() {
        return Err("cipher suites cannot be configured when only TLS1.3 is enabled".to_owned());
    }
    Ok(())
}

fn tls_version(text: &str) -> Result<u8, String> {
    match text {
        "" => Ok(0),
        "TLS1.2" => Ok(12),
        "TLS1.3" => Ok(13),
        other => Err(format!("unexpected TLS version {} (must be one of: TLS1.2, TLS1.3)", quote(other))),
    }
}
