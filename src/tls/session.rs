//! One connection's TLS as a value: ciphertext in, plaintext out, and the other way round. It does no I/O.
//!
//! Invariants
//! - It holds no buffers: what is not a whole record yet stays with the caller, and comes again with what follows it.
//! - After an error nothing more is read; what it put into `outgoing` (an alert) is still to be sent.
//! - A handshake's calls do the work of public keys, and belong on a helper thread; those after it do not.

use std::fmt;
use std::sync::Arc;

use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus};
use rustls::{Error, ProtocolVersion, ServerConfig};

use super::failure::Failure;
use super::notes::{self, Notes};

/// How far a session is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The handshake needs more from the client.
    Shaking,
    /// Plaintext goes in both directions.
    Open,
    /// The client said that it sends no more.
    Closed,
}

/// The TLS machine of one connection.
pub struct Session {
    machine: UnbufferedServerConnection,
    /// What was learnt of the client until the handshake is over.
    notes: Option<Box<Notes>>,
    closed: bool,
    farewell: bool,
    /// The machine must not be asked again after an error.
    failed: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").field("closed", &self.closed).finish_non_exhaustive()
    }
}

/// What one look at the machine said.
enum Look {
    Again,
    Settled(Step),
    Failed(Error),
}

impl Session {
    /// A session before its first byte.
    pub fn new(config: Arc<ServerConfig>) -> Result<Self, Failure> {
        let machine = UnbufferedServerConnection::new(config).map_err(|error| Failure::new(format!("tls: {error}")))?;
        Ok(Self { machine, notes: Some(Box::default()), closed: false, farewell: false, failed: false })
    }

    /// Whether TLS 1.3 was agreed on: then only a client's certificate makes a step after the first one costly.
    pub fn is_modern(&self) -> bool {
        self.machine.protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }

    /// Takes `incoming` as far as it goes: how many of its bytes are done with, and how far the session is now. What has
    /// to be sent is added to `outgoing`, plaintext is given to `take`.
    pub fn receive(
        &mut self,
        incoming: &mut [u8],
        outgoing: &mut Vec<u8>,
        take: &mut impl FnMut(&[u8]),
    ) -> Result<(usize, Step), Failure> {
        if self.failed {
            return Err(Failure::new("tls: connection failed before"));
        }
        let mut used = 0;
        loop {
            let (discard, look) = self.look(incoming.get_mut(used..).unwrap_or_default(), outgoing, take);
            used += discard;
            match look {
                Look::Again => {}
                Look::Settled(step) => {
                    self.keep_notes(step);
                    return Ok((used, step));
                }
                Look::Failed(error) => {
                    self.failed = true;
                    self.collect_alert(outgoing);
                    self.keep_notes(Step::Shaking);
                    return Err(Failure::of(&error, self.notes.take().map(|notes| *notes).unwrap_or_default()));
                }
            }
        }
    }

    /// Keeps what the library's callbacks noted in this call, while it is of use.
    fn keep_notes(&mut self, step: Step) {
        let Some(kept) = &mut self.notes else { return };
        kept.add(notes::take());
        if step != Step::Shaking {
            self.notes = None;
        }
    }

    fn look(&mut self, incoming: &mut [u8], outgoing: &mut Vec<u8>, take: &mut impl FnMut(&[u8])) -> (usize, Look) {
        let UnbufferedStatus { mut discard, state } = self.machine.process_tls_records(incoming);
        let open = if self.closed { Step::Closed } else { Step::Open };
        let look = match state {
            Ok(ConnectionState::ReadTraffic(mut records)) => {
                let mut failed = None;
                while let Some(record) = records.next_record() {
                    match record {
                        Ok(record) => {
                            discard += record.discard;
                            take(record.payload);
                        }
                        Err(error) => failed = Some(error),
                    }
                }
                failed.map_or(Look::Again, Look::Failed)
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                grown(outgoing, |room| data.encode(room).map_err(encode_room));
                Look::Again
            }
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Look::Again
            }
            Ok(ConnectionState::PeerClosed) => {
                self.closed = true;
                Look::Again
            }
            Ok(ConnectionState::BlockedHandshake) => Look::Settled(Step::Shaking),
            Ok(ConnectionState::WriteTraffic(_)) => Look::Settled(open),
            Ok(ConnectionState::Closed) => Look::Settled(Step::Closed),
            // Early data is never offered.
            Ok(_) => Look::Failed(Error::HandshakeNotComplete),
            Err(error) => Look::Failed(error),
        };
        (discard, look)
    }

    /// After an error the alert that names it waits to be sent.
    fn collect_alert(&mut self, outgoing: &mut Vec<u8>) {
        if let UnbufferedStatus { state: Ok(ConnectionState::EncodeTlsData(mut data)), .. } =
            self.machine.process_tls_records(&mut [])
        {
            grown(outgoing, |room| data.encode(room).map_err(encode_room));
        }
    }

    /// Encrypts `plain`, of a session that is open. `incoming` is what `receive` left of its last bytes.
    pub fn send(&mut self, plain: &[u8], incoming: &mut [u8], outgoing: &mut Vec<u8>) -> Result<(), Failure> {
        if self.failed {
            return Err(Failure::new("tls: connection failed before"));
        }
        match self.machine.process_tls_records(incoming).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                let least = plain.len() + RECORD_OVERHEAD * (plain.len() / RECORD_BYTES + 1);
                outgoing.reserve(least);
                let done = grown_from(outgoing, least, |room| traffic.encrypt(plain, room).map_err(encrypt_room));
                if done { Ok(()) } else { Err(Failure::new("tls: keys are used up")) }
            }
            _ => Err(Failure::new("tls: connection is closed")),
        }
    }

    /// Says that no more comes from here; once.
    pub fn say_farewell(&mut self, incoming: &mut [u8], outgoing: &mut Vec<u8>) {
        if self.failed || std::mem::replace(&mut self.farewell, true) {
            return;
        }
        if let Ok(ConnectionState::WriteTraffic(mut traffic)) = self.machine.process_tls_records(incoming).state {
            grown(outgoing, |room| traffic.queue_close_notify(room).map_err(encrypt_room));
        }
    }
}

/// Plaintext of one record at most.
const RECORD_BYTES: usize = 16 * 1024;
/// What a record adds: header, nonce of TLS 1.2, content type of 1.3, tag.
const RECORD_OVERHEAD: usize = 5 + 8 + 1 + 16;

fn encode_room(error: EncodeError) -> Option<usize> {
    match error {
        EncodeError::InsufficientSize(InsufficientSizeError { required_size }) => Some(required_size),
        EncodeError::AlreadyEncoded => None,
    }
}

fn encrypt_room(error: EncryptError) -> Option<usize> {
    match error {
        EncryptError::InsufficientSize(InsufficientSizeError { required_size }) => Some(required_size),
        EncryptError::EncryptExhausted => None,
    }
}

/// Adds to `outgoing` what `write` puts into the room it is given, which is made as large as it asks for.
fn grown(outgoing: &mut Vec<u8>, write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>) -> bool {
    grown_from(outgoing, 0, write)
}

fn grown_from(
    outgoing: &mut Vec<u8>,
    mut least: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>,
) -> bool {
    let start = outgoing.len();
    loop {
        outgoing.resize(start + least, 0);
        match write(&mut outgoing[start..]) {
            Ok(written) => {
                outgoing.truncate(start + written);
                return true;
            }
            Err(Some(room)) if room > least => least = room,
            Err(_) => {
                outgoing.truncate(start);
                return false;
            }
        }
    }
}
