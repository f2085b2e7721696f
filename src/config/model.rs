//! The configuration as the rest of the server reads it: typed, checked, every bound in its unit.

use std::path::PathBuf;
use std::time::Duration;

use super::gates::Gates;
use crate::gotext::GoDuration;
use crate::identity::Url;
use crate::log;

/// How a member is to run.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `--name`.
    pub name: String,
    /// `--data-dir`, or the default made of the name.
    pub data_dir: PathBuf,
    /// `--wal-dir`; nothing is `member/wal` in the data directory.
    pub wal_dir: Option<PathBuf>,
    /// Where to listen.
    pub listen: Listen,
    /// TLS of the client listeners.
    pub tls: super::ClientTls,
    /// What to tell others.
    pub advertise: Advertise,
    /// `--initial-cluster`, as text: it is only read at a member's first start.
    pub initial_cluster: String,
    /// `--initial-cluster-state`.
    pub initial_cluster_state: MemberState,
    /// `--initial-cluster-token`.
    pub initial_cluster_token: String,
    /// `--strict-reconfig-check`.
    pub strict_reconfig_check: bool,
    /// `--max-learners`.
    pub learners_max: i64,
    /// Heartbeats and elections.
    pub raft: RaftTiming,
    /// `--quota-backend-bytes`.
    pub quota: Quota,
    /// Bounds on requests.
    pub requests: RequestBounds,
    /// Keepalive of connections.
    pub keepalive: GrpcKeepalive,
    /// Compaction by itself.
    pub auto_compaction: AutoCompaction,
    /// From when requests are logged as slow.
    pub warnings: Warnings,
    /// `--watch-progress-notify-interval`, 10 minutes when zero.
    pub watch_progress_notify_interval: Duration,
    /// `--metrics=extensive`.
    pub extensive_metrics: bool,
    /// `--memory-mlock`.
    pub memory_mlock: bool,
    /// `--enable-grpc-gateway`.
    pub grpc_gateway: bool,
    /// `--bcrypt-cost`, brought into its range.
    pub bcrypt_cost: u32,
    /// `--auth-token-ttl`.
    pub auth_token_ttl: Duration,
    /// `--cors`.
    pub cors: Vec<String>,
    /// `--host-whitelist`.
    pub host_whitelist: Vec<String>,
    /// `--feature-gates`.
    pub gates: Gates,
    /// The log.
    pub log: log::Options,
    /// `--shards`; nothing is one a core.
    pub shards: Option<usize>,
}

/// Listeners.
#[derive(Clone, PartialEq, Debug)]
pub struct Listen {
    /// `--listen-client-urls`.
    pub client: Vec<Url>,
    /// `--listen-client-http-urls`.
    pub client_http: Vec<Url>,
    /// `--listen-peer-urls`.
    pub peer: Vec<Url>,
    /// `--listen-metrics-urls`.
    pub metrics: Vec<Url>,
    /// `--socket-reuse-port`.
    pub reuse_port: bool,
    /// `--socket-reuse-address`.
    pub reuse_address: bool,
}

/// URLs that others are told.
#[derive(Clone, PartialEq, Debug)]
pub struct Advertise {
    /// `--advertise-client-urls`; nothing when it was not given though the listeners were.
    pub client: Option<Vec<Url>>,
    /// `--initial-advertise-peer-urls`.
    pub peer: Vec<Url>,
}

impl Advertise {
    /// The client URLs as texts.
    pub fn client_texts(&self) -> Vec<String> {
        self.client.iter().flatten().map(Url::to_string).collect()
    }

    /// The peer URLs as texts.
    pub fn peer_texts(&self) -> Vec<String> {
        self.peer.iter().map(Url::to_string).collect()
    }
}

/// Whether the cluster begins with this start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemberState {
    /// `new`: it does.
    New,
    /// `existing`: this member joins one that is there.
    Existing,
}

impl MemberState {
    /// The word of the flag.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Existing => "existing",
        }
    }
}

/// Heartbeats and elections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RaftTiming {
    /// `--heartbeat-interval`: one tick.
    pub heartbeat: Duration,
    /// `--election-timeout` in whole ticks, rounded down as etcd does.
    pub election_ticks: u64,
    /// `--pre-vote`.
    pub pre_vote: bool,
    /// `--initial-election-tick-advance`.
    pub advance_first_election: bool,
    /// `--snapshot-catchup-entries`.
    pub catchup_entries: u64,
}

/// How large the store may grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quota {
    /// So many bytes.
    Bytes(u64),
    /// As large as the disk allows.
    Unbounded,
}

/// Bounds on requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestBounds {
    /// `--max-request-bytes`.
    pub bytes_max: usize,
    /// `--max-txn-ops`.
    pub txn_ops_max: usize,
    /// `--max-concurrent-streams`.
    pub streams_max: u32,
}

/// Keepalive of connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GrpcKeepalive {
    /// `--grpc-keepalive-min-time`: a client that pings more often is turned away.
    pub client_ping_min: Duration,
    /// `--grpc-keepalive-interval`.
    pub server_ping_interval: Duration,
    /// `--grpc-keepalive-timeout`.
    pub server_ping_timeout: Duration,
}

/// What `--auto-compaction-retention` counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompactionMode {
    /// Time.
    Periodic,
    /// Revisions.
    Revision,
}

/// Compaction by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AutoCompaction {
    /// Never.
    Off,
    /// Down to what was current so long ago.
    Periodic(GoDuration),
    /// Down to so many revisions.
    Revision(i64),
}

/// From when requests are logged as slow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Warnings {
    /// `--warning-apply-duration`.
    pub apply: Duration,
    /// `--warning-unary-request-duration`, its default when zero.
    pub unary_request: Duration,
}
