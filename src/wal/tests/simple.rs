//! A log whose writes are done at once unless a test holds them back: for tests of one thing.

use super::disk::{Disk, Random};
use super::world::IDENTITY;
use crate::types::{BootNonce, RaftIndex, Term};
use crate::wal::{
    AppendPlan, Config, Created, Durable, Entry, EntryKind, Error, FileName, HardState, Log, RecoverInput, Recovered,
    SegmentId, Write, recover,
};
use bytes::Bytes;

pub(super) const CONFIG: Config = Config { segment_bytes: 64 * 1024, segments_spare: 1, segments_max: 4 };
/// Data of an entry whose group is exactly one block.
pub(super) const ONE_BLOCK: usize = 4096 - 512 - 21;

pub(super) struct Simple {
    pub(super) disk: Disk,
    pub(super) log: Log,
    pub(super) fill: u8,
}

impl Simple {
    pub(super) fn new(boot: u64, fill: u8) -> Self {
        let Created { steps, log } = Log::create(CONFIG, IDENTITY, BootNonce(boot));
        let mut disk = Disk::default();
        steps.iter().for_each(|step| disk.step(step));
        Self { disk, log, fill }
    }

    pub(super) fn entry(&self, index: u64, term: u64, length: usize) -> Entry {
        let data = Bytes::from(vec![self.fill; length]);
        Entry { index: RaftIndex(index), term: Term(term), kind: EntryKind::Normal, data }
    }

    /// Plans a group of one entry and does not write it.
    pub(super) fn plan(&mut self, length: usize) -> AppendPlan {
        let entry = self.entry(self.log.appended().index.0 + 1, 1, length);
        self.log.plan_append(&[entry], None).expect("there is room")
    }

    pub(super) fn write(&mut self, plan: &AppendPlan) {
        plan.writes.iter().for_each(|write| self.store(write));
    }

    pub(super) fn store(&mut self, write: &Write) {
        self.disk.start(write.clone());
        self.disk.finish(write);
    }

    /// Appends an entry, durable.
    pub(super) fn append(&mut self, length: usize) -> Durable {
        let plan = self.plan(length);
        self.write(&plan);
        self.log.on_append_done(plan.sequence).expect("nothing else is in flight")
    }

    /// Appends entries of a block each, durable.
    pub(super) fn append_many(&mut self, count: usize) {
        for _ in 0..count {
            self.append(ONE_BLOCK);
        }
    }

    pub(super) fn hard_state(&mut self, commit: u64) -> AppendPlan {
        let hard_state = HardState { commit: RaftIndex(commit), ..HardState::default() };
        self.log.plan_append(&[], Some(hard_state)).expect("there is room")
    }

    pub(super) fn seal(&mut self) {
        let plan = self.log.plan_stop().expect("there is something to say");
        self.store(&plan.write);
        self.log.on_seal_done();
    }

    /// Whether there was a segment to make.
    pub(super) fn make_segment(&mut self) -> bool {
        let Some(plan) = self.log.plan_segment() else { return false };
        plan.steps.iter().for_each(|step| self.disk.step(step));
        self.log.on_segment_ready(plan.segment);
        true
    }

    pub(super) fn recover_at(&self, applied: u64, term: u64, boot: u64) -> Result<Recovered, Error> {
        recover_files(&self.disk, |input| {
            input.tree_applied = RaftIndex(applied);
            input.tree_term = Term(term);
            input.boot = BootNonce(boot);
        })
    }

    pub(super) fn recover(&self) -> Result<Recovered, Error> {
        self.recover_at(0, 0, 99)
    }

    /// A restart with nothing in flight.
    pub(super) fn restart(&mut self, boot: u64) {
        let recovered = self.recover_at(0, 0, boot).expect("sound files");
        recovered.repairs.iter().for_each(|step| self.disk.step(step));
        self.log = recovered.log;
    }

    pub(super) fn file(&mut self, number: u64) -> &mut Vec<u8> {
        self.disk.files.get_mut(&FileName::Segment(SegmentId(number))).expect("the segment is there")
    }

    pub(super) fn mark(&mut self) -> &mut Vec<u8> {
        self.disk.files.get_mut(&FileName::Mark).expect("the mark is there")
    }
}

pub(super) fn recover_files(disk: &Disk, change: impl FnOnce(&mut RecoverInput<'_>)) -> Result<Recovered, Error> {
    let names: Vec<String> = disk.files.keys().map(FileName::to_string).collect();
    let mut input = RecoverInput {
        config: CONFIG,
        identity: IDENTITY,
        boot: BootNonce(99),
        files: names.iter().map(String::as_str).zip(disk.files.values().map(Vec::as_slice)).collect(),
        mark: disk.files.get(&FileName::Mark).map_or(&[], Vec::as_slice),
        tree_applied: RaftIndex(0),
        tree_term: Term(0),
        tree_installed: RaftIndex(0),
        entries_kept: 0,
    };
    change(&mut input);
    recover(input)
}

/// A crash in the middle of a new log's steps leaves an empty log or nothing.
#[test]
fn a_crash_while_a_log_is_created_leaves_nothing_or_an_empty_log() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let Created { steps, .. } = Log::create(CONFIG, IDENTITY, BootNonce(seed));
        let mut disk = Disk::default();
        let done = disk.run(&steps, 20, &mut random);
        let usable = disk.files.keys().any(|file| !matches!(file, FileName::Temporary(_)));
        if !usable {
            assert!(!done);
            continue;
        }
        let recovered = recover_files(&disk, |_| ()).expect("an empty log");
        assert!(recovered.entries.is_empty(), "seed {seed}");
        assert_eq!(recovered.hard_state, HardState::default());
    }
}
