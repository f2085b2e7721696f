//! The cases worth a name: rules that random histories meet seldom, costs, and damaged rows.

use bytes::Bytes;

use super::support::{dump, hash, new_tree, pin, run, scan};
use crate::command::request_op::Request;
use crate::command::response_op::Response as OpResponse;
use crate::command::{
    Command, CompactionRequest, DeleteRangeRequest, Outcome, PutRequest, RangeRequest, RequestOp, Response,
    ResponseHeader, TxnRequest,
};
use crate::mvcc::{
    Compaction, Error, Position, Progress, Scan, Want, Work, Writer, compact_step, range, resume_compaction,
};
use crate::tree::{Stamp, Tree, TreeId};
use crate::types::{LeaseId, Revision};

fn text(word: &str) -> Bytes {
    Bytes::copy_from_slice(word.as_bytes())
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: text(key), value: text(value), ..Default::default() }
}

fn delete(key: &str, range_end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: text(key), range_end: text(range_end), ..Default::default() }
}

fn ranged(key: &str, range_end: &str) -> RangeRequest {
    RangeRequest { key: text(key), range_end: text(range_end), ..Default::default() }
}

fn txn(ops: Vec<Request>) -> Command {
    let success = ops.into_iter().map(|op| RequestOp { request: Some(op) }).collect();
    Command::Txn(TxnRequest { success, ..Default::default() })
}

fn answer(tree: &mut Tree, command: Command) -> Result<Outcome, Error> {
    run(tree, &command, Want::Answer)
}

fn done(tree: &mut Tree, command: Command) -> Outcome {
    answer(tree, command).unwrap()
}

fn compact(revision: i64) -> Command {
    Command::Compact(CompactionRequest { revision, physical: false })
}

/// `count` keys `n/0000` and so on, in one revision each hundred.
fn filled(count: u32) -> Tree {
    let mut tree = new_tree();
    for start in (0..count).step_by(100) {
        let ops =
            (start..count.min(start + 100)).map(|number| Request::RequestPut(put(&format!("n/{number:06}"), "v")));
        done(&mut tree, txn(ops.collect()));
    }
    tree
}

fn inner(outcome: Outcome) -> Vec<OpResponse> {
    let Response::Txn(response) = outcome.response else { panic!("not a txn's answer") };
    response.responses.into_iter().map(|op| op.response.unwrap()).collect()
}

#[test]
fn an_empty_store_stands_at_one_and_was_never_compacted() {
    let mut tree = new_tree();
    assert_eq!(Position::of(&pin(&tree).view().stamp()), Position::EMPTY);
    assert_eq!(hash(&pin(&tree).view(), 0, 1).unwrap().compact_revision, Revision(-1));
    // etcd compacts an empty store to 0 once; anything below is "compacted" from the start.
    assert_eq!(answer(&mut tree, compact(-1)), Err(Error::Compacted));
    assert_eq!(done(&mut tree, compact(0)).revision, Revision(1));
    assert_eq!(answer(&mut tree, compact(0)), Err(Error::Compacted));
    assert_eq!(answer(&mut tree, compact(2)), Err(Error::FutureRevision));
    assert_eq!(done(&mut tree, compact(1)).revision, Revision(1));
    while compact_step(&mut tree, 1).unwrap() == Progress::More {}
    assert!(Compaction::of(&pin(&tree).view()).unwrap().covers(Revision(1)));
}

#[test]
fn a_compaction_keeps_what_its_worked_example_says() {
    let mut tree = new_tree();
    for command in [
        txn(vec![Request::RequestPut(put("a", "2")), Request::RequestPut(put("b", "2"))]),
        Command::Put(put("a", "3")),
        Command::DeleteRange(delete("b", "")),
        txn(vec![Request::RequestPut(put("a", "5")), Request::RequestDeleteRange(delete("z", ""))]),
        Command::Put(put("c", "6")),
        Command::DeleteRange(delete("c", "")),
    ] {
        done(&mut tree, command);
    }
    done(&mut tree, compact(7));
    let before = dump(&pin(&tree).view());
    assert_eq!(before.len(), 7, "rows go later");
    while compact_step(&mut tree, 2).unwrap() == Progress::More {}
    let places = |tree: &Tree| dump(&pin(tree).view()).iter().map(|row| (row.main, row.sub)).collect::<Vec<_>>();
    assert_eq!(places(&tree), [(5, 0), (7, 0)], "the newest a, and the tombstone at exactly 7");
    done(&mut tree, Command::Put(put("d", "8")));
    done(&mut tree, compact(8));
    while compact_step(&mut tree, 2).unwrap() == Progress::More {}
    assert_eq!(places(&tree), [(5, 0), (8, 0)], "the tombstone goes with the next compaction");
}

#[test]
fn a_checksum_is_remembered_from_the_command_until_the_next_start() {
    let mut tree = new_tree();
    for value in ["1", "2", "3"] {
        done(&mut tree, Command::Put(put("a", value)));
    }
    let whole = hash(&pin(&tree).view(), 3, 1).unwrap();
    done(&mut tree, compact(3));
    let at_three = |tree: &Tree| hash(&pin(tree).view(), 3, 1).unwrap();
    assert_eq!(at_three(&tree), whole, "before any step, with the bound before");
    while compact_step(&mut tree, 1).unwrap() == Progress::More {
        assert_eq!(at_three(&tree), whole, "between steps");
    }
    done(&mut tree, compact(4));
    assert_eq!(at_three(&tree), whole, "although it is compacted by now");
    resume_compaction(&mut tree).unwrap();
    assert_eq!(hash(&pin(&tree).view(), 3, 1), Err(Error::Compacted), "forgotten at the start");
    assert_eq!(hash(&pin(&tree).view(), 4, 1).unwrap().compact_revision, Revision(4));
    while compact_step(&mut tree, 1).unwrap() == Progress::More {}
    assert_eq!(dump(&pin(&tree).view()).len(), 1);
    assert!(!resume_compaction(&mut tree).unwrap().is_pending());
}

#[test]
fn a_compaction_before_the_last_one_finished_is_not_remembered() {
    let mut tree = new_tree();
    for value in ["1", "2", "3", "4"] {
        done(&mut tree, Command::Put(put("a", value)));
    }
    let whole = hash(&pin(&tree).view(), 3, 1).unwrap();
    done(&mut tree, compact(3));
    compact_step(&mut tree, 1).unwrap();
    done(&mut tree, compact(4));
    while compact_step(&mut tree, 1).unwrap() == Progress::More {}
    assert_eq!(hash(&pin(&tree).view(), 3, 1).unwrap(), whole, "the first was under way and is");
    assert_eq!(hash(&pin(&tree).view(), 4, 1).unwrap().compact_revision, Revision(4));
}

#[test]
fn a_key_deleted_and_put_in_one_txn_lives() {
    let mut tree = new_tree();
    done(&mut tree, Command::Put(put("b", "1")));
    let ops = vec![Request::RequestDeleteRange(delete("a", "\0")), Request::RequestPut(put("b", "2"))];
    let outcome = done(&mut tree, txn(ops));
    assert_eq!(outcome.revision, Revision(3));
    let answer = range(&pin(&tree).view(), &ranged("b", "")).unwrap();
    let pair = &answer.kvs[0];
    assert_eq!((pair.create_revision, pair.mod_revision, pair.version), (3, 3, 1), "a new life");
    for revision in [3, 2] {
        let request = RangeRequest { revision, ..ranged("b", "") };
        assert_eq!(range(&pin(&tree).view(), &request).unwrap().count, 1);
    }
    done(&mut tree, compact(3));
    while compact_step(&mut tree, 9).unwrap() == Progress::More {}
    assert_eq!(range(&pin(&tree).view(), &ranged("b", "")).unwrap().kvs, answer.kvs);
}

#[test]
fn keeping_the_value_of_a_key_that_the_txn_deleted_is_refused_before_anything_is_written() {
    let mut tree = new_tree();
    done(&mut tree, Command::Put(put("b", "1")));
    let before = dump(&pin(&tree).view());
    let keep = PutRequest { ignore_value: true, ..put("b", "") };
    let ops = vec![Request::RequestDeleteRange(delete("a", "\0")), Request::RequestPut(keep)];
    assert_eq!(answer(&mut tree, txn(ops)), Err(Error::KeyNotFound));
    assert_eq!(dump(&pin(&tree).view()), before);
}

#[test]
fn a_txn_with_a_bad_range_writes_nothing() {
    let mut tree = new_tree();
    done(&mut tree, Command::Put(put("a", "1")));
    done(&mut tree, Command::Put(put("a", "2")));
    done(&mut tree, compact(3));
    let before = dump(&pin(&tree).view());
    // Revision 4 would exist after the put, but the check is made before it.
    for (revision, error) in [(4, Error::FutureRevision), (2, Error::Compacted), (-2, Error::Compacted)] {
        let bad = RangeRequest { revision, ..ranged("a", "") };
        let ops = vec![Request::RequestPut(put("b", "1")), Request::RequestRange(bad)];
        assert_eq!(answer(&mut tree, txn(ops)), Err(error));
        assert_eq!(dump(&pin(&tree).view()), before);
    }
}

#[test]
fn a_txn_reads_its_own_writes_and_carries_revisions_inside() {
    let mut tree = new_tree();
    done(&mut tree, Command::Put(put("a", "old")));
    let nested = TxnRequest {
        success: vec![RequestOp { request: Some(Request::RequestRange(ranged("a", "z"))) }],
        ..Default::default()
    };
    let outcome = done(
        &mut tree,
        txn(vec![
            Request::RequestRange(ranged("a", "")),
            Request::RequestPut(PutRequest { prev_kv: true, ..put("a", "new") }),
            Request::RequestRange(ranged("a", "")),
            Request::RequestRange(RangeRequest { revision: 2, ..ranged("a", "") }),
            Request::RequestDeleteRange(DeleteRangeRequest { prev_kv: true, ..delete("a", "b") }),
            Request::RequestTxn(nested),
        ]),
    );
    assert_eq!(outcome.revision, Revision(3));
    let answers = inner(outcome);
    let value = |at: usize| {
        let OpResponse::ResponseRange(answer) = &answers[at] else { panic!("{at} is a range") };
        (answer.header.as_ref().unwrap().revision, answer.kvs.first().map(|pair| pair.value.clone()))
    };
    assert_eq!(value(0), (2, Some(text("old"))), "before any write the revision is the old one");
    assert_eq!(value(2), (3, Some(text("new"))));
    assert_eq!(value(3), (3, Some(text("old"))), "an explicit revision sees what was before");
    let OpResponse::ResponsePut(put) = &answers[1] else { panic!("a put") };
    assert_eq!((put.header.as_ref().unwrap().revision, &put.prev_kv.as_ref().unwrap().value), (3, &text("old")));
    let OpResponse::ResponseDeleteRange(deleted) = &answers[4] else { panic!("a deletion") };
    assert_eq!((deleted.deleted, &deleted.prev_kvs[0].value), (1, &text("new")));
    let OpResponse::ResponseTxn(nested) = &answers[5] else { panic!("a txn") };
    assert_eq!(nested.header, Some(ResponseHeader::default()), "etcd leaves the inner header empty");
}

#[test]
fn a_command_without_writes_leaves_the_revision() {
    let mut tree = new_tree();
    done(&mut tree, Command::Put(put("a", "1")));
    assert_eq!(done(&mut tree, Command::DeleteRange(delete("x", "z"))).revision, Revision(2));
    assert_eq!(done(&mut tree, txn(vec![Request::RequestRange(ranged("a", ""))])).revision, Revision(2));
    assert_eq!(done(&mut tree, txn(vec![Request::RequestDeleteRange(delete("x", ""))])).revision, Revision(2));
    assert_eq!(done(&mut tree, Command::Noop).revision, Revision(2));
}

#[test]
fn leases_are_looked_up_attached_and_detached() {
    let mut tree = new_tree();
    let leased = |key: &str, lease| Command::Put(PutRequest { lease, ..put(key, "v") });
    assert_eq!(answer(&mut tree, leased("a", 5)), Err(Error::LeaseNotFound));
    let mut granting = tree.begin();
    for lease in [5i64, -6] {
        crate::lease::grant(&mut granting, LeaseId(lease), 10).unwrap();
    }
    granting.commit(Stamp { revision: Revision(1), compacted: Revision(-1), ..Stamp::default() });
    let attached = |tree: &Tree| pin(tree).view().weight(TreeId::LeaseKeys);
    done(&mut tree, leased("a", 5));
    done(&mut tree, leased("b", 5));
    assert_eq!(attached(&tree), 2);
    done(&mut tree, leased("a", -6));
    assert_eq!(attached(&tree), 2, "moved to the other lease");
    done(&mut tree, Command::Put(PutRequest { ignore_lease: true, ..put("a", "w") }));
    assert_eq!(range(&pin(&tree).view(), &ranged("a", "")).unwrap().kvs[0].lease, -6);
    done(&mut tree, leased("a", 0));
    assert_eq!(attached(&tree), 1, "detached by a put without lease");
    done(&mut tree, Command::DeleteRange(delete("a", "\0")));
    assert_eq!(attached(&tree), 0, "and by a deletion");
}

#[test]
fn keys_only_has_no_lease_unless_sorted_by_value() {
    let mut tree = new_tree();
    let mut granting = tree.begin();
    crate::lease::grant(&mut granting, LeaseId(5), 10).unwrap();
    granting.commit(Stamp { revision: Revision(1), compacted: Revision(-1), ..Stamp::default() });
    done(&mut tree, Command::Put(PutRequest { lease: 5, ..put("a", "v") }));
    for (target, lease) in [(0, 0), (1, 0), (3, 0), (4, 5)] {
        let request = RangeRequest { keys_only: true, sort_target: target, ..ranged("a", "b") };
        let answer = scan(&pin(&tree).view(), &request, 1, 1).unwrap();
        assert_eq!((answer.kvs[0].lease, answer.kvs[0].value.len()), (lease, 0), "target {target}");
    }
}

#[test]
fn a_deletion_of_more_keys_than_a_chunk() {
    let mut tree = filled(2500);
    let outcome = done(&mut tree, Command::DeleteRange(DeleteRangeRequest { prev_kv: true, ..delete("n/", "n0") }));
    let Response::DeleteRange(answer) = outcome.response else { panic!("a deletion") };
    assert_eq!((answer.deleted, answer.prev_kvs.len()), (2500, 2500));
    assert!(answer.prev_kvs.is_sorted_by(|a, b| a.key < b.key));
    assert_eq!(range(&pin(&tree).view(), &ranged("\0", "\0")).unwrap().count, 0);
    assert_eq!(dump(&pin(&tree).view()).len(), 5000);
}

#[test]
fn a_count_and_a_page_cost_what_they_show() {
    let tree = filled(5000);
    let pinned = pin(&tree);
    let view = pinned.view();
    let whole = |request: &RangeRequest, cells| {
        Scan::new(&view, request)
            .unwrap()
            .encode_whole(&view, &mut Vec::new(), 1 << 20, &mut Work::cells(cells))
            .unwrap()
    };
    let count = whole(&RangeRequest { count_only: true, ..ranged("n/", "n0") }, 1).expect("a count is one step");
    assert_eq!((count.count, count.more), (5000, false));
    for order in [0, 2] {
        let page = RangeRequest { limit: 10, sort_order: order, ..ranged("n/", "n0") };
        let tail = whole(&page, 11).expect("a page costs its pairs, in either order");
        assert_eq!((tail.count, tail.more), (5000, true));
    }
    assert_eq!(whole(&ranged("n/", "n0"), 100), None, "a list of all does not fit into the work given");
    let single = whole(&ranged("n/000007", ""), 1).expect("a get is one step");
    assert_eq!((single.count, single.more), (1, false));
}

#[test]
fn a_count_at_an_older_revision_costs_the_changes_since() {
    let mut tree = filled(3000);
    let then = Position::of(&pin(&tree).view().stamp()).current.0;
    done(&mut tree, Command::Put(put("n/000001", "again")));
    done(&mut tree, Command::Put(put("n/new", "v")));
    done(&mut tree, Command::DeleteRange(delete("n/000002", "n/000005")));
    let pinned = pin(&tree);
    let request = RangeRequest { count_only: true, revision: then, ..ranged("n/", "n0") };
    let mut scan = Scan::new(&pinned.view(), &request).unwrap();
    let mut work = Work::cells(20);
    let tail = scan.encode_whole(&pinned.view(), &mut Vec::new(), 1, &mut work).unwrap();
    assert_eq!(tail.expect("five rows are looked at").count, 3000);
}

#[test]
fn an_order_of_none_with_a_target_is_cut_before_it_is_sorted() {
    let mut tree = new_tree();
    for (key, value) in [("a", "4"), ("b", "3"), ("c", "2"), ("d", "1")] {
        done(&mut tree, Command::Put(put(key, value)));
    }
    let request = RangeRequest { limit: 2, sort_target: 4, ..ranged("a", "z") };
    let answer = range(&pin(&tree).view(), &request).unwrap();
    let keys: Vec<_> = answer.kvs.iter().map(|pair| &pair.key[..]).collect();
    // Three are read, a b c; sorted by value they are c b a; two are shown.
    assert_eq!((keys, answer.more, answer.count), (vec![&b"c"[..], b"b"], true, 4));
}

#[test]
fn pairs_that_compare_equal_stand_as_in_etcds_answer() {
    let mut tree = new_tree();
    for number in 0..40 {
        let key = format!("k{number:02}");
        let values = [Some("v"), (number % 3 == 0).then_some("v"), (number % 7 == 0).then_some("w")];
        for value in values.into_iter().flatten() {
            done(&mut tree, Command::Put(put(&key, value)));
        }
    }
    // Recorded from etcd 3.7.1: order, target, the first twelve keys.
    let recorded = [
        (1, 1, "k20 k11 k02 k38 k04 k05 k37 k34 k08 k32 k10 k22"),
        (1, 4, "k20 k17 k02 k03 k04 k05 k06 k39 k08 k09 k10 k11"),
        (2, 1, "k00 k21 k30 k09 k35 k33 k06 k07 k18 k03 k36 k28"),
        (2, 4, "k07 k35 k28 k21 k00 k14 k20 k23 k08 k09 k10 k11"),
    ];
    for (sort_order, sort_target, expected) in recorded {
        let request = RangeRequest { sort_order, sort_target, limit: 12, ..ranged("k", "l") };
        let answer = scan(&pin(&tree).view(), &request, 7, 50).unwrap();
        let keys: Vec<_> = answer.kvs.iter().map(|pair| std::str::from_utf8(&pair.key).unwrap()).collect();
        assert_eq!(keys.join(" "), expected, "order {sort_order}, target {sort_target}");
    }
}

#[test]
#[should_panic(expected = "a scan stays with its root")]
fn a_scan_refuses_another_root() {
    let mut tree = new_tree();
    let mut scan = Scan::new(&pin(&tree).view(), &ranged("a", "")).unwrap();
    done(&mut tree, Command::Put(put("a", "1")));
    _ = scan.prepare(&pin(&tree).view(), &mut Work::unbounded());
}

#[test]
fn damaged_rows_are_errors_by_name() {
    let present = [ranged("a", ""), ranged("a", "b")];
    let past = [RangeRequest { revision: 4, ..ranged("a", "") }, RangeRequest { revision: 4, ..ranged("a", "b") }];
    // main, sub, flags, main - create, version, lease, length of the value, number of the version
    let heads: [(&[u8], bool); 10] = [
        (&[], true),
        (&[2, 0], true),
        (&[2, 0, 2, 0, 1, 0, 0, 1], true),
        (&[2, 0, 0, 0, 1, 0, 0], true),
        (&[0, 0, 0, 0, 1, 0, 0, 1], true),
        (&[2, 0, 0, 2, 1, 0, 0, 1], true),
        (&[2, 0, 0, 0, 0, 0, 0, 1], true),
        (&[2, 0, 0, 0, 1, 0, 0, 0], true),
        (&[2, 0, 1, 1], true),
        // A value, and no row that holds it.
        (&[2, 0, 0, 0, 1, 0, 9, 1], true),
    ];
    for (head, weighted) in heads {
        let mut tree = with_key(head, weighted);
        refuses(&tree, &present);
        refuses(&tree, &past);
        refuses_put(&mut tree);
    }
    refuses(&with_key(&[2, 0, 0, 0, 1, 0, 0, 1], false), &past);
    // Links that are missing, lead to before the first revision or nowhere, or are cut.
    let links: [&[u8]; 4] = [&[2], &[2, 5, 0], &[2, 0, 0], &[2, 1]];
    for links in links {
        let mut tree = with_key(&[&[5, 0, 0, 0, 1, 0, 0][..], links].concat(), true);
        refuses(&tree, &past);
        refuses_put(&mut tree);
    }
    // The row on the way to the one before is missing.
    refuses(&with_key(&[5, 1, 0, 0, 1, 0, 0, 3, 0, 0], true), &past);
}

/// A store whose index says `head` of the key "a".
fn with_key(head: &[u8], weighted: bool) -> Tree {
    let mut tree = new_tree();
    let mut txn = tree.begin();
    txn.insert(TreeId::Keys, b"a", head, b"", weighted).unwrap();
    txn.commit(Stamp { revision: Revision(5), compacted: Revision(-1), ..Stamp::default() });
    tree
}

fn refuses(tree: &Tree, requests: &[RangeRequest]) {
    for request in requests {
        let error = range(&pin(tree).view(), request).unwrap_err();
        assert!(matches!(error, Error::Damaged(_)) && error.is_fatal(), "{request:?}: {error}");
    }
}

fn refuses_put(tree: &mut Tree) {
    let keep = PutRequest { ignore_value: true, value: Bytes::new(), ..put("a", "") };
    let error = answer(tree, Command::Put(keep)).unwrap_err();
    assert!(error.is_fatal(), "{error}");
}

#[test]
fn trees_that_disagree_are_errors_by_name() {
    let mut tree = new_tree();
    done(&mut tree, Command::Put(put("a", "1")));
    done(&mut tree, Command::Put(put("a", "2")));
    done(&mut tree, compact(3));
    let mut txn = tree.begin();
    let stamp = txn.view().stamp();
    let row = [&2u64.to_be_bytes()[..], &0u32.to_be_bytes(), b"a"].concat();
    assert!(txn.remove(TreeId::Revisions, &row).unwrap());
    txn.commit(stamp);
    let error = loop {
        if let Err(error) = compact_step(&mut tree, 9) {
            break error;
        }
    };
    assert_eq!(error, Error::Damaged("the two trees do not hold the same rows"));
    let mut txn = tree.begin();
    txn.insert(TreeId::System, b"compaction", &[1, 2], &[], false).unwrap();
    txn.commit(stamp);
    assert_eq!(compact_step(&mut tree, 9), Err(Error::Damaged("state of the compaction")));
    let mut txn = tree.begin();
    let mut writer = Writer::new(&mut txn, Position::of(&stamp));
    let request = CompactionRequest { revision: 3, physical: true };
    assert_eq!(writer.compact(&request), Err(Error::Compacted), "the stamp decides what is compacted");
}
