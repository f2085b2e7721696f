//! As many connections as the machine's limit of open files allows.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use ringbolt::disk::open_files::raise_open_files_max;
use ringbolt::limits;
use socket2::{Domain, Socket, Type};

use super::arena::{Arena, all_descriptors};
use super::raw::{PREFACE, Raw, SETTINGS, frame};
use crate::client::server_under_test;

/// What this process and the server keep of their limit.
const KEPT: u64 = limits::FILES_RESERVED + 150;
const MOST: u64 = 20_000;

/// Connects from one of several addresses, so that ports suffice.
fn connect(number: u64, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let host = u8::try_from(number % 8).unwrap() + 2;
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

#[test]
fn twenty_thousand_connections() {
    let _all = all_descriptors();
    let (_, files) = raise_open_files_max().unwrap();
    let count = (files - KEPT).min(MOST);
    let arena = Arena::of(&server_under_test(), "many connections", &[]);
    let mut held = Vec::new();
    for number in 0..count {
        let mut raw = Raw::from(connect(number, arena.client()));
        raw.pour(&[PREFACE, &frame(SETTINGS, 0, 0, b"")].concat());
        held.push(raw);
    }
    println!("{count} connections");
    arena.is_served();
    for raw in held.iter_mut().step_by(50) {
        assert!(raw.is_alive(), "every one is served");
    }
    arena.end(usize::try_from(count).unwrap() * limits::IDLE_CONNECTION_BYTES_MAX);
}
