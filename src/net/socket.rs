//! A connected socket of either kind, and who is at its other end.
//!
//! Invariants
//! - Non-blocking from before it gets here: no call of this file waits.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;

/// Who is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// A TCP client.
    Tcp(SocketAddr),
    /// A client on this machine, through a socket file.
    Unix,
}

impl Peer {
    /// A TCP client; one of IPv4 on a socket of both families goes by its own address.
    pub(super) fn tcp(address: SocketAddr) -> Self {
        Self::Tcp(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "{address}"),
            Self::Unix => formatter.write_str("@"),
        }
    }
}

/// The two kinds of sockets, blocking calls never made on them.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(stream) => stream.as_raw_fd(),
            Self::Unix(stream) => stream.as_raw_fd(),
        }
    }
}

impl Socket {
    /// One read, which may find nothing.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => Read::read(&mut &*stream, buffer),
            Self::Unix(stream) => Read::read(&mut &*stream, buffer),
        }
    }

    /// One write, which may find no room.
    pub(super) fn write(&self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, buffers) {
            (Self::Tcp(stream), [one]) => Write::write(&mut &*stream, one),
            (Self::Tcp(stream), _) => Write::write_vectored(&mut &*stream, buffers),
            (Self::Unix(stream), [one]) => Write::write(&mut &*stream, one),
            (Self::Unix(stream), _) => Write::write_vectored(&mut &*stream, buffers),
        }
    }

    /// Tells the peer that no more will come.
    pub(super) fn shutdown_write(&self) -> io::Result<()> {
        let done = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        };
        match done {
            // The peer was first.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            other => other,
        }
    }
}
