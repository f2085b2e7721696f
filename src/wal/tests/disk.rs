//! A disk in memory. Writes are in flight until they are done or a crash decides, sector by sector, what of them
//! arrived; changes of the directory are durable only when it is synced.

use crate::wal::{FileName, Step, Write};
use std::collections::BTreeMap;

pub(super) const SECTOR: usize = 512;

/// xorshift64*: small, seeded, good enough.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    /// From 0 to below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn size(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(u64::try_from(bound).unwrap())).unwrap()
    }

    /// True in `percent` of 100.
    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone, Default, Debug)]
pub(super) struct Disk {
    pub(super) files: BTreeMap<FileName, Vec<u8>>,
    in_flight: Vec<Write>,
    directory: Vec<Step>,
}

impl Disk {
    pub(super) fn start(&mut self, write: Write) {
        assert!(write.file == FileName::Mark || self.files.contains_key(&write.file), "no {}", write.file);
        self.in_flight.push(write);
    }

    pub(super) fn finish(&mut self, write: &Write) {
        let at = self.in_flight.iter().position(|other| other == write).expect("it was started");
        let write = self.in_flight.remove(at);
        self.store(&write, |_| true);
    }

    fn store(&mut self, write: &Write, mut arrives: impl FnMut(usize) -> bool) {
        let file = self.files.entry(write.file).or_default();
        let offset = usize::try_from(write.offset).unwrap();
        if write.file == FileName::Mark && file.len() < offset + write.bytes.len() {
            file.resize(offset + write.bytes.len(), 0);
        }
        assert!(offset + write.bytes.len() <= file.len(), "{}: write beyond the end", write.file);
        for (number, sector) in write.bytes.chunks(SECTOR).enumerate() {
            if arrives(number) {
                let at = offset + number * SECTOR;
                file[at..at + SECTOR].copy_from_slice(sector);
            }
        }
    }

    /// Carries out one step; its directory changes wait for the sync.
    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Create { file, bytes } => {
                self.files.insert(*file, vec![0; usize::try_from(*bytes).unwrap()]);
            }
            Step::Write(write) => {
                self.start(write.clone());
                self.finish(write);
            }
            Step::Rename { from, .. } => {
                assert!(self.files.contains_key(from), "no {from}");
                self.directory.push(step.clone());
            }
            Step::Remove(_) => self.directory.push(step.clone()),
            Step::Sync(file) => assert!(self.files.contains_key(file), "no {file}"),
            Step::SyncDirectory => {
                for step in std::mem::take(&mut self.directory) {
                    self.change_directory(&step);
                }
            }
        }
    }

    fn change_directory(&mut self, step: &Step) {
        match step {
            Step::Rename { from, to } => {
                let bytes = self.files.remove(from).expect("it is there");
                let replaced = self.files.insert(*to, bytes).is_some();
                assert!(!replaced || matches!(to, FileName::Temporary(_)), "{to} was there");
            }
            Step::Remove(file) => drop(self.files.remove(file)),
            Step::Create { .. } | Step::Write(_) | Step::Sync(_) | Step::SyncDirectory => unreachable!("not pending"),
        }
    }

    /// The power fails: whatever was in flight arrives whole, in part, or not.
    pub(super) fn crash(&mut self, random: &mut Random) {
        let mut in_flight = std::mem::take(&mut self.in_flight);
        while !in_flight.is_empty() {
            let write = in_flight.swap_remove(random.size(in_flight.len()));
            let sectors = write.bytes.len() / SECTOR;
            match random.below(6) {
                0 => {}
                1 => self.store(&write, |_| true),
                2 => {
                    let end = random.size(sectors + 1);
                    self.store(&write, |sector| sector < end);
                }
                3 => {
                    let start = random.size(sectors + 1);
                    self.store(&write, |sector| sector >= start);
                }
                4 => {
                    let left_out = random.size(sectors);
                    self.store(&write, |sector| sector != left_out);
                }
                _ => self.store(&write, |_| random.chance(50)),
            }
        }
        for step in std::mem::take(&mut self.directory) {
            if random.chance(50) {
                self.change_directory(&step);
            }
        }
    }

    /// Carries out steps, with a crash in one of them now and then. Whether all were done.
    pub(super) fn run(&mut self, steps: &[Step], crash_percent: u64, random: &mut Random) -> bool {
        for step in steps {
            if random.chance(crash_percent) {
                match step {
                    Step::Write(write) => self.start(write.clone()),
                    Step::Create { file, bytes } => {
                        let bytes = usize::try_from(*bytes).unwrap();
                        self.files.insert(*file, vec![0; random.size(bytes + 1)]);
                    }
                    Step::Rename { .. } | Step::Remove(_) => self.step(step),
                    Step::Sync(_) | Step::SyncDirectory => {}
                }
                self.crash(random);
                return false;
            }
            self.step(step);
        }
        true
    }
}
