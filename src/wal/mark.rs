//! The durable mark: the second place that says how far the log was durable. Two slots, written in turn.
//!
//! Invariants
//! - Everything a mark says was durable before the mark was written.
//! - A slot's content is one sector and names its slot: a crash leaves the old or the new content, and a slot that
//!   stands in the other's place is not accepted.
//! - The slot with the higher counter is the truth; the other one is at most one write older.

use super::entry::{EntryId, Identity, Sequence};
use super::format::{BLOCK, NUMBER_MAX, VERSION, is_sealed, seal_fields};
use super::name::{FileName, SegmentId, Write};
use crate::codec::{Malformed, Reader};
use crate::limits::WAL_BLOCK_BYTES;
use crate::types::{BootNonce, ClusterId, MemberId, RaftIndex, Term};

const MAGIC: [u8; 8] = *b"ringWALm";
/// Bytes of a mark that its checksum covers.
pub(super) const FIELDS: usize = 136;
const SLOTS: u64 = 2;

/// What a slot of the mark says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    /// Whose log it is.
    pub(super) identity: Identity,
    /// Counts the marks written; even ones stand in slot 0.
    pub(super) counter: u64,
    /// The number of the start that wrote it.
    pub(super) epoch: u64,
    /// That start's nonce.
    pub(super) boot: BootNonce,
    /// The first part of that start: parts of earlier epochs from here on were cut and stay dead.
    pub(super) epoch_first: Sequence,
    /// All groups up to this part are durable.
    pub(super) durable_through: Sequence,
    /// The chain after that part.
    pub(super) chain: u64,
    /// The log's end after that part.
    pub(super) end: EntryId,
    /// The oldest segment that is still needed; older ones may be gone.
    pub(super) oldest: SegmentId,
    /// The segment in which that part ends: up to it, all segments are there.
    pub(super) segment: SegmentId,
    /// The place after that part in it.
    pub(super) offset: u64,
}

/// Why a slot was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MarkFlaw {
    /// Not there, torn, damaged or in the wrong place.
    Unreadable,
    /// A version this code does not know.
    Version(u32),
}

impl Mark {
    /// The write of this mark into its slot.
    pub(super) fn write(&self) -> Write {
        assert!(self.counter > 0, "marks count from 1");
        assert!(self.oldest <= self.segment, "segment {} before {}", self.segment.0, self.oldest.0);
        let mut out = Vec::with_capacity(BLOCK);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        let whose = [self.identity.cluster.0, self.identity.member.0];
        let start = [self.counter, self.epoch, self.boot.0, self.epoch_first.0];
        let point = [self.durable_through.0, self.chain, self.end.index.0, self.end.term.0];
        let place = [self.oldest.0, self.segment.0, self.offset];
        for word in whose.iter().chain(&start).chain(&point).chain(&place) {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.resize(FIELDS, 0);
        seal_fields(&mut out);
        out.resize(BLOCK, 0);
        Write::new(FileName::Mark, self.counter % SLOTS * WAL_BLOCK_BYTES, out)
    }

    fn parse(slot: &[u8], index: u64) -> Result<Self, MarkFlaw> {
        let fields = slot.get(..FIELDS).ok_or(MarkFlaw::Unreadable)?;
        let mut reader = Reader::new(fields);
        let flaw = |_: Malformed| MarkFlaw::Unreadable;
        if reader.array::<8>().map_err(flaw)? != MAGIC {
            return Err(MarkFlaw::Unreadable);
        }
        let version = reader.u32().map_err(flaw)?;
        reader.u32().map_err(flaw)?;
        if version != VERSION {
            return Err(MarkFlaw::Version(version));
        }
        if !is_sealed(fields) {
            return Err(MarkFlaw::Unreadable);
        }
        let mut word = || reader.u64().map_err(flaw);
        let mark = Self {
            identity: Identity { cluster: ClusterId(word()?), member: MemberId(word()?) },
            counter: word()?,
            epoch: word()?,
            boot: BootNonce(word()?),
            epoch_first: Sequence(word()?),
            durable_through: Sequence(word()?),
            chain: word()?,
            end: EntryId { index: RaftIndex(word()?), term: Term(word()?) },
            oldest: SegmentId(word()?),
            segment: SegmentId(word()?),
            offset: word()?,
        };
        let numbers = [mark.counter, mark.epoch, mark.epoch_first.0, mark.durable_through.0, mark.end.index.0];
        let sane = mark.counter % SLOTS == index
            && mark.counter > 0
            && mark.oldest <= mark.segment
            && numbers.iter().all(|number| *number <= NUMBER_MAX);
        sane.then_some(mark).ok_or(MarkFlaw::Unreadable)
    }

    /// The newer of the readable slots of a mark file; `None` if there is none. A slot of an unknown version wins as
    /// an error, with its offset: what it says may not be ignored.
    pub(super) fn choose(file: &[u8]) -> Result<Option<Self>, (u64, u32)> {
        let mut newest: Option<Self> = None;
        for (index, offset) in [(0, 0), (1, BLOCK)] {
            let slot = file.get(offset..).unwrap_or_default();
            match Self::parse(slot, index) {
                Ok(mark) if newest.is_none_or(|other| other.counter < mark.counter) => newest = Some(mark),
                Ok(_) | Err(MarkFlaw::Unreadable) => {}
                Err(MarkFlaw::Version(version)) => return Err((index * WAL_BLOCK_BYTES, version)),
            }
        }
        Ok(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(counter: u64) -> Mark {
        Mark {
            identity: Identity { cluster: ClusterId(1), member: MemberId(2) },
            counter,
            epoch: 3,
            boot: BootNonce(4),
            epoch_first: Sequence(5),
            durable_through: Sequence(6),
            chain: 7,
            end: EntryId { index: RaftIndex(8), term: Term(9) },
            oldest: SegmentId(10),
            segment: SegmentId(11),
            offset: 4096,
        }
    }

    fn file(counters: [u64; 2]) -> Vec<u8> {
        let mut out = vec![0; 2 * BLOCK];
        for counter in counters {
            let write = mark(counter).write();
            let offset = usize::try_from(write.offset).unwrap();
            out[offset..offset + BLOCK].copy_from_slice(&write.bytes);
        }
        out
    }

    #[test]
    fn the_newer_slot_wins_in_either_place() {
        assert_eq!(Mark::choose(&file([6, 7])), Ok(Some(mark(7))));
        assert_eq!(Mark::choose(&file([8, 7])), Ok(Some(mark(8))));
        assert_eq!(Mark::choose(&[]), Ok(None));
        assert_eq!(Mark::choose(&file([6, 7])[..BLOCK]), Ok(Some(mark(6))));
    }

    #[test]
    fn no_flipped_bit_changes_what_is_chosen_to_something_never_written() {
        let good = file([6, 7]);
        for bit in 0..FIELDS * 8 {
            let mut bad = good.clone();
            bad[BLOCK + bit / 8] ^= 1 << (bit % 8);
            match Mark::choose(&bad) {
                Ok(chosen) => assert_eq!(chosen, Some(mark(6)), "bit {bit}"),
                Err((offset, version)) => {
                    assert_eq!(offset, WAL_BLOCK_BYTES);
                    assert_ne!(version, VERSION);
                }
            }
        }
    }

    #[test]
    fn swapped_slots_are_both_refused() {
        let mut bad = file([6, 7]);
        bad.rotate_left(BLOCK);
        assert_eq!(Mark::choose(&bad), Ok(None));
    }
}
