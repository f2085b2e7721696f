//! The bytes as `FORMAT.md` gives them: a change here is a new version of the format.

use crate::types::{BootNonce, ClusterId, MemberId, RaftIndex, Term};
use crate::wal::entry::{EntryId, HardState, Identity, Sequence};
use crate::wal::format::{HeaderCopy, PART_HEADER, PartHeader, Place, SegmentFlaw, SegmentHeader, extent};
use crate::wal::name::SegmentId;

const PLACE: Place = Place { signature: 0x5157, offset: 8192 };

fn id(index: u64, term: u64) -> EntryId {
    EntryId { index: RaftIndex(index), term: Term(term) }
}

fn header(copies: usize) -> PartHeader {
    let copy = |chain: u64| HeaderCopy {
        chain,
        payload_length: 0x0a,
        payload_checksum: 0x0b,
        first_index: RaftIndex(0x0c),
        end: id(0x0d, 0x0e),
    };
    PartHeader {
        sequence: Sequence(0x21),
        epoch: 0x22,
        boot: BootNonce(0x23),
        chain_before: 0x24,
        durable_through: Sequence(0x1f),
        group_first: Sequence(0x20),
        group_ends: true,
        payload_length: 0x28,
        payload_checksum: 0x29,
        first_index: RaftIndex(0x2a),
        index_max: RaftIndex(0x2b),
        end_before: id(0x2c, 0x2d),
        end: id(0x2e, 0x2f),
        hard_state: HardState { term: Term(0x30), vote: MemberId(0x31), commit: RaftIndex(0x32) },
        copies: (0..copies).map(|at| copy(0x100 + u64::try_from(at).unwrap())).collect(),
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

#[test]
fn a_parts_header_is_laid_out_as_documented() {
    let (sector, _) = header(2).encode(PLACE);
    assert_eq!(sector.len(), 512);
    assert_eq!(&sector[..4], b"rWPt");
    let words = [0x21, 0x22, 0x23, 0x24, 0x1f, 0x20].iter().enumerate();
    words.for_each(|(at, expected)| assert_eq!(word(&sector, 8 + 8 * at), *expected, "word {at}"));
    assert_eq!(word(&sector, 56), 0x29 << 32 | 0x28);
    assert_eq!(word(&sector, 64), 2 << 8 | 1, "ends its group, two copies");
    (0..9u8).for_each(|at| assert_eq!(word(&sector, 72 + 8 * usize::from(at)), 0x2a + u64::from(at), "word {at}"));
    assert!(sector[144..192].iter().all(|byte| *byte == 0), "kept free");
    assert_eq!([192, 232].map(|at| word(&sector, at)), [0x100, 0x101], "the newest first");
    assert_eq!([200, 208, 216, 224].map(|at| word(&sector, at)), [0x0b << 32 | 0x0a, 0x0c, 0x0d, 0x0e]);
    assert!(sector[272..].iter().all(|byte| *byte == 0));
}

#[test]
fn checksums_and_chain_are_pinned() {
    let (sector, chain) = header(8).encode(PLACE);
    let checksum = u32::from_le_bytes(sector[4..8].try_into().unwrap());
    assert_eq!((checksum, chain), (CHECKSUM, CHAIN), "{checksum:#x} {chain:#x}");
    let records = PLACE.payload_checksum(Sequence(3), b"records");
    assert_eq!(records, PAYLOAD, "{records:#x}");
}

const CHECKSUM: u32 = 0x18a1_7da4;
const CHAIN: u64 = 0x246c_1b6a_7d2d_139f;
const PAYLOAD: u32 = 0x0401_e738;

#[test]
fn a_parts_header_parses_back_only_in_its_place() {
    for copies in 0..=8 {
        let header = header(copies);
        let (sector, chain) = header.encode(PLACE);
        assert_eq!(PartHeader::parse(&sector, PLACE), Some((header, chain)));
        assert_eq!(PartHeader::parse(&sector, Place { offset: 4096, ..PLACE }), None, "another place");
        assert_eq!(PartHeader::parse(&sector, Place { signature: 1, ..PLACE }), None, "an earlier life of the file");
        assert_eq!(PartHeader::parse(&sector[..PART_HEADER - 1], PLACE), None);
    }
}

#[test]
fn no_flipped_bit_of_a_header_passes() {
    let (sector, _) = header(8).encode(PLACE);
    for bit in 0..sector.len() * 8 {
        let mut bad = sector.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(PartHeader::parse(&bad, PLACE), None, "bit {bit}");
    }
}

#[test]
fn copies_are_found_by_sequence() {
    let header = header(3);
    assert_eq!(header.copy_of(Sequence(0x20)).map(|copy| copy.chain), Some(0x100));
    assert_eq!(header.copy_of(Sequence(0x1e)).map(|copy| copy.chain), Some(0x102));
    for other in [0x21, 0x1d, 0, 0x22] {
        assert_eq!(header.copy_of(Sequence(other)), None, "{other:#x}");
    }
}

#[test]
fn parts_take_whole_blocks() {
    assert_eq!([0, 1, 3584, 3585, 7680].map(extent), [4096, 4096, 4096, 8192, 8192]);
}

#[test]
fn a_segments_header_is_laid_out_as_documented() {
    let identity = Identity { cluster: ClusterId(1), member: MemberId(2) };
    let header = SegmentHeader { identity, id: SegmentId(3), signature: 4, bytes: 5 };
    let block = header.encode();
    assert_eq!(block.len(), 4096);
    assert_eq!(&block[..8], b"ringWALs");
    assert_eq!(block[8..12], [1, 0, 0, 0]);
    assert_eq!([16, 24, 32, 40, 48].map(|at| word(&block, at)), [1, 2, 3, 4, 5]);
    assert_eq!(SegmentHeader::parse(&block), Ok(header));
    for bit in 0..56 * 8 {
        let mut bad = block.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let flaw = SegmentHeader::parse(&bad).expect_err("a flipped bit passes");
        let expected = match bit / 8 {
            0..8 => flaw == SegmentFlaw::NotASegment,
            8..12 => matches!(flaw, SegmentFlaw::Version(version) if version != 1),
            _ => flaw == SegmentFlaw::Checksum,
        };
        assert!(expected, "bit {bit}: {flaw:?}");
    }
}
