//! Families whose zero is the truth: nothing here does yet, or ever will do, what they count. Alerts and dashboards need them
//! to be there all the same.
//!
//! Invariants
//! - Whoever begins to do one of these things takes its row out of here and counts.

use super::front::USUAL;
use super::histogram::{Scale, Sum};
use super::text::{Page, Type};

/// One family: type, name, help.
type Row = (Type, &'static str, &'static str);

/// Until there are leases.
const LEASES: [Row; 4] = [
    (Type::Counter, "etcd_debugging_lease_granted_total", "The total number of granted leases."),
    (Type::Counter, "etcd_debugging_lease_renewed_total", "The number of renewed leases seen by the leader."),
    (Type::Counter, "etcd_debugging_lease_revoked_total", "The total number of revoked leases."),
    (Type::Counter, "etcd_debugging_server_lease_expired_total", "The total number of expired leases."),
];

/// Until there are watches.
const WATCHES: [Row; 5] = [
    (Type::Counter, "etcd_debugging_mvcc_events_total", "Total number of events sent by this member."),
    (Type::Gauge, "etcd_debugging_mvcc_pending_events_total", "Total number of pending events to be sent."),
    (Type::Gauge, "etcd_debugging_mvcc_slow_watcher_total", "Total number of unsynced slow watchers."),
    (Type::Gauge, "etcd_debugging_mvcc_watch_stream_total", "Total number of watch streams."),
    (Type::Gauge, "etcd_debugging_mvcc_watcher_total", "Total number of watchers."),
];

/// Until there are members to send to.
const CLUSTER: [Row; 3] = [
    (
        Type::Counter,
        "etcd_server_heartbeat_send_failures_total",
        "The total number of leader heartbeat send failures (likely overloaded from slow disk).",
    ),
    (
        Type::Counter,
        "etcd_server_learner_promote_successes",
        "The total number of successful learner promotions while this member is leader.",
    ),
    (
        Type::Gauge,
        "etcd_server_snapshot_apply_in_progress_total",
        "1 if the server is applying the incoming snapshot. 0 if none.",
    ),
];

/// Space is given back while the member serves: a defragmentation finds nothing to do and takes no time.
const DEFRAGMENTATION: [Row; 1] = [(
    Type::Gauge,
    "etcd_disk_defrag_inflight",
    "Whether or not defrag is active on the member. 1 means active, 0 means not.",
)];

/// Distributions of the same kinds.
const TIMES: [(&str, &str, Scale); 5] = [
    ("etcd_debugging_lease_ttl_total", "Bucketed histogram of lease TTLs.", Scale::numbers(1, 24)),
    (
        "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds",
        "The total duration in seconds of running through the send loop control stream response.",
        USUAL,
    ),
    (
        "etcd_debugging_server_watch_send_loop_progress_duration_seconds",
        "The total duration in seconds of running through the progress loop control stream response.",
        USUAL,
    ),
    (
        "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds",
        "The average duration in seconds of running through the send loop watch stream response, per event.",
        USUAL,
    ),
    (
        "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds",
        "The total duration in seconds of running through the send loop watch stream response all events.",
        USUAL,
    ),
];

/// Writes them.
pub(super) fn show(page: &mut Page) {
    for (kind, name, help) in LEASES.into_iter().chain(WATCHES).chain(CLUSTER).chain(DEFRAGMENTATION) {
        page.family(name, kind, help).value(&[], 0);
    }
    for (name, help, scale) in TIMES {
        page.family(name, Type::Histogram, help).histogram(&[], &Sum::new(scale));
    }
}
