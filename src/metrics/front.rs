//! What one shard counts of its connections and calls.
//!
//! Invariants
//! - Written by its shard alone.

use super::cell::Counter;
use super::clients::Clients;
use super::histogram::{Histogram, Scale};
use super::method::{CODES, Method};

/// etcd's usual buckets: 1 ms, doubled to 8.192 s.
pub(super) const USUAL: Scale = Scale::seconds(1_000_000, 14);
/// From 0.1 ms to 52 s.
const FINE: Scale = Scale::seconds(100_000, 20);
/// From 10 ms to 164 s.
const HASHING: Scale = Scale::seconds(10_000_000, 15);
/// From 10 ms to 655 s.
const SNAPSHOTS: Scale = Scale::seconds(10_000_000, 17);
/// From 0.1 s to 410 s.
const DEFRAGMENTATION: Scale = Scale::seconds(100_000_000, 13);
/// client_golang's default buckets.
const HANDLING: Scale = Scale::listed(&[
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
]);

/// Kinds of requests whose time is told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestKind {
    /// A range, linearizable or not.
    Range,
    /// A txn that only reads.
    ReadonlyTxn,
    /// A put.
    Put,
    /// A deletion.
    DeleteRange,
    /// A txn that goes through the log.
    Txn,
    /// A compaction.
    Compaction,
    /// An alarm raised or disarmed.
    Alarm,
    /// A lease made.
    LeaseGrant,
    /// A lease taken away.
    LeaseRevoke,
}

impl RequestKind {
    /// All of them, by place.
    pub const ALL: [Self; 9] = [
        Self::Range,
        Self::ReadonlyTxn,
        Self::Put,
        Self::DeleteRange,
        Self::Txn,
        Self::Compaction,
        Self::Alarm,
        Self::LeaseGrant,
        Self::LeaseRevoke,
    ];

    /// etcd's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Range => "Range",
            Self::ReadonlyTxn => "ReadonlyTxn",
            Self::Put => "Put",
            Self::DeleteRange => "DeleteRange",
            Self::Txn => "Txn",
            Self::Compaction => "Compaction",
            Self::Alarm => "Alarm",
            Self::LeaseGrant => "LeaseGrant",
            Self::LeaseRevoke => "LeaseRevoke",
        }
    }

    fn place(self) -> usize {
        match self {
            Self::Range => 0,
            Self::ReadonlyTxn => 1,
            Self::Put => 2,
            Self::DeleteRange => 3,
            Self::Txn => 4,
            Self::Compaction => 5,
            Self::Alarm => 6,
            Self::LeaseGrant => 7,
            Self::LeaseRevoke => 8,
        }
    }
}

/// One of the named checks behind `/livez` and `/readyz`: its endpoint and its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Check {
    /// The endpoint, without the slash.
    pub group: &'static str,
    /// The check.
    pub name: &'static str,
}

impl Check {
    /// All of them, by place.
    pub const ALL: [Self; 5] = [
        Self { group: "livez", name: "serializable_read" },
        Self { group: "readyz", name: "data_corruption" },
        Self { group: "readyz", name: "serializable_read" },
        Self { group: "readyz", name: "linearizable_read" },
        Self { group: "readyz", name: "non_learner" },
    ];
}

/// What is counted of one method.
#[derive(Debug, Default)]
pub(super) struct MethodCells {
    pub(super) started: Counter,
    pub(super) received: Counter,
    pub(super) sent: Counter,
    pub(super) handled: [Counter; CODES.len()],
}

/// What is counted of one check: failures and successes.
#[derive(Debug, Default)]
pub(super) struct CheckCells {
    pub(super) outcomes: [Counter; 2],
}

/// The cells of one shard's front.
#[derive(Debug)]
#[repr(align(128))]
pub struct Front {
    /// Connections accepted.
    pub connections_begun: Counter,
    /// Connections that have ended.
    pub connections_ended: Counter,
    /// gRPC calls begun.
    pub calls_begun: Counter,
    /// gRPC calls ended, however they did.
    pub calls_ended: Counter,
    /// Bytes read from sockets.
    pub received_bytes: Counter,
    /// Bytes written to sockets.
    pub sent_bytes: Counter,
    /// Bytes of the messages that clients sent.
    pub message_received_bytes: Counter,
    /// Bytes of the messages sent to clients.
    pub message_sent_bytes: Counter,
    /// Ranges answered here.
    pub ranges: Counter,
    /// Txns of several ranges answered here.
    pub read_txns: Counter,
    /// Commands that the member gave up waiting for.
    pub proposals_failed: Counter,
    /// Linearizable reads that the member gave up waiting for.
    pub reads_failed: Counter,
    /// Reads that took longer than the log warns at.
    pub slow_reads: Counter,
    /// Watch streams that clients have open.
    pub watch_streams: Counter,
    /// Watchers on them.
    pub watchers: Counter,
    /// Those that are not up to date.
    pub watchers_behind: Counter,
    /// Events sent to watchers.
    pub events_told: Counter,
    /// Events that wait to be sent.
    pub events_waiting: Counter,
    /// Renewals of leases that were there.
    pub leases_renewed: Counter,
    /// Times to live of the leases granted, seconds.
    pub lease_ttls: Histogram,
    /// Messages of watch streams handed to the transport.
    pub watch_sends: Histogram,
    /// The same, by event.
    pub watch_sends_by_event: Histogram,
    /// `/health` that was well.
    pub health_success: Counter,
    /// `/health` that was not.
    pub health_failures: Counter,
    /// Scrapes answered.
    pub scrapes: Counter,
    /// The time of HashKV.
    pub hash_revision: Histogram,
    /// The time of Hash.
    pub hash: Histogram,
    /// The time of snapshots that were sent whole.
    pub snapshots: Histogram,
    /// The time of Defragment.
    pub defragmentations: Histogram,
    /// Requests by their clients' versions.
    pub clients: Clients,
    pub(super) ranges_time: [Histogram; 2],
    pub(super) requests: [[Histogram; 2]; RequestKind::ALL.len()],
    pub(super) checks: [CheckCells; Check::ALL.len()],
    pub(super) methods: [MethodCells; Method::ALL.len()],
    /// The time of each method's calls, if that is wanted.
    pub(super) handling: Option<Box<[Histogram]>>,
}

impl Front {
    /// Nothing counted yet. `extensive` asks for the time of each method's calls too.
    pub fn new(extensive: bool) -> Self {
        let both = |scale| [Histogram::new(scale), Histogram::new(scale)];
        Self {
            connections_begun: Counter::default(),
            connections_ended: Counter::default(),
            calls_begun: Counter::default(),
            calls_ended: Counter::default(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            message_received_bytes: Counter::default(),
            message_sent_bytes: Counter::default(),
            ranges: Counter::default(),
            read_txns: Counter::default(),
            proposals_failed: Counter::default(),
            reads_failed: Counter::default(),
            slow_reads: Counter::default(),
            watch_streams: Counter::default(),
            watchers: Counter::default(),
            watchers_behind: Counter::default(),
            events_told: Counter::default(),
            events_waiting: Counter::default(),
            leases_renewed: Counter::default(),
            lease_ttls: Histogram::new(Scale::numbers(1, 24)),
            watch_sends: Histogram::new(USUAL),
            watch_sends_by_event: Histogram::new(USUAL),
            health_success: Counter::default(),
            health_failures: Counter::default(),
            scrapes: Counter::default(),
            hash_revision: Histogram::new(HASHING),
            hash: Histogram::new(HASHING),
            snapshots: Histogram::new(SNAPSHOTS),
            defragmentations: Histogram::new(DEFRAGMENTATION),
            clients: Clients::default(),
            ranges_time: both(FINE),
            requests: std::array::from_fn(|_| both(USUAL)),
            checks: Default::default(),
            methods: std::array::from_fn(|_| MethodCells::default()),
            handling: extensive.then(|| Method::ALL.iter().map(|_| Histogram::new(HANDLING)).collect()),
        }
    }

    /// A call of `method` begins.
    pub fn on_started(&self, method: Method) {
        self.methods[method.place()].started.count();
    }

    /// It brought a message.
    pub fn on_received(&self, method: Method) {
        self.methods[method.place()].received.count();
    }

    /// It is answered with a message.
    pub fn on_sent(&self, method: Method) {
        self.methods[method.place()].sent.count();
    }

    /// It ended with gRPC's code of this number.
    pub fn on_handled(&self, method: Method, code: usize) {
        self.methods[method.place()].handled[code].count();
    }

    /// Whether the time of each method's calls is wanted.
    pub fn times_calls(&self) -> bool {
        self.handling.is_some()
    }

    /// It took so long.
    pub fn on_handled_in(&self, method: Method, nanos: u64) {
        if let Some(handling) = &self.handling {
            handling[method.place()].observe(nanos);
        }
    }

    /// A request of this kind was answered.
    pub fn on_request(&self, kind: RequestKind, success: bool, nanos: u64) {
        self.requests[kind.place()][usize::from(success)].observe(nanos);
    }

    /// Messages of a watch stream with so many events were handed on.
    pub fn on_watch_sent(&self, events: u64, nanos: u64) {
        if let Some(by_event) = nanos.checked_div(events) {
            self.watch_sends.observe(nanos);
            self.watch_sends_by_event.observe(by_event);
        }
    }

    /// A range was looked up.
    pub fn on_range(&self, success: bool, nanos: u64) {
        self.ranges.count();
        self.ranges_time[usize::from(success)].observe(nanos);
    }

    /// A named check was made.
    pub(super) fn on_check(&self, check: usize, success: bool) {
        self.checks[check].outcomes[usize::from(success)].count();
    }
}
