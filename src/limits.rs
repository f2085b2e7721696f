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

/// The part of a cell that is never moved to overflow pages: revisions, version, lease, flags, links.
pub const TREE_HEAD_BYTES_MAX: usize = 255;

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

/// Pages of large values that one step of a sweep copies, and at most one value more: 1 MiB.
pub const TREE_SWEEP_RUN_PAGES: u64 = 256;

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
const _: () = assert!(51 + MVCC_VERSION_NUMBER_MAX.trailing_zeros() * 14 <= 255 && TREE_HEAD_BYTES_MAX == 255);
const _: () = assert!(MVCC_VERSION_NUMBER_MAX.is_power_of_two(), "numbers that wrap lose no links");
const _: () = assert!(TREE_KEY_PREFIX_BYTES < TREE_KEY_INLINE_BYTES_MAX, "a prefix is shorter than an inline key");
const _: () = assert!(
    TREE_KEY_INLINE_BYTES_MAX + TREE_HEAD_BYTES_MAX + TREE_BODY_INLINE_BYTES_MAX + 64 <= (PAGE_BYTES - 48) / 2,
    "two of the largest cells fit into a page, so every split in two succeeds"
);

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

// ---- lease ----

/// The longest time to live that is granted: etcd's, 285 years.
pub const LEASE_TTL_SECONDS_MAX: i64 = 9_000_000_000;

/// Leases that are proposed to expire at once: a millisecond of applying, which is what a put may wait for them.
pub const LEASE_EXPIRIES_PER_BATCH_MAX: usize = 100;

/// Pause between two such batches: with them it makes etcd's thousand a second, so that a mass expiry leaves room.
pub const LEASE_EXPIRY_PAUSE: Duration = Duration::from_millis(100);

/// How long after an expiry was proposed it is proposed again if the lease is still there, and likewise the taking back of a
/// checkpoint: etcd's figure.
pub const LEASE_EXPIRY_RETRY: Duration = Duration::from_secs(3);

/// Time between two checkpoints of a lease's remaining time: etcd's default.
pub const LEASE_CHECKPOINT_INTERVAL: Duration = Duration::from_mins(5);

/// Leases in one checkpoint command: etcd's figure.
pub const LEASE_CHECKPOINTS_PER_BATCH_MAX: usize = 1000;

/// Pause between two checkpoint commands.
pub const LEASE_CHECKPOINT_PAUSE: Duration = Duration::from_millis(500);

/// Keep-alives that wait at once for an expiry or a checkpoint to be applied. Each stream waits for one.
pub const LEASE_WAITING_MAX: usize = 65_536;

/// Renewals of one stream that are answered together.
pub const LEASE_RENEWALS_PER_TURN_MAX: usize = 256;

/// What etcd counts against the quota for a lease.
pub const LEASE_COST_BYTES: usize = 64;

const _: () = assert!(LEASE_EXPIRY_PAUSE.as_nanos() < LEASE_EXPIRY_RETRY.as_nanos(), "a retry comes behind its batch");

// ---- mvcc ----

/// The greatest number of a version among those of its key; behind it they begin at half of it again. It is what bounds the
/// links in a head (51 bytes of numbers, then at most 14 links of 14 bytes), at the price of a search for every 8192
/// versions that lie between what is read and the newest.
pub const MVCC_VERSION_NUMBER_MAX: u64 = 1 << 14;

/// A count at an older revision undoes up to this many changes however few the keys are.
pub const MVCC_COUNT_CHANGES_MIN: u64 = 64;

/// First bytes of a value that a sort by value holds; longer equal beginnings are compared in the pages.
pub const MVCC_SORT_PREFIX_BYTES: usize = 32;

/// Checksums of past compactions that HashKV can still answer with: etcd's own number.
pub const MVCC_HASHES_REMEMBERED: usize = 10;

/// A compaction computes its checksum if no more rows than this are to be read for it. etcd always does, at the cost of
/// reading all that is stored; a larger store answers HashKV at its compacted revision as etcd does after a restart.
pub const MVCC_HASHED_ROWS_MAX: u64 = 32_768;

/// Keys that a deletion takes out of the pages at a time: bounds what a deletion of a million keys holds.
pub const MVCC_DELETE_KEYS_PER_CHUNK: usize = 1024;

// ---- watch ----

/// What may wait for one stream's client before its watchers stall: some seconds of a busy prefix, and what a client that
/// does not read costs. One batch may go beyond.
pub const WATCH_STREAM_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Messages for which an empty queue keeps its room. A stream on which a client made a thousand watchers at once would else
/// keep that of a thousand answers.
pub const WATCH_QUEUE_KEPT: usize = 64;

/// What a message that waits costs beside its events.
pub const WATCH_MESSAGE_BYTES: usize = 96;

/// What may wait for all clients of a shard, counting shared bytes once a stream, before streams get less. Stops ten
/// thousand clients that do not read.
pub const WATCH_SHARD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What may wait for one stream then.
pub const WATCH_STREAM_BYTES_SCARCE: usize = 64 * 1024;

/// Events of several revisions travel together up to this size; one revision is never split for it.
pub const WATCH_BATCH_BYTES: usize = 64 * 1024;

/// Encoded messages handed over at once.
pub const WATCH_CHUNK_BYTES: usize = 64 * 1024;

/// Events below this size are copied behind their message's head; larger ones are shared by all their watchers.
pub const WATCH_COPIED_BYTES_MAX: usize = 16 * 1024;

/// Cells that one step of a shard's watchers looks at before other tasks have their turn: some hundred microseconds.
pub const WATCH_CELLS_PER_STEP: usize = 2048;

/// Cells that a watcher that is behind looks at before the next one has its turn.
pub const WATCH_CELLS_PER_TURN: usize = 1024;

/// Watchers on one stream. Clients have some thousands at most; each costs about 300 bytes.
pub const WATCHES_PER_STREAM_MAX: usize = 128 * 1024;

/// The shortest interval of progress notifications: etcd's.
pub const WATCH_PROGRESS_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Steps that a request for progress makes to be up to date; one that is not by then is not answered, as with etcd.
pub const WATCH_STEPS_BEFORE_PROGRESS_MAX: usize = 16;

/// The part of the progress interval by which streams' tickers differ, so that they do not tick together: etcd's figure.
pub const WATCH_PROGRESS_JITTER_PART: u64 = 10;

const _: () = assert!(WATCH_STREAM_BYTES_SCARCE < WATCH_STREAM_BYTES_MAX && WATCH_BATCH_BYTES < WATCH_STREAM_BYTES_MAX);
const _: () = assert!(WATCH_CELLS_PER_TURN <= WATCH_CELLS_PER_STEP, "a step has a whole turn in it");
const _: () = assert!(WATCH_COPIED_BYTES_MAX <= WATCH_CHUNK_BYTES, "what is copied fits a chunk");
// ---- alarm ----

/// Alarms that stand at once, of all members and kinds: two a member is what etcd raises itself. Stops a client that raises
/// alarms for members that do not exist, each of which every status would list.
pub const ALARMS_MAX: u64 = 1024;

const _: () = assert!(ALARMS_MAX >= 8 * 64, "every alarm that the members themselves may raise has room");

// ---- backup ----

/// Bytes of a snapshot that one step makes: what a slow reader holds, beside its largest value and its window, and what
/// keeps a step to about a hundred microseconds.
pub const BACKUP_STEP_BYTES: usize = 64 * 1024;

/// Leases of a snapshot that are looked at together.
pub const BACKUP_LEASES_PER_STEP: usize = 512;

const _: () = assert!(BACKUP_STEP_BYTES >= 4 * PAGE_BYTES && BACKUP_STEP_BYTES.is_multiple_of(PAGE_BYTES));

// ---- apply ----

// ---- raft ----

/// The largest log index that a message or a file may name. Far above anything reached (a million entries a second take
/// 140,000 years), far enough below 2^64 that adding to an index never overflows.
pub const RAFT_INDEX_MAX: u64 = 1 << 62;

/// The largest term that a message may name, for the same reason.
pub const RAFT_TERM_MAX: u64 = 1 << 62;

/// Members of a group, voters and learners. etcd advises at most seven voters; a change lists each member at most once.
pub const RAFT_MEMBERS_MAX: usize = 64;

/// What a membership change may carry for the one who applies it: a name and two lists of addresses.
pub const RAFT_CHANGE_CONTEXT_BYTES_MAX: usize = 64 * 1024;

/// Data of one log entry: a batch of commands. Several default-sized requests, or one of any size that is let in.
pub const RAFT_ENTRY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Entries gathered into one append message, etcd's figure. A larger entry travels alone.
pub const RAFT_MESSAGE_BYTES_MAX: u64 = 1024 * 1024;

/// Entries in one append message. The library counts at least four bytes for an entry against `RAFT_MESSAGE_BYTES_MAX`.
pub const RAFT_MESSAGE_ENTRIES_MAX: usize = 256 * 1024;

/// A message's bytes on the wire: bounds what a peer can make us hold before it is refused.
pub const RAFT_WIRE_BYTES_MAX: usize = 24 * 1024 * 1024;

/// Append messages to one follower that are not answered: what a slow follower's link may hold, about 64 MiB.
pub const RAFT_MESSAGES_IN_FLIGHT_MAX: usize = 64;

/// Data that a leader may have appended and not committed: its memory when the majority is slow or gone.
pub const RAFT_UNCOMMITTED_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// What an entry weighs beside its data, in memory and in the log.
pub const RAFT_ENTRY_OVERHEAD_BYTES: u64 = 128;

/// Entries that may wait for the disk: beyond it a leader takes no proposals and a follower no appends. So what gathers
/// behind a slow write still fits into one group of the WAL.
pub const RAFT_UNPERSISTED_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Entries that may wait to be applied, beside the window's own bound: a store that waits for space holds them in memory.
pub const RAFT_UNAPPLIED_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Committed data handed over in one go: what a start may apply at once.
pub const RAFT_COMMITTED_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Applied entries kept in memory for followers that are a little behind.
pub const RAFT_WINDOW_ENTRIES_MAX: usize = 10_000;

/// Bytes of them.
pub const RAFT_WINDOW_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Turns of the library's ready loop in one turn of ours; what is left waits for the next.
pub const RAFT_READIES_PER_TURN_MAX: usize = 16;

/// Runs of members whose forwarded proposals one leader tells apart in one term: each restart of a member is one.
pub const RAFT_FORWARDERS_MAX: usize = 4096;

/// Read rounds under way: the next one gathers the reads that arrive meanwhile.
pub const RAFT_READ_ROUNDS_MAX: usize = 2;

/// Linearizable reads that wait, of all shards and, on a leader, of all members.
pub const RAFT_READS_WAITING_MAX: usize = 65_536;

/// How long a read round may stay without an answer before its reads ask again with a fresh context. etcd's figure.
pub const RAFT_READ_RETRY: std::time::Duration = std::time::Duration::from_millis(500);

// Any request that the front lets in by default fits into an entry, with its envelope.
const _: () = assert!(REQUEST_BYTES_MAX_DEFAULT + REQUEST_OVERHEAD_BYTES < RAFT_ENTRY_BYTES_MAX);
// The largest entry, and a full append of small ones, fit into a message.
const _: () = assert!(RAFT_ENTRY_BYTES_MAX + 1024 <= RAFT_WIRE_BYTES_MAX);
const _: () = assert!(RAFT_MESSAGE_ENTRIES_MAX * 24 + 2 * 1024 * 1024 <= RAFT_WIRE_BYTES_MAX);
// The library refuses a configuration in which one message could exceed what may be uncommitted.
const _: () = assert!(RAFT_MESSAGE_BYTES_MAX <= RAFT_UNCOMMITTED_BYTES_MAX);

// ---- replica ----

/// Time between heartbeats. etcd's default for `--heartbeat-interval`.
pub const REPLICA_TICK: Duration = Duration::from_millis(100);

/// Ticks without a leader before an election. etcd's default: `--election-timeout` of a second.
pub const REPLICA_ELECTION_TICKS: usize = 10;

/// How long a request may take, beside two election timeouts. etcd's figure.
pub const REPLICA_REQUEST_TIMEOUT_BASE: Duration = Duration::from_secs(5);

/// Committed entries that may wait to be applied before proposals are refused. etcd's figure.
pub const REPLICA_APPLY_GAP_MAX: u64 = 5000;

/// Proposals of this member that may wait for an answer: a hundred thousand in flight are an overload, not a load.
pub const REPLICA_PROPOSALS_MAX: usize = 100_000;

/// Their bytes.
pub const REPLICA_PROPOSALS_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes of a batch after which the next command begins another. A larger command travels alone.
pub const REPLICA_BATCH_BYTES_MAX: usize = 1024 * 1024;

/// Groups in flight beyond which proposals gather for the next batch: while one is written the other is encoded.
pub const REPLICA_GROUPS_IN_FLIGHT_MAX: usize = 2;

/// Batches proposed in one turn, all of them one group: what queued behind a slow group is several batches long.
pub const REPLICA_BATCHES_PER_TURN_MAX: usize = 8;

/// Entries applied in one transaction of the tree.
pub const REPLICA_APPLY_ENTRIES_MAX: usize = 1024;

/// Their data: bounds one turn of applying.
pub const REPLICA_APPLY_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The same while the recovered log is applied: nobody waits for a turn then, and a page that many of its entries change is
/// copied once for all of them.
pub const REPLICA_REPLAY_ENTRIES_MAX: usize = 65_536;

/// See `REPLICA_REPLAY_ENTRIES_MAX`.
pub const REPLICA_REPLAY_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// A checkpoint comes at the latest so long after the last one: bounds what a restart applies again.
pub const REPLICA_CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);

/// The part of the interval that passes at least between two checkpoints that a long log or a lack of space asks for.
pub const REPLICA_CHECKPOINT_SOON_PART: u32 = 8;

/// Pages that a checkpoint would write, above which it comes at once (128 MiB): bounds the process's own copies of pages. Puts
/// of random keys dirty the leaves of the index over and over: the longer they are gathered, the less is written.
pub const REPLICA_CHECKPOINT_DIRTY_PAGES: u64 = 32_768;

/// Bytes of log files above which a checkpoint comes at once (512 MiB): bounds what a restart reads.
pub const REPLICA_WAL_CHECKPOINT_BYTES: u64 = 512 * 1024 * 1024;

/// Entries below the checkpoint that stay for followers that lag. etcd's figure (`--snapshot-catchup-entries`).
pub const REPLICA_CATCH_UP_ENTRIES: u64 = 5000;

/// Rows that one step of a compaction looks at: about 0.2 ms.
pub const REPLICA_COMPACT_ROWS_PER_STEP: usize = 32;

/// Pause between steps of a compaction, for everything else.
pub const REPLICA_COMPACT_PAUSE: Duration = Duration::from_millis(1);

/// Leaves that one step of a sweep looks at. A sweep begins when more than a quarter of the file and more than 128 MiB (a
/// quarter of what is used, if that is more) is free and scattered; what it moves down lets the file's end go.
pub const REPLICA_SWEEP_LEAVES_PER_STEP: u64 = 16;

/// How long a sweep waits when something else has the pages, before it looks again.
pub const REPLICA_SWEEP_WAIT: Duration = Duration::from_millis(50);

/// Pause between steps of a sweep, for everything else.
pub const REPLICA_SWEEP_PAUSE: Duration = Duration::from_millis(8);

/// Pause between two sweeps, at least, unless a quarter less is used by then; it is also at least `REPLICA_SWEEP_REST_PART`
/// times what the last one took, for one that did not help, because readers hold old pages, must not become a load.
pub const REPLICA_SWEEP_REST: Duration = Duration::from_secs(60);

/// See `REPLICA_SWEEP_REST`.
pub const REPLICA_SWEEP_REST_PART: u32 = 4;

/// Checkpoints after the last change that gave pages free, which give them back: the first lets go of the old places, the
/// second hands them to the file system.
pub const REPLICA_CHECKPOINTS_TO_SETTLE: u8 = 2;

/// How long to wait before space is asked for again after there was none.
pub const REPLICA_SPACE_RETRY: Duration = Duration::from_secs(1);

/// Free pages below which the tree file grows ahead of use (32 MiB).
pub const REPLICA_FREE_PAGES_LOW: u64 = 8192;

/// Pages asked for at once, when applying waits for space and doubles what it asks for (4 GiB).
pub const REPLICA_GROW_PAGES_MAX: u64 = 1 << 20;

/// The part of the low mark of free pages (4 MiB of 32) that is kept for deletions and compactions when the file cannot
/// grow: they make space.
pub const REPLICA_FREE_PAGES_RESERVED_PART: u64 = 8;

/// The part of the pages in use for which the same is done if it is more: deleting everything takes a copy of the index and as
/// much again for the tombstones, some hundredths of a store of values around a kilobyte.
pub const REPLICA_USED_PAGES_RESERVED_PART: u64 = 32;

/// Pages that writing a key may take beside its bytes': a copy of its leaf, a share of splits, of the revisions' leaf and of
/// the branches above. An estimate on the safe side of the average; what it misses makes applying wait for space.
pub const REPLICA_PAGES_PER_WRITE: u64 = 3;

/// Keys of a deleted range that take as much as one write of a key anywhere: a leaf of the index holds some dozens of them.
/// An estimate on the safe side, too.
pub const REPLICA_DELETED_KEYS_PER_WRITE: u64 = 16;

const _: () =
    assert!(REPLICA_BATCH_BYTES_MAX + REQUEST_BYTES_MAX_DEFAULT + REQUEST_OVERHEAD_BYTES < RAFT_ENTRY_BYTES_MAX);
const _: () = assert!(REPLICA_GROUPS_IN_FLIGHT_MAX <= WAL_GROUPS_IN_FLIGHT_MAX);
const _: () = assert!(REPLICA_FREE_PAGES_RESERVED_PART > 1);
// What gathers behind a slow disk fits into one group of the log, a message on top of the bound included.
const _: () = assert!(RAFT_UNPERSISTED_BYTES_MAX + 24 * 1024 * 1024 < WAL_GROUP_BYTES_MAX);
const _: () = assert!(REPLICA_WAL_CHECKPOINT_BYTES * 2 <= WAL_SEGMENT_BYTES * 32);
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

// ---- metrics ----

/// Versions of clients that are counted by name. There are about a dozen releases of etcd's clients in use. Stops clients
/// that invent versions from filling the scrape.
pub const METRICS_CLIENT_VERSIONS_MAX: usize = 16;

/// The longest version that is counted by name.
pub const METRICS_LABEL_BYTES_MAX: usize = 64;

/// A read, or a turn that applies commands, that takes longer is told as slow: etcd's `--warning-apply-duration`.
pub const SLOW_APPLY_DEFAULT: Duration = Duration::from_millis(100);

/// A call that takes longer is told as slow: etcd's `--warning-unary-request-duration`.
pub const SLOW_REQUEST_DEFAULT: Duration = Duration::from_millis(300);

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

/// A page of the tree as a 64-bit length.
pub const TREE_PAGE_BYTES: u64 = 4096;

/// Addresses reserved for the tree file: 1 TiB, ten times the largest database that is promised. Address space is free;
/// running out of it would need a remap under readers.
pub const TREE_RESERVED_PAGES: u64 = (1 << 40) / 4096;

/// Looks at the lock of a WAL file, `ZERO_FILL_PAUSE_MS` apart, before a start gives up: 10 s, far more than a disk that
/// still works needs for the writes that a killed process left behind.
pub const WAL_LOCK_TRIES: u32 = 2500;

/// Pages of a new tree file: 16 MiB, so that a small store never grows.
pub const TREE_PAGES_AT_START: u64 = 4096;

/// Ranges of memory that one system call gives advice about: the kernel's bound for a vector.
pub const ADVICE_RANGES_MAX: usize = 1024;

/// Pages that a checkpoint writes with one system call (256 KiB).
pub const CHECKPOINT_WRITE_PAGES: usize = 64;

/// Pages after which a checkpoint waits for the disk and rests: what a write of the WAL may find in the disk's queue.
pub const CHECKPOINT_PIECE_PAGES: usize = 64;

/// The rest after a piece: at most some 100 MiB/s, so that a checkpoint of the usual size takes a second or two.
pub const CHECKPOINT_PACE: Duration = Duration::from_millis(2);

/// One write of a segment's zero-filling. Small enough that a write of the WAL that comes meanwhile waits for little.
pub const ZERO_FILL_BYTES: usize = 1 << 20;

/// The pause after each such write: 64 MiB then take at least a third of a second, well below the time in which the
/// fastest writer fills the segment before.
pub const ZERO_FILL_PAUSE_MS: u64 = 4;

/// Mapped files that a fault is told by name of: the tree, and at a start all segments of the WAL and its mark.
pub const MAPPINGS_LISTED_MAX: usize = 2 * WAL_SEGMENTS_MAX + 2;

// ---- tls ----

/// The largest certificate, key or list that is read. Revocation lists of large authorities have some megabytes. Stops a
/// file named by mistake from filling memory.
pub const TLS_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file that changed less than this ago is read again: another change might fall into the same tick of the file system's
/// clock and not show.
pub const TLS_FILE_SETTLED: Duration = Duration::from_secs(2);

/// How long a client may take for its handshake, as with etcd. Stops half-open handshakes from holding descriptors.
pub const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Handshakes under way at once on one shard, once the client has said something; each holds up to about 80 KiB. Stops a
/// flood of begun handshakes from filling memory; clients beyond it wait for their turn.
pub const TLS_HANDSHAKES_MAX: usize = 512;

/// How long a client may leave a handshake waiting while others wait for its place. Stops clients that begin handshakes and
/// leave them from shutting out the others until their time is up.
pub const TLS_HANDSHAKE_GRACE: Duration = Duration::from_secs(1);

/// How often a client that waits for a place looks whether another has been idle for too long.
pub const TLS_HANDSHAKE_LOOK: Duration = Duration::from_millis(50);

/// What one handshake may send before it is done: more than the largest chain of certificates that the library takes. Stops
/// handshakes that never end.
pub const TLS_HANDSHAKE_BYTES_MAX: usize = 128 * 1024;

/// Ciphertext read at once: a whole record and most of another.
pub const TLS_READ_BYTES: usize = 32 * 1024;

/// Lines a second and shard about clients that were turned away; what is beyond is counted and told with a later one. Stops
/// a flood of bad handshakes from flooding the log.
pub const TLS_FAILURE_LINES_PER_SECOND: u32 = 100;

// ---- net ----

/// Tries to bind an address that is in use before a start gives up, `BIND_RETRY` apart: 2 s together.
pub const BIND_TRIES: u32 = 100;

/// Connections that the kernel keeps until they are accepted, as Go asks for; the kernel's own bound (`somaxconn`) holds
/// besides.
pub const LISTEN_BACKLOG: i32 = 4096;

/// The pause between two such tries.
pub const BIND_RETRY: Duration = Duration::from_millis(20);

/// Polls of one readiness registration before it is renewed: the reactor keeps a waker for each.
pub const POLLS_PER_REGISTRATION_MAX: u32 = 64;

/// The pause after a client was refused for want of a descriptor: long enough not to spin, short enough to notice the
/// first connection that ends.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(10);

/// Time between two lines about clients that were refused for want of a descriptor. Stops those who come again at once from
/// flooding the log.
pub const REFUSED_LINE_INTERVAL: Duration = Duration::from_secs(10);

// ---- rpc ----

/// How long a new connection may take to say by its first bytes which protocol it speaks; grpc-go gives its handshake
/// as long. Stops half-open connections from holding descriptors for ever.
pub const SNIFF_TIMEOUT: Duration = Duration::from_secs(120);

/// How long a connection that the server has ended is read on, so that its farewell arrives; grpc-go's second. Stops
/// those who never close from keeping their place.
pub const LINGER: Duration = Duration::from_secs(1);

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

/// The same for all connections of an executor together: beyond it each may hold no more than the scarce share. Stops many
/// connections from doing together what one is kept from, above all by gzip messages, which cost their senders little.
pub const PARTIAL_BYTES_PER_SHARD_MAX: usize = 512 * 1024 * 1024;

/// What a connection may hold when all together hold too much: more than a usual request.
pub const PARTIAL_BYTES_PER_CONNECTION_SCARCE: usize = 1024 * 1024;

/// What unpacking a gzip message costs beside its bytes, counted with them: the window and the tables of the code.
pub const INFLATE_MACHINE_BYTES: usize = 48 * 1024;

/// Packed bytes that are read, and plain ones that are written, before the executor may have something else to do: a
/// message can be made of nothing but beginnings, whose work is not in what comes out.
pub const INFLATE_STEP_BYTES: usize = 8 * 1024;

/// Streams open at once on one connection, whatever the flag says: each costs up to `OPEN_STREAM_BYTES_MAX` before its
/// request does anything. Watches need one each at most.
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

/// Answers from this size on count as unread until they are sent; smaller ones are bounded by the streams.
pub const ANSWER_COUNTED_BYTES_MIN: usize = 4096;

/// Bytes of answers that wait for one connection's client, beyond which its next call waits with its work. Stops a client that
/// asks on thousands of streams and reads nothing. Well above what a reading client has under way.
pub const ANSWERS_UNREAD_PER_CONNECTION_MAX: usize = 16 * 1024 * 1024;

/// The same for all connections of a shard, beyond which each gets `ANSWERS_UNREAD_SCARCE`. Stops many such clients.
pub const ANSWERS_UNREAD_PER_SHARD_MAX: usize = 128 * 1024 * 1024;

/// What may wait for one connection then: an answer at a time.
pub const ANSWERS_UNREAD_SCARCE: usize = 64 * 1024;

/// How long a client may take nothing of an answer that waits for it. Stops readers that hold old pages of the tree for
/// ever.
pub const SEND_STALL_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Bytes gathered in one turn before they go to the socket: one system call for many small answers.
pub const WRITE_GATHER_BYTES: usize = 64 * 1024;

/// Bytes read from one connection before others have their turn. Stops floods of frames that need no answer from keeping an
/// executor for themselves.
pub const READ_PER_TURN_BYTES_MAX: usize = 256 * 1024;

/// One read from a socket.
pub const READ_BYTES: usize = 16 * 1024;

/// The largest message that is sent, as etcd sets it.
pub const RESPONSE_BYTES_MAX: usize = 0x7fff_ffff;

/// Pings closer together than this, while calls are open, are strikes: etcd's `--grpc-keepalive-min-time`.
pub const PING_INTERVAL_MIN: Duration = Duration::from_secs(5);

/// The same when the flag says zero: gRPC's own default.
pub const PING_INTERVAL_MIN_UNSET: Duration = Duration::from_secs(5 * 60);

/// The least `--grpc-keepalive-interval` that holds: gRPC's own. Stops a flag that would make the server a flood of pings.
pub const KEEPALIVE_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// Pings closer together than this, while no call is open, are strikes.
pub const PING_INTERVAL_IDLE_MIN: Duration = Duration::from_secs(2 * 60 * 60);

/// Strikes that are forgiven; the next ends the connection. Stops ping floods.
pub const PING_STRIKES_MAX: u32 = 2;

/// Quiet time after which the server asks whether the client is there: etcd's `--grpc-keepalive-interval`.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2 * 60 * 60);

/// How long the answer may take: etcd's `--grpc-keepalive-timeout`. Stops dead clients from holding memory for ever.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Where a rotated log file is full when its configuration does not say: lumberjack's.
pub const LOG_FILE_MEBIBYTES_DEFAULT: u64 = 100;

/// The longest time between two periodic compactions: etcd's.
pub const AUTO_COMPACTION_INTERVAL_MAX: Duration = Duration::from_secs(60 * 60);

/// Looks at the revision between two periodic compactions: etcd's.
pub const AUTO_COMPACTION_STEPS: u32 = 10;

/// Time between two compactions by revisions: etcd's.
pub const AUTO_COMPACTION_REVISION_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// How long a stopping server waits for open calls before it drops their connections.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

const _: () =
    assert!(STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES, "one stream never fills more than its connection");
const _: () = assert!(SEND_BUFFER_BYTES_MAX <= WRITE_GATHER_BYTES, "what one stream may send goes out in one write");

// ---- rpc: what attacks may cost, as tests/abuse holds the server to it ----

/// What floods of frames, resets, headers and dribbled messages by a handful of connections may cost: their windows, the
/// streams that may be open, and what the allocator keeps of it.
pub const FLOOD_BYTES_MAX: usize = 96 * 1024 * 1024;

/// What an open stream whose request is not there may cost.
pub const OPEN_STREAM_BYTES_MAX: usize = 8 * 1024;

/// What clients that never finish a message may cost: each byte was sent, and a growing buffer may be twice its content.
pub const PARTIAL_REQUESTS_BYTES_MAX: usize = 2 * PARTIAL_BYTES_PER_CONNECTION_MAX + FLOOD_BYTES_MAX;

/// The same for many connections on one executor, beside the scarce share of each.
pub const PARTIAL_REQUESTS_TOGETHER_BYTES_MAX: usize = 2 * PARTIAL_BYTES_PER_SHARD_MAX + FLOOD_BYTES_MAX;

/// What two thousand connections that never come to a request may cost.
pub const HALF_OPEN_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a connection that was used a little may cost, its machine and task included; two thirds are the machine's buffers.
pub const IDLE_CONNECTION_BYTES_MAX: usize = 48 * 1024;

/// What answers that nobody reads may cost on two shards: a buffer may be twice what it holds.
pub const UNREAD_ANSWERS_BYTES_MAX: usize = 2 * 2 * ANSWERS_UNREAD_PER_SHARD_MAX + FLOOD_BYTES_MAX;

/// What watchers that nobody reads may cost on two shards.
pub const UNREAD_EVENTS_BYTES_MAX: usize = 2 * WATCH_SHARD_BYTES_MAX + FLOOD_BYTES_MAX;

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

/// The same for a snapshot, whose second pass also ends a step by its bytes.
pub const SNAPSHOT_CELLS_PER_STEP: usize = 1024;

/// How long hashes and snapshots work before they rest. What else their executor has to do waits no longer: well below what
/// a put takes.
pub const PACE_WORK: Duration = Duration::from_micros(500);

/// How long they rest: just so long that the executor looks at its sockets. If nothing is there, it is over before the
/// executor would go to sleep, which on a loaded machine would cost the processor.
pub const PACE_REST: Duration = Duration::from_micros(1);

const _: () = assert!(PACE_REST.as_nanos() * 10 <= PACE_WORK.as_nanos());

/// Bytes of the file in one message of a snapshot, etcd's figure.
pub const SNAPSHOT_BLOB_BYTES: usize = 32 * 1024;

const _: () = assert!(SNAPSHOT_BLOB_BYTES <= BACKUP_STEP_BYTES, "every step sends something");

// ---- shard ----

/// Messages on the way between two shards. Each is a batch of whatever gathered, so a few suffice; a full channel makes the
/// next batch larger.
pub const MESH_MESSAGES_MAX: usize = 16;

/// Threads for what would block an executor: one for a checkpoint, one for a segment that is zero-filled meanwhile (both take
/// seconds), one for the file that grows (puts may wait for it), one for space that is given back, one for handshakes.
pub const BLOCKING_THREADS: usize = 5;

/// What wakes an executor that the runtime put to sleep by mistake (`shard::nudge`): rare enough to cost an idle core less
/// than a thousandth, and out of step, so that one heals the other.
pub const NUDGE_INTERVALS: [Duration; 3] =
    [Duration::from_millis(71), Duration::from_millis(97), Duration::from_millis(113)];

/// How long a stop waits for open calls. Below the 5 s after which supervisors of etcd commonly lose patience.
pub const DRAIN_PATIENCE: Duration = Duration::from_secs(3);

/// Different damages that the reads of one shard tell of in the log. What clients ask for again and again is told once.
pub const DAMAGE_LINES_MAX: usize = 64;
