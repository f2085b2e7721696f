//! Requests that come in pieces, never end, or are not what they say.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use prost::Message;
use ringbolt::limits;
use ringbolt::proto::etcdserverpb as pb;

use super::arena::Arena;
use super::raw::{DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Poured, RESET, Raw};
use super::raw::{begin_call, call_headers, frame, header};
use crate::client::{Random, seed_from_env};

const PUT: &str = "/etcdserverpb.KV/Put";
const STREAM: &str = "/etcdserverpb.KV/RangeStream";
const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// The prefix of a message of this length.
fn promise(length: u32) -> Vec<u8> {
    [&[0][..], &length.to_be_bytes()].concat()
}

/// Calls that promise a large message and bring a little of it.
#[test]
fn messages_that_are_promised() {
    let arena = Arena::new("promised messages", &[]);
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut raw = Raw::open(arena.client(), &[]);
        let bytes: Vec<u8> = (0..4000_u32)
            .flat_map(|number| {
                let stream = number * 2 + 1;
                [begin_call(stream, PUT), frame(DATA, 0, stream, &promise(1_500_000))].concat()
            })
            .collect();
        raw.pour(&bytes);
        arena.is_served();
        held.push(raw);
    }
    arena.end(16_000 * limits::OPEN_STREAM_BYTES_MAX);
    drop(held);
}

/// Messages of a mebibyte that come but for their last byte, on many streams.
#[test]
fn messages_without_their_last_byte() {
    let arena = Arena::new("unfinished messages", &[]);
    let body = vec![b'v'; 16_000];
    let mut raw = Raw::open(arena.client(), &[]);
    for number in 0..300_u32 {
        let stream = number * 2 + 1;
        raw.pour(&[begin_call(stream, PUT), frame(DATA, 0, stream, &promise(1_040_000))].concat());
        // Less than the window of a stream; those of four are the connection's.
        raw.pour(&frame(DATA, 0, stream, &body).repeat(64));
        if !raw.is_settled() {
            break;
        }
    }
    arena.is_served();
    arena.end(limits::PARTIAL_REQUESTS_BYTES_MAX);
    drop(raw);
}

/// A few kilobytes of gzip each, which are megabytes once they are unpacked, in calls that do not end.
#[test]
fn messages_that_swell() {
    let arena = Arena::new("packed messages", &[]);
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&vec![0; 2_000_000]).unwrap();
    let message = crate::client::frame(1, &packed.finish().unwrap());
    let mut head = call_headers(STREAM);
    head.extend(header("grpc-encoding", "gzip"));
    let mut raw = Raw::open(arena.client(), &[]);
    // The connection's window is told behind the settings.
    assert!(raw.is_settled());
    for number in 0..1000_u32 {
        let stream = number * 2 + 1;
        raw.pour(&[frame(HEADERS, END_HEADERS, stream, &head), frame(DATA, 0, stream, &message)].concat());
    }
    assert!(raw.await_kind(HEADERS).is_some(), "one of them is refused");
    arena.is_served();
    arena.end(limits::PARTIAL_REQUESTS_BYTES_MAX);
    drop(raw);
}

/// The same through many connections: what none may do alone they may not do together.
#[test]
fn messages_that_swell_on_many_connections() {
    const CONNECTIONS: u32 = 24;
    let arena = Arena::new("packed messages together", &["--shards", "1"]);
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&vec![0; 2_000_000]).unwrap();
    let message = crate::client::frame(1, &packed.finish().unwrap());
    let mut head = call_headers(STREAM);
    head.extend(header("grpc-encoding", "gzip"));
    let mut connections: Vec<Raw> = (0..CONNECTIONS).map(|_| Raw::open(arena.client(), &[])).collect();
    assert!(connections.iter_mut().all(Raw::is_settled));
    for number in 0..100_u32 {
        let stream = number * 2 + 1;
        let bytes = [frame(HEADERS, END_HEADERS, stream, &head), frame(DATA, 0, stream, &message)].concat();
        connections.iter_mut().for_each(|raw| assert_eq!(raw.pour(&bytes), Poured::All));
    }
    // Each alone stays within its own bound: 200 MB.
    let refused = connections.iter_mut().filter_map(|raw| raw.await_kind(HEADERS)).count();
    assert_eq!(refused, connections.len(), "each is refused one of them at least");
    arena.is_served();
    arena.end(limits::PARTIAL_REQUESTS_TOGETHER_BYTES_MAX);
    drop(connections);
}

/// A byte a frame, on hundreds of streams.
#[test]
fn messages_in_dribbles() {
    let arena = Arena::new("dribbled messages", &[]);
    let mut raw = Raw::open(arena.client(), &[]);
    let reading = raw.drain();
    let opened: Vec<u8> = (0..500_u32)
        .flat_map(|number| {
            let stream = number * 2 + 1;
            [begin_call(stream, PUT), frame(DATA, 0, stream, &promise(100_000))].concat()
        })
        .collect();
    raw.pour(&opened);
    let dribble: Vec<u8> = (0..500_u32).flat_map(|number| frame(DATA, 0, number * 2 + 1, b"v")).collect();
    raw.pour_often(&dribble, 500);
    arena.is_served();
    raw.finish();
    reading.join().unwrap();
    arena.end(limits::FLOOD_BYTES_MAX);
}

/// Frames without a byte, and padding around nothing.
#[test]
fn data_that_is_none() {
    let arena = Arena::new("empty data", &[]);
    for piece in [frame(DATA, 0, 1, b""), frame(DATA, 8, 1, &[0]), frame(DATA, 8, 1, &[9, 0, 0, 0, 0, 0, 0, 0, 0, 0])] {
        for path in [PUT, WATCH] {
            let mut raw = Raw::open(arena.client(), &[]);
            let reading = raw.drain();
            raw.pour(&begin_call(1, path));
            raw.pour_often(&piece.repeat(1000), 200);
            arena.is_served();
            raw.finish();
            reading.join().unwrap();
        }
    }
    arena.end(limits::FLOOD_BYTES_MAX);
}

/// Bytes behind the one message of a call whose answer waits: nobody takes them.
#[test]
fn bytes_behind_the_only_message() {
    let arena = Arena::new("bytes behind", &[]);
    let put = pb::PutRequest { key: "k".into(), value: vec![b'v'; 300 << 10].into(), ..Default::default() };
    let mut raw = Raw::open(arena.client(), &[]);
    // The connection's window is told behind the settings.
    assert!(raw.is_settled());
    raw.pour(&begin_call(1, PUT));
    for piece in crate::client::frame(0, &put.encode_to_vec()).chunks(16_000) {
        raw.pour(&frame(DATA, 0, 1, piece));
    }
    raw.pour(&frame(DATA, END_STREAM, 1, b""));
    assert!(raw.await_kind(DATA).is_some(), "it is stored");
    drop(raw);
    let range = pb::RangeRequest { key: "k".into(), ..Default::default() };
    let asked = crate::client::frame(0, &range.encode_to_vec());
    let mut held = Vec::new();
    for _ in 0..4 {
        // The answer waits for a window; its stream is open for more of the request.
        let mut raw = Raw::open(arena.client(), &[(4, 0)]);
        let open: Vec<u8> = (0..4_u32)
            .flat_map(|number| {
                let stream = number * 2 + 1;
                [begin_call(stream, "/etcdserverpb.KV/Range"), frame(DATA, 0, stream, &asked)].concat()
            })
            .collect();
        raw.pour(&open);
        for number in 0..4_u32 {
            raw.pour_often(&frame(DATA, 0, number * 2 + 1, b"x").repeat(1000), 1000);
        }
        arena.is_served();
        held.push(raw);
    }
    arena.end(limits::FLOOD_BYTES_MAX);
}

#[test]
fn random_bytes_behind_the_preface() {
    let arena = Arena::new("random bytes", &[]);
    let seed = seed_from_env("RINGBOLT_ABUSE_SEED");
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut said = 0;
    for round in 0..400 {
        let mut noise = |length: usize| -> Vec<u8> { (0..length).map(|_| random.next().to_le_bytes()[0]).collect() };
        let mut raw = if round % 2 == 0 { Raw::connect(arena.client()) } else { Raw::open(arena.client(), &[]) };
        match round % 5 {
            0 => drop(raw.pour(&noise(500))),
            // Frames of any kind for low streams, with any payload.
            1 | 2 => {
                let bytes: Vec<u8> = (0..20)
                    .flat_map(|_| {
                        let head = noise(3);
                        let payload = noise(usize::from(head[2] % 60));
                        frame(head[0] % 11, head[1], u32::from(head[2] % 5), &payload)
                    })
                    .collect();
                raw.pour(&bytes);
            }
            // A header block of any bytes.
            3 => drop(raw.pour(&frame(1, 4, 1, &noise(300)))),
            // A call with any message.
            _ => {
                let body = crate::client::frame(0, &noise(100));
                raw.pour(&[begin_call(1, PUT), frame(DATA, END_STREAM, 1, &body)].concat());
            }
        }
        raw.finish();
        if round % 2 == 1 {
            said += raw.await_end().iter().filter(|came| matches!(came.kind, GOAWAY | RESET)).count();
        }
    }
    println!("{said} refusals");
    arena.is_served();
    arena.end(limits::FLOOD_BYTES_MAX);
}
