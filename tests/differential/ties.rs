//! Sorted ranges: which of two equal pairs comes first is not etcd's contract.
//!
//! Up to twelve pairs etcd's order is a stable one, and is compared as it is. Beyond, it follows from the library of the
//! Go version that built it: there, equal pairs are compared as a set, and those that a limit cuts apart by number.
//!
//! **Invariants**: the order of pairs that differ in what is sorted by stays compared.

use prost::Message;
use ringbolt::proto::etcdserverpb as pb;
use ringbolt::proto::mvccpb::KeyValue;

use crate::client::oracle_is_old;
use crate::op::{Body, Op, Seen};

/// Up to this many, Go's sort is an insertion sort, which is stable.
const STABLE_MAX: i64 = 12;

/// Puts equal pairs into one order.
pub(crate) fn level(op: &Op, seen: &mut Seen) {
    let stable_max = if oracle_is_old() { 0 } else { STABLE_MAX };
    match (op, &mut seen.body) {
        (Op::Range(request), Body::Range(answer)) => range(stable_max, request, answer),
        (Op::Txn(request), Body::Txn(answer)) => txn(stable_max, request, answer),
        (Op::Raw { call, .. }, Body::Range(answer)) => {
            if let Some(Ok(request)) = call.body.get(5..).map(pb::RangeRequest::decode) {
                range(stable_max, &request, answer);
            }
        }
        (Op::Raw { call, .. }, Body::Txn(answer)) => {
            if let Some(Ok(request)) = call.body.get(5..).map(pb::TxnRequest::decode) {
                txn(stable_max, &request, answer);
            }
        }
        _ => {}
    }
}

fn txn(stable_max: i64, request: &pb::TxnRequest, answer: &mut pb::TxnResponse) {
    use pb::request_op::Request;
    use pb::response_op::Response;
    let branch = if answer.succeeded { &request.success } else { &request.failure };
    for (asked, told) in branch.iter().zip(&mut answer.responses) {
        match (&asked.request, &mut told.response) {
            (Some(Request::RequestRange(asked)), Some(Response::ResponseRange(told))) => range(stable_max, asked, told),
            (Some(Request::RequestTxn(asked)), Some(Response::ResponseTxn(told))) => txn(stable_max, asked, told),
            _ => {}
        }
    }
}

fn range(stable_max: i64, request: &pb::RangeRequest, answer: &mut pb::RangeResponse) {
    use pb::range_request::SortTarget;
    if answer.count <= stable_max {
        return;
    }
    let by: fn(&KeyValue) -> (i64, &[u8]) = match SortTarget::try_from(request.sort_target) {
        Ok(SortTarget::Version) => |kv| (kv.version, &[]),
        Ok(SortTarget::Create) => |kv| (kv.create_revision, &[]),
        Ok(SortTarget::Mod) => |kv| (kv.mod_revision, &[]),
        // With keys_only the values are gone: all pairs count as equal.
        Ok(SortTarget::Value) => |kv| (0, &kv.value),
        Ok(SortTarget::Key) | Err(_) => return,
    };
    let pairs = &mut answer.kvs;
    let mut start = 0;
    while start < pairs.len() {
        let end = start + pairs[start..].iter().take_while(|kv| by(kv) == by(&pairs[start])).count();
        pairs[start..end].sort_by(|one, other| one.key.cmp(&other.key));
        if answer.more && end == pairs.len() {
            for kv in &mut pairs[start..] {
                // Which of the equal ones stood before the cut is open, so nothing but what they share is left.
                let (value, (version, create, modified)) = match SortTarget::try_from(request.sort_target) {
                    Ok(SortTarget::Value) => (kv.value.clone(), (0, 0, 0)),
                    Ok(SortTarget::Version) => (Default::default(), (kv.version, 0, 0)),
                    Ok(SortTarget::Create) => (Default::default(), (0, kv.create_revision, 0)),
                    _ => (Default::default(), (0, 0, kv.mod_revision)),
                };
                *kv =
                    KeyValue { value, version, create_revision: create, mod_revision: modified, ..Default::default() };
            }
        }
        start = end;
    }
}

#[test]
fn only_ties_of_many_are_levelled() {
    let pair = |key: &'static str, version| KeyValue { key: key.into(), version, ..Default::default() };
    let request = pb::RangeRequest { sort_target: 1, ..Default::default() };
    let one =
        pb::RangeResponse { kvs: vec![pair("b", 1), pair("a", 1), pair("c", 2)], count: 13, ..Default::default() };
    let levelled = |answer: &pb::RangeResponse| {
        let mut answer = answer.clone();
        range(STABLE_MAX, &request, &mut answer);
        answer
    };
    let mut other = one.clone();
    other.kvs.swap(0, 1);
    assert_eq!(levelled(&one), levelled(&other));
    // What is sorted by keeps its order.
    other.kvs.swap(1, 2);
    assert_ne!(levelled(&one), levelled(&other));
    // A cut leaves open which of the last ones are there.
    let mut cut = one.clone();
    (cut.kvs[2].key, cut.more) = ("d".into(), true);
    let more = pb::RangeResponse { more: true, ..one.clone() };
    assert_eq!(levelled(&cut), levelled(&more));
    // Few pairs are compared as they are.
    let few = pb::RangeResponse { count: 12, ..one };
    assert_eq!(levelled(&few), few);
}
