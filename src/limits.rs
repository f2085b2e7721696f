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

/// Commands in one batch, which is one raft entry: bounds the answers that one entry can release, and what a spoiled
/// count can make a parser walk. Part of batch version 1.
pub const BATCH_COMMANDS_MAX: u32 = 16_384;

// ---- tree ----

// ---- wal ----

// ---- mvcc ----

// ---- apply ----

// ---- raft ----

// ---- replica ----

// ---- disk ----

// ---- rpc ----

// ---- service ----

// ---- shard ----
