//! Connections that have made one call each and rest: what does each cost the server in memory?
//!
//! Invariants
//! - They are opened one after the other: the server is never asked for two things at once.
//! - A connection that the server has closed when its memory is read is an error.

use crate::connection::Connection;
use crate::pool::WINDOWS;
use crate::process;
use crate::socket::{Socket, Trust};
use crate::wire::{Range, range_tail};
use crate::work::PATHS;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

const ANSWER_WAIT: Duration = Duration::from_secs(30);
const READ_BYTES: usize = 16 * 1024;

/// What to do.
pub(crate) struct Plan {
    pub(crate) target: SocketAddr,
    pub(crate) pid: u32,
    pub(crate) connections: usize,
    /// The server's certificate; TLS is spoken if there is one.
    pub(crate) certificate: Option<PathBuf>,
    /// A key that is there.
    pub(crate) key: Vec<u8>,
    pub(crate) rest: Duration,
}

/// The server's memory before, when everything was there, and after the rest.
pub(crate) struct Outcome {
    pub(crate) before: BTreeMap<&'static str, u64>,
    pub(crate) opened: BTreeMap<&'static str, u64>,
    pub(crate) after: BTreeMap<&'static str, u64>,
}

/// Opens the connections and holds them.
pub(crate) fn run(plan: &Plan) -> io::Result<Outcome> {
    match &plan.certificate {
        None => hold(plan, Ok),
        Some(file) => {
            let trust = Trust::read(file)?;
            hold(plan, |socket| trust.wrap(socket, plan.target))
        }
    }
}

fn hold<S: Socket>(plan: &Plan, wrap: impl Fn(TcpStream) -> io::Result<S>) -> io::Result<Outcome> {
    let before = process::memory(plan.pid);
    let mut held = Vec::with_capacity(plan.connections);
    for _ in 0..plan.connections {
        let socket = TcpStream::connect(plan.target)?;
        socket.set_read_timeout(Some(ANSWER_WAIT))?;
        held.push(one_call(wrap(socket)?, plan)?);
    }
    let opened = process::memory(plan.pid);
    std::thread::sleep(plan.rest);
    let after = process::memory(plan.pid);
    for connection in &held {
        still_there(connection.socket.tcp())?;
    }
    Ok(Outcome { before, opened, after })
}

/// Says hello and reads the key.
fn one_call<S: Socket>(socket: S, plan: &Plan) -> io::Result<Connection<(), S>> {
    let mut connection = Connection::open(socket, &plan.target.to_string(), PATHS, WINDOWS)?;
    connection.socket.tcp().set_nonblocking(false)?;
    let mut message = Vec::new();
    Range { key: &plan.key, ..Range::default() }.encode(&mut message);
    connection.call(0, &message, ());
    connection.flush()?;
    let (mut buffer, mut answers) = ([0; READ_BYTES], Vec::new());
    while answers.is_empty() {
        let count = connection.socket.read(&mut buffer)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        connection.feed(&buffer[..count], &mut answers)?;
    }
    connection.flush()?;
    let answer = answers.pop().expect("seen above");
    if answer.status != 0 || !answer.tail.ends_with(&range_tail(false, 1)) {
        let text = answer.message.unwrap_or_else(|| String::from("the key is missing"));
        return Err(io::Error::new(ErrorKind::InvalidData, format!("status {}: {text}", answer.status)));
    }
    Ok(connection)
}

fn still_there(socket: &TcpStream) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    match socket.peek(&mut [0]) {
        Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed an idle connection")),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}
