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

/// Commands in one batch, which is one raft entry: bounds the answers that one entry can release, and what a spoiled
/// count can make a parser walk. Part of batch version 1.
pub const BATCH_COMMANDS_MAX: u32 = 16_384;

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
pub const TREE_KEY_PREFIX_BYTES: usize = 128;

/// The longest key or body. Far above any request the server takes; it keeps lengths in 32 bits and page sums in 64.
pub const TREE_RUN_BYTES_MAX: usize = 1 << 30;

/// Levels of a tree. A level is added only when a root of at least seven children splits, so 24 are never reached.
pub const TREE_LEVELS_MAX: usize = 24;

/// Pages whose state one block of the free map holds: 64 MiB of file.
pub const TREE_GROUP_PAGES: u64 = 16_384;

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

/// The smallest tree file: metas, the first group's map and room for the first roots.
pub const TREE_FILE_PAGES_MIN: u64 = 64;

const _: () = assert!(TREE_GROUP_PAGES.is_multiple_of(TREE_CHUNK_PAGES), "a chunk lies in one group");
const _: () = assert!(TREE_CHUNK_PAGES == 64, "a chunk is one word of the free map");
const _: () = assert!(TREE_KEY_PREFIX_BYTES < TREE_KEY_INLINE_BYTES_MAX, "a prefix is shorter than an inline key");
const _: () = assert!(
    TREE_KEY_INLINE_BYTES_MAX + TREE_HEAD_BYTES_MAX + TREE_BODY_INLINE_BYTES_MAX + 64 <= (PAGE_BYTES - 40) / 2,
    "two of the largest cells fit into a page, so every split in two succeeds"
);

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

// ---- net ----

/// Polls of one readiness registration before it is renewed: the reactor keeps a waker for each.
pub const POLLS_PER_REGISTRATION_MAX: u32 = 64;

/// The pause after a client was refused for want of a descriptor: long enough not to spin, short enough to notice the
/// first connection that ends.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(10);

// ---- rpc ----

/// How long a new connection may take to say by its first bytes which protocol it speaks. Stops half-open connections
/// from holding descriptors for ever.
pub const SNIFF_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an HTTP/1.1 request may take to arrive whole, and how long a kept-alive connection may stay idle. etcd
/// gives five minutes to the header. Stops slow senders.
pub const HTTP1_IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// What one HTTP/1.1 connection may buffer: its header must fit. Stops header floods.
pub const HTTP1_BUFFER_BYTES: usize = 64 * 1024;

/// The body of an HTTP/1.1 request: its endpoints take none, a little is read and forgotten.
pub const HTTP1_BODY_BYTES_MAX: usize = 64 * 1024;

/// Bytes of one stream's request that may be under way before the server has read them. One request of the usual size
/// arrives without a window update; more than the request limit is never needed.
pub const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// The same for a whole connection: bounds what a client can make the server hold unread.
pub const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Bytes of requests that have arrived in part, for one connection: beyond it, the request that adds to them is refused.
/// Stops a client that opens many streams and finishes no message.
pub const PARTIAL_BYTES_PER_CONNECTION_MAX: usize = 256 * 1024 * 1024;

/// Streams open at once on one connection, whatever the flag says: each costs about 2 KiB before its request does
/// anything. Watches need one each at most.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 16 * 1024;

/// The header list of one request, as HTTP/2 counts it. Tokens and metadata are far smaller. Stops header floods,
/// continuation frames included.
pub const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;

/// Streams that the client opened and reset before the server looked at them: beyond it the connection is ended. Stops
/// rapid resets.
pub const STREAMS_RESET_UNSEEN_MAX: usize = 1000;

/// Streams that the server reset and still remembers, so that late frames for them are no error.
pub const STREAMS_RESET_REMEMBERED_MAX: usize = 64;

/// Requests taken from one connection before others have their turn.
pub const CALLS_PER_TURN_MAX: usize = 64;

/// Answer bytes that wait in a stream for the client's window, beyond which the encoder waits too. Bounds what a slow
/// reader holds.
pub const SEND_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Bytes gathered in one turn before they go to the socket: one system call for many small answers.
pub const WRITE_GATHER_BYTES: usize = 64 * 1024;

/// One read from a socket.
pub const READ_BYTES: usize = 16 * 1024;

/// The largest message that is sent, as etcd sets it.
pub const RESPONSE_BYTES_MAX: usize = 0x7fff_ffff;

/// Pings closer together than this, while calls are open, are strikes: etcd's `--grpc-keepalive-min-time`.
pub const PING_INTERVAL_MIN: Duration = Duration::from_secs(5);

/// Pings closer together than this, while no call is open, are strikes.
pub const PING_INTERVAL_IDLE_MIN: Duration = Duration::from_secs(2 * 60 * 60);

/// Strikes that are forgiven; the next ends the connection. Stops ping floods.
pub const PING_STRIKES_MAX: u32 = 2;

/// Quiet time after which the server asks whether the client is there: etcd's `--grpc-keepalive-interval`.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2 * 60 * 60);

/// How long the answer may take: etcd's `--grpc-keepalive-timeout`. Stops dead clients from holding memory for ever.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a stopping server waits for open calls before it drops their connections.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

const _: () =
    assert!(STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES, "one stream never fills more than its connection");
const _: () = assert!(SEND_BUFFER_BYTES_MAX <= WRITE_GATHER_BYTES, "what one stream may send goes out in one write");

// ---- service ----

/// The first guess at a range's answer: most are a key or a few.
pub const RANGE_SMALL_BYTES: usize = 512;

/// A range's answer up to this size is encoded in one buffer and one pass; a larger one in chunks and two.
pub const RANGE_WHOLE_BYTES_MAX: usize = 128 * 1024;

/// A chunk of a large answer: what one slow reader holds beside its window.
pub const RANGE_CHUNK_BYTES: usize = 64 * 1024;

/// Cells that a read looks at before other calls have their turn: some hundred microseconds.
pub const RANGE_CELLS_PER_STEP: usize = 4096;

/// The same for HashKV, which is in nobody's way.
pub const HASH_CELLS_PER_STEP: usize = 1024;

// ---- shard ----
