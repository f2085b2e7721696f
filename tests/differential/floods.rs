//! Garbage and floods on the port: they cost their own connection at most, with bounded memory.
//!
//! **Invariants**: others are served during and after each; what is held open stays open until the end.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Client, Random, Scratch, Server, server_under_test};

fn range() -> pb::RangeRequest {
    pb::RangeRequest { key: "a".into(), ..Default::default() }
}

/// Garbage closes its own connection alone, and idle or unfinished connections cost nobody anything.
#[test]
fn garbage_on_the_port_harms_nobody() {
    let scratch = Scratch::new("garbage");
    let server = Server::start(&server_under_test(), scratch.path(), &[]).unwrap_or_else(|failed| panic!("{failed}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let before = resident_kib(server.id());
    let mut random = Random::new(7);
    let mut held = Vec::new();
    for round in 0..300_u64 {
        let mut stream = TcpStream::connect(server.client).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        let bytes = garbage(round, &mut random);
        // The server may close while we still write.
        let _ = stream.write_all(&bytes);
        if round % 3 == 0 {
            held.push(stream);
        } else if round % 3 == 1 {
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut rest = Vec::new();
            match stream.read_to_end(&mut rest) {
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    panic!("round {round}: a connection whose end was told stays open: {bytes:.60?}")
                }
                Ok(_) | Err(_) => {}
            }
        }
    }
    runtime.block_on(async {
        let client = Client::open(server.client).await.expect("the server listens");
        for _ in 0..100 {
            client.range(&range()).await.expect("others are served");
        }
    });
    drop(held);
    let grown = resident_kib(server.id()).saturating_sub(before);
    println!("300 bad connections, {grown} KiB more resident");
    assert!(grown < 128 << 10, "{grown} KiB for bad connections");
}

/// Floods that a server must bound: they cost their own connection at most, and others are served meanwhile.
#[test]
fn floods_are_bounded() {
    let scratch = Scratch::new("floods");
    let server = Server::start(&server_under_test(), scratch.path(), &[]).unwrap_or_else(|failed| panic!("{failed}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let before = resident_kib(server.id());
    let mut held = Vec::new();
    for (name, bytes) in floods() {
        for _ in 0..4 {
            let mut stream = TcpStream::connect(server.client).expect("the server listens");
            stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a socket");
            // The server closes, or stops reading: both are bounds.
            let written = stream.write_all(&bytes);
            held.push((name, written.is_ok(), stream));
        }
        runtime.block_on(async {
            let client = Client::open(server.client).await.expect("the server listens");
            client.range(&range()).await.unwrap_or_else(|error| panic!("during {name}: {error:?}"));
        });
        println!("{name}: {} KiB resident", resident_kib(server.id()));
    }
    let grown = resident_kib(server.id()).saturating_sub(before);
    assert!(grown < 256 << 10, "{grown} KiB for floods");
}

/// A frame header: length, kind, flags, stream.
fn http2_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

fn floods() -> Vec<(&'static str, Vec<u8>)> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let opening = [PREFACE, &http2_frame(4, 0, 0, b"")].concat();
    let many = |count: u32, frame: &dyn Fn(u32) -> Vec<u8>| {
        let mut bytes = opening.clone();
        (0..count).for_each(|number| bytes.extend(frame(number)));
        bytes
    };
    // One literal header, name and value of 100 bytes each, not indexed.
    let header = [&b"\0\x64"[..], &[b'n'; 100], b"\x64", &[b'v'; 100]].concat();
    let headers = header.repeat(60);
    let path = b"\x83\x86\x44\x15/etcdserverpb.KV/Range\x41\x01x".to_vec();
    vec![
        ("pings", many(100_000, &|_| http2_frame(6, 0, 0, b"12345678"))),
        ("settings", many(100_000, &|_| http2_frame(4, 0, 0, b"\0\x03\0\0\0\x64"))),
        ("endless header block", {
            let mut bytes = many(1, &|_| http2_frame(1, 0, 1, &headers));
            (0..2000).for_each(|_| bytes.extend(http2_frame(9, 0, 1, &headers)));
            bytes
        }),
        (
            "streams opened and reset",
            many(50_000, &|number| {
                let stream = number * 2 + 1;
                [http2_frame(1, 4, stream, &path), http2_frame(3, 0, stream, b"\0\0\0\x08")].concat()
            }),
        ),
        (
            "empty data",
            many(1, &|_| http2_frame(1, 4, 1, &path))
                .into_iter()
                .chain((0..100_000).flat_map(|_| http2_frame(0, 0, 1, b"")))
                .collect(),
        ),
        ("HTTP/1 header without end", [b"GET / HTTP/1.1\r\n".to_vec(), b"X: y\r\n".repeat(2_000_000)].concat()),
    ]
}

fn garbage(round: u64, random: &mut Random) -> Vec<u8> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut noise = |length: usize| -> Vec<u8> { (0..length).map(|_| random.next().to_le_bytes()[0]).collect() };
    match round % 8 {
        0 => Vec::new(),
        1 => noise(64),
        2 => noise(20_000),
        3 => PREFACE[..10].to_vec(),
        4 => PREFACE.to_vec(),
        5 => [PREFACE, &noise(300)].concat(),
        6 => b"GET /health HTTP/1.1\r\nHost: x\r\nX: ".to_vec(),
        // A SETTINGS frame, then a HEADERS frame that promises more than it brings.
        _ => [PREFACE, b"\0\0\0\x04\0\0\0\0\0", b"\0\xff\xff\x01\x04\0\0\0\x01", &noise(100)].concat(),
    }
}

fn resident_kib(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the server runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a VmRSS line");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
