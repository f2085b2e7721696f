//! Flags about what the server tells of itself: metrics, log, traces.

use super::super::flag::{Flag, Group, Kind, in_force};

const fn metric(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    in_force(Group::Monitoring, name, kind, default, help)
}

const fn trace(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    metric(name, kind, default, help).not_yet("traces")
}

const fn log(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    in_force(Group::Logging, name, kind, default, help)
}

/// What `--log-rotation-config-json` is when it is not given.
const ROTATION: &str = r#"{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}"#;

/// In the order of `--help`.
pub(super) const FLAGS: &[Flag] = &[
    metric("enable-pprof", Kind::Bool, "false", "Serve Go's profiles under /debug/pprof.")
        .without("there is no Go runtime to profile; use perf"),
    metric("metrics", Kind::Text, "basic", "`extensive` adds histograms of every gRPC method."),
    metric("listen-metrics-urls", Kind::Urls, "", "More URLs to serve metrics and health on."),
    trace("enable-distributed-tracing", Kind::Bool, "false", "Send traces to a collector."),
    trace("distributed-tracing-address", Kind::Text, "localhost:4317", "Address of the collector."),
    trace("distributed-tracing-service-name", Kind::Text, "etcd", "Name of the service in traces."),
    trace("distributed-tracing-instance-id", Kind::Text, "", "Name of this instance in traces."),
    trace("distributed-tracing-sampling-rate", Kind::Int, "0", "Traces kept of a million."),
    log("logger", Kind::Text, "zap", "Shape of the log; `zap` is the only one."),
    log(
        "log-outputs",
        Kind::UniqueList,
        "default",
        "Where the log goes: default, stderr, stdout, systemd/journal or files.",
    ),
    log(
        "log-level",
        Kind::Text,
        "info",
        "Least grave level that is written: debug, info, warn, error, panic or fatal.",
    ),
    log("log-format", Kind::Text, "json", "Form of a line: json or console."),
    log("enable-log-rotation", Kind::Bool, "false", "Start a new log file when one is full."),
    log("log-rotation-config-json", Kind::Text, ROTATION, "When a log file is full and how many are kept."),
    log("warning-unary-request-duration", Kind::Duration, "300ms", "Time from which a request is logged as slow."),
];
