//! Every bound in the server, with its unit in its name, the reason for its size, and compile-time relations to its
//! neighbours. A module's bounds stand together under its heading, in layer order.

use std::time::Duration;

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

/// Alignment and unit of every WAL write, as O_DIRECT wants it.
pub const WAL_BLOCK_BYTES: u64 = 4096;

/// What a disk writes as one: a torn write tears at these. A part's header fits one, so it is there whole or not at all.
pub const WAL_SECTOR_BYTES: usize = 512;

/// A WAL segment: large enough that switching (a rename and two syncs of the directory) is rare, small enough that a
/// spare one is zero-filled in a second and that recovery reads little below the checkpoint.
pub const WAL_SEGMENT_BYTES: u64 = 64 * 1024 * 1024;

/// The smallest segment that tests and the simulator may ask for.
pub const WAL_SEGMENT_BYTES_MIN: u64 = 64 * 1024;

/// The largest segment: offsets inside a segment stay well below 32 bits.
pub const WAL_SEGMENT_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Segments kept ready ahead of use: while one is being recycled the other can be switched to.
pub const WAL_SEGMENTS_SPARE: usize = 2;

/// All segment files of a WAL together (2 GiB): when that many are held, writers get the space error until a checkpoint
/// releases some.
pub const WAL_SEGMENTS_MAX: usize = 32;

/// Groups in flight at once. Two hide the latency of the disk; more only add to what a crash may leave in pieces.
pub const WAL_GROUPS_IN_FLIGHT_MAX: usize = 4;

/// Bytes of records in one group. Bounds the memory of a plan and the segments that one group may need.
pub const WAL_GROUP_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Headers of earlier parts that each part repeats: more than the parts that are usually in flight, so that the part
/// that a crash left out is described by the one that arrived.
pub const WAL_HEADERS_REDUNDANT: usize = 8;

/// Quiet time after which the durable mark is written: it costs nobody a write then.
pub const WAL_SEAL_IDLE: Duration = Duration::from_millis(1);

/// The longest that the durable mark may lag behind under a load that never pauses.
pub const WAL_SEAL_LAG_MAX: Duration = Duration::from_millis(20);

const _: () = assert!(PAGE_BYTES == 4096 && WAL_BLOCK_BYTES == 4096, "one alignment for both files");
const _: () = assert!(WAL_BLOCK_BYTES.is_multiple_of(512) && WAL_SECTOR_BYTES == 512, "blocks are whole sectors");
const _: () = assert!(WAL_SEGMENT_BYTES.is_multiple_of(WAL_BLOCK_BYTES), "segments are whole blocks");
const _: () = assert!(WAL_SEGMENT_BYTES_MIN.is_multiple_of(WAL_BLOCK_BYTES), "segments are whole blocks");
const _: () = assert!(WAL_SEGMENT_BYTES_MIN <= WAL_SEGMENT_BYTES && WAL_SEGMENT_BYTES <= WAL_SEGMENT_BYTES_MAX);
const _: () = assert!(WAL_SEGMENTS_SPARE + 2 <= WAL_SEGMENTS_MAX, "an active and a full segment beside the spares");
const _: () = assert!(WAL_GROUP_BYTES_MAX <= WAL_SEGMENT_BYTES, "a group needs at most one switch, or two");
const _: () = assert!(WAL_GROUPS_IN_FLIGHT_MAX >= 2, "the next group is encoded while the last is written");
const _: () = assert!(WAL_HEADERS_REDUNDANT >= WAL_GROUPS_IN_FLIGHT_MAX, "each group in flight names the others");
const _: () = assert!(WAL_SEAL_IDLE.as_nanos() < WAL_SEAL_LAG_MAX.as_nanos(), "idle comes before overdue");

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
