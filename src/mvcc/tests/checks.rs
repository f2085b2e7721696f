//! The front's checks: their order, their bounds, and the duplicate rule against a naive reading of it.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::random::Random;
use crate::command::request_op::Request;
use crate::command::{Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};
use crate::mvcc::Error;
use crate::mvcc::check::{
    check_delete_range, check_put, check_range, check_range_stream, check_txn, has_put, is_read_only, is_serializable,
    put_cost, txn_cost,
};

fn text(word: &str) -> Bytes {
    Bytes::copy_from_slice(word.as_bytes())
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn put(key: &str) -> RequestOp {
    op(Request::RequestPut(PutRequest { key: text(key), ..Default::default() }))
}

fn delete(key: &str, range_end: &str) -> RequestOp {
    let request = DeleteRangeRequest { key: text(key), range_end: text(range_end), prev_kv: false };
    op(Request::RequestDeleteRange(request))
}

fn range(key: &str) -> RequestOp {
    op(Request::RequestRange(RangeRequest { key: text(key), ..Default::default() }))
}

fn nested(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
    op(Request::RequestTxn(TxnRequest { success, failure, ..Default::default() }))
}

fn txn(success: Vec<RequestOp>) -> TxnRequest {
    TxnRequest { success, ..Default::default() }
}

#[test]
fn requests_are_checked_in_etcds_order() {
    let with_sort = |key: &str, order, target| RangeRequest {
        key: text(key),
        sort_order: order,
        sort_target: target,
        ..Default::default()
    };
    assert_eq!(check_range(&with_sort("", 9, 9)), Err(Error::EmptyKey));
    assert_eq!(check_range(&with_sort("a", 3, 0)), Err(Error::InvalidSortOption));
    assert_eq!(check_range(&with_sort("a", 0, 5)), Err(Error::InvalidSortOption));
    assert_eq!(check_range(&with_sort("a", -1, 0)), Err(Error::InvalidSortOption));
    assert_eq!(check_range(&with_sort("a", 2, 4)), Ok(()));
    for (order, target, streamed) in [(0, 0, true), (0, 4, true), (1, 0, true), (1, 1, false), (2, 0, false)] {
        let expected = if streamed { Ok(()) } else { Err(Error::StreamSortUnsupported) };
        assert_eq!(check_range_stream(&with_sort("a", order, target)), expected);
    }
    let filtered = RangeRequest { max_create_revision: -1, ..with_sort("a", 0, 0) };
    assert_eq!(check_range_stream(&filtered), Err(Error::StreamFiltersUnsupported));
    assert_eq!(check_delete_range(&DeleteRangeRequest::default()), Err(Error::EmptyKey));
    let wrong = PutRequest { value: text("v"), lease: 1, ignore_value: true, ignore_lease: true, ..Default::default() };
    assert_eq!(check_put(&wrong), Err(Error::EmptyKey));
    let wrong = PutRequest { key: text("a"), ..wrong };
    assert_eq!(check_put(&wrong), Err(Error::ValueProvided));
    let wrong = PutRequest { value: text(""), ..wrong };
    assert_eq!(check_put(&wrong), Err(Error::LeaseProvided));
    assert_eq!(check_put(&PutRequest { lease: 0, ..wrong }), Ok(()));
}

#[test]
fn a_nested_txn_gets_the_operations_its_parent_leaves() {
    let puts = |count: usize| (0..count).map(|number| put(&format!("{number}"))).collect::<Vec<_>>();
    assert_eq!(check_txn(&txn(puts(3)), 3), Ok(()));
    assert_eq!(check_txn(&txn(puts(4)), 3), Err(Error::TooManyOps));
    let failure = TxnRequest { failure: puts(4), ..Default::default() };
    assert_eq!(check_txn(&failure, 3), Err(Error::TooManyOps));
    let compares = TxnRequest { compare: vec![Compare::default(); 4], ..Default::default() };
    assert_eq!(check_txn(&compares, 3), Err(Error::TooManyOps), "before the missing keys");
    assert_eq!(check_txn(&compares, 4), Err(Error::EmptyKey));
    assert_eq!(check_txn(&txn(vec![nested(puts(2), vec![])]), 3), Ok(()));
    assert_eq!(check_txn(&txn(vec![nested(puts(3), vec![])]), 3), Err(Error::TooManyOps));
    assert_eq!(check_txn(&txn(vec![nested(vec![nested(puts(1), vec![])], vec![])]), 2), Err(Error::TooManyOps));
    assert_eq!(check_txn(&txn(vec![RequestOp { request: None }]), 3), Err(Error::KeyNotFound));
    assert_eq!(check_txn(&txn(vec![range(""), put("")]), 3), Err(Error::EmptyKey));
    assert_eq!(check_txn(&txn(vec![]), 0), Ok(()));
    // The operations are checked before the duplicates.
    assert_eq!(check_txn(&txn(vec![put("a"), put("a"), range("")]), 9), Err(Error::EmptyKey));
}

#[test]
fn a_branch_writes_no_key_twice() {
    let duplicate = Err(Error::DuplicateKey);
    let cases = [
        (vec![put("a"), put("b"), range("a")], Ok(())),
        (vec![put("a"), put("a")], duplicate.clone()),
        (vec![put("b"), delete("a", "c")], duplicate.clone()),
        (vec![put("c"), delete("a", "c")], Ok(())),
        (vec![put("a"), delete("a", "")], duplicate.clone()),
        (vec![delete("a", "c"), delete("b", "d"), delete("b", "")], Ok(())),
        (vec![delete("a", "c"), delete("b", "d"), put("c")], duplicate.clone()),
        // "From a on" and ranges that run backwards are taken literally and meet nothing.
        (vec![delete("a", "\0"), put("b")], Ok(())),
        (vec![delete("c", "a"), put("b")], Ok(())),
        // Nested: both branches count for the parent, not against each other.
        (vec![nested(vec![put("a")], vec![put("a")])], Ok(())),
        (vec![nested(vec![put("a")], vec![put("b")]), put("b")], duplicate.clone()),
        (vec![nested(vec![put("a")], vec![]), nested(vec![], vec![put("a")])], duplicate.clone()),
        (vec![nested(vec![put("a")], vec![delete("a", "")])], Ok(())),
        (vec![nested(vec![delete("a", "c")], vec![]), put("b")], duplicate.clone()),
        (vec![put("b"), nested(vec![], vec![delete("a", "c")])], duplicate.clone()),
        // Siblings: a deletion meets the puts after it, not those before.
        (vec![nested(vec![delete("a", "")], vec![]), nested(vec![put("a")], vec![])], duplicate.clone()),
        (vec![nested(vec![put("a")], vec![]), nested(vec![delete("a", "")], vec![])], Ok(())),
        (vec![nested(vec![nested(vec![put("a")], vec![])], vec![]), put("a")], duplicate.clone()),
    ];
    for (number, (ops, expected)) in cases.into_iter().enumerate() {
        assert_eq!(check_txn(&txn(ops.clone()), 99), expected, "case {number}");
        let failure = TxnRequest { failure: ops, ..Default::default() };
        assert_eq!(check_txn(&failure, 99), expected, "case {number} in the other branch");
    }
    let both = TxnRequest { success: vec![put("a")], failure: vec![put("a")], ..Default::default() };
    assert_eq!(check_txn(&both, 99), Ok(()));
}

type Deleted = Vec<(Bytes, Bytes)>;

/// The rule as a list of steps, with every deletion kept as it came.
fn naive(ops: &[RequestOp]) -> Option<(BTreeSet<Bytes>, Deleted)> {
    let mut deleted = Deleted::new();
    let mut puts = BTreeSet::new();
    for op in ops {
        if let Some(Request::RequestDeleteRange(delete)) = &op.request {
            deleted.push((delete.key.clone(), delete.range_end.clone()));
        }
    }
    let met = |deleted: &Deleted, key: &Bytes| {
        deleted.iter().any(|(from, end)| if end.is_empty() { key == from } else { key >= from && key < end })
    };
    for op in ops {
        let Some(Request::RequestTxn(txn)) = &op.request else { continue };
        let (success, success_deleted) = naive(&txn.success)?;
        let (failure, failure_deleted) = naive(&txn.failure)?;
        for key in success.union(&failure) {
            if met(&deleted, key) || !puts.insert(key.clone()) {
                return None;
            }
        }
        deleted.extend(success_deleted);
        deleted.extend(failure_deleted);
    }
    for op in ops {
        let Some(Request::RequestPut(put)) = &op.request else { continue };
        if met(&deleted, &put.key) || !puts.insert(put.key.clone()) {
            return None;
        }
    }
    Some((puts, deleted))
}

#[test]
fn the_duplicate_rule_agrees_with_the_naive_one() {
    let (mut allowed, mut refused) = (0, 0);
    for seed in 1..=4000 {
        let mut txn = Random::new(seed).txn(5, 2);
        // Only the duplicate rule is asked here: the checks before it are silenced.
        silence(&mut txn);
        let expected = naive(&txn.success).is_some() && naive(&txn.failure).is_some();
        let found = check_txn(&txn, 1000);
        assert_eq!(found, if expected { Ok(()) } else { Err(Error::DuplicateKey) }, "seed {seed}: {txn:?}");
        if expected { allowed += 1 } else { refused += 1 }
    }
    assert!(allowed > 500 && refused > 500, "{allowed} allowed, {refused} refused");
}

fn silence(txn: &mut TxnRequest) {
    for op in txn.success.iter_mut().chain(&mut txn.failure) {
        match &mut op.request {
            Some(Request::RequestPut(put)) => (put.ignore_value, put.ignore_lease) = (false, false),
            Some(Request::RequestTxn(nested)) => silence(nested),
            Some(Request::RequestRange(_) | Request::RequestDeleteRange(_)) | None => {}
        }
    }
}

#[test]
fn what_a_txn_is() {
    assert!(is_read_only(&txn(vec![range("a")])) && is_read_only(&txn(vec![])));
    assert!(!is_read_only(&txn(vec![range("a"), put("a")])));
    assert!(!is_read_only(&txn(vec![nested(vec![range("a")], vec![])])), "a nested txn goes through the log");
    assert!(!is_read_only(&TxnRequest { failure: vec![delete("a", "")], ..Default::default() }));
    let serializable = op(Request::RequestRange(RangeRequest { serializable: true, ..Default::default() }));
    assert!(is_serializable(&txn(vec![serializable.clone()])));
    assert!(!is_serializable(&txn(vec![serializable, range("a")])));
    assert!(has_put(&txn(vec![nested(vec![], vec![put("a")])])) && !has_put(&txn(vec![delete("a", "")])));
}

#[test]
fn costs_are_etcds() {
    let request = PutRequest { key: text("key"), value: text("value"), ..Default::default() };
    assert_eq!(put_cost(&request), 256 + 8);
    let big = op(Request::RequestPut(request));
    let request = TxnRequest {
        success: vec![put("a"), delete("b", "")],
        failure: vec![nested(vec![big], vec![]), put("c")],
        ..Default::default()
    };
    assert_eq!(txn_cost(&request), 264 + 257);
}
