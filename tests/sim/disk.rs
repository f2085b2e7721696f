//! The simulated disk of one member, and every way in which it may lie.
//!
//! What may happen to which bytes
//! - A synchronous write (the WAL's O_DIRECT | O_DSYNC) is in flight between `begin` and `finish`. A crash in between
//!   keeps any subset of its 512-byte sectors, whatever other writes were in flight. After `finish` it is durable.
//! - A buffered write (the tree file's) is visible at once and durable after `sync`. A crash before keeps any subset of
//!   its sectors, in any order over all unsynced writes.
//! - Creating, renaming and removing files is atomic; before `sync_directory` a crash may undo it.
//! - Faults, drawn by the world: a finished write may be lost (the old bytes stay), misdirected (it lands on another
//!   block of the same file, the right one stays old), or rot later (bits flip at rest).
//! - A full disk refuses to extend, never to overwrite.
//!
//! Deliberately not modelled: a disk that answers two reads of one sector differently, and files that vanish whole
//! (tests/damage deletes files of the real binary).

use std::collections::BTreeMap;

use crate::rng::Rng;

/// The unit that a disk writes whole or not at all.
pub(crate) const SECTOR_BYTES: usize = 512;
/// The unit of our writes, and of misdirection.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// How likely a finished write is to go wrong, in a thousandth of a thousandth each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LieRates {
    /// The device said yes and kept the old bytes.
    pub(crate) lost_per_million: u64,
    /// The bytes went to another block of the same file.
    pub(crate) misdirected_per_million: u64,
}

/// A synchronous write under way.
#[derive(Clone, Debug)]
struct InFlight {
    file: String,
    offset: usize,
    bytes: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
struct File {
    /// What a reader of this run sees.
    visible: Vec<u8>,
    /// What a crash leaves for certain.
    durable: Vec<u8>,
    /// Ranges written (buffered) and not yet synced, as offset and length into `visible`.
    unsynced: Vec<(usize, usize)>,
    /// Whether a crash may still make the file vanish.
    entry_durable: bool,
}

/// See the module's words.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    files: BTreeMap<String, File>,
    in_flight: BTreeMap<u64, InFlight>,
    next_operation: u64,
    rng: Rng,
    /// Rates of lies from now on.
    pub(crate) lies: LieRates,
    /// Bytes that all files together may take.
    pub(crate) capacity_bytes: usize,
    /// Lies told so far, for reports and for deciding what a refusal to start may be blamed on.
    pub(crate) lies_told: u64,
}

/// No room to extend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

impl Disk {
    /// An empty disk.
    pub(crate) fn new(rng: Rng, capacity_bytes: usize) -> Self {
        Self {
            files: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            next_operation: 0,
            rng,
            lies: LieRates::default(),
            capacity_bytes,
            lies_told: 0,
        }
    }

    /// Names of the files that exist.
    pub(crate) fn names(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    /// A file's bytes as a reader sees them; empty when there is none.
    pub(crate) fn read(&self, name: &str) -> &[u8] {
        self.files.get(name).map_or(&[], |file| &file.visible)
    }

    /// Whether the file exists.
    pub(crate) fn exists(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Bytes that all files take.
    pub(crate) fn used_bytes(&self) -> usize {
        self.files.values().map(|file| file.visible.len()).sum()
    }

    /// Extends (never shortens) a file with zeros, making it when it is missing; durable at once, as fallocate plus
    /// zero-fill plus fsync are one step of a plan.
    pub(crate) fn extend(&mut self, name: &str, length: usize) -> Result<(), Full> {
        let have = self.files.get(name).map_or(0, |file| file.visible.len());
        let more = length.saturating_sub(have);
        if self.used_bytes() + more > self.capacity_bytes {
            return Err(Full);
        }
        let file = self.files.entry(name.to_owned()).or_default();
        if more > 0 {
            file.visible.resize(length, 0);
            file.durable.resize(length, 0);
        }
        Ok(())
    }

    /// Makes directory entries durable.
    pub(crate) fn sync_directory(&mut self) {
        for file in self.files.values_mut() {
            file.entry_durable = true;
        }
    }

    /// Renames a file; the new name's entry is durable after `sync_directory`.
    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        let mut file = self.files.remove(from).expect("plans rename only what exists");
        file.entry_durable = true;
        self.files.insert(to.to_owned(), file);
    }

    /// Removes a file.
    pub(crate) fn remove(&mut self, name: &str) {
        self.files.remove(name);
    }

    /// Starts a synchronous write; `finish` lands it, `crash` tears it.
    pub(crate) fn begin(&mut self, name: &str, offset: u64, bytes: &[u8]) -> u64 {
        let offset = usize::try_from(offset).expect("simulated files are small");
        assert!(offset.is_multiple_of(BLOCK_BYTES), "O_DIRECT write of {name} at {offset} is not aligned");
        assert!(bytes.len().is_multiple_of(BLOCK_BYTES), "O_DIRECT write of {} bytes is not aligned", bytes.len());
        let length = self.files.get(name).expect("plans write only to files that exist").visible.len();
        assert!(offset + bytes.len() <= length, "write beyond the end of {name}: {offset}+{} > {length}", bytes.len());
        self.next_operation += 1;
        let write = InFlight { file: name.to_owned(), offset, bytes: bytes.to_vec() };
        self.in_flight.insert(self.next_operation, write);
        self.next_operation
    }

    /// The device reports success: the bytes are durable, or it lies.
    pub(crate) fn finish(&mut self, operation: u64) {
        let Some(write) = self.in_flight.remove(&operation) else { return };
        let offset = match self.draw_lie(&write.file, write.offset, write.bytes.len()) {
            Lie::None => write.offset,
            Lie::Lost => return,
            Lie::Misdirected(other) => other,
        };
        let file = self.files.get_mut(&write.file).expect("files with writes in flight are not removed");
        file.visible[offset..offset + write.bytes.len()].copy_from_slice(&write.bytes);
        file.durable[offset..offset + write.bytes.len()].copy_from_slice(&write.bytes);
    }

    /// A buffered write: seen at once, durable after `sync`.
    pub(crate) fn write_buffered(&mut self, name: &str, offset: u64, bytes: &[u8]) {
        let offset = usize::try_from(offset).expect("simulated files are small");
        let target = match self.draw_lie(name, offset, bytes.len()) {
            Lie::None => offset,
            Lie::Lost => return,
            Lie::Misdirected(other) => other,
        };
        let file = self.files.get_mut(name).expect("plans write only to files that exist");
        assert!(offset + bytes.len() <= file.visible.len(), "write beyond the end of {name}");
        file.visible[target..target + bytes.len()].copy_from_slice(bytes);
        file.unsynced.push((target, bytes.len()));
    }

    /// Makes buffered writes durable.
    pub(crate) fn sync(&mut self, name: &str) {
        if let Some(file) = self.files.get_mut(name) {
            file.durable.clone_from(&file.visible);
            file.unsynced.clear();
            file.entry_durable = true;
        }
    }

    /// The power goes: what was in flight or unsynced survives sector by sector, by chance.
    pub(crate) fn crash(&mut self) {
        for (_, write) in std::mem::take(&mut self.in_flight) {
            // All, nothing, a prefix, or any subset: whole outcomes are drawn often, because they are the likely ones.
            let style = self.rng.below(5);
            let prefix = self.rng.index(write.bytes.len() / SECTOR_BYTES + 1);
            for (index, sector) in write.bytes.chunks(SECTOR_BYTES).enumerate() {
                let keep = match style {
                    0 => true,
                    1 => false,
                    2 => index < prefix,
                    _ => self.rng.chance(500),
                };
                if keep && let Some(file) = self.files.get_mut(&write.file) {
                    let at = write.offset + index * SECTOR_BYTES;
                    file.durable[at..at + SECTOR_BYTES].copy_from_slice(sector);
                }
            }
        }
        let rng = &mut self.rng;
        for file in self.files.values_mut() {
            let style = rng.below(4);
            for (offset, length) in std::mem::take(&mut file.unsynced) {
                for at in (offset..offset + length).step_by(SECTOR_BYTES) {
                    let end = (at + SECTOR_BYTES).min(offset + length);
                    if style == 0 || (style > 1 && rng.chance(500)) {
                        let (durable, visible) = (&mut file.durable, &file.visible);
                        durable[at..end].copy_from_slice(&visible[at..end]);
                    }
                }
            }
            file.visible.clone_from(&file.durable);
        }
        self.files.retain(|_, file| file.entry_durable || rng.chance(500));
        self.sync_directory();
    }

    /// Flips `bits` bits somewhere in a file that has bytes; answers where.
    pub(crate) fn rot(&mut self, name: &str, bits: u64) -> Option<usize> {
        let length = self.files.get(name)?.durable.len();
        if length == 0 {
            return None;
        }
        let at = self.rng.index(length);
        self.rot_at(name, at, bits);
        Some(at)
    }

    /// Flips `bits` bits in the sector around `at`.
    pub(crate) fn rot_at(&mut self, name: &str, at: usize, bits: u64) {
        let start = at / SECTOR_BYTES * SECTOR_BYTES;
        for _ in 0..bits {
            let offset = self.rng.index(SECTOR_BYTES);
            let flip = 1u8 << self.rng.below(8);
            let file = self.files.get_mut(name).expect("rot hits files that exist");
            if start + offset < file.durable.len() {
                file.durable[start + offset] ^= flip;
                file.visible[start + offset] ^= flip;
            }
        }
        self.lies_told += 1;
    }

    fn draw_lie(&mut self, name: &str, offset: usize, length: usize) -> Lie {
        let draw = self.rng.below(1_000_000);
        if draw < self.lies.lost_per_million {
            self.lies_told += 1;
            return Lie::Lost;
        }
        if draw < self.lies.lost_per_million + self.lies.misdirected_per_million {
            let file_length = self.files.get(name).map_or(0, |file| file.visible.len());
            let blocks = file_length.saturating_sub(length) / BLOCK_BYTES;
            let other = self.rng.index(blocks + 1) * BLOCK_BYTES;
            if other != offset {
                self.lies_told += 1;
                return Lie::Misdirected(other);
            }
        }
        Lie::None
    }
}

enum Lie {
    None,
    Lost,
    Misdirected(usize),
}
