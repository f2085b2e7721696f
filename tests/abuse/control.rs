//! Floods of frames that carry nothing: resets, pings, settings, window updates, priorities, unknown kinds.

use ringbolt::limits;
use ringbolt::proto::etcdserverpb as pb;

use super::arena::Arena;
use super::raw::{
    Came, ENHANCE_YOUR_CALM, GOAWAY, PING, Poured, RESET, Raw, SETTINGS, WINDOW_UPDATE, begin_call, call, frame,
};
use crate::client::{Scratch, Server, oracle, server_under_test};

const RANGE: &str = "/etcdserverpb.KV/Range";

fn range() -> pb::RangeRequest {
    pb::RangeRequest { key: "good".into(), ..Default::default() }
}

/// Several connections that each pour the same, and read what comes.
fn pour_and_read(arena: &Arena, connections: usize, opening: &[u8], bytes: &[u8], times: usize) -> Vec<Vec<Came>> {
    std::thread::scope(|scope| {
        let pouring: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(|| {
                    let mut raw = Raw::open(arena.client(), &[]);
                    let reading = raw.drain();
                    raw.pour(opening);
                    raw.pour_often(bytes, times);
                    raw.finish();
                    reading.join().unwrap()
                })
            })
            .collect();
        arena.is_served();
        pouring.into_iter().map(|pouring| pouring.join().unwrap()).collect()
    })
}

fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| number * 2 + 1)
}

#[test]
fn streams_opened_and_reset_at_once() {
    let arena = Arena::new("rapid reset", &[]);
    let bytes: Vec<u8> = streams(40_000)
        .flat_map(|stream| [call(stream, RANGE, &range()), frame(RESET, 0, stream, &[0, 0, 0, 8])].concat())
        .collect();
    let ends = pour_and_read(&arena, 4, &bytes, b"", 0);
    println!("{:?}", ends.iter().map(|end| end.last().map(Came::code)).collect::<Vec<_>>());
    arena.end(limits::FLOOD_BYTES_MAX);
}

/// Resets that come once the server has begun the call: each costs a task and a read.
#[test]
fn streams_reset_once_they_are_begun() {
    let arena = Arena::new("late reset", &[]);
    let mut raw = Raw::open(arena.client(), &[]);
    for group in 0..200 {
        let group: Vec<u32> = streams(50).map(|stream| stream + group * 100).collect();
        let begun: Vec<u8> = group.iter().flat_map(|stream| begin_call(*stream, RANGE)).collect();
        let reset: Vec<u8> = group.iter().flat_map(|stream| frame(RESET, 0, *stream, &[0, 0, 0, 8])).collect();
        // An end of the connection is a bound as well.
        if raw.pour(&begun) != Poured::All || !raw.is_alive() || raw.pour(&reset) != Poured::All {
            break;
        }
    }
    arena.end(limits::FLOOD_BYTES_MAX);
}

#[test]
fn pings_without_end() {
    let arena = Arena::new("ping flood", &[]);
    let ends = pour_and_read(&arena, 4, b"", &frame(PING, 0, 0, b"12345678").repeat(1000), 500);
    for end in ends {
        assert!(end.iter().any(|came| came.kind == GOAWAY && came.code() == ENHANCE_YOUR_CALM), "{end:?}");
    }
    arena.end(limits::FLOOD_BYTES_MAX);
}

#[test]
fn too_many_pings_is_said_as_etcd_says_it() {
    let scratch = Scratch::new("abuse-pings");
    let said: Vec<(u32, Vec<u8>)> = [server_under_test(), oracle()]
        .iter()
        .map(|program| {
            let directory = scratch.path().join(program.label);
            std::fs::create_dir_all(&directory).unwrap();
            let server = Server::start(program, &directory, &[]).unwrap();
            let mut raw = Raw::open(server.client, &[]);
            raw.pour(&begin_call(1, "/etcdserverpb.Watch/Watch"));
            raw.pour(&frame(PING, 0, 0, b"12345678").repeat(10));
            let farewell = raw.await_kind(GOAWAY).unwrap();
            (farewell.code(), farewell.payload[8..].to_vec())
        })
        .collect();
    assert_eq!(said[0], (ENHANCE_YOUR_CALM, b"too_many_pings".to_vec()));
    assert_eq!(said[0], said[1]);
}

#[test]
fn settings_without_end() {
    let arena = Arena::new("settings flood", &[]);
    let settings = frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64\0\x04\0\0\xff\xff").repeat(1000);
    pour_and_read(&arena, 4, b"", &settings, 300);
    arena.end(limits::FLOOD_BYTES_MAX);
}

/// Every frame asks for an answer that is never read: the server stops reading, or ends it.
#[test]
fn answers_to_control_frames_left_unread() {
    let arena = Arena::new("unread acknowledgements", &[]);
    let settings = frame(SETTINGS, 0, 0, b"\0\x03\0\0\0\x64").repeat(10_000);
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut raw = Raw::open(arena.client(), &[]);
        assert_ne!(raw.pour_often(&settings, 500), Poured::All, "without a bound");
        arena.is_served();
        held.push(raw);
    }
    arena.end(limits::FLOOD_BYTES_MAX);
}

#[test]
fn frames_that_say_nothing() {
    let arena = Arena::new("idle frames", &[]);
    let opening = begin_call(1, "/etcdserverpb.Watch/Watch");
    for (bytes, times) in [
        // Window updates of one byte, for the connection and for a stream.
        (frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(1000), 200),
        (frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]).repeat(1000), 200),
        // Priorities for streams that are not there.
        (frame(2, 0, 77_777, &[0, 0, 0, 1, 9]).repeat(1000), 200),
        // A kind that nobody knows.
        (frame(0x42, 0xff, 3, b"").repeat(1000), 200),
        // Resets of one stream that is closed.
        (frame(RESET, 0, 1, &[0, 0, 0, 8]).repeat(1000), 200),
    ] {
        pour_and_read(&arena, 2, &opening, &bytes, times);
    }
    arena.end(limits::FLOOD_BYTES_MAX);
}

#[test]
fn windows_that_cannot_be() {
    let arena = Arena::new("window tricks", &[]);
    let most = 0x7fff_ffff_u32.to_be_bytes();
    let opening = begin_call(1, "/etcdserverpb.Watch/Watch");
    for bytes in [
        // An overflow of the connection's window, and of a stream's.
        frame(WINDOW_UPDATE, 0, 0, &most),
        frame(WINDOW_UPDATE, 0, 1, &most),
        // No increment at all.
        frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
        // Settings beyond what a window may be, a frame size that is none, and settings cut short.
        frame(SETTINGS, 0, 0, b"\0\x04\xff\xff\xff\xff"),
        frame(SETTINGS, 0, 0, b"\0\x05\0\0\0\x01"),
        frame(SETTINGS, 0, 0, b"\0\x05\0"),
        // A frame longer than was allowed.
        frame(0, 0, 1, &[0; 20_000]),
        // More than the stream's window: it was a mebibyte.
        (0..100).flat_map(|_| frame(0, 0, 1, &[0; 16_000])).collect(),
    ] {
        let mut raw = Raw::open(arena.client(), &[]);
        raw.pour(&opening);
        raw.pour(&bytes);
        raw.finish();
        // It ends, one way or the other, without harm.
        raw.await_end();
        arena.is_served();
    }
    arena.end(limits::FLOOD_BYTES_MAX);
}
