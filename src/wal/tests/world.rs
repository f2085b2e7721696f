//! A log on the simulated disk beside a plain list of the groups that were planned.

use super::disk::{Disk, Random};
use crate::types::{BootNonce, ClusterId, MemberId, Now, RaftIndex, Term};
use crate::wal::{
    AppendPlan, Config, Created, Ending, Entry, EntryId, EntryKind, Error, FileName, HardState, Identity, Log,
    RecoverInput, Recovered, SealPlan, Sequence, SnapshotMark, Write, recover,
};
use bytes::Bytes;

pub(super) const IDENTITY: Identity = Identity { cluster: ClusterId(0xc1), member: MemberId(0x3e) };

#[derive(Clone, Debug)]
struct Group {
    sequence: Sequence,
    snapshot: Option<SnapshotMark>,
    entries: Vec<Entry>,
    hard_state: HardState,
}

/// The log as a plain list.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Plain {
    pub(super) base: EntryId,
    pub(super) entries: Vec<Entry>,
    pub(super) hard_state: HardState,
}

impl Plain {
    fn apply(&mut self, group: &Group) {
        if let Some(mark) = group.snapshot {
            self.base = EntryId { index: mark.index, term: mark.term };
            self.entries.clear();
        }
        if let Some(first) = group.entries.first() {
            self.entries.retain(|entry| entry.index < first.index);
            self.entries.extend(group.entries.iter().cloned());
        }
        self.hard_state = group.hard_state;
    }

    pub(super) fn end(&self) -> EntryId {
        self.entries.last().map_or(self.base, |entry| EntryId { index: entry.index, term: entry.term })
    }

    fn term(&self, index: RaftIndex) -> Option<Term> {
        let entry = self.entries.iter().find(|entry| entry.index == index);
        entry.map(|entry| entry.term).or((index == self.base.index).then_some(self.base.term))
    }
}

struct Flight {
    sequence: Sequence,
    writes: Vec<Write>,
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) disk: Disk,
    pub(super) config: Config,
    pub(super) log: Log,
    groups: Vec<Group>,
    pub(super) durable: usize,
    /// Groups that the last durable mark spoke of.
    pub(super) sealed: usize,
    sealing: usize,
    flights: Vec<Flight>,
    seal: Option<SealPlan>,
    now: Now,
    boots: u64,
    pub(super) applied: EntryId,
    pub(super) installed: RaftIndex,
    pub(super) kept: u64,
    snapshot_due: Option<SnapshotMark>,
    pub(super) cuts: usize,
    pub(super) data_max: usize,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let spare = 1 + random.size(3);
        let config = Config {
            segment_bytes: 64 * 1024 + 4096 * random.below(8),
            segments_spare: spare,
            segments_max: spare + 4 + random.size(8),
        };
        let mut disk = Disk::default();
        let Created { steps, log } = Log::create(config, IDENTITY, BootNonce(random.next()));
        assert!(disk.run(&steps, 0, &mut random));
        let kept = [0, 5, 1000][random.size(3)];
        let data_max = [40, 3000, 30_000][random.size(3)];
        Self {
            random,
            disk,
            config,
            log,
            groups: Vec::new(),
            durable: 0,
            sealed: 0,
            sealing: 0,
            flights: Vec::new(),
            seal: None,
            now: Now(1),
            boots: 1,
            applied: EntryId::default(),
            installed: RaftIndex(0),
            kept,
            snapshot_due: None,
            cuts: 0,
            data_max,
        }
    }

    /// The log after the first `count` groups.
    pub(super) fn plain(&self, count: usize) -> Plain {
        let mut plain = Plain::default();
        self.groups[..count].iter().for_each(|group| plain.apply(group));
        plain
    }

    pub(super) fn planned(&self) -> Plain {
        self.plain(self.groups.len())
    }

    pub(super) fn group_count(&self) -> usize {
        self.groups.len()
    }

    /// One random thing happens, other than a crash.
    pub(super) fn act(&mut self) {
        self.now = Now(self.now.0 + self.random.below(700_000));
        match self.random.below(20) {
            0..8 => self.append(),
            8..15 => self.finish_write(),
            15 => self.finish_seal(),
            16 => self.apply(),
            17..19 => self.make_segment(),
            _ if self.random.chance(10) => self.install_snapshot(),
            _ => {}
        }
        if self.seal.is_none() {
            self.seal = self.log.poll_seal(self.now);
            if let Some(seal) = &self.seal {
                self.sealing = self.durable;
                self.disk.start(seal.write.clone());
            }
        }
        self.log.assert_invariants();
    }

    fn entries(&mut self, plain: &Plain) -> Vec<Entry> {
        let end = plain.end();
        let mut first = end.index.next();
        let mut term = end.term.max(plain.hard_state.term);
        let stable = plain.hard_state.commit.max(self.applied.index).max(plain.base.index);
        if self.random.chance(10) && end.index > stable {
            // A new leader takes the place of a suffix that was not committed.
            first = RaftIndex(stable.0 + 1 + self.random.below(end.index.0 - stable.0));
            term = Term(term.0 + 1);
        }
        let count = self.random.below(6);
        let mut entries = Vec::new();
        for index in first.0..first.0 + count {
            let mut length = self.random.size(self.data_max);
            if self.random.chance(1) {
                length = self.random.size(150_000);
            }
            let data: Vec<u8> = (0..length).map(|_| self.random.next().to_le_bytes()[0]).collect();
            let kind = [EntryKind::Normal, EntryKind::ConfChange, EntryKind::ConfChangeV2][self.random.size(3)];
            entries.push(Entry { index: RaftIndex(index), term, kind, data: Bytes::from(data) });
        }
        entries
    }

    fn append(&mut self) {
        if !self.log.can_append() {
            return;
        }
        let plain = self.planned();
        let snapshot = self.snapshot_due;
        let entries = if snapshot.is_some() { Vec::new() } else { self.entries(&plain) };
        let base = snapshot.map_or(plain.end(), |mark| EntryId { index: mark.index, term: mark.term });
        let end = entries.last().map_or(base, |entry| EntryId { index: entry.index, term: entry.term });
        let mut hard_state = plain.hard_state;
        hard_state.term = hard_state.term.max(end.term);
        if self.random.chance(30) {
            hard_state.vote = MemberId(self.random.below(9));
            let room = end.index.0 - hard_state.commit.0;
            hard_state.commit = RaftIndex(hard_state.commit.0 + self.random.below(room + 1));
        }
        if snapshot.is_some() {
            hard_state.commit = end.index;
        }
        let changed = (hard_state != plain.hard_state).then_some(hard_state);
        let plan = match snapshot {
            Some(mark) => self.log.plan_snapshot(mark, &entries, changed),
            None if entries.is_empty() && changed.is_none() => return,
            None => self.log.plan_append(&entries, changed),
        };
        match plan {
            Ok(plan) => {
                self.fly(&plan);
                self.snapshot_due = None;
                self.groups.push(Group { sequence: plan.sequence, snapshot, entries, hard_state });
            }
            Err(need) => {
                assert!(need.segments > 0);
                self.make_segment();
                self.apply();
            }
        }
    }

    fn fly(&mut self, plan: &AppendPlan) {
        for write in &plan.writes {
            self.disk.start(write.clone());
        }
        self.flights.push(Flight { sequence: plan.sequence, writes: plan.writes.clone() });
    }

    fn finish_write(&mut self) {
        if self.flights.is_empty() {
            return;
        }
        let at = self.random.size(self.flights.len());
        let flight = &mut self.flights[at];
        let write = flight.writes.swap_remove(self.random.size(flight.writes.len()));
        self.disk.finish(&write);
        if flight.writes.is_empty() {
            let sequence = self.flights.remove(at).sequence;
            if let Some(durable) = self.log.on_append_done(sequence) {
                let count = self.groups.iter().position(|group| group.sequence == durable.sequence()).unwrap() + 1;
                assert!(count > self.durable, "durable goes forward");
                self.durable = count;
                let end = self.plain(count).end();
                assert_eq!((durable.index(), durable.term()), (end.index, end.term));
            }
        }
    }

    fn finish_seal(&mut self) {
        if let Some(seal) = self.seal.take() {
            self.disk.finish(&seal.write);
            self.log.on_seal_done();
            self.sealed = self.sealing;
        }
    }

    /// A checkpoint of the tree: some committed and durable index is applied for good.
    fn apply(&mut self) {
        let durable = self.plain(self.durable);
        let last = durable.hard_state.commit.min(durable.end().index);
        if last <= self.applied.index || self.snapshot_due.is_some() {
            return;
        }
        let index = RaftIndex(self.applied.index.0 + self.random.below(last.0 - self.applied.index.0 + 1));
        if let Some(term) = durable.term(index) {
            self.applied = EntryId { index, term };
            self.log.release_through(RaftIndex(index.0.saturating_sub(self.kept)));
        }
    }

    fn install_snapshot(&mut self) {
        let plain = self.planned();
        let least = plain.hard_state.commit.max(self.applied.index).next();
        let index = RaftIndex(least.0 + self.random.below(20));
        let term = Term(plain.hard_state.term.0.max(plain.end().term.0) + 1);
        // The tree first, then the log.
        self.applied = EntryId { index, term };
        self.installed = index;
        self.snapshot_due = Some(SnapshotMark { index, term });
    }

    fn make_segment(&mut self) {
        let Some(plan) = self.log.plan_segment() else { return };
        if self.random.chance(5) {
            // No space.
            let fits = self.random.size(plan.steps.len() - 1);
            self.disk.run(&plan.steps[..fits], 0, &mut self.random);
            self.disk.step(&crate::wal::Step::SyncDirectory);
            self.log.on_segment_failed(plan.segment);
            return;
        }
        assert!(self.disk.run(&plan.steps, 0, &mut self.random));
        self.log.on_segment_ready(plan.segment);
        let files = self.disk.files.keys().filter(|file| matches!(file, FileName::Segment(_))).count();
        assert!(files <= self.config.segments_max, "{files} segments");
    }

    /// Everything that was planned becomes durable and the mark says so.
    pub(super) fn settle(&mut self) {
        while !self.flights.is_empty() {
            self.finish_write();
        }
        self.finish_seal();
        if let Some(seal) = self.log.plan_stop() {
            self.sealing = self.durable;
            self.disk.start(seal.write.clone());
            self.seal = Some(seal);
            self.finish_seal();
        }
        assert!(self.log.is_sealed());
        assert_eq!(self.durable, self.groups.len());
    }

    pub(super) fn recover_from(&self, disk: &Disk, boot: u64) -> Result<Recovered, Error> {
        let names: Vec<String> = disk.files.keys().map(FileName::to_string).collect();
        let files = names.iter().map(String::as_str).zip(disk.files.values().map(Vec::as_slice)).collect();
        recover(RecoverInput {
            config: self.config,
            identity: IDENTITY,
            boot: BootNonce(boot),
            files,
            mark: disk.files.get(&FileName::Mark).map_or(&[], Vec::as_slice),
            tree_applied: self.applied.index,
            tree_term: self.applied.term,
            tree_installed: self.installed,
            entries_kept: self.kept,
        })
    }

    /// How many of the planned groups a recovered log has.
    pub(super) fn count_of(&self, recovered: &Recovered) -> usize {
        let sequence = recovered.log.appended_sequence();
        if sequence == Sequence(0) {
            return 0;
        }
        self.groups.iter().position(|group| group.sequence == sequence).expect("it ends with a planned group") + 1
    }

    /// Panics if the recovered log is not what `count` groups leave.
    pub(super) fn compare(&self, recovered: &Recovered, count: usize) {
        let plain = self.plain(count);
        assert_eq!(recovered.hard_state, plain.hard_state);
        if let Some(mark) = recovered.snapshot_due {
            assert_eq!(mark.index, self.applied.index);
            assert_eq!(recovered.base, self.applied);
            assert!(recovered.entries.is_empty());
            assert!(plain.term(mark.index) != Some(mark.term), "the log knows the snapshot");
            return;
        }
        assert!(recovered.base.index <= self.applied.index);
        let least = self.applied.index.0.saturating_sub(self.kept);
        assert!(recovered.base.index.0 >= least.min(recovered.log.appended().index.0));
        let expected: Vec<&Entry> = plain.entries.iter().filter(|entry| entry.index > recovered.base.index).collect();
        let first = recovered.entries.first().map(|entry| entry.index);
        assert!(first.is_none_or(|first| first == recovered.base.index.next()));
        assert!(expected.into_iter().eq(&recovered.entries), "entries differ");
        assert_eq!(plain.term(recovered.base.index).unwrap_or(recovered.base.term), recovered.base.term);
    }

    /// A crash, and starts until one of them is not itself cut short.
    pub(super) fn crash(&mut self, crash_percent: u64) {
        self.disk.crash(&mut self.random);
        self.flights.clear();
        self.seal = None;
        loop {
            self.boots += 1;
            let recovered = self.recover_from(&self.disk, self.boots).unwrap_or_else(|error| panic!("{error}"));
            let count = self.count_of(&recovered);
            assert!(count >= self.durable, "{count} groups recovered, {} were durable", self.durable);
            self.compare(&recovered, count);
            self.cuts += usize::from(recovered.ending == Ending::Cut);
            // What is recovered counts as durable once the repairs are done; a crash in them must give the same.
            let repaired = self.disk.run(&recovered.repairs, crash_percent, &mut self.random);
            self.groups.truncate(count);
            self.durable = count;
            self.snapshot_due = recovered.snapshot_due;
            self.log = recovered.log;
            if repaired {
                self.sealed = count;
                break;
            }
        }
    }
}
