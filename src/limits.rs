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

/// Cells that a walk at an older revision passes over one by one before it searches: most keys have few versions, and a
/// neighbour is a hundred times cheaper than a search.
pub const MVCC_WALK_STEPS_BEFORE_SEEK: usize = 8;

/// A count at an older revision undoes up to this many changes however few the keys are.
pub const MVCC_COUNT_CHANGES_MIN: u64 = 64;

/// First bytes of a value that a sort by value holds; longer equal beginnings are compared in the pages.
pub const MVCC_SORT_PREFIX_BYTES: usize = 32;

/// Keys that a deletion takes out of the pages at a time: bounds what a deletion of a million keys holds.
pub const MVCC_DELETE_KEYS_PER_CHUNK: usize = 1024;

// ---- apply ----

// ---- raft ----

// ---- replica ----

// ---- disk ----

// ---- rpc ----

// ---- service ----

// ---- shard ----
