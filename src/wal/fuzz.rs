//! The fuzzers' way in: arbitrary bytes become files of a log, and recovery must neither panic nor contradict itself.
//!
//! Invariants
//! - The same bytes do the same.
//! - Checksums are made good again after half of the edits, so that what is behind them is reached.

use super::append::{Created, Log};
use super::entry::{Config, Entry, EntryKind, Identity, Sequence};
use super::format::{BLOCK, PART_HEADER, Place, SEGMENT_FIELDS, SegmentHeader, seal_fields};
use super::input::RecoverInput;
use super::mark;
use super::name::{FileName, SegmentId, Step, Write};
use super::recover::{Recovered, recover};
use super::size::{in_memory, on_disk};
use crate::codec::{Malformed, Reader};
use crate::limits;
use crate::types::{BootNonce, ClusterId, MemberId, RaftIndex, Term};
use bytes::Bytes;
use std::collections::BTreeMap;

const IDENTITY: Identity = Identity { cluster: ClusterId(1), member: MemberId(2) };
const CONFIG: Config = Config { segment_bytes: limits::WAL_SEGMENT_BYTES_MIN, segments_spare: 1, segments_max: 4 };
const EDITS_MAX: usize = 64;

/// Makes files from `bytes` and recovers from them, twice.
///
/// The first byte chooses: below 64 the rest are the files themselves, a mark and a segment; else a sound log is made and
/// the rest are edits of it.
pub fn fuzz_recover(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let Ok(choice) = reader.u8() else { return };
    let files = if choice < 64 { raw_files(reader.rest()) } else { edited_files(choice, &mut reader) };
    for tree_applied in [0, 1, u64::from(choice)] {
        check(files.clone(), RaftIndex(tree_applied));
    }
}

type Files = BTreeMap<FileName, Vec<u8>>;

fn raw_files(bytes: &[u8]) -> Files {
    let (mark, segment) = bytes.split_at(bytes.len().min(2 * BLOCK));
    let id = SegmentId(1);
    BTreeMap::from([(FileName::Mark, mark.to_vec()), (FileName::Segment(id), segment.to_vec())])
}

/// Recovers; if the log is accepted, goes on with it for a group and recovers again.
fn check(mut files: Files, tree_applied: RaftIndex) {
    let Some(first) = recover_from(&files, tree_applied) else { return };
    first.repairs.iter().for_each(|step| carry_out(&mut files, step));
    let again = recover_from(&files, tree_applied).expect("repaired files are in order");
    assert_eq!(again.entries, first.entries, "a second recovery differs");
    assert_eq!(again.hard_state, first.hard_state, "a second recovery differs");
    again.repairs.iter().for_each(|step| carry_out(&mut files, step));
    let mut log = again.log;
    append(&mut files, &mut log, 10);
    let end = log.appended();
    let last = recover_from(&files, tree_applied).expect("a group was added to files in order");
    assert_eq!(last.log.appended(), end, "the added group is there");
}

fn recover_from(files: &Files, tree_applied: RaftIndex) -> Option<Recovered> {
    let names: Vec<String> = files.keys().map(FileName::to_string).collect();
    let recovered = recover(RecoverInput {
        config: CONFIG,
        identity: IDENTITY,
        boot: BootNonce(7),
        files: names.iter().map(String::as_str).zip(files.values().map(Vec::as_slice)).collect(),
        mark: files.get(&FileName::Mark).map_or(&[], Vec::as_slice),
        tree_applied,
        tree_term: Term(u64::from(tree_applied.0 > 0)),
        tree_installed: RaftIndex(0),
        entries_kept: 3,
    });
    recovered.inspect_err(|error| assert!(!error.to_string().is_empty())).ok()
}

fn carry_out(files: &mut Files, step: &Step) {
    match step {
        Step::Create { file, bytes } => drop(files.insert(*file, vec![0; in_memory(*bytes)])),
        Step::Write(write) => store(files, write),
        Step::Rename { from, to } => {
            let bytes = files.remove(from).unwrap_or_default();
            files.insert(*to, bytes);
        }
        Step::Remove(file) => drop(files.remove(file)),
        Step::Sync(_) | Step::SyncDirectory => {}
    }
}

fn store(files: &mut Files, write: &Write) {
    let file = files.entry(write.file).or_default();
    let (start, end) = (in_memory(write.offset), in_memory(write.offset) + write.bytes.len());
    file.resize(file.len().max(end), 0);
    file[start..end].copy_from_slice(&write.bytes);
}

/// Appends one entry if there is room.
fn append(files: &mut Files, log: &mut Log, length: usize) {
    let index = log.appended().index.next();
    let data = Bytes::from(vec![0xda; length]);
    let entry = Entry { index, term: log.appended().term.max(Term(1)), kind: EntryKind::Normal, data };
    let Ok(plan) = log.plan_append(&[entry], None) else { return };
    plan.writes.iter().for_each(|write| store(files, write));
    let durable = log.on_append_done(plan.sequence);
    assert!(durable.is_some(), "nothing else is in flight");
}

/// A sound log, then edits.
fn edited_files(choice: u8, reader: &mut Reader<'_>) -> Files {
    let mut files = Files::new();
    let Created { steps, mut log } = Log::create(CONFIG, IDENTITY, BootNonce(3));
    steps.iter().for_each(|step| carry_out(&mut files, step));
    for number in 0..usize::from(choice % 16) {
        if let Some(plan) = log.plan_segment() {
            plan.steps.iter().for_each(|step| carry_out(&mut files, step));
            log.on_segment_ready(plan.segment);
        }
        append(&mut files, &mut log, number * 2000);
    }
    if let Some(plan) = log.plan_stop().filter(|_| choice.is_multiple_of(2)) {
        store(&mut files, &plan.write);
        log.on_seal_done();
    }
    for _ in 0..EDITS_MAX {
        if edit(&mut files, reader).is_err() {
            break;
        }
    }
    files
}

/// One edit: a file, a block, an offset in its beginning, and what becomes of the bytes there.
fn edit(files: &mut Files, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let (kind, which, block) = (reader.u8()?, usize::from(reader.u8()?), usize::from(reader.u8()?));
    let offset = usize::from(reader.u16()?) % (2 * PART_HEADER);
    let value = reader.u64()?;
    let Some(name) = files.keys().nth(which % files.len().max(1)).copied() else { return Err(Malformed) };
    let signature = files.get(&name).and_then(|bytes| SegmentHeader::parse(bytes).ok()).map(|header| header.signature);
    let Some(bytes) = files.get_mut(&name) else { return Err(Malformed) };
    let start = block % (bytes.len() / BLOCK).max(1) * BLOCK;
    match kind % 8 {
        0 => bytes.truncate(start),
        1 => drop(files.remove(&name)),
        2 if bytes.len() >= start + BLOCK => bytes.copy_within(..BLOCK, start),
        3 => bytes.iter_mut().skip(start).take(BLOCK).for_each(|byte| *byte = 0),
        _ => {
            let target = bytes.iter_mut().skip(start + offset).zip(value.to_le_bytes());
            target.take(1 + usize::from(kind >> 5)).for_each(|(byte, new)| *byte = new);
            if kind % 8 > 4 {
                reseal(bytes, start, signature);
            }
        }
    }
    Ok(())
}

/// Makes the checksums of the block at `start` good, whatever kind of block it is.
fn reseal(bytes: &mut [u8], start: usize, signature: Option<u64>) {
    let Some(block) = bytes.get_mut(start..) else { return };
    match signature {
        Some(_) if start == 0 && block.len() >= SEGMENT_FIELDS => seal_fields(&mut block[..SEGMENT_FIELDS]),
        Some(signature) if start > 0 => reseal_part(block, Place { signature, offset: on_disk(start) }),
        None if block.len() >= mark::FIELDS => seal_fields(&mut block[..mark::FIELDS]),
        Some(_) | None => {}
    }
}

fn reseal_part(block: &mut [u8], place: Place) {
    let Some((sector, records)) = block.split_at_mut_checked(PART_HEADER) else { return };
    let word = |at: usize| sector.get(at..at + 8).and_then(|word| word.try_into().ok()).map_or(0, u64::from_le_bytes);
    let (sequence, length) = (Sequence(word(8)), word(56) & 0xffff_ffff);
    if let Some(payload) = records.get(..in_memory(length)) {
        let checksum = place.payload_checksum(sequence, payload);
        sector[60..64].copy_from_slice(&checksum.to_le_bytes());
    }
    place.seal(sector);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_untouched_log_is_accepted() {
        for choice in 64..=255 {
            fuzz_recover(&[choice]);
            let mut nothing = Reader::new(&[]);
            let files = edited_files(choice, &mut nothing);
            assert!(recover_from(&files, RaftIndex(0)).is_some(), "choice {choice}");
        }
    }
}
