//! What is refused, and with which words: one test for each way in which files can be wrong.

use super::simple::{ONE_BLOCK, Simple, recover_files};
use super::world::IDENTITY;
use crate::types::{ClusterId, MemberId, RaftIndex, Term};
use crate::wal::{Ending, Error, FileName, Identity, IndexRange, SegmentId, What};

const BLOCK: usize = 4096;
const SECOND: usize = 2 * BLOCK;
const THIRD: usize = 3 * BLOCK;

/// Three entries, a block each, durable and marked.
fn three() -> Simple {
    let mut simple = Simple::new(1, 1);
    simple.append_many(3);
    simple.seal();
    assert_eq!(simple.recover().expect("sound").entries.len(), 3);
    simple
}

fn refusal(simple: &Simple) -> Error {
    simple.recover().expect_err("the files are not in order")
}

fn segment(number: u64) -> FileName {
    FileName::Segment(SegmentId(number))
}

#[test]
fn another_member_is_refused_by_name() {
    let simple = three();
    let member = Identity { member: MemberId(0xbad), ..IDENTITY };
    let error = recover_files(&simple.disk, |input| input.identity = member).expect_err("another member");
    assert_eq!(error.what, What::WrongMember { found: IDENTITY.member, expected: MemberId(0xbad) });
    assert_eq!(error.file, FileName::Mark);
    let cluster = Identity { cluster: ClusterId(0xbad), ..IDENTITY };
    let error = recover_files(&simple.disk, |input| (input.identity, input.mark) = (cluster, &[]));
    let error = error.expect_err("another cluster");
    assert_eq!(error.what, What::WrongCluster { found: IDENTITY.cluster, expected: ClusterId(0xbad) });
    assert_eq!(error.file, segment(1));
    assert!(error.to_string().contains("belongs to cluster c1"), "{error}");
}

#[test]
fn an_unknown_version_is_refused_by_name() {
    let mut simple = three();
    simple.file(1)[8] = 9;
    assert_eq!(refusal(&simple).what, What::UnknownVersion(9));
    let mut simple = three();
    simple.mark()[BLOCK + 8] = 9;
    let error = refusal(&simple);
    assert_eq!((error.what, error.file, error.offset), (What::UnknownVersion(9), FileName::Mark, 4096));
    assert!(error.to_string().contains("version 9 is unknown"), "{error}");
}

#[test]
fn a_missing_short_or_foreign_segment_is_refused() {
    let mut simple = three();
    simple.disk.files.remove(&segment(1));
    assert_eq!((refusal(&simple).what, refusal(&simple).file), (What::Missing, segment(1)));
    let mut simple = three();
    simple.file(1).truncate(10_000);
    assert_eq!(refusal(&simple).what, What::WrongLength { expected: 65_536, found: 10_000 });
    let mut simple = three();
    simple.file(1)[20] ^= 1;
    assert_eq!(refusal(&simple).what, What::HeaderDamaged);
    let mut simple = three();
    simple.file(1)[..8].fill(b'x');
    assert_eq!(refusal(&simple).what, What::NotASegment);
    let mut simple = three();
    let copy = simple.file(1).clone();
    simple.disk.files.insert(segment(2), copy);
    assert_eq!((refusal(&simple).what, refusal(&simple).file), (What::WrongNumber(SegmentId(1)), segment(2)));
}

#[test]
fn other_files_are_noted_and_left_alone() {
    let simple = three();
    let recovered = recover_files(&simple.disk, |input| {
        input.files.push(("lost+found", &[]));
        input.files.push(("0000000000000009.tmp", &[]));
        input.files.push(("1.wal", b"garbage"));
    });
    let recovered = recovered.expect("sound");
    assert_eq!(recovered.notes.len(), 2, "{:?}", recovered.notes);
    let removed = crate::wal::Step::Remove(FileName::Temporary(SegmentId(9)));
    assert!(recovered.repairs.contains(&removed));
}

#[test]
fn a_lost_mark_is_refused_when_the_log_was_in_use() {
    let mut simple = three();
    simple.disk.files.remove(&FileName::Mark);
    assert_eq!(refusal(&simple).what, What::MarkLost);
    let mut simple = three();
    simple.mark().fill(0);
    assert_eq!(refusal(&simple).what, What::MarkLost);
    simple.file(1)[BLOCK..].fill(0);
    let fresh = simple.recover().expect("creation cut short looks like this");
    assert_eq!(fresh.ending, Ending::Fresh);
    let error = simple.recover_at(3, 1, 9).expect_err("the tree says that the log was in use");
    assert_eq!(error.what, What::MarkLost);
}

#[test]
fn either_slot_of_the_mark_may_be_lost() {
    for slot in [0, BLOCK] {
        let mut simple = three();
        simple.mark()[slot..slot + BLOCK].fill(0);
        assert_eq!(simple.recover().expect("the other slot is there").entries.len(), 3);
        let mut simple = three();
        simple.restart(2);
        simple.append(10);
        simple.mark()[slot..slot + BLOCK].fill(0);
        assert_eq!(simple.recover().expect("the other slot knows the epoch").entries.len(), 4);
    }
}

#[test]
fn rot_is_refused_with_its_place_and_range() {
    let mut simple = three();
    simple.file(1)[SECOND + 600] ^= 4;
    let error = refusal(&simple);
    assert_eq!((error.what, error.file, error.offset), (What::Lost, segment(1), 8192));
    assert_eq!(error.lost, Some(IndexRange { first: RaftIndex(2), last: RaftIndex(3) }));
    let text = error.to_string();
    assert!(text.contains("0000000000000001.wal at offset 8192"), "{text}");
    assert!(text.contains("entries 2 to 3") && text.contains("restore this member from a snapshot"), "{text}");
}

#[test]
fn rot_that_only_a_later_group_knows_of_is_refused() {
    let mut simple = Simple::new(1, 1);
    simple.append_many(3);
    simple.file(1)[BLOCK + 600] ^= 4;
    let error = refusal(&simple);
    assert_eq!((error.what, error.offset), (What::Lost, 4096));
    // The third part says that the second was durable; the second, that the first was.
    assert_eq!(error.lost, Some(IndexRange { first: RaftIndex(1), last: RaftIndex(2) }));
}

#[test]
fn a_torn_tail_is_cut_and_does_not_come_back() {
    let mut simple = three();
    let plans = [simple.plan(ONE_BLOCK), simple.plan(ONE_BLOCK)];
    simple.write(&plans[1]);
    let recovered = simple.recover().expect("torn, never durable");
    assert_eq!((recovered.ending, recovered.entries.len()), (Ending::Cut, 3));
    simple.restart(2);
    // The first group that was cut arrives after all, in the place where it was; the cut stands.
    simple.write(&plans[0]);
    let recovered = simple.recover().expect("cut groups are dead");
    assert_eq!((recovered.ending, recovered.entries.len()), (Ending::Clean, 3));
    simple.restart(3);
    simple.fill = 2;
    simple.append(ONE_BLOCK);
    assert_eq!(simple.recover().expect("sound").entries.len(), 4);
}

#[test]
fn a_log_behind_or_ahead_of_the_tree_is_refused() {
    let simple = three();
    let error = simple.recover_at(5, 1, 9).expect_err("the tree has more");
    assert_eq!(error.what, What::BehindTree { end: RaftIndex(3), applied: RaftIndex(5) });
    assert_eq!(error.lost, Some(IndexRange { first: RaftIndex(4), last: RaftIndex(5) }));
    let error = simple.recover_at(3, 2, 9).expect_err("another entry was applied");
    assert_eq!(error.what, What::OtherTerm { log: Term(1), tree: Term(2) });
    let mut simple = three();
    (0..30).for_each(|_| {
        while simple.make_segment() {}
        simple.append(ONE_BLOCK);
    });
    simple.log.release_through(RaftIndex(33));
    simple.seal();
    while simple.make_segment() {}
    let error = simple.recover_at(3, 1, 9).expect_err("the entries between were released");
    let What::AheadOfTree { base, applied } = error.what else { panic!("{error}") };
    assert_eq!(applied, RaftIndex(3));
    assert_eq!(error.lost, Some(IndexRange { first: RaftIndex(4), last: base }));
}

/// Two logs alike in everything that names them: only the chain tells them apart.
fn twins() -> (Simple, Simple) {
    let mut twins = (Simple::new(1, 1), Simple::new(1, 2));
    for twin in [&mut twins.0, &mut twins.1] {
        twin.append_many(3);
    }
    twins
}

#[test]
fn a_part_of_another_log_is_refused() {
    let (mut one, mut two) = twins();
    one.seal();
    let foreign = two.file(1)[SECOND..THIRD].to_vec();
    one.file(1)[SECOND..THIRD].copy_from_slice(&foreign);
    assert_eq!((refusal(&one).what, refusal(&one).offset), (What::Lost, 8192));
}

#[test]
fn the_mark_of_another_log_is_refused() {
    let (mut one, mut two) = twins();
    one.seal();
    two.seal();
    let mark = two.mark().clone();
    *one.mark() = mark;
    assert_eq!((refusal(&one).what, refusal(&one).offset), (What::Lost, 12_288));
}

#[test]
fn a_later_part_of_another_log_is_refused() {
    let (mut one, mut two) = (Simple::new(1, 1), Simple::new(1, 2));
    for twin in [&mut one, &mut two] {
        twin.append(ONE_BLOCK);
        let plans = [twin.plan(ONE_BLOCK), twin.plan(ONE_BLOCK)];
        twin.write(&plans[1]);
    }
    assert_eq!(one.recover().expect("two groups were in flight").entries.len(), 1);
    let foreign = two.file(1)[THIRD..].to_vec();
    one.file(1)[THIRD..].copy_from_slice(&foreign);
    assert_eq!(refusal(&one).what, What::TwoHistories);
}

/// A directory was copied and both copies went on; their files must not be mixed, whichever way.
#[test]
fn copies_that_went_on_apart_do_not_mix() {
    let (mut one, mut two) = (three(), three());
    one.restart(2);
    two.restart(3);
    one.append(10);
    two.append(10);
    let (mark, file) = (two.mark().clone(), two.file(1).clone());
    let sound = one.mark().clone();
    *one.mark() = mark;
    assert_eq!(refusal(&one).what, What::TwoHistories);
    *one.mark() = sound;
    *one.file(1) = file;
    assert_eq!(refusal(&one).what, What::TwoHistories);
}
