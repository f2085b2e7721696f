//! Header blocks that never end, that are large, or that become large.

use ringbolt::limits;

use super::arena::Arena;
use super::raw::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, Poured, RESET, Raw, call_headers, frame, header};

const RANGE: &str = "/etcdserverpb.KV/Range";

#[test]
fn continuations_without_end() {
    let arena = Arena::new("continuation flood", &[]);
    let some = header("x", "y").repeat(20);
    for piece in [&b""[..], &some] {
        for _ in 0..4 {
            let mut raw = Raw::open(arena.client(), &[]);
            raw.pour(&frame(HEADERS, 0, 1, &call_headers(RANGE)));
            raw.pour_often(&frame(CONTINUATION, 0, 1, piece).repeat(1000), 200);
            assert!(!raw.is_alive(), "a header block without end");
            arena.is_served();
        }
    }
    arena.end(limits::FLOOD_BYTES_MAX);
}

/// Header blocks that are begun and left, a block's worth each.
#[test]
fn header_blocks_left_unfinished() {
    let arena = Arena::new("unfinished headers", &[]);
    let large = header(&"n".repeat(100), &"v".repeat(100)).repeat(75);
    let held: Vec<Raw> = (0..200)
        .map(|_| {
            let mut raw = Raw::open(arena.client(), &[]);
            raw.pour(&[frame(HEADERS, 0, 1, &call_headers(RANGE)), frame(CONTINUATION, 0, 1, &large)].concat());
            raw
        })
        .collect();
    arena.is_served();
    arena.end(limits::FLOOD_BYTES_MAX);
    drop(held);
}

#[test]
fn large_header_lists() {
    let arena = Arena::new("header lists", &[]);
    // Four frames of 15 KB, and a fifth that is too many.
    let piece = header(&"n".repeat(100), &"v".repeat(100)).repeat(75);
    let mut raw = Raw::open(arena.client(), &[]);
    for stream in (1..400).step_by(2) {
        let mut block = frame(HEADERS, END_STREAM, stream, &call_headers(RANGE));
        (0..5).for_each(|_| block.extend(frame(CONTINUATION, 0, stream, &piece)));
        block.extend(frame(CONTINUATION, END_HEADERS, stream, b""));
        if raw.pour(&block) != Poured::All {
            break;
        }
    }
    raw.finish();
    raw.await_end();
    arena.end(limits::FLOOD_BYTES_MAX);
}

/// One entry of the table of 4 KB, named in one byte, thousands of times.
#[test]
fn header_lists_that_unfold() {
    let arena = Arena::new("header bombs", &[]);
    let mut entry = vec![0x40, 1, b'x', 0x7f, 0xc0 - 0x7f + 0x80, 0x1e];
    // 127 + 0x41 + 0x1e * 128 bytes of value.
    entry.extend(std::iter::repeat_n(b'v', 127 + 0x41 + 0x1e * 128));
    let mut refused = 0;
    for _ in 0..20 {
        let mut raw = Raw::open(arena.client(), &[]);
        raw.pour(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &[call_headers(RANGE), entry.clone()].concat()));
        for stream in (3..100).step_by(2) {
            let bomb = [call_headers(RANGE), vec![0xbe; 16_000]].concat();
            if raw.pour(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb)) != Poured::All {
                break;
            }
        }
        raw.finish();
        refused += usize::from(raw.await_end().iter().any(|came| came.kind == RESET)) + 1;
    }
    println!("{refused} of 20 refused");
    arena.is_served();
    arena.end(limits::FLOOD_BYTES_MAX);
}

/// A client that allows the server a table of 4 GiB, and makes it answer with ever new texts.
#[test]
fn the_table_of_the_answers_stays_small() {
    let arena = Arena::new("answer table", &[]);
    let mut raw = Raw::open(arena.client(), &[(1, u32::MAX)]);
    let reading = raw.drain();
    for number in 0..60_000_u32 {
        let path = format!("/etcdserverpb.KV/{number:0100}");
        if raw.pour(&frame(HEADERS, END_HEADERS | END_STREAM, number * 2 + 1, &call_headers(&path))) != Poured::All {
            break;
        }
    }
    raw.finish();
    reading.join().unwrap();
    arena.end(limits::FLOOD_BYTES_MAX);
}
