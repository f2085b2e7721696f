//! Connections that never come to a request: silent ones, ones that stop inside the preface, a TLS handshake or an
//! HTTP/1.1 header.

use std::io::{Read, Write};
use std::net::TcpStream;

use ringbolt::limits;

use super::arena::Arena;
use super::raw::{PREFACE, Poured, Raw};
use crate::client::free_address;

#[test]
fn connections_that_say_little_or_nothing() {
    let arena = Arena::new("half-open connections", &[]);
    let mut held = Vec::new();
    for said in [&b""[..], b"P", &PREFACE[..20], PREFACE, b"GET /health HTTP/1.1\r\nHost:"] {
        for _ in 0..400 {
            let mut raw = Raw::connect(arena.client());
            raw.pour(said);
            held.push(raw);
        }
        arena.is_served();
    }
    arena.end(limits::HALF_OPEN_BYTES_MAX);
    drop(held);
}

#[test]
fn handshakes_begun_and_left() {
    let tls = free_address();
    let listen = format!("--listen-client-http-urls=https://{tls}");
    let arena = Arena::new("half-open handshakes", &[&listen, "--auto-tls"]);
    // The beginning of a ClientHello, and nothing after it.
    let begun: &[u8] = &[0x16, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3, 3];
    let mut held = Vec::new();
    for said in [&b""[..], begun] {
        for _ in 0..1000 {
            let mut raw = Raw::connect(tls);
            raw.pour(said);
            held.push(raw);
        }
        arena.is_served();
    }
    arena.end(limits::HALF_OPEN_BYTES_MAX);
    drop(held);
}

/// Headers of HTTP/1.1 that come byte by byte, and one that never ends.
#[test]
fn http1_headers_in_dribbles() {
    let arena = Arena::new("slow headers", &[]);
    let mut held: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = TcpStream::connect(arena.client()).unwrap();
            stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nX: ").unwrap();
            stream
        })
        .collect();
    for _ in 0..100 {
        for stream in &mut held {
            let _ = stream.write_all(b"y");
        }
    }
    arena.is_served();
    // One of them comes to its end, and is answered: slowness is no offence.
    let mut one = held.pop().unwrap();
    one.write_all(b"\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    one.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let mut endless = Raw::connect(arena.client());
    endless.pour(b"GET /health HTTP/1.1\r\n");
    assert_eq!(endless.pour_often(&b"X: y\r\n".repeat(1000), 2000), Poured::Ended);
    let mut endless = Raw::connect(arena.client());
    endless.pour(b"GET /");
    assert_eq!(endless.pour_often(&[b'y'; 10_000], 2000), Poured::Ended);
    arena.end(limits::HALF_OPEN_BYTES_MAX);
}

/// Bodies of HTTP/1.1 that are too long, never come, or come in chunks without end.
#[test]
fn http1_bodies_without_end() {
    let arena = Arena::new("endless bodies", &[]);
    let mut long = Raw::connect(arena.client());
    long.pour(b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n");
    assert_ne!(long.pour_often(&[b'y'; 10_000], 10_000), Poured::All);
    let mut chunked = Raw::connect(arena.client());
    chunked.pour(b"POST /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_ne!(chunked.pour_often(&b"1\r\ny\r\n".repeat(1000), 10_000), Poured::All);
    arena.is_served();
    arena.end(limits::FLOOD_BYTES_MAX);
}
