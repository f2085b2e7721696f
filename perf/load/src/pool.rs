//! Connections with open streams, and what arrives on them.

use crate::connection::{Answer, Connection, Windows};
use crate::poll::Poll;
use crate::process::now;
use crate::work::PATHS;
use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};

const READ_BYTES: usize = 256 * 1024;
/// Windows large enough never to stop a server; credit is still given back as it is used.
pub(crate) const WINDOWS: Windows = Windows { connection: 64 << 20, stream: 8 << 20 };

/// Something that arrived.
pub(crate) enum Arrival<'a, T> {
    /// A call has ended.
    Answer(Answer<T>),
    /// A message on an open stream.
    Message(u32, &'a [u8]),
}

/// The connections of one thread.
pub(crate) struct Pool<T> {
    pub(crate) connections: Vec<Connection<T>>,
    poll: Poll,
    buffer: Vec<u8>,
    ready: Vec<usize>,
    answers: Vec<Answer<T>>,
}

impl<T> Pool<T> {
    /// Connects so many times.
    pub(crate) fn open(target: SocketAddr, count: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut connections = Vec::with_capacity(count);
        let authority = target.to_string();
        for index in 0..count {
            let connection = Connection::open(TcpStream::connect(target)?, &authority, PATHS, WINDOWS)?;
            poll.add(&connection.socket, index)?;
            connections.push(connection);
        }
        Ok(Self { connections, poll, buffer: vec![0; READ_BYTES], ready: Vec::new(), answers: Vec::new() })
    }

    /// Waits for sockets, and hands what arrives, its connection's number and the moment to `take`.
    pub(crate) fn turn(
        &mut self,
        timeout_ns: u64,
        mut take: impl FnMut(&mut Connection<T>, usize, u64, Arrival<'_, T>),
    ) -> io::Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poll.wait(timeout_ns, &mut ready)?;
        for index in ready.drain(..) {
            self.handle(index, &mut take)?;
        }
        self.ready = ready;
        Ok(())
    }

    fn handle(
        &mut self,
        index: usize,
        take: &mut impl FnMut(&mut Connection<T>, usize, u64, Arrival<'_, T>),
    ) -> io::Result<()> {
        let connection = &mut self.connections[index];
        loop {
            let count = match connection.socket.read(&mut self.buffer) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed a connection")),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            connection.feed(&self.buffer[..count], &mut self.answers)?;
            let moment = now();
            let mut inbox = std::mem::take(&mut connection.inbox);
            for (id, message) in inbox.messages() {
                take(connection, index, moment, Arrival::Message(id, message));
            }
            inbox.clear();
            connection.inbox = inbox;
            for answer in self.answers.drain(..) {
                take(connection, index, moment, Arrival::Answer(answer));
            }
            if count < self.buffer.len() {
                break; // edge-triggered: a later arrival wakes again
            }
        }
        connection.flush()
    }
}
