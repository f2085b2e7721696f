//! One simulated member: a disk that outlives it, a run of the real replica on it, and the plans under way.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use ringbolt::lease::Lease;
use ringbolt::raft::Role;
use ringbolt::replica::{Config, Input, Replica, installed_index};
use ringbolt::tree::{self, Arena, CheckpointPlan, GrowPlan, Pinned, Reader, Tree};
use ringbolt::types::{BootNonce, ClusterId, MemberId, Now, PageNumber, ShardId, TxnId};
use ringbolt::wal::{self, FileName, Identity, Log, RecoverInput};

use crate::disk::Disk;
use crate::jobs::{Job, Operation, TREE, of_steps};
use crate::planted::Bug;
use crate::world::{Audience, Shard};

const TREE_PAGES_AT_START: u64 = 1024;
const TREE_PAGES_RESERVED: u64 = 60_000;
const WAL: wal::Config = wal::Config { segment_bytes: 128 * 1024, segments_spare: 2, segments_max: 24 };
const PAGE: u64 = 4096;

/// What a job reports to its replica.
pub(crate) enum Done {
    /// A group of the log.
    Append(wal::Sequence),
    /// The mark.
    Seal,
    /// A segment.
    Segment(wal::SegmentId),
    /// A checkpoint; nothing if it was reported before (a planted bug).
    Checkpoint(Option<Box<CheckpointPlan>>),
    /// Pages.
    Grow(GrowPlan),
    /// Nothing waits for it.
    Nothing,
}

/// One run of a member, from boot to crash.
pub(crate) struct Run {
    /// The real thing.
    pub(crate) replica: Replica,
    /// Its readers' side.
    pub(crate) reader: Reader,
    /// Plans under way, by number.
    pub(crate) jobs: BTreeMap<u64, Job<Done>>,
    /// The revision up to which the chronicle has seen this run.
    pub(crate) harvested: i64,
    /// Pins held for a long time, with the revision that they show.
    pub(crate) pins: Vec<(Pinned, i64)>,
    /// Groups issued and not reported, oldest first.
    pub(crate) groups: VecDeque<wal::Sequence>,
    /// Ticks that were due at once and changed nothing, one after the other.
    pub(crate) circles: u32,
    /// What was published after the last input.
    pub(crate) seen_txn: TxnId,
    /// Watchers.
    pub(crate) shards: Vec<Shard>,
    /// What the replica's task knows of them.
    pub(crate) audience: Audience,
    /// The leases at the last look, which was at an index, whose entry was of a term.
    pub(crate) leases: BTreeMap<i64, Lease>,
    /// The index of the last look at leases.
    pub(crate) leases_at: u64,
    /// Its term.
    pub(crate) leases_term: u64,
    /// The term that it led in before the last input.
    pub(crate) led: Option<u64>,
    /// What a new leader gives to every lease.
    pub(crate) election_timeout: Duration,
}

/// A member with its disk.
pub(crate) struct Node {
    /// Its id.
    pub(crate) id: MemberId,
    /// What survives a crash.
    pub(crate) disk: Disk,
    /// The present run.
    pub(crate) run: Option<Run>,
    /// Number of boots.
    pub(crate) boots: u64,
    /// Why it will not start again, if the disk lied to it.
    pub(crate) refused: Option<String>,
    /// World time of its next tick.
    pub(crate) alarm: Option<u64>,
    /// How fast its clock runs, parts per thousand of the world's.
    pub(crate) clock_per_mille: u64,
    /// How far the world's time has leapt ahead.
    pub(crate) leapt_ns: u64,
    /// Whether it notes the remaining time of leases.
    pub(crate) lease_checkpoints: bool,
    /// Durable log writes as file, offset, length and time: what may rot later.
    pub(crate) written: VecDeque<(String, usize, usize, u64)>,
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("simulated sizes are small")
}

impl Node {
    /// A member that never ran.
    pub(crate) fn new(id: MemberId, disk: Disk, clock_per_mille: u64) -> Self {
        Self {
            id,
            disk,
            run: None,
            boots: 0,
            refused: None,
            alarm: None,
            clock_per_mille,
            leapt_ns: 0,
            lease_checkpoints: false,
            written: VecDeque::new(),
        }
    }

    /// What its clock shows.
    pub(crate) fn local(&self, world_ns: u64) -> Now {
        Now((world_ns + self.leapt_ns) / 1000 * self.clock_per_mille)
    }

    /// Starts a run from the disk. An error is a refusal to start, in the product's words.
    pub(crate) fn boot(
        &mut self,
        world_ns: u64,
        seed: u64,
        voters: Vec<MemberId>,
        bug: Option<Bug>,
    ) -> Result<(), String> {
        assert!(self.run.is_none(), "it runs already");
        self.boots += 1;
        self.alarm = None;
        let nonce = BootNonce(self.boots);
        let mut config = Config::new(self.id, nonce, seed, voters);
        config.checkpoint.interval = Duration::from_millis(300);
        config.checkpoint.wal_bytes_max = 1024 * 1024;
        if self.boots.is_multiple_of(2) {
            config.checkpoint.dirty_pages_max = 64;
        }
        config.catch_up_entries = 2000;
        config.free_pages_low = 512;
        config.lease_checkpoints = self.lease_checkpoints;
        let election_timeout = config.election_timeout();
        let now = self.local(world_ns);
        let names = self.disk.names();
        let has_log =
            names.iter().any(|name| matches!(FileName::parse(name), Some(FileName::Segment(_) | FileName::Mark)));
        let replica = if has_log {
            if bug == Some(Bug::LogForgotten) && self.boots.is_multiple_of(3) {
                self.forget_log(&names);
                self.create(config, now)?
            } else {
                self.recover(config, now, nonce)?
            }
        } else if self.disk.exists(TREE) {
            return Err("a tree without a log".to_owned());
        } else {
            self.create(config, now)?
        };
        let reader = replica.shared().reader(ShardId(0));
        let run = Run {
            replica,
            reader,
            jobs: BTreeMap::new(),
            harvested: 0,
            pins: Vec::new(),
            groups: VecDeque::new(),
            circles: 0,
            seen_txn: TxnId(0),
            shards: Vec::new(),
            audience: Audience::default(),
            leases: BTreeMap::new(),
            leases_at: 0,
            leases_term: 0,
            led: None,
            election_timeout,
        };
        self.run = Some(run);
        Ok(())
    }

    fn forget_log(&mut self, names: &[String]) {
        names.iter().filter(|name| *name != TREE).for_each(|name| self.disk.remove(name));
    }

    fn identity(&self) -> Identity {
        Identity { cluster: ClusterId(7), member: self.id }
    }

    fn create(&mut self, config: Config, now: Now) -> Result<Replica, String> {
        let created = Log::create(WAL, self.identity(), config.nonce);
        let mut job = Job::new(of_steps(created.steps), ());
        while let crate::jobs::Progress::Goes = job.step(&mut self.disk) {}
        let tree = self.open_tree()?;
        Replica::create(config, now, tree, created.log).map_err(|error| error.to_string())
    }

    fn recover(&mut self, config: Config, now: Now, nonce: BootNonce) -> Result<Replica, String> {
        let tree = self.open_tree()?;
        let recovered = self.read_log(&tree, nonce);
        let mut recovered = recovered.map_err(|error| error.to_string())?;
        let mut job = Job::new(of_steps(std::mem::take(&mut recovered.repairs)), ());
        while let crate::jobs::Progress::Goes = job.step(&mut self.disk) {}
        Replica::open(config, now, tree, recovered).map_err(|error| error.to_string())
    }

    fn read_log(&self, tree: &Tree, nonce: BootNonce) -> Result<wal::Recovered, wal::Error> {
        let names = self.disk.names();
        let stamp = tree.stamp();
        wal::recover(RecoverInput {
            config: WAL,
            identity: self.identity(),
            boot: nonce,
            files: names
                .iter()
                .filter(|name| *name != TREE)
                .map(|name| (name.as_str(), self.disk.read(name)))
                .collect(),
            mark: self.disk.read("mark"),
            tree_applied: stamp.applied_index,
            tree_term: stamp.applied_term,
            tree_installed: installed_index(&stamp),
            entries_kept: 2000,
        })
    }

    /// Every other run keeps little free space, gives much back and sweeps often.
    fn tree_config(&self) -> tree::Config {
        let free_pages_kept = if (self.id.0 + self.boots).is_multiple_of(2) { 16 } else { 256 };
        tree::Config { grow_pages: 256, free_pages_kept }
    }

    fn open_tree(&mut self) -> Result<Tree, String> {
        let arena = || Arena::anonymous(TREE_PAGES_RESERVED);
        if self.disk.exists(TREE) {
            let bytes = self.disk.read(TREE);
            let mut arena = arena();
            arena.load(PageNumber(0), bytes);
            let pages = u64::try_from(bytes.len()).expect("small") / PAGE;
            match Tree::open(arena, self.tree_config(), pages) {
                Err(tree::Error::NoStore) => {}
                outcome => return outcome.map_err(|error| error.to_string()),
            }
        }
        self.disk.remove(TREE);
        self.disk.extend(TREE, index(TREE_PAGES_AT_START * PAGE)).map_err(|_| "disk full".to_owned())?;
        self.disk.sync_directory();
        Tree::create(arena(), self.tree_config(), TREE_PAGES_AT_START).map_err(|error| error.to_string())
    }

    /// Whether it runs and takes itself for the leader.
    pub(crate) fn is_leader(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.replica.status().leadership.role == Role::Leader)
    }

    /// The power goes.
    pub(crate) fn crash(&mut self) {
        self.run = None;
        self.disk.crash();
    }
}

/// The operations of a checkpoint, with the planted bugs that concern it.
pub(crate) fn checkpoint_operations(plan: &CheckpointPlan, bug: Option<Bug>) -> VecDeque<Operation> {
    let mut operations = VecDeque::new();
    let mut skip = bug == Some(Bug::PageNotWritten);
    for range in plan.ranges() {
        for page in (range.first.0..range.end().0).map(PageNumber) {
            let mut bytes = [0; 4096];
            plan.write_page(page, &mut bytes);
            if !std::mem::take(&mut skip) {
                operations.push_back(Operation::Page(page.0 * PAGE, bytes.to_vec()));
            }
        }
    }
    for (page, bytes) in plan.map_blocks() {
        operations.push_back(Operation::Page(page.0 * PAGE, bytes.to_vec()));
    }
    let (page, bytes) = plan.meta();
    let meta = Operation::Page(page.0 * PAGE, bytes.to_vec());
    match bug {
        Some(Bug::MetaBeforePages) => {
            operations.push_front(Operation::SyncTree);
            operations.push_front(meta);
        }
        Some(Bug::NoBarrierBeforeMeta) => operations.push_back(meta),
        _ => {
            operations.push_back(Operation::SyncTree);
            operations.push_back(meta);
        }
    }
    operations.push_back(Operation::SyncTree);
    operations
}

/// The input that a finished or failed job makes.
pub(crate) fn input_of(done: Done, full: bool) -> Option<Input> {
    use ringbolt::replica::Failure;
    Some(match done {
        Done::Append(sequence) => Input::AppendDone(sequence),
        Done::Seal => Input::SealDone,
        Done::Segment(segment) if full => Input::SegmentFailed(segment, Failure::NoSpace),
        Done::Segment(segment) => Input::SegmentReady(segment),
        Done::Checkpoint(plan) => Input::CheckpointDone(*plan?),
        Done::Grow(plan) if full => Input::GrowFailed(plan, Failure::NoSpace),
        Done::Grow(plan) => Input::GrowDone(plan),
        Done::Nothing => return None,
    })
}
