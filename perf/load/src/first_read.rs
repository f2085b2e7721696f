//! How long until a server that is starting answers a linearizable read.
//!
//! Invariants
//! - Attempts overlap: a read that hangs in a server that is not ready never hides that a later one would be answered.

use crate::connection::{Connection, Windows};
use crate::process::now;
use crate::wire::{Range, range_tail};
use crate::work::PATHS;
use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const WINDOWS: Windows = Windows { connection: 1 << 20, stream: 1 << 20 };
const CONNECT_EVERY: Duration = Duration::from_millis(1);
const ATTEMPT_EVERY_NS: u64 = 5_000_000;
/// No more attempts at once than this: they must not be the server's work.
const ATTEMPTS_OUT_MAX: u64 = 40;
const LOOK_EVERY: Duration = Duration::from_micros(200);
const HELLO_WAIT: Duration = Duration::from_millis(200);

/// Reads `key` until it is answered, and returns when that was. `present`: the key must be there.
pub(crate) fn wait(target: SocketAddr, key: &[u8], present: bool, deadline: u64) -> io::Result<u64> {
    let mut last = io::Error::new(ErrorKind::TimedOut, "never connected");
    while now() < deadline {
        match attempts(target, key, present, deadline) {
            Ok(moment) => return Ok(moment),
            Err(error) => last = error,
        }
        std::thread::sleep(CONNECT_EVERY);
    }
    Err(last)
}

/// Reads over one connection until it breaks.
fn attempts(target: SocketAddr, key: &[u8], present: bool, deadline: u64) -> io::Result<u64> {
    let socket = TcpStream::connect(target)?;
    socket.set_read_timeout(Some(HELLO_WAIT))?;
    let mut connection = Connection::open(socket, &target.to_string(), PATHS, WINDOWS)?;
    let mut message = Vec::new();
    Range { key, ..Range::default() }.encode(&mut message);
    let mut buffer = vec![0; 16 * 1024];
    let mut answers = Vec::new();
    let mut next = 0;
    let mut out = 0;
    let mut problem = String::from("no answer");
    while now() < deadline {
        if now() >= next && out < ATTEMPTS_OUT_MAX {
            out += 1;
            next = now() + ATTEMPT_EVERY_NS;
            connection.call(0, &message, ());
            connection.flush()?;
        }
        match connection.socket.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => connection.feed(&buffer[..count], &mut answers)?,
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(LOOK_EVERY),
            Err(error) => return Err(error),
        }
        for answer in answers.drain(..) {
            out -= 1;
            if answer.status == 0 && (!present || answer.tail.ends_with(&range_tail(false, 1))) {
                return Ok(now());
            }
            problem = match answer.message {
                Some(message) => format!("status {}: {message}", answer.status),
                None => String::from("the key is missing"),
            };
            if answer.status == 0 {
                // A linearizable read that does not see what was acknowledged: nothing to wait for.
                return Err(io::Error::new(ErrorKind::InvalidData, problem));
            }
        }
    }
    Err(io::Error::new(ErrorKind::TimedOut, problem))
}
