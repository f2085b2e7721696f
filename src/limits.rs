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

// ---- disk ----

// ---- rpc ----

// ---- service ----

// ---- shard ----
