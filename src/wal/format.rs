//! The bytes of a segment: its header block and the headers of the parts in it. `FORMAT.md` draws them.
//!
//! Invariants
//! - What `encode` makes, `parse` gives back; anything else is `None` or `Err`, never a panic.
//! - Every checksum is mixed with the segment's signature and the place, so that neither bytes left over from an earlier
//!   life of the file nor blocks from another place pass.
//! - A part's header is one sector: a crash leaves all of it or none of it.

use super::entry::{EntryId, HardState, Identity, Sequence};
use super::name::SegmentId;
use crate::codec::{Malformed, Reader, crc32c};
use crate::limits::{WAL_BLOCK_BYTES, WAL_HEADERS_REDUNDANT, WAL_SECTOR_BYTES};
use crate::types::{BootNonce, ClusterId, MemberId, RaftIndex, Term};

/// The version in the header of segments and marks that this code writes and reads.
pub(super) const VERSION: u32 = 1;

/// A block of the WAL as a length in memory.
pub(super) const BLOCK: usize = 4096;

/// The header of a part as a length in memory.
pub(super) const PART_HEADER: usize = WAL_SECTOR_BYTES;

/// The same as a length on disk.
pub(super) const PART_HEADER_BYTES: u64 = 512;

const SEGMENT_MAGIC: [u8; 8] = *b"ringWALs";
/// Bytes of a segment's header that its checksum covers.
pub(super) const SEGMENT_FIELDS: usize = 56;
/// Numbers above this never come from a writer of ours; refused, so that counting on cannot overflow.
pub(super) const NUMBER_MAX: u64 = 1 << 62;

const PART_MAGIC: [u8; 4] = *b"rWPt";
const PART_FIELDS: usize = 192;
const COPY_BYTES: usize = 40;

const _: () = assert!(PART_FIELDS + WAL_HEADERS_REDUNDANT * COPY_BYTES == PART_HEADER, "the header is one sector");
const _: () = assert!(WAL_BLOCK_BYTES == 4096 && BLOCK == 4096);
const _: () = assert!(PART_HEADER_BYTES == 512 && PART_HEADER == 512);

/// A 64-bit hash of whole words, for chains and signatures. Not against an adversary: against accidents.
pub(super) fn hash64(seed: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    assert!(rest.is_empty(), "hashed bytes are whole words");
    let mut hash = seed ^ 0x6a09_e667_f3bc_c909;
    for word in words {
        hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 29;
    }
    hash = hash.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash ^ (hash >> 32)
}

/// The chain before the first part of a member's log.
pub(super) fn genesis(identity: Identity) -> u64 {
    let mut bytes = Vec::with_capacity(16);
    bytes.extend_from_slice(&identity.cluster.0.to_le_bytes());
    bytes.extend_from_slice(&identity.member.0.to_le_bytes());
    hash64(0x7269_6e67_626f_6c74, &bytes)
}

/// Puts the checksum into the fields of a segment's header or a mark: at 12, over all of them with zeros there.
pub(super) fn seal_fields(fields: &mut [u8]) {
    fields[12..16].fill(0);
    let checksum = crc32c(0, fields);
    fields[12..16].copy_from_slice(&checksum.to_le_bytes());
}

/// Whether the fields have their checksum.
pub(super) fn is_sealed(fields: &[u8]) -> bool {
    assert!(fields.len() > 16, "fields follow the checksum");
    let checksum = crc32c(crc32c(crc32c(0, &fields[..12]), &[0; 4]), &fields[16..]);
    fields[12..16] == checksum.to_le_bytes()
}

/// Why a segment's first block was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SegmentFlaw {
    /// The magic is not there.
    NotASegment,
    /// A version this code does not know.
    Version(u32),
    /// The checksum of the header does not match.
    Checksum,
}

/// The first block of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SegmentHeader {
    /// Whose it is.
    pub(super) identity: Identity,
    /// Its number, as in the file's name.
    pub(super) id: SegmentId,
    /// New with each life of the file; mixed into every checksum in it.
    pub(super) signature: u64,
    /// The file's size.
    pub(super) bytes: u64,
}

impl SegmentHeader {
    /// The header block.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BLOCK);
        out.extend_from_slice(&SEGMENT_MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for word in [self.identity.cluster.0, self.identity.member.0, self.id.0, self.signature, self.bytes] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        assert_eq!(out.len(), SEGMENT_FIELDS);
        seal_fields(&mut out);
        out.resize(BLOCK, 0);
        out
    }

    /// The header in a segment's first bytes.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, SegmentFlaw> {
        let fields = bytes.get(..SEGMENT_FIELDS).ok_or(SegmentFlaw::NotASegment)?;
        let mut reader = Reader::new(fields);
        let flaw = |_: Malformed| SegmentFlaw::NotASegment;
        if reader.array::<8>().map_err(flaw)? != SEGMENT_MAGIC {
            return Err(SegmentFlaw::NotASegment);
        }
        let version = reader.u32().map_err(flaw)?;
        if version != VERSION {
            return Err(SegmentFlaw::Version(version));
        }
        reader.u32().map_err(flaw)?;
        if !is_sealed(fields) {
            return Err(SegmentFlaw::Checksum);
        }
        let mut word = || reader.u64().map_err(flaw);
        let identity = Identity { cluster: ClusterId(word()?), member: MemberId(word()?) };
        Ok(Self { identity, id: SegmentId(word()?), signature: word()?, bytes: word()? })
    }
}

/// Where a part stands: what its checksums are mixed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// The segment's signature.
    pub(super) signature: u64,
    /// The part's offset in the segment.
    pub(super) offset: u64,
}

impl Place {
    fn seed(self) -> u32 {
        crc32c(crc32c(0, &self.signature.to_le_bytes()), &self.offset.to_le_bytes())
    }

    /// Puts the checksum into a part's header.
    pub(super) fn seal(self, sector: &mut [u8]) {
        assert_eq!(sector.len(), PART_HEADER, "a header is one sector");
        let checksum = crc32c(self.seed(), &sector[8..]);
        sector[4..8].copy_from_slice(&checksum.to_le_bytes());
    }

    /// The checksum of a part's records.
    pub(super) fn payload_checksum(self, sequence: Sequence, payload: &[u8]) -> u32 {
        crc32c(crc32c(self.seed(), &sequence.0.to_le_bytes()), payload)
    }
}

/// What later parts repeat of an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct HeaderCopy {
    /// The chain after that part.
    pub(super) chain: u64,
    /// Bytes of its records.
    pub(super) payload_length: u32,
    /// Checksum of its records.
    pub(super) payload_checksum: u32,
    /// The lowest index that its group writes; 0 if none.
    pub(super) first_index: RaftIndex,
    /// The log's end after its group.
    pub(super) end: EntryId,
}

/// The header of a part: a group, or what of a group lies in one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PartHeader {
    /// Its number.
    pub(super) sequence: Sequence,
    /// The number of the start of the member that wrote it; grows with each start.
    pub(super) epoch: u64,
    /// The nonce of that start: two starts with one number (the first was undone by a crash) stay apart.
    pub(super) boot: BootNonce,
    /// The chain after the part before.
    pub(super) chain_before: u64,
    /// All groups up to this part were durable when this one was planned.
    pub(super) durable_through: Sequence,
    /// The first part of its group.
    pub(super) group_first: Sequence,
    /// Whether it is the last part of its group.
    pub(super) group_ends: bool,
    /// Bytes of records in this part.
    pub(super) payload_length: u32,
    /// Their checksum.
    pub(super) payload_checksum: u32,
    /// The lowest index that the group writes; 0 if none.
    pub(super) first_index: RaftIndex,
    /// The highest index that the group writes or marks as covered by a snapshot; 0 if none.
    pub(super) index_max: RaftIndex,
    /// The log's end before the group.
    pub(super) end_before: EntryId,
    /// The log's end after the group.
    pub(super) end: EntryId,
    /// The hard state after the group. Every part has it, so the newest one is never in a segment that was released.
    pub(super) hard_state: HardState,
    /// Copies of what the parts before were, the newest first.
    pub(super) copies: Vec<HeaderCopy>,
}

impl PartHeader {
    /// The header's sector at `place`, and the chain after this part.
    pub(super) fn encode(&self, place: Place) -> (Vec<u8>, u64) {
        assert!(self.copies.len() <= WAL_HEADERS_REDUNDANT, "{} copies", self.copies.len());
        assert!(self.group_first <= self.sequence, "part {} of group {}", self.sequence, self.group_first);
        assert!(self.durable_through < self.group_first, "a part cannot attest itself");
        let [copies, ..] = self.copies.len().to_le_bytes();
        let mut out = Vec::with_capacity(PART_HEADER);
        out.extend_from_slice(&PART_MAGIC);
        out.extend_from_slice(&[0; 4]);
        let words = [self.sequence.0, self.epoch, self.boot.0, self.chain_before, self.durable_through.0];
        words.iter().chain([&self.group_first.0]).for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        out.extend_from_slice(&self.payload_length.to_le_bytes());
        out.extend_from_slice(&self.payload_checksum.to_le_bytes());
        out.extend_from_slice(&[u8::from(self.group_ends), copies, 0, 0, 0, 0, 0, 0]);
        let hard_state = [self.hard_state.term.0, self.hard_state.vote.0, self.hard_state.commit.0];
        let ends = [self.end_before.index.0, self.end_before.term.0, self.end.index.0, self.end.term.0];
        let indexes = [self.first_index.0, self.index_max.0];
        for word in indexes.iter().chain(&ends).chain(&hard_state) {
            out.extend_from_slice(&word.to_le_bytes());
        }
        assert!(out.len() <= PART_FIELDS, "the fields leave room for the copies");
        out.resize(PART_FIELDS, 0);
        for copy in &self.copies {
            out.extend_from_slice(&copy.chain.to_le_bytes());
            out.extend_from_slice(&copy.payload_length.to_le_bytes());
            out.extend_from_slice(&copy.payload_checksum.to_le_bytes());
            for word in [copy.first_index.0, copy.end.index.0, copy.end.term.0] {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
        out.resize(PART_HEADER, 0);
        place.seal(&mut out);
        let chain = hash64(0, &out);
        (out, chain)
    }

    /// The header at the start of `bytes` if a part was written at `place`, and the chain after it.
    pub(super) fn parse(bytes: &[u8], place: Place) -> Option<(Self, u64)> {
        let sector = bytes.get(..PART_HEADER)?;
        if sector[..4] != PART_MAGIC {
            return None;
        }
        let checksum = crc32c(place.seed(), &sector[8..]);
        if sector[4..8] != checksum.to_le_bytes() {
            return None;
        }
        let header = Self::parse_fields(&sector[8..]).ok()?;
        header.is_sane().then(|| (header, hash64(0, sector)))
    }

    fn is_sane(&self) -> bool {
        let in_order = self.group_first <= self.sequence && self.durable_through < self.group_first;
        let indexes = [self.first_index, self.index_max, self.end_before.index, self.end.index, self.hard_state.commit];
        let numbers = [self.sequence.0, self.epoch].into_iter().chain(indexes.map(|index| index.0));
        in_order && self.sequence.0 > 0 && numbers.max().is_some_and(|most| most <= NUMBER_MAX)
    }

    fn parse_fields(fields: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(fields);
        let sequence = Sequence(reader.u64()?);
        let epoch = reader.u64()?;
        let boot = BootNonce(reader.u64()?);
        let chain_before = reader.u64()?;
        let durable_through = Sequence(reader.u64()?);
        let group_first = Sequence(reader.u64()?);
        let payload_length = reader.u32()?;
        let payload_checksum = reader.u32()?;
        let group_ends = reader.u8()? == 1;
        let copies = usize::from(reader.u8()?);
        reader.bytes(6)?;
        let first_index = RaftIndex(reader.u64()?);
        let index_max = RaftIndex(reader.u64()?);
        let end_before = parse_entry_id(&mut reader)?;
        let end = parse_entry_id(&mut reader)?;
        let hard_state =
            HardState { term: Term(reader.u64()?), vote: MemberId(reader.u64()?), commit: RaftIndex(reader.u64()?) };
        let mut header = Self {
            sequence,
            epoch,
            boot,
            chain_before,
            durable_through,
            group_first,
            group_ends,
            payload_length,
            payload_checksum,
            first_index,
            index_max,
            end_before,
            end,
            hard_state,
            copies: Vec::new(),
        };
        if copies > WAL_HEADERS_REDUNDANT {
            return Err(Malformed);
        }
        let mut reader = Reader::new(fields.get(PART_FIELDS - 8..).ok_or(Malformed)?);
        for _ in 0..copies {
            header.copies.push(parse_copy(&mut reader)?);
        }
        Ok(header)
    }

    /// What later parts repeat of this one.
    pub(super) fn copy(&self, chain: u64) -> HeaderCopy {
        HeaderCopy {
            chain,
            payload_length: self.payload_length,
            payload_checksum: self.payload_checksum,
            first_index: self.first_index,
            end: self.end,
        }
    }

    /// This header's copy of the part `sequence`, if it goes back that far.
    pub(super) fn copy_of(&self, sequence: Sequence) -> Option<&HeaderCopy> {
        let back = self.sequence.0.checked_sub(sequence.0)?.checked_sub(1)?;
        self.copies.get(usize::try_from(back).ok()?)
    }

    /// Bytes that the part takes in its segment: whole blocks.
    pub(super) fn extent(&self) -> u64 {
        extent(u64::from(self.payload_length))
    }
}

/// Bytes that a part with so many bytes of records takes: whole blocks.
pub(super) fn extent(payload: u64) -> u64 {
    (PART_HEADER_BYTES + payload).next_multiple_of(WAL_BLOCK_BYTES)
}

fn parse_entry_id(reader: &mut Reader<'_>) -> Result<EntryId, Malformed> {
    Ok(EntryId { index: RaftIndex(reader.u64()?), term: Term(reader.u64()?) })
}

fn parse_copy(reader: &mut Reader<'_>) -> Result<HeaderCopy, Malformed> {
    Ok(HeaderCopy {
        chain: reader.u64()?,
        payload_length: reader.u32()?,
        payload_checksum: reader.u32()?,
        first_index: RaftIndex(reader.u64()?),
        end: parse_entry_id(reader)?,
    })
}
