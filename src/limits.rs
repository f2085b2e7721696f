//! Every bound in the server, with its unit in its name, the reason for its size, and compile-time relations to its
//! neighbours. A module's bounds stand together under its heading, in layer order.

// ---- sizes shared by several modules ----

/// A page of the tree, a block of the WAL, and the alignment of every O_DIRECT write. Fixed: both file formats name it.
pub const PAGE_BYTES: usize = 4096;

/// etcd's default for `--max-request-bytes`.
pub const REQUEST_BYTES_MAX_DEFAULT: usize = 1_572_864;

/// What gRPC framing may add to a request before the transport refuses it (etcd adds the same to its own limit).
pub const REQUEST_OVERHEAD_BYTES: usize = 512 * 1024;

/// etcd's default for `--max-txn-ops`.
pub const TXN_OPS_MAX_DEFAULT: usize = 128;

// ---- codec ----

// ---- command ----

// ---- tree ----

// ---- wal ----

// ---- mvcc ----

// ---- apply ----

// ---- raft ----

// ---- replica ----

// ---- log ----

/// Lines that wait for the log's thread. A disk that stalls for seconds must not stall an executor; what does not fit is
/// counted and dropped. At 200 bytes a line this holds under a megabyte.
pub const LOG_QUEUE_LINES_MAX: usize = 4096;

/// Bytes that go to a log destination in one write.
pub const LOG_BATCH_BYTES_MAX: usize = 64 * 1024;

/// How long the end of the process waits for its last lines.
pub const LOG_FLUSH_MAX: std::time::Duration = std::time::Duration::from_secs(2);

// ---- config ----

/// etcd's default for `--quota-backend-bytes`.
pub const QUOTA_BYTES_DEFAULT: u64 = 2 * 1024 * 1024 * 1024;

/// Heartbeats that an election timeout must span at least: fewer, and one lost packet starts an election.
pub const ELECTION_HEARTBEATS_MIN: u64 = 5;

/// etcd's longest election timeout.
pub const ELECTION_MILLIS_MAX: u64 = 50_000;

/// etcd's default for `--watch-progress-notify-interval`.
pub const WATCH_PROGRESS_INTERVAL_DEFAULT: std::time::Duration = std::time::Duration::from_mins(10);

/// From this size of `--max-request-bytes` on etcd warns.
pub const REQUEST_BYTES_RECOMMENDED_MAX: u64 = 10 * 1024 * 1024;

// ---- preflight ----

/// What glommio asks of RLIMIT_MEMLOCK for one executor's rings; below it an executor does not start.
pub const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// Files that are kept for the member itself: WAL, tree, rings, peers. etcd keeps as many from its clients.
pub const FILES_RESERVED: u64 = 150;

/// How long a host name in the advertised peer URLs may take to become known at a member's first start, as with etcd.
pub const RESOLVE_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// Time between two tries to resolve a name.
pub const RESOLVE_RETRY_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

// ---- disk ----

// ---- rpc ----

// ---- service ----

// ---- shard ----
