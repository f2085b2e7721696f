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

// ---- disk ----

/// Addresses reserved for the tree file: 1 TiB, ten times the largest database that is promised. Address space is free;
/// running out of it would need a remap under readers.
pub const TREE_RESERVED_PAGES: u64 = (1 << 40) / 4096;

/// One write of a segment's zero-filling. Small enough that a write of the WAL that comes meanwhile waits for little.
pub const ZERO_FILL_BYTES: usize = 1 << 20;

/// The pause after each such write: 64 MiB then take at least a third of a second, well below the time in which the
/// fastest writer fills the segment before.
pub const ZERO_FILL_PAUSE_MS: u64 = 4;

// ---- rpc ----

// ---- service ----

// ---- shard ----
