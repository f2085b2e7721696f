//! Clients' requests, from their bytes to what the store does with them: decoded, checked, and carried out as the member would.

use bytes::Bytes;
use prost::Message;
use ringbolt::apply::{Applier, CommittedEntry, Payload};
use ringbolt::command::{BatchBuilder, Kind, PutRequest, RangeRequest, TxnRequest};
use ringbolt::mvcc::{Progress, Scan, Work, check};
use ringbolt::proto::etcdserverpb::{CompactionRequest, DeleteRangeRequest};
use ringbolt::tree::{Arena, Config, Tree};
use ringbolt::types::{BootNonce, MemberId, RaftIndex, ShardId, Term};

const MEMBER: MemberId = MemberId(1);
const NONCE: BootNonce = BootNonce(1);
const PAGES: u64 = 2048;
/// Cells that a read may look at: the store holds a few dozen.
const CELLS_MAX: usize = 100_000;

fn apply(tree: &mut Tree, index: u64, kind: Kind, payload: &[u8]) {
    let mut batch = BatchBuilder::new(MEMBER, NONCE, index);
    batch.push(kind, payload);
    let entry = CommittedEntry { index: RaftIndex(index), term: Term(1), payload: Payload::Batch(batch.finish()) };
    let mut answers = Vec::new();
    Applier::new(MEMBER, NONCE).apply(tree, &[entry], |_| true, &mut answers).expect("what was checked applies");
    assert_eq!(answers.len(), 1, "each command has an answer");
}

/// The first byte says which request the rest are.
pub(crate) fn fuzz_request(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let payload = Bytes::copy_from_slice(bytes);
    let checked = match kind % 5 {
        0 => RangeRequest::decode(payload).is_ok_and(|request| {
            let checked = check::check_range(&request).is_ok();
            if checked {
                read(&request);
            }
            false
        }),
        1 => PutRequest::decode(payload).is_ok_and(|request| check::check_put(&request).is_ok()),
        2 => DeleteRangeRequest::decode(payload).is_ok_and(|request| check::check_delete_range(&request).is_ok()),
        3 => TxnRequest::decode(payload).is_ok_and(|request| check::check_txn(&request, 128).is_ok()),
        _ => CompactionRequest::decode(payload).is_ok(),
    };
    if checked {
        let kind = [Kind::Noop, Kind::Put, Kind::DeleteRange, Kind::Txn, Kind::Compact][usize::from(kind % 5)];
        let mut tree = store();
        apply(&mut tree, 9, kind, bytes);
        tree.check().expect("a command leaves the trees in order");
    }
}

fn store() -> Tree {
    let mut tree = Tree::create(Arena::anonymous(PAGES), Config::default(), PAGES).unwrap();
    for (index, key) in (1..).zip(["a", "a\0", "ab", "b", "b\u{ff}", "c/1", "c/2", "a"]) {
        let put = PutRequest { key: key.into(), value: "value".into(), ..Default::default() };
        apply(&mut tree, index, Kind::Put, &put.encode_to_vec());
    }
    tree
}

fn read(request: &RangeRequest) {
    let tree = store();
    let pinned = tree.shared().reader(ShardId(0)).pin();
    let Ok(mut scan) = Scan::new(&pinned.view(), request) else { return };
    let mut out = Vec::new();
    let mut work = Work::cells(CELLS_MAX);
    if scan.encode_whole(&pinned.view(), &mut out, 200, &mut work).is_ok_and(|tail| tail.is_some()) {
        return;
    }
    for _ in 0..CELLS_MAX {
        match scan.prepare(&pinned.view(), &mut Work::cells(10)) {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => break,
            Err(_) => return,
        }
    }
    for _ in 0..CELLS_MAX {
        if scan.next_chunk(&pinned.view(), &mut out, 100, &mut Work::cells(10)).unwrap() == Progress::Done {
            return;
        }
    }
    panic!("a range over a few keys has no end");
}
