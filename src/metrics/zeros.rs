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
const TIMES: [(&str, &str, Scale); 2] = [
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
];

/// Writes them.
pub(super) fn show(page: &mut Page) {
    for (kind, name, help) in CLUSTER.into_iter().chain(DEFRAGMENTATION) {
        page.family(name, kind, help).value(&[], 0);
    }
    for (name, help, scale) in TIMES {
        page.family(name, Type::Histogram, help).histogram(&[], &Sum::new(scale));
    }
}
