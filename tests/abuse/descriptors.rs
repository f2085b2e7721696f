//! The open-file limit is reached.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use ringbolt::limits;

use super::arena::{Arena, few_descriptors};
use crate::client::{PATIENCE, Program, Scratch, server_under_test};

const REACHED: &str = "open-file limit";

/// The server's program with a limit of open files.
fn limited(scratch: &Scratch, files: u64) -> Program {
    let program = server_under_test();
    let path = scratch.path().join("limited");
    let script = format!("#!/bin/sh\nulimit -n {files}\nexec {} \"$@\"\n", program.path.display());
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    Program { path, label: program.label }
}

/// Whether a new connection is answered; a refused one ends.
fn answered(address: std::net::SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
    let mut first = [0; 12];
    stream.read_exact(&mut first).ok()?;
    assert_eq!(&first, b"HTTP/1.1 200");
    Some(stream)
}

#[test]
fn those_who_are_there_are_served_when_no_descriptor_is_left() {
    let _few = few_descriptors();
    let scratch = Scratch::new("abuse-limited");
    let files = limits::FILES_RESERVED + 100;
    let arena = Arena::of(&limited(&scratch, files), "open-file limit", &[]);
    let mut held = Vec::new();
    while let Some(stream) = answered(arena.client()) {
        held.push(stream);
        assert!(held.len() < 100, "the member's own descriptors are given to clients");
    }
    assert!(held.len() >= 90, "only {} connections", held.len());
    for _ in 0..500 {
        assert!(answered(arena.client()).is_none(), "a descriptor from nowhere");
    }
    arena.is_served();
    assert!(arena.server.await_line(REACHED, PATIENCE), "{}", arena.server.last_lines(10));
    let lines = arena.server.log().matches(REACHED).count();
    assert!(lines < 20, "{lines} lines for 500 clients");
    // A connection that is there is still answered, and one that leaves makes room.
    let mut one = held.pop().unwrap();
    one.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut rest = String::new();
    one.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("HTTP/1.1 200"), "{rest}");
    drop(held);
    // The server sees them leave in its own time; each try is an event that is awaited.
    let again = (0..100_000).find_map(|_| answered(arena.client()));
    assert!(again.is_some(), "nobody is accepted any more");
    arena.end(limits::FLOOD_BYTES_MAX);
}
