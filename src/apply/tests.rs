//! Entries in, roots and answers out: determinism, local answers, and what stops a member.

use bytes::Bytes;
use prost::Message;

use super::{Answer, Applied, Applier, CommittedEntry, Error, Payload};
use crate::command::{
    AlarmRequest, BatchBuilder, Command, CompactionRequest, DeleteRangeRequest, Kind, Malformed, PutRequest, RequestOp,
    Response, TxnRequest,
};
use crate::mvcc::check::check_txn;
use crate::mvcc::tests::model::{Model, ModelRow};
use crate::mvcc::tests::random::Random;
use crate::mvcc::tests::support::{dump, new_tree, pin};
use crate::mvcc::{self, Position};
use crate::tree::{Stamp, Tree};
use crate::types::{BootNonce, MemberId, RaftIndex, Revision, Term};

const MEMBER: MemberId = MemberId(7);
const NONCE: BootNonce = BootNonce(70);

fn push(builder: &mut BatchBuilder, command: &Command) {
    match command {
        Command::Put(put) => builder.push(Kind::Put, &put.encode_to_vec()),
        Command::DeleteRange(delete) => builder.push(Kind::DeleteRange, &delete.encode_to_vec()),
        Command::Txn(txn) => builder.push(Kind::Txn, &txn.encode_to_vec()),
        Command::Compact(compact) => builder.push(Kind::Compact, &compact.encode_to_vec()),
        Command::Noop => builder.push(Kind::Noop, &[]),
        Command::Lease(command) => {
            let (kind, payload) = command.encode();
            builder.push(kind, &payload);
        }
        Command::Alarm(alarm) => builder.push(Kind::Alarm, &alarm.encode_to_vec()),
        Command::Downgrade(info) => builder.push(Kind::Downgrade, &info.encode_to_vec()),
    }
}

fn batch(proposer: (MemberId, BootNonce), first: u64, commands: &[Command]) -> Payload {
    let mut builder = BatchBuilder::new(proposer.0, proposer.1, first);
    for command in commands {
        push(&mut builder, command);
    }
    Payload::Batch(builder.finish())
}

fn entry(index: u64, payload: Payload) -> CommittedEntry {
    CommittedEntry { index: RaftIndex(index), term: Term(1 + index / 10), payload }
}

fn put(key: &'static str) -> Command {
    let key = Bytes::from_static(key.as_bytes());
    Command::Put(PutRequest { key, value: Bytes::from_static(b"v"), ..Default::default() })
}

fn alarm(action: i32, alarm: i32) -> Command {
    Command::Alarm(AlarmRequest { action, member_id: 3, alarm })
}

fn apply(tree: &mut Tree, entries: &[CommittedEntry]) -> (Result<Applied, Error>, Vec<Answer>) {
    let mut out = Vec::new();
    let applied = Applier::new(MEMBER, NONCE).apply(tree, entries, |_| true, &mut out);
    (applied, out)
}

fn stamp(tree: &Tree) -> Stamp {
    pin(tree).view().stamp()
}

/// Entries of random commands, of this run of this member, of an earlier run, of another member, and empty ones.
fn random_entries(seed: u64) -> Vec<CommittedEntry> {
    let mut random = Random::new(seed);
    let mut model = Model::new();
    let mut entries = Vec::new();
    for index in 1..=60 {
        let mut commands = Vec::new();
        for _ in 0..random.below(5) {
            let command = random.command(model.current);
            if matches!(&command, Command::Txn(txn) if check_txn(txn, 1000).is_err()) {
                continue;
            }
            _ = model.apply(&command);
            commands.push(command);
            if random.one_in(6) {
                let action = if random.one_in(3) { 1 } else { 2 };
                commands.push(alarm(action, i32::try_from(1 + random.below(2)).unwrap()));
            }
        }
        let proposer = match random.below(4) {
            0 => (MemberId(8), NONCE),
            1 => (MEMBER, BootNonce(69)),
            _ => (MEMBER, NONCE),
        };
        let payload = if random.one_in(10) { Payload::Nothing } else { batch(proposer, 100 * index, &commands) };
        entries.push(entry(index, payload));
    }
    entries
}

/// Applies entries in groups of random sizes, each group beginning with some entries that were applied already.
fn apply_grouped(entries: &[CommittedEntry], random: &mut Random, group: u64) -> (Stamp, Vec<ModelRow>, Vec<Answer>) {
    let mut tree = new_tree();
    let mut answers = Vec::new();
    let mut done = 0;
    while done < entries.len() {
        let repeat = usize::try_from(random.below(3)).unwrap().min(done);
        let size = usize::try_from(1 + random.below(group)).unwrap().min(entries.len() - done);
        let (applied, mut found) = apply(&mut tree, &entries[done - repeat..done + size]);
        assert_eq!(applied.unwrap().index(), entries[done + size - 1].index);
        answers.append(&mut found);
        done += size;
    }
    let found = pin(&tree);
    (stamp(&tree), dump(&found.view()), answers)
}

#[test]
fn grouping_and_repetition_of_entries_change_nothing() {
    for seed in 1..=25 {
        let entries = random_entries(seed);
        let mut random = Random::new(seed + 1000);
        let one_by_one = apply_grouped(&entries, &mut random, 1);
        for group in [3, 9, 1000] {
            assert!(apply_grouped(&entries, &mut random, group) == one_by_one, "seed {seed}, groups of {group}");
        }
        let last = entries.last().unwrap();
        assert_eq!((one_by_one.0.applied_index, one_by_one.0.applied_term), (last.index, last.term));
    }
}

#[test]
fn whether_anybody_waits_changes_no_state() {
    for seed in 1..=25 {
        let entries = random_entries(seed);
        let dumps: Vec<_> = [0u64, 1, 2]
            .map(|parts| {
                let mut tree = new_tree();
                let mut out = Vec::new();
                let want = |sequence: u64| parts > 0 && sequence.is_multiple_of(parts);
                Applier::new(MEMBER, NONCE).apply(&mut tree, &entries, want, &mut out).unwrap();
                assert!(out.iter().all(|(sequence, _)| want(*sequence)), "only answers that are waited for");
                (stamp(&tree), dump(&pin(&tree).view()))
            })
            .into();
        assert!(dumps[0] == dumps[1] && dumps[1] == dumps[2], "seed {seed}");
    }
}

#[test]
fn answers_are_for_this_run_of_this_member_in_log_order() {
    let mut tree = new_tree();
    let entries = [
        entry(1, batch((MEMBER, NONCE), 10, &[put("a"), put("b")])),
        entry(2, batch((MemberId(8), NONCE), 10, &[put("c")])),
        entry(3, batch((MEMBER, BootNonce(69)), 10, &[put("d")])),
        entry(4, batch((MEMBER, NONCE), 12, &[Command::Noop])),
    ];
    let (applied, answers) = apply(&mut tree, &entries);
    let applied = applied.unwrap();
    assert_eq!((applied.index(), applied.txn()), (RaftIndex(4), Some(pin(&tree).view().txn())));
    let found: Vec<_> =
        answers.iter().map(|(sequence, answer)| (*sequence, answer.as_ref().unwrap().revision.0)).collect();
    assert_eq!(found, [(10, 2), (11, 3), (12, 5)]);
    assert_eq!(stamp(&tree).revision, Revision(5));
}

#[test]
fn a_refused_command_moves_the_index_and_nothing_else() {
    let mut tree = new_tree();
    let compact = |revision| Command::Compact(CompactionRequest { revision, physical: true });
    let (_, answers) = apply(&mut tree, &[entry(1, batch((MEMBER, NONCE), 1, &[compact(9), compact(0), compact(0)]))]);
    assert_eq!(answers[0].1, Err(mvcc::Error::FutureRevision));
    let compacted = Response::Compact { compacted: Revision(0), physical_wait: true };
    assert_eq!(answers[1].1.as_ref().unwrap().response, compacted);
    assert_eq!(answers[2].1, Err(mvcc::Error::Compacted));
    assert_eq!(stamp(&tree).applied_index, RaftIndex(1));
    assert_eq!(Position::of(&stamp(&tree)), Position { current: Revision(1), compacted: Revision(0) });
}

#[test]
fn alarms_refuse_from_their_own_command_to_the_one_that_disarms() {
    use crate::command::request_op::Request;
    const RAISE: i32 = 1;
    const DISARM: i32 = 2;
    let key = Bytes::from_static(b"a");
    let delete = || Command::DeleteRange(DeleteRangeRequest { key: key.slice(..), ..Default::default() });
    let compact = |revision| Command::Compact(CompactionRequest { revision, physical: false });
    let in_failure = |request| Command::Txn(TxnRequest { failure: vec![request], ..Default::default() });
    let op = |request| RequestOp { request: Some(request) };
    let put_op = || op(Request::RequestPut(PutRequest { key: key.slice(..), ..Default::default() }));
    let nested = || op(Request::RequestTxn(TxnRequest { success: vec![put_op()], ..Default::default() }));
    let delete_op = || op(Request::RequestDeleteRange(DeleteRangeRequest { key: key.slice(..), ..Default::default() }));
    let (fine, full, corrupt) = (None, Some(mvcc::Error::NoSpace), Some(mvcc::Error::Corrupt));
    let history = [
        (put("a"), &fine),
        (alarm(RAISE, 1), &fine),
        (put("a"), &full),
        (in_failure(put_op()), &full),
        (in_failure(nested()), &full),
        (in_failure(delete_op()), &fine),
        (delete(), &fine),
        (compact(2), &fine),
        (alarm(RAISE, 2), &fine),
        (put("a"), &corrupt),
        (delete(), &corrupt),
        (in_failure(delete_op()), &corrupt),
        (compact(3), &corrupt),
        (Command::Noop, &fine),
        (alarm(DISARM, 1), &fine),
        (put("a"), &corrupt),
        (alarm(DISARM, 2), &fine),
        (put("a"), &fine),
    ];
    let (commands, expected): (Vec<_>, Vec<_>) = history.into_iter().unzip();
    // In one entry, and one entry each.
    let mut tree = new_tree();
    let whole = apply(&mut tree, &[entry(1, batch((MEMBER, NONCE), 1, &commands))]).1;
    let entries = (1..)
        .zip(&commands)
        .map(|(index, command)| entry(index, batch((MEMBER, NONCE), index, std::slice::from_ref(command))));
    let mut tree = new_tree();
    let single: Vec<_> = entries.flat_map(|entry| apply(&mut tree, &[entry]).1).collect();
    assert_eq!(whole, single);
    let refusals: Vec<_> = whole.into_iter().map(|(_, answer)| answer.err()).collect();
    assert_eq!(refusals.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn entries_without_commands_move_the_index() {
    let mut tree = new_tree();
    assert_eq!(Position::of(&stamp(&tree)), Position::EMPTY);
    let (applied, answers) = apply(&mut tree, &[entry(1, Payload::Nothing), entry(2, batch((MEMBER, NONCE), 1, &[]))]);
    assert_eq!((applied.unwrap().index(), answers.len()), (RaftIndex(2), 0));
    assert_eq!(Position::of(&stamp(&tree)), Position::EMPTY);
    let before = pin(&tree).view().txn();
    let (applied, _) = apply(&mut tree, &[entry(1, Payload::Nothing)]);
    assert_eq!(applied.unwrap().txn(), None);
    assert_eq!(apply(&mut tree, &[]).0.unwrap().index(), RaftIndex(2));
    assert_eq!(pin(&tree).view().txn(), before, "nothing new, no new root");
}

#[test]
fn a_bad_entry_stops_the_member_and_leaves_nothing_of_its_call() {
    let good = entry(1, batch((MEMBER, NONCE), 1, &[put("a")]));
    let mut builder = BatchBuilder::new(MEMBER, NONCE, 2);
    builder.push(Kind::Put, &put_bytes());
    builder.push(Kind::Txn, &[0xff]);
    let bytes = builder.finish();
    let mut newer = bytes.to_vec();
    newer[0] = 9;
    let cases = [
        (bytes.slice(..5), Malformed::Cut),
        (Bytes::from(newer), Malformed::UnknownVersion(9)),
        (bytes, Malformed::Payload(Kind::Txn)),
    ];
    for (data, what) in cases {
        let mut tree = new_tree();
        let (applied, answers) = apply(&mut tree, &[good.clone(), entry(2, Payload::Batch(data))]);
        let error = applied.unwrap_err();
        assert_eq!(error, Error::Malformed { index: RaftIndex(2), what });
        assert!(error.to_string().starts_with("raft entry 2 cannot be applied"));
        assert!(answers.is_empty() && dump(&pin(&tree).view()).is_empty());
        assert_eq!(stamp(&tree), Stamp::default());
        assert_eq!(apply(&mut tree, std::slice::from_ref(&good)).1.len(), 1, "the tree is usable afterwards");
    }
}

fn put_bytes() -> Vec<u8> {
    PutRequest { key: Bytes::from_static(b"x"), ..Default::default() }.encode_to_vec()
}

#[test]
fn a_gap_is_an_error() {
    let mut tree = new_tree();
    let gap = [entry(1, Payload::Nothing), entry(3, Payload::Nothing)];
    let error = apply(&mut tree, &gap).0.unwrap_err();
    assert_eq!(error, Error::Gap { applied: RaftIndex(1), found: RaftIndex(3) });
    assert_eq!(stamp(&tree).applied_index, RaftIndex(0));
}

#[test]
fn entries_over_rotten_pages_are_refused_whole_or_applied_right() {
    let mut refused = 0;
    for seed in 1..=12 {
        println!("seed {seed}");
        let (mut sound, mut rotting) = (new_tree(), new_tree());
        let mut rot = crate::tree::tests::world::Random::new(seed);
        for entry in random_entries(seed) {
            rotting.checkpoint_to_file();
            _ = dump(&pin(&rotting).view());
            let before = stamp(&rotting);
            let rotten = rotting.rot(1 + rot.size(6), &mut rot);
            let (mut applied, mut answers) = apply(&mut rotting, std::slice::from_ref(&entry));
            rotting.heal(rotten);
            if let Err(error) = &applied {
                let store = matches!(error, Error::Store { index, what } if *index == entry.index && what.is_fatal());
                assert!(store && answers.is_empty() && stamp(&rotting) == before, "{error}");
                refused += 1;
                (applied, answers) = apply(&mut rotting, std::slice::from_ref(&entry));
            }
            let (expected, told) = apply(&mut sound, std::slice::from_ref(&entry));
            assert_eq!((applied.unwrap().index(), answers), (expected.unwrap().index(), told), "seed {seed}");
        }
        assert!(dump(&pin(&sound).view()) == dump(&pin(&rotting).view()), "seed {seed}");
    }
    assert!(refused > 30, "{refused} entries were refused");
}
