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

/// Root slots in a meta page: more than there are trees, so that a new tree needs no new format.
pub const TREE_ROOTS: usize = 16;

/// The part of a cell that is never moved to overflow pages: revisions, version, lease, flags.
pub const TREE_HEAD_BYTES_MAX: usize = 64;

/// A body above a quarter of a page lies in a run of pages of its own, so that a leaf keeps at least two cells.
pub const TREE_BODY_INLINE_BYTES_MAX: usize = PAGE_BYTES / 4;

/// A key above this lies in a run too, and its cell keeps a prefix. Kubernetes' keys are below 300 bytes.
pub const TREE_KEY_INLINE_BYTES_MAX: usize = 512;

/// What a cell keeps of a key that lies in a run: enough that a search seldom has to open the run.
pub const TREE_KEY_PREFIX_BYTES: usize = 256;

/// The longest key or body. Far above any request the server takes; it keeps lengths in 32 bits and page sums in 64.
pub const TREE_RUN_BYTES_MAX: usize = 1 << 30;

/// Levels of a tree. A level is added only when a root of at least seven children splits, so 24 are never reached.
pub const TREE_LEVELS_MAX: usize = 24;

/// Pages whose state one block of the free map holds: 64 MiB of file.
pub const TREE_GROUP_PAGES: u64 = 16_384;

/// Groups whose map blocks lie together, so that opening a store reads them in long stretches: 8 GiB of file.
pub const TREE_REGION_GROUPS: u64 = 128;

/// The unit in which space goes back to the file system: 256 KiB, one word of the free map.
pub const TREE_CHUNK_PAGES: u64 = 64;

/// Chunks handed back by one checkpoint, so that a mass delete does not make one checkpoint long: 256 MiB.
pub const TREE_GIVE_BACK_CHUNKS_MAX: usize = 1024;

/// Published snapshots kept for readers that are just pinning. A reader that was overtaken this often tries again.
pub const TREE_SNAPSHOT_RING: usize = 16;

/// Free pages remembered as recently touched: 16 MiB, about what a second-level cache and the page tables keep warm.
pub const TREE_HOT_PAGES_MAX: usize = 4096;

/// Pins of different snapshots that one cache line of reader slots holds.
pub const TREE_SLOTS_PER_BLOCK: usize = 8;

/// Blocks of reader slots: 32,768 different pinned snapshots at once, above any bound on concurrent reads.
pub const TREE_SLOT_BLOCKS_MAX: usize = 4096;

/// The smallest tree file: metas, the first region's map, and as much again for the first roots.
pub const TREE_FILE_PAGES_MIN: u64 = 512;

const _: () = assert!(TREE_FILE_PAGES_MIN >= 4 * TREE_REGION_GROUPS, "the first region's map leaves room");
const _: () = assert!(TREE_FILE_PAGES_MIN.is_multiple_of(TREE_CHUNK_PAGES), "files are whole chunks");
const _: () = assert!(TREE_GROUP_PAGES.is_multiple_of(TREE_CHUNK_PAGES), "a chunk lies in one group");
const _: () = assert!(TREE_CHUNK_PAGES == 64, "a chunk is one word of the free map");
const _: () = assert!(TREE_KEY_PREFIX_BYTES < TREE_KEY_INLINE_BYTES_MAX, "a prefix is shorter than an inline key");
const _: () = assert!(
    TREE_KEY_INLINE_BYTES_MAX + TREE_HEAD_BYTES_MAX + TREE_BODY_INLINE_BYTES_MAX + 64 <= (PAGE_BYTES - 48) / 2,
    "two of the largest cells fit into a page, so every split in two succeeds"
);

// ---- wal ----

// ---- mvcc ----

// ---- apply ----

// ---- raft ----

// ---- replica ----

// ---- disk ----

// ---- rpc ----

// ---- service ----

// ---- shard ----
