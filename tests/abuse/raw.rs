//! HTTP/2 by the byte: what an attacker writes, and what came back.
//!
//! **Invariants**: a read or write that takes longer than the patience is told as such, never waited for without end.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use prost::Message;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
const ACKNOWLEDGED: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;
pub(crate) const REFUSED_STREAM: u32 = 7;

/// What a client waits at most for bytes.
const PATIENCE: Duration = Duration::from_secs(60);
/// A server that takes no bytes for so long has stopped reading: also a bound.
const STALL: Duration = Duration::from_secs(3);

/// A frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A header that is put into no table.
pub(crate) fn header(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0];
    for text in [name, value] {
        assert!(text.len() < 127, "one byte of length");
        block.push(u8::try_from(text.len()).unwrap());
        block.extend_from_slice(text.as_bytes());
    }
    block
}

/// The headers of a gRPC call.
pub(crate) fn call_headers(path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    block.extend(header(":path", path));
    block.extend(header(":authority", "x"));
    block.extend(header("content-type", "application/grpc"));
    block.extend(header("te", "trailers"));
    block
}

/// The beginning of a call: its client may still send.
pub(crate) fn begin_call(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &call_headers(path))
}

/// A whole call with one message.
pub(crate) fn call(stream: u32, path: &str, message: &impl Message) -> Vec<u8> {
    let mut bytes = begin_call(stream, path);
    bytes.extend(frame(DATA, END_STREAM, stream, &crate::client::frame(0, &message.encode_to_vec())));
    bytes
}

/// A frame that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Came {
    /// The code of a reset or a farewell.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// How far an attacker's bytes went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Poured {
    /// All were taken.
    All,
    /// The server ended the connection.
    Ended,
    /// The server stopped reading.
    Stalled,
}

/// An attacker's connection.
#[derive(Debug)]
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    /// Connects and says nothing.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::from(TcpStream::connect(address).unwrap())
    }

    /// Of a connection made otherwise.
    pub(crate) fn from(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(STALL)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    /// Connects and opens HTTP/2 with these settings.
    pub(crate) fn open(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut raw = Self::connect(address);
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        assert_eq!(raw.pour(&[PREFACE, &frame(SETTINGS, 0, 0, &payload)].concat()), Poured::All);
        // The server's windows hold once its settings are acknowledged.
        while raw.await_kind(SETTINGS).expect("the server's settings").flags == ACKNOWLEDGED {}
        assert_eq!(raw.pour(&frame(SETTINGS, ACKNOWLEDGED, 0, b"")), Poured::All);
        raw
    }

    /// Everything written before has been looked at; `false` when the connection is gone.
    pub(crate) fn is_settled(&mut self) -> bool {
        if self.pour(&frame(SETTINGS, 0, 0, b"")) != Poured::All {
            return false;
        }
        loop {
            match self.await_kind(SETTINGS) {
                Some(came) if came.flags == ACKNOWLEDGED => return true,
                Some(_) => {}
                None => return false,
            }
        }
    }

    /// Writes until all is taken, or the server has had enough.
    pub(crate) fn pour(&mut self, bytes: &[u8]) -> Poured {
        match self.0.write_all(bytes) {
            Ok(()) => Poured::All,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Poured::Stalled,
            Err(_) => Poured::Ended,
        }
    }

    /// Writes the same again and again.
    pub(crate) fn pour_often(&mut self, bytes: &[u8], times: usize) -> Poured {
        for _ in 0..times {
            match self.pour(bytes) {
                Poured::All => {}
                other => return other,
            }
        }
        Poured::All
    }

    /// Reads and forgets whatever comes, on a thread of its own, until the connection ends.
    pub(crate) fn drain(&self) -> std::thread::JoinHandle<Vec<Came>> {
        let mut other = Self(self.0.try_clone().unwrap());
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            while let Some(came) = other.next() {
                if came.kind == GOAWAY || (came.kind == RESET && kept.len() < 100) {
                    kept.push(came);
                }
            }
            kept
        })
    }

    /// The next frame; `None` at the end.
    ///
    /// # Panics
    /// When nothing comes.
    pub(crate) fn next(&mut self) -> Option<Came> {
        let mut head = [0; 9];
        self.read_exact(&mut head)?;
        let [a, b, c, kind, flags, s0, s1, s2, s3] = head;
        let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
        self.read_exact(&mut payload)?;
        Some(Came { kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]), payload })
    }

    fn read_exact(&mut self, into: &mut [u8]) -> Option<()> {
        match self.0.read_exact(into) {
            Ok(()) => Some(()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("the server neither answers nor ends the connection")
            }
            Err(_) => None,
        }
    }

    /// The next frame of this kind; `None` when the connection ends before.
    pub(crate) fn await_kind(&mut self, kind: u8) -> Option<Came> {
        loop {
            let came = self.next()?;
            if came.kind == kind {
                return Some(came);
            }
        }
    }

    /// Asks for a sign of life and waits for it: all that was written before has been looked at.
    pub(crate) fn is_alive(&mut self) -> bool {
        if self.pour(&frame(PING, 0, 0, b"are you ")) != Poured::All {
            return false;
        }
        loop {
            match self.next() {
                Some(came) if came.kind == PING && came.flags == 1 && came.payload == b"are you " => return true,
                Some(_) => {}
                None => return false,
            }
        }
    }

    /// What the server says until it ends the connection, its farewell and resets alone.
    pub(crate) fn await_end(&mut self) -> Vec<Came> {
        let mut kept = Vec::new();
        while let Some(came) = self.next() {
            if matches!(came.kind, GOAWAY | RESET) {
                kept.push(came);
            }
        }
        kept
    }

    /// Says that nothing more comes.
    pub(crate) fn finish(&self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }
}
