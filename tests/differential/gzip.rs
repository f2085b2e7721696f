//! Requests packed with gzip, good and bad: both servers unpack the same and say the same of the rest.
//!
//! **Invariants**: everything of an answer is compared but whether it is packed: etcd packs what answers a packed request.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use prost::Message;
use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Answer, Call, Connection, Lost, Scratch, Server, frame, oracle, oracle_is_old, server_under_test};
use crate::known;
use crate::op::seen;
use crate::requests::{REQUEST_BYTES_MAX, TRANSPORT_EXTRA_BYTES};

const RANGE: &str = "/etcdserverpb.KV/Range";
const STREAM: &str = "/etcdserverpb.KV/RangeStream";
const PUT: &str = "/etcdserverpb.KV/Put";
const WATCH: &str = "/etcdserverpb.Watch/Watch";

fn gzip(plain: &[u8]) -> Vec<u8> {
    packed(plain, Compression::default())
}

fn packed(plain: &[u8], how: Compression) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), how);
    out.write_all(plain).expect("a vector grows");
    out.finish().expect("a vector grows")
}

/// A Put of a message of so many bytes.
fn put(length: usize) -> Vec<u8> {
    let value = (length - 20..length).find(|value| {
        let of_length = prost::encoding::encoded_len_varint(u64::try_from(*value).expect("64 bits"));
        "kkpackedv".len() + of_length + value == length
    });
    let value = vec![b'v'; value.expect("some value has the length")];
    let message = pb::PutRequest { key: "packed".into(), value: value.into(), ..Default::default() }.encode_to_vec();
    assert_eq!(message.len(), length);
    message
}

/// Bodies of a call that reads, by what they are.
fn reads() -> Vec<(&'static str, Bytes)> {
    let range = pb::RangeRequest { key: "a".into(), range_end: "z".into(), ..Default::default() }.encode_to_vec();
    let good = gzip(&range);
    let changed = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0xff;
        frame(1, &bytes)
    };
    let (first, second) = range.split_at(2);
    vec![
        ("good", frame(1, &good)),
        ("stored", frame(1, &packed(&range, Compression::none()))),
        ("not packed though it may be", frame(0, &range)),
        ("two members", frame(1, &[gzip(first), gzip(second)].concat())),
        ("nothing, packed", frame(1, &gzip(b""))),
        ("nothing with the flag", frame(1, b"")),
        ("no gzip", frame(1, b"this is not gzip")),
        ("begun", frame(1, &good[..4])),
        ("head alone", frame(1, &good[..10])),
        ("cut in the sum", frame(1, &good[..good.len() - 3])),
        ("cut before the sum", frame(1, &good[..good.len() - 8])),
        ("wrong magic", changed(0)),
        ("wrong method", changed(2)),
        ("wrong block", changed(10)),
        ("wrong sum", changed(good.len() - 8)),
        ("wrong length", changed(good.len() - 1)),
        ("a tail", frame(1, &[&good[..], b"a longer tail than a head"].concat())),
        ("a short tail", frame(1, &[&good[..], b"tail"].concat())),
        ("no message", frame(1, &gzip(b"\x0a\x7f"))),
        ("two messages", [frame(1, &good), frame(1, &good)].concat().into()),
        ("frame cut short", frame(1, &good).slice(..12)),
        ("flag 2", frame(2, &good)),
    ]
}

fn cases() -> Vec<(String, Call)> {
    let mut cases = Vec::new();
    for path in [RANGE, STREAM] {
        for (name, body) in reads() {
            cases.push((format!("{name} to {path}"), Call::raw(path, body).with("grpc-encoding", b"gzip")));
        }
        let good = reads().swap_remove(0).1;
        cases.push((format!("flag without encoding to {path}"), Call::raw(path, good.clone())));
        for name in ["identity", "GZIP", "gzip,identity", "deflate"] {
            let call = Call::raw(path, good.clone()).with("grpc-encoding", name.as_bytes());
            cases.push((format!("good as {name} to {path}"), call));
        }
    }
    // Its messages come one by one, and what is wrong with one ends the call.
    for (name, flag, bytes) in [("deflate", 1, gzip(b"")), ("deflate", 0, Vec::new()), ("gzip", 1, b"no".to_vec())] {
        let call = Call::raw(WATCH, frame(flag, &bytes)).with("grpc-encoding", name.as_bytes());
        cases.push((format!("{name} with the flag {flag} to {WATCH}"), call));
    }
    let transport = REQUEST_BYTES_MAX + TRANSPORT_EXTRA_BYTES;
    for length in [1000, REQUEST_BYTES_MAX - 200, REQUEST_BYTES_MAX + 200, transport, transport + 1, 50 * transport] {
        let call = Call::raw(PUT, frame(1, &gzip(&put(length)))).with("grpc-encoding", b"gzip");
        cases.push((format!("{length} bytes"), call));
    }
    // The length on the wire is judged first.
    let stored = Call::raw(PUT, frame(1, &packed(&put(transport + 1), Compression::none())));
    cases.push(("too long while packed".to_owned(), stored.with("grpc-encoding", b"gzip")));
    cases
}

/// The answer with its messages unpacked, and whether one was packed.
fn unpacked(answer: Result<Answer, Lost>) -> (Result<Answer, Lost>, bool) {
    let mut any = false;
    let answer = answer.map(|mut answer| {
        for frame in answer.frames.iter_mut().filter(|frame| frame.flag == 1) {
            let mut plain = Vec::new();
            MultiGzDecoder::new(frame.bytes.as_ref()).read_to_end(&mut plain).expect("an answer is whole");
            (frame.flag, frame.bytes, any) = (0, plain.into(), true);
        }
        answer
    });
    (answer, any)
}

#[test]
fn packed_requests_are_answered_as_by_etcd() {
    if oracle_is_old() {
        println!("left out: the wording of this etcd is that of an older gRPC library");
        return;
    }
    let scratch = Scratch::new("gzip");
    let start = |name: &str, program| {
        let directory = scratch.path().join(name);
        std::fs::create_dir(&directory).expect("a fresh directory");
        Server::start(program, &directory, &[]).unwrap_or_else(|failed| panic!("{name} does not start: {failed}"))
    };
    let servers = [start("ours", &server_under_test()), start("oracle", &oracle())];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (mut wrong, mut packed) = (Vec::new(), [0, 0]);
    runtime.block_on(async {
        for (name, call) in cases() {
            let mut answers = Vec::new();
            for (server, packed) in servers.iter().zip(&mut packed) {
                // A connection each: a case may cost its connection.
                let connection = Connection::open(server.client).await.expect("the server listens");
                let (answer, was_packed) = unpacked(connection.call(&call).await);
                *packed += u32::from(was_packed);
                let mut answer = seen(&call.path, answer);
                known::level(&mut answer);
                answers.push(answer);
            }
            if answers[0] != answers[1] {
                wrong.push(format!("{name}:\n    ours   {:.300?}\n    oracle {:.300?}", answers[0], answers[1]));
            }
        }
    });
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), cases().len(), wrong.join("\n"));
    assert_eq!(packed[0], 0, "ours answers as it is, which every client reads");
    assert!(packed[1] > 0, "etcd packs what answers a packed request");
}
