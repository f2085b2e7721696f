//! The corpus: small valid encodings, written once by `write_the_corpus` and committed.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use prost::Message as _;
use ringbolt::command::{BatchBuilder, Kind, PutRequest, RangeRequest, TxnRequest};
use ringbolt::proto::etcdserverpb as pb;
use ringbolt::raft::{Ballot, Body, Change, Membership, Message, Position, ReadContext, Step};
use ringbolt::tree::{Arena, Config, Stamp, Tree, TreeId};
use ringbolt::types::{BootNonce, MemberId, PageNumber, RaftIndex, Term};
use ringbolt::wal::{Entry, EntryKind};

fn directory(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

/// The inputs of a target, by name.
pub(crate) fn read(target: &str) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(directory(target)) else { return Vec::new() };
    let mut inputs: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("our directory").path();
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("our file"))
        })
        .collect();
    inputs.sort();
    inputs
}

fn write(target: &str, inputs: Vec<(&str, Vec<u8>)>) {
    std::fs::create_dir_all(directory(target)).expect("our directory");
    for (name, bytes) in inputs {
        std::fs::write(directory(target).join(name), bytes).expect("our file");
    }
}

/// A page of each kind, of a store with some of everything.
fn pages() -> (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>) {
    let mut tree = Tree::create(Arena::anonymous(4096), Config::default(), 4096).unwrap();
    let mut txn = tree.begin();
    for number in 0..400u64 {
        let key = [&b"registry/things/"[..], &number.to_be_bytes(), &[0; 12]].concat();
        txn.insert(TreeId::Keys, &key, &[0, 2, 1, 0], &[7; 30], number % 2 == 0).unwrap();
    }
    txn.insert(TreeId::System, b"compaction", &[1, 1, 1, 0], &[], false).unwrap();
    txn.commit(Stamp { revision: ringbolt::types::Revision(401), ..Stamp::default() });
    let plan = tree.plan_checkpoint().unwrap();
    let (mut branch, mut leaf) = (Vec::new(), Vec::new());
    for page in plan.ranges().flat_map(|range| range.first.0..range.end().0) {
        let mut bytes = [0; 4096];
        plan.write_page(PageNumber(page), &mut bytes);
        match bytes[4] {
            2 => branch = bytes.to_vec(),
            _ => leaf = bytes.to_vec(),
        }
    }
    let map = plan.map_blocks().next().unwrap().1.to_vec();
    (leaf, branch, plan.meta().1.to_vec(), map)
}

fn message(body: Body) -> Vec<u8> {
    let mut out = Vec::new();
    Message { from: MemberId(1), to: MemberId(2), term: Term(3), body }.encode(&mut out);
    out
}

fn messages() -> Vec<(&'static str, Vec<u8>)> {
    let context = ReadContext { member: MemberId(1), nonce: BootNonce(2), counter: 3 };
    let previous = Position::new(RaftIndex(7), Term(2));
    let entry = |index, data: &'static [u8]| Entry {
        index: RaftIndex(index),
        term: Term(3),
        kind: EntryKind::Normal,
        data: Bytes::from_static(data),
    };
    let commit = RaftIndex(7);
    let entries = vec![entry(8, b"one"), entry(9, b"")];
    vec![
        ("append", message(Body::Append { previous, commit, entries })),
        ("rejected", message(Body::AppendRejected { previous: RaftIndex(9), hint: previous, commit })),
        ("heartbeat", message(Body::Heartbeat { commit, context: Some(context) })),
        ("vote", message(Body::VoteRequest { ballot: Ballot::Real, last: previous, commit: previous, forced: true })),
        ("hand-over", message(Body::TimeoutNow)),
    ]
}

/// Frames of HTTP/2: preface, settings, one call with one message.
fn http2() -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let head = [&[0x83, 0x86, 0x44, 11][..], b"/echo/Unary", &[0x5f, 16], b"application/grpc"].concat();
    let body = [&[0, 0, 0, 0, 5][..], b"hello"].concat();
    let parts = [
        vec![100],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]),
        frame(1, 4, 1, &head),
        frame(0, 1, 1, &body),
        frame(6, 0, 0, &[1; 8]),
        frame(8, 0, 0, &[0, 0, 1, 0]),
        frame(1, 5, 3, &head),
        frame(3, 0, 3, &[0, 0, 0, 8]),
        frame(7, 0, 0, &[0; 8]),
    ];
    parts.concat()
}

fn requests() -> Vec<(&'static str, Vec<u8>)> {
    use pb::request_op::Request;
    let range = RangeRequest {
        key: "a".into(),
        range_end: "c".into(),
        limit: 2,
        sort_target: 4,
        sort_order: 1,
        ..Default::default()
    };
    let put = PutRequest { key: "a".into(), value: "new".into(), prev_kv: true, ..Default::default() };
    let delete = pb::DeleteRangeRequest { key: "a".into(), range_end: "b".into(), prev_kv: true };
    let op = |request| pb::RequestOp { request: Some(request) };
    let compare = pb::Compare {
        result: 0,
        target: 0,
        key: "a".into(),
        target_union: Some(pb::compare::TargetUnion::Version(2)),
        ..Default::default()
    };
    let txn = TxnRequest {
        compare: vec![compare],
        success: vec![op(Request::RequestPut(put.clone())), op(Request::RequestRange(range.clone()))],
        failure: vec![op(Request::RequestDeleteRange(delete.clone()))],
    };
    let compact = pb::CompactionRequest { revision: 5, physical: true };
    let tagged = |tag: u8, bytes: Vec<u8>| [vec![tag], bytes].concat();
    vec![
        ("range", tagged(0, range.encode_to_vec())),
        ("put", tagged(1, put.encode_to_vec())),
        ("delete", tagged(2, delete.encode_to_vec())),
        ("txn", tagged(3, txn.encode_to_vec())),
        ("compact", tagged(4, compact.encode_to_vec())),
    ]
}

/// Not a test: makes the corpus anew, after a format has changed.
#[test]
#[ignore = "writes the corpus"]
fn write_the_corpus() {
    let (leaf, branch, meta, map) = pages();
    write("page", vec![("leaf", leaf), ("branch", branch)]);
    write("meta", vec![("meta", meta), ("map", map)]);
    let edits = |choice: u8| {
        let edits = (0..6u8).flat_map(|edit| [edit, edit / 3, edit, 16 * edit, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        std::iter::once(choice).chain(edits).collect::<Vec<u8>>()
    };
    write(
        "recover",
        vec![("sound", vec![0x45]), ("edited", edits(0x46)), ("many", edits(0xcf)), ("raw", vec![0; 200])],
    );
    let mut batch = BatchBuilder::new(MemberId(1), BootNonce(2), 3);
    for (tag, kind) in [(1, Kind::Put), (2, Kind::DeleteRange), (3, Kind::Txn), (4, Kind::Compact)] {
        batch.push(kind, &requests()[tag].1[1..]);
    }
    batch.push(Kind::Noop, &[]);
    write("batch", vec![("all-kinds", batch.finish().to_vec())]);
    let members = Membership::of_voters(&[MemberId(1), MemberId(2), MemberId(3)]).unwrap();
    let change = Change { steps: vec![Step::AddLearner(MemberId(4)), Step::Remove(MemberId(2))], ..Change::default() };
    write("members", vec![("voters", members.encode()), ("change", change.encode().to_vec())]);
    write("message", messages());
    let framed = [&[3, 0, 0, 0, 0, 5][..], b"hello", &[0, 0, 0, 0, 0], &[0, 0, 0, 0, 1], b"x"].concat();
    write("frames", vec![("three", framed)]);
    let member = |plain: &[u8]| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(plain).unwrap();
        packed.finish().unwrap()
    };
    let text = member(&b"a message with itself in it ".repeat(40));
    let members = [member(b""), member(b"x"), member(&[0; 3000])].concat();
    write("gzip", vec![("text", text), ("members", members), ("bomb", member(&[0; 200_000]))]);
    write("connection", vec![("http2", http2())]);
    let get = b"\x40GET /health?serializable=true HTTP/1.1\r\nhost: x\r\n\r\n".to_vec();
    let post = b"\x05POST /v3 HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n".to_vec();
    write("http1", vec![("get", get), ("post", post)]);
    write("request", requests());
}
