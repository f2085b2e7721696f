//! Clients that ask for much and read nothing.

use prost::Message;
use ringbolt::limits;
use ringbolt::proto::etcdserverpb as pb;

use super::arena::Arena;
use super::raw::{DATA, Poured, Raw, begin_call, call, frame};
use crate::client::Client;

const RANGE: &str = "/etcdserverpb.KV/Range";
const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// The setting of the initial window.
const WINDOW: u16 = 4;

fn store(arena: &Arena, keys: usize, value_bytes: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::open(arena.client()).await.unwrap();
        for key in 0..keys {
            let key = format!("large{key}").into();
            let put = pb::PutRequest { key, value: vec![b'v'; value_bytes].into(), ..Default::default() };
            client.put(&put).await.unwrap();
        }
    });
}

fn all_large() -> pb::RangeRequest {
    pb::RangeRequest { key: "large".into(), range_end: "largf".into(), ..Default::default() }
}

/// So many connections that leave the window shut ask so many times for all that is stored.
fn shut_windows(arena: Arena, connections: usize, calls: u32) {
    let bytes: Vec<u8> = (0..calls).flat_map(|number| call(number * 2 + 1, RANGE, &all_large())).collect();
    let mut held = Vec::new();
    for _ in 0..connections {
        let mut raw = Raw::open(arena.client(), &[(WINDOW, 0)]);
        raw.pour(&bytes);
        assert!(raw.is_alive(), "it has taken all of it");
        arena.is_served();
        held.push(raw);
    }
    arena.end(limits::UNREAD_ANSWERS_BYTES_MAX);
    drop(held);
}

/// Answers of a mebibyte.
#[test]
fn large_answers_into_shut_windows() {
    let arena = Arena::new("large answers unread", &[]);
    store(&arena, 4, 256 << 10);
    shut_windows(arena, 4, 2000);
}

/// Answers that just fit the encoder's buffer, so that the call ends and leaves all of it to the connection.
#[test]
fn whole_answers_into_shut_windows() {
    let arena = Arena::new("whole answers unread", &[]);
    store(&arena, 1, 60 << 10);
    shut_windows(arena, 2, 16_000);
}

/// The window is wide open, but nothing is read from the socket.
#[test]
fn large_answers_into_full_sockets() {
    let arena = Arena::new("full sockets", &[]);
    store(&arena, 4, 256 << 10);
    let mut held = Vec::new();
    for _ in 0..50 {
        let mut raw = Raw::open(arena.client(), &[(WINDOW, 0x7fff_ffff)]);
        raw.pour(&frame(8, 0, 0, &0x7fff_0000_u32.to_be_bytes()));
        for number in 0..40_u32 {
            raw.pour(&call(number * 2 + 1, RANGE, &all_large()));
        }
        held.push(raw);
    }
    arena.is_served();
    arena.end(limits::UNREAD_ANSWERS_BYTES_MAX);
    drop(held);
}

/// Windows that are opened by a byte at a time.
#[test]
fn windows_opened_by_bytes() {
    let arena = Arena::new("byte windows", &[]);
    store(&arena, 4, 256 << 10);
    let mut raw = Raw::open(arena.client(), &[(WINDOW, 1)]);
    let reading = raw.drain();
    let calls: Vec<u8> = (0..100_u32).flat_map(|number| call(number * 2 + 1, RANGE, &all_large())).collect();
    raw.pour(&calls);
    for _ in 0..500 {
        let more: Vec<u8> = (0..100_u32).flat_map(|number| frame(8, 0, number * 2 + 1, &[0, 0, 0, 1])).collect();
        if raw.pour(&more) != Poured::All {
            break;
        }
    }
    arena.is_served();
    raw.finish();
    reading.join().unwrap();
    arena.end(limits::UNREAD_ANSWERS_BYTES_MAX);
}

/// HTTP answers of a hundred kilobytes each, over streams whose window is shut.
#[test]
fn metrics_into_shut_windows() {
    let arena = Arena::new("metrics unread", &[]);
    let bytes: Vec<u8> = (0..4000_u32)
        .flat_map(|number| {
            let mut block = vec![0x82, 0x86];
            block.extend(super::raw::header(":path", "/metrics"));
            block.extend(super::raw::header(":authority", "x"));
            frame(1, 5, number * 2 + 1, &block)
        })
        .collect();
    let mut raw = Raw::open(arena.client(), &[(WINDOW, 0)]);
    raw.pour(&bytes);
    assert!(raw.is_alive(), "it has taken all of it");
    arena.is_served();
    arena.end(limits::UNREAD_ANSWERS_BYTES_MAX);
}

/// Watchers of what the good client writes, and of much more, that read none of it.
#[test]
fn events_left_unread() {
    let arena = Arena::new("watches unread", &[]);
    let create = pb::WatchRequest {
        request_union: Some(pb::watch_request::RequestUnion::CreateRequest(pb::WatchCreateRequest {
            key: b"\0".to_vec().into(),
            range_end: b"\0".to_vec().into(),
            ..Default::default()
        })),
    };
    let message = crate::client::frame(0, &create.encode_to_vec());
    let mut held = Vec::new();
    for window in [0, 0, 0, 0x7fff_ffff, 0x7fff_ffff, 0x7fff_ffff] {
        let mut raw = Raw::open(arena.client(), &[(WINDOW, window)]);
        for number in 0..100_u32 {
            let stream = number * 2 + 1;
            raw.pour(&[begin_call(stream, WATCH), frame(DATA, 0, stream, &message)].concat());
        }
        held.push(raw);
    }
    // 600 streams, of which each is to get 64 MiB.
    store(&arena, 256, 256 << 10);
    arena.is_served();
    arena.end(limits::UNREAD_EVENTS_BYTES_MAX);
    drop(held);
}
