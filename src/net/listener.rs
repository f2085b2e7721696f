//! Listening sockets: bound before any executor runs, accepted from on one of them, connections given out as values.
//!
//! Invariants
//! - SO_REUSEPORT is set only if asked for: two servers on one port is an error at start, and connections are shared out
//!   by count by whoever accepts them, not by the kernel's hash.
//! - Every socket is non-blocking and closed on exec from its first moment.
//! - Out of descriptors, a client is refused at once through the spare one; the accept loop never spins on it.
//! - A Unix socket's file is removed when its listener goes.
//!
//! Must not know: HTTP, TLS, executors other than the one it was attached on.

use super::entrance::Entrance;
use super::socket::{Peer, Socket};
use super::stream::Stream;
use crate::limits;
use glommio::io::PollableFd;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// Where to listen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// A TCP port of one interface, or of all.
    Tcp(SocketAddr),
    /// A socket file.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(formatter, "{address}"),
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
        }
    }
}

#[derive(Debug)]
enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AsRawFd for Listening {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Self::Tcp(listener) => listener.as_raw_fd(),
            Self::Unix(listener) => listener.as_raw_fd(),
        }
    }
}

impl AsFd for Listening {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

/// The file of a Unix socket, removed when the listener goes.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Gone already, or not ours to remove: either way nobody is left to be told.
        let _ = fs::remove_file(&self.0);
    }
}

/// A bound and listening socket that no executor owns yet; it may be sent to the one that will accept.
#[derive(Debug)]
pub struct Bound {
    listening: Listening,
    address: Address,
    entrance: Entrance,
    file: Option<SocketFile>,
}

impl Bound {
    /// Binds and listens, in plain and for everything. An address in use, by any process, is an error of kind `AddrInUse`.
    pub fn bind(address: &Address) -> io::Result<Self> {
        Self::bind_as(address, Entrance::default(), false)
    }

    /// Binds and listens; with `reuse_port`, other processes may listen there too if they ask for it as well.
    pub fn bind_as(address: &Address, entrance: Entrance, reuse_port: bool) -> io::Result<Self> {
        match address {
            Address::Tcp(socket_address) => {
                let listener = listen(socket_address, reuse_port)?;
                let address = Address::Tcp(listener.local_addr()?);
                Ok(Self { listening: Listening::Tcp(listener), address, entrance, file: None })
            }
            Address::Unix(path) => {
                remove_stale(path)?;
                let listener = UnixListener::bind(path)?;
                listener.set_nonblocking(true)?;
                let file = Some(SocketFile(path.clone()));
                Ok(Self { listening: Listening::Unix(listener), address: address.clone(), entrance, file })
            }
        }
    }

    /// What it is for.
    pub fn entrance(&self) -> Entrance {
        self.entrance
    }

    /// The address really bound: a port asked for as 0 is the kernel's choice here.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Hands the socket to the executor that this runs on.
    pub fn attach(self) -> io::Result<Listener> {
        let spare = self.listening.as_fd().try_clone_to_owned().ok();
        let watched = PollableFd::new(self.listening).map_err(io::Error::from)?;
        let (address, entrance) = (self.address, self.entrance);
        Ok(Listener { watched, address, entrance, spare, _file: self.file })
    }
}

/// Listens on the address. As with Go, every interface means those of IPv6 too, also where it was written `0.0.0.0`; on
/// a machine without IPv6 it is what was written.
fn listen(address: &SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    if address.ip().is_unspecified() {
        let every = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), address.port());
        match listen_on(&every, reuse_port) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) => {}
            listening => return listening,
        }
    }
    listen_on(address, reuse_port)
}

/// SO_REUSEADDR is always set, as Go does: connections of a predecessor that linger are no hindrance.
fn listen_on(address: &SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(*address), socket2::Type::STREAM, None)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&(*address).into())?;
    socket.listen(limits::LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// Removes a socket file that no server answers on, as a crash leaves it; one that is answered, and any other file, is
/// left alone: bind then says what is wrong with it.
fn remove_stale(path: &Path) -> io::Result<()> {
    // Asked first, since connecting to a plain file is refused in the same way.
    let is_socket = fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    match UnixStream::connect(path) {
        Err(error) if is_socket && error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// A listening socket of one executor.
#[derive(Debug)]
pub struct Listener {
    watched: PollableFd<Listening>,
    address: Address,
    entrance: Entrance,
    /// A descriptor held back, so that when all others are in use a client can still be accepted in order to be
    /// refused: left in the backlog it would wake the loop for ever.
    spare: Option<OwnedFd>,
    _file: Option<SocketFile>,
}

/// What one accept call came to.
enum Accepted {
    Connection(Connection),
    Nothing,
    Gone,
    NoDescriptors,
    Failed(io::Error),
}

impl Listener {
    /// The address bound.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What it is for.
    pub fn entrance(&self) -> Entrance {
        self.entrance
    }

    /// The next connection, ready to be attached on any executor. Only an error that will not pass is returned.
    pub async fn accept(&mut self) -> io::Result<Connection> {
        loop {
            if let Some(connection) = self.accept_or_refuse().await? {
                return Ok(connection);
            }
        }
    }

    /// The same; nothing, each time when a client was refused for want of a descriptor.
    pub async fn accept_or_refuse(&mut self) -> io::Result<Option<Connection>> {
        loop {
            match self.accept_now() {
                Accepted::Connection(connection) => return Ok(Some(connection)),
                Accepted::Nothing => self.watched.readable().await.map_err(io::Error::from)?,
                Accepted::Gone => {}
                Accepted::NoDescriptors => {
                    self.refuse_one().await;
                    return Ok(None);
                }
                Accepted::Failed(error) => return Err(error),
            }
        }
    }

    fn accepted(&self, socket: Socket, peer: Peer) -> Connection {
        Connection { socket, peer, entrance: self.entrance }
    }

    fn accept_now(&self) -> Accepted {
        let accepted = match self.watched.get_ref() {
            Listening::Tcp(listener) => {
                listener.accept().map(|(stream, address)| self.accepted(Socket::Tcp(stream), Peer::tcp(address)))
            }
            Listening::Unix(listener) => {
                listener.accept().map(|(stream, _)| self.accepted(Socket::Unix(stream), Peer::Unix))
            }
        };
        match accepted {
            Ok(connection) => match connection.prepare() {
                Ok(()) => Accepted::Connection(connection),
                Err(_) => Accepted::Gone,
            },
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Accepted::Nothing,
            Err(error) => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE) => Accepted::NoDescriptors,
                // The client went away while it waited, or its network did: its own affair.
                Some(
                    libc::ECONNABORTED
                    | libc::EINTR
                    | libc::EPROTO
                    | libc::ENETDOWN
                    | libc::ENOPROTOOPT
                    | libc::EHOSTDOWN
                    | libc::ENONET
                    | libc::EHOSTUNREACH
                    | libc::ENETUNREACH
                    | libc::EPERM,
                ) => Accepted::Gone,
                // Memory short in the kernel: wait as for descriptors.
                Some(libc::ENOBUFS | libc::ENOMEM) => Accepted::NoDescriptors,
                _ => Accepted::Failed(error),
            },
        }
    }

    /// Gives the spare descriptor up for a moment, accepts one client with it and closes that, then waits a little:
    /// descriptors come back only as connections end.
    async fn refuse_one(&mut self) {
        self.spare = None;
        if let Accepted::Connection(refused) = self.accept_now() {
            drop(refused);
        }
        self.spare = self.watched.get_ref().as_fd().try_clone_to_owned().ok();
        glommio::timer::sleep(limits::ACCEPT_RETRY).await;
    }
}

/// An accepted connection: a descriptor and who is behind it. It may be sent to the executor that will serve it.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    peer: Peer,
    entrance: Entrance,
}

impl Connection {
    /// Who is at the other end.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// What it came in through.
    pub fn entrance(&self) -> Entrance {
        self.entrance
    }

    /// A connection made by other means (a test, a client of ours) as if it had been accepted.
    pub fn from_tcp(stream: std::net::TcpStream) -> io::Result<Self> {
        let peer = Peer::Tcp(stream.peer_addr()?);
        let connection = Self { socket: Socket::Tcp(stream), peer, entrance: Entrance::default() };
        connection.prepare()?;
        Ok(connection)
    }

    /// A connected Unix socket as if it had been accepted.
    pub fn from_unix(stream: UnixStream) -> io::Result<Self> {
        let connection = Self { socket: Socket::Unix(stream), peer: Peer::Unix, entrance: Entrance::default() };
        connection.prepare()?;
        Ok(connection)
    }

    /// Non-blocking, and no Nagle: answers are coalesced by us, in whole turns, and must then leave at once.
    fn prepare(&self) -> io::Result<()> {
        match &self.socket {
            Socket::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)
            }
            Socket::Unix(stream) => stream.set_nonblocking(true),
        }
    }

    /// Binds the connection to the executor that this runs on.
    pub fn attach(self) -> io::Result<Stream> {
        Stream::new(self.socket, self.peer)
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}
