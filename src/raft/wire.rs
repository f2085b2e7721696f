//! Messages as bytes, version 1.
//!
//! ```text
//! version u8 = 1, kind u8, from u64, to u64, term varint, then by kind:
//!  1 append            previous position, commit varint, count varint, then per entry:
//!                      kind u8, term - term of the entry before it varint, length varint, data
//!  2 append accepted   matched varint, commit varint
//!  3 append rejected   previous index varint, hint position, commit varint
//!  4 heartbeat         commit varint, context
//!  5 heartbeat answer  commit varint, context
//!  6 vote request      ballot u8, last position, commit position, forced u8
//!  7 vote answer       ballot u8, granted u8, commit position
//!  8 timeout now
//!  9 (a snapshot's description, reserved)
//! 10 propose           nonce u64, sequence varint, length varint, data
//! 11 read request      24 bytes
//! 12 read answer       24 bytes, index varint
//! position = index varint, term varint; context = 0, or 1 and 24 bytes; integers are little-endian
//! ```
//!
//! Invariants
//! - Decoding never panics, never allocates more than the bytes at hand justify, and refuses trailing bytes.
//! - `decode(encode(m)) == m` for every message that this member makes.
//! - What decodes is only well formed; whether it may be believed is decided in `check`.
//!
//! Fuzz: `fuzz_message`.

use bytes::Bytes;

use super::messages::{Ballot, Body, Message, Position, ReadContext};
use super::size::wide;
use crate::codec::{Malformed, Reader, put_varint};
use crate::limits::{RAFT_INDEX_MAX, RAFT_MESSAGE_ENTRIES_MAX, RAFT_TERM_MAX, RAFT_WIRE_BYTES_MAX};
use crate::types::{BootNonce, MemberId, RaftIndex, Term};
use crate::wal::{Entry, EntryKind};

const VERSION: u8 = 1;

const APPEND: u8 = 1;
const APPEND_ACCEPTED: u8 = 2;
const APPEND_REJECTED: u8 = 3;
const HEARTBEAT: u8 = 4;
const HEARTBEAT_ANSWER: u8 = 5;
const VOTE_REQUEST: u8 = 6;
const VOTE_ANSWER: u8 = 7;
const TIMEOUT_NOW: u8 = 8;
const PROPOSE: u8 = 10;
const READ_REQUEST: u8 = 11;
const READ_ANSWER: u8 = 12;

/// The fewest bytes of an entry: kind, term, length.
const ENTRY_BYTES_MIN: usize = 3;

impl Message {
    /// Appends the message's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.push(kind(&self.body));
        out.extend_from_slice(&self.from.0.to_le_bytes());
        out.extend_from_slice(&self.to.0.to_le_bytes());
        put_varint(out, self.term.0);
        put_body(out, &self.body);
    }

    /// The message that `bytes` are, sharing their memory. `Malformed` when they are none, or one of another version.
    pub fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        if bytes.len() > RAFT_WIRE_BYTES_MAX {
            return Err(Malformed);
        }
        let mut input = Input { bytes, reader: Reader::new(bytes) };
        if input.reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let kind = input.reader.u8()?;
        let from = MemberId(input.reader.u64()?);
        let to = MemberId(input.reader.u64()?);
        let term = input.term()?;
        let body = input.body(kind)?;
        if !input.reader.is_empty() || from == MemberId(0) || to == MemberId(0) {
            return Err(Malformed);
        }
        Ok(Self { from, to, term, body })
    }
}

fn kind(body: &Body) -> u8 {
    match body {
        Body::Append { .. } => APPEND,
        Body::AppendAccepted { .. } => APPEND_ACCEPTED,
        Body::AppendRejected { .. } => APPEND_REJECTED,
        Body::Heartbeat { .. } => HEARTBEAT,
        Body::HeartbeatAnswer { .. } => HEARTBEAT_ANSWER,
        Body::VoteRequest { .. } => VOTE_REQUEST,
        Body::VoteAnswer { .. } => VOTE_ANSWER,
        Body::TimeoutNow => TIMEOUT_NOW,
        Body::Propose { .. } => PROPOSE,
        Body::ReadRequest { .. } => READ_REQUEST,
        Body::ReadAnswer { .. } => READ_ANSWER,
    }
}

fn put_body(out: &mut Vec<u8>, body: &Body) {
    match body {
        Body::Append { previous, commit, entries } => {
            put_position(out, *previous);
            put_varint(out, commit.0);
            put_entries(out, *previous, entries);
        }
        Body::AppendAccepted { matched, commit } => {
            put_varint(out, matched.0);
            put_varint(out, commit.0);
        }
        Body::AppendRejected { previous, hint, commit } => {
            put_varint(out, previous.0);
            put_position(out, *hint);
            put_varint(out, commit.0);
        }
        Body::Heartbeat { commit, context } | Body::HeartbeatAnswer { commit, context } => {
            put_varint(out, commit.0);
            put_context(out, *context);
        }
        Body::VoteRequest { ballot, last, commit, forced } => {
            out.push(ballot_byte(*ballot));
            put_position(out, *last);
            put_position(out, *commit);
            out.push(u8::from(*forced));
        }
        Body::VoteAnswer { ballot, granted, commit } => {
            out.push(ballot_byte(*ballot));
            out.push(u8::from(*granted));
            put_position(out, *commit);
        }
        Body::TimeoutNow => {}
        Body::Propose { nonce, sequence, data } => {
            out.extend_from_slice(&nonce.0.to_le_bytes());
            put_varint(out, *sequence);
            put_data(out, data);
        }
        Body::ReadRequest { context } => out.extend_from_slice(&context.to_bytes()),
        Body::ReadAnswer { context, index } => {
            out.extend_from_slice(&context.to_bytes());
            put_varint(out, index.0);
        }
    }
}

fn put_position(out: &mut Vec<u8>, position: Position) {
    put_varint(out, position.index.0);
    put_varint(out, position.term.0);
}

fn put_context(out: &mut Vec<u8>, context: Option<ReadContext>) {
    out.push(u8::from(context.is_some()));
    if let Some(context) = context {
        out.extend_from_slice(&context.to_bytes());
    }
}

fn put_data(out: &mut Vec<u8>, data: &[u8]) {
    put_varint(out, wide(data.len()));
    out.extend_from_slice(data);
}

fn put_entries(out: &mut Vec<u8>, previous: Position, entries: &[Entry]) {
    assert!(entries.len() <= RAFT_MESSAGE_ENTRIES_MAX, "{} entries in one message", entries.len());
    put_varint(out, wide(entries.len()));
    let (mut index, mut term) = (previous.index, previous.term);
    for entry in entries {
        assert_eq!(entry.index, index.next(), "entries of a message are consecutive");
        assert!(entry.term >= term, "terms never fall along a log");
        out.push(match entry.kind {
            EntryKind::Normal => 0,
            EntryKind::ConfChange => 1,
            EntryKind::ConfChangeV2 => 2,
        });
        put_varint(out, entry.term.0 - term.0);
        put_data(out, &entry.data);
        (index, term) = (entry.index, entry.term);
    }
}

fn ballot_byte(ballot: Ballot) -> u8 {
    match ballot {
        Ballot::Pre => 0,
        Ballot::Real => 1,
    }
}

/// Bytes being read, and the buffer that they stand in, so that payloads can be shared instead of copied.
struct Input<'a> {
    bytes: &'a Bytes,
    reader: Reader<'a>,
}

impl Input<'_> {
    fn body(&mut self, kind: u8) -> Result<Body, Malformed> {
        match kind {
            APPEND => self.append(),
            APPEND_ACCEPTED => Ok(Body::AppendAccepted { matched: self.index()?, commit: self.index()? }),
            APPEND_REJECTED => {
                Ok(Body::AppendRejected { previous: self.index()?, hint: self.hint()?, commit: self.index()? })
            }
            HEARTBEAT => Ok(Body::Heartbeat { commit: self.index()?, context: self.maybe_context()? }),
            HEARTBEAT_ANSWER => Ok(Body::HeartbeatAnswer { commit: self.index()?, context: self.maybe_context()? }),
            VOTE_REQUEST => Ok(Body::VoteRequest {
                ballot: self.ballot()?,
                last: self.position()?,
                commit: self.position()?,
                forced: self.flag()?,
            }),
            VOTE_ANSWER => {
                Ok(Body::VoteAnswer { ballot: self.ballot()?, granted: self.flag()?, commit: self.position()? })
            }
            TIMEOUT_NOW => Ok(Body::TimeoutNow),
            PROPOSE => Ok(Body::Propose {
                nonce: BootNonce(self.reader.u64()?),
                sequence: self.reader.varint()?,
                data: self.data()?,
            }),
            READ_REQUEST => Ok(Body::ReadRequest { context: self.context()? }),
            READ_ANSWER => Ok(Body::ReadAnswer { context: self.context()?, index: self.index()? }),
            _ => Err(Malformed),
        }
    }

    fn append(&mut self) -> Result<Body, Malformed> {
        let previous = self.position()?;
        let commit = self.index()?;
        let count = usize::try_from(self.reader.varint()?).map_err(|_| Malformed)?;
        if count > RAFT_MESSAGE_ENTRIES_MAX || count > self.reader.rest().len() / ENTRY_BYTES_MIN {
            return Err(Malformed);
        }
        let mut entries = Vec::with_capacity(count);
        let mut before = previous;
        for _ in 0..count {
            let entry = self.entry(before)?;
            before = Position::new(entry.index, entry.term);
            entries.push(entry);
        }
        assert_eq!(entries.len(), count, "each entry was read");
        Ok(Body::Append { previous, commit, entries })
    }

    fn entry(&mut self, before: Position) -> Result<Entry, Malformed> {
        let kind = match self.reader.u8()? {
            0 => EntryKind::Normal,
            1 => EntryKind::ConfChange,
            2 => EntryKind::ConfChangeV2,
            _ => return Err(Malformed),
        };
        let term = Term(before.term.0.checked_add(self.reader.varint()?).ok_or(Malformed)?);
        if term.0 > RAFT_TERM_MAX || before.index.0 >= RAFT_INDEX_MAX {
            return Err(Malformed);
        }
        Ok(Entry { index: before.index.next(), term, kind, data: self.data()? })
    }

    fn index(&mut self) -> Result<RaftIndex, Malformed> {
        let index = self.reader.varint()?;
        if index > RAFT_INDEX_MAX { Err(Malformed) } else { Ok(RaftIndex(index)) }
    }

    fn term(&mut self) -> Result<Term, Malformed> {
        let term = self.reader.varint()?;
        if term > RAFT_TERM_MAX { Err(Malformed) } else { Ok(Term(term)) }
    }

    /// Only the empty log's end has no index, and only it has no term.
    fn position(&mut self) -> Result<Position, Malformed> {
        let position = Position::new(self.index()?, self.term()?);
        let none = (position.index == RaftIndex(0), position.term == Term(0));
        if none.0 == none.1 { Ok(position) } else { Err(Malformed) }
    }

    /// Where to try next: below a log that was cut off at the front there is an index without a term.
    fn hint(&mut self) -> Result<Position, Malformed> {
        Ok(Position::new(self.index()?, self.term()?))
    }

    fn flag(&mut self) -> Result<bool, Malformed> {
        match self.reader.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }

    fn ballot(&mut self) -> Result<Ballot, Malformed> {
        Ok(if self.flag()? { Ballot::Real } else { Ballot::Pre })
    }

    fn context(&mut self) -> Result<ReadContext, Malformed> {
        let bytes = self.reader.array::<{ ReadContext::BYTES }>()?;
        ReadContext::from_bytes(&bytes).ok_or(Malformed)
    }

    fn maybe_context(&mut self) -> Result<Option<ReadContext>, Malformed> {
        if self.flag()? { Ok(Some(self.context()?)) } else { Ok(None) }
    }

    fn data(&mut self) -> Result<Bytes, Malformed> {
        let length = usize::try_from(self.reader.varint()?).map_err(|_| Malformed)?;
        Ok(self.bytes.slice_ref(self.reader.bytes(length)?))
    }
}

/// Fuzz entry: whatever the bytes, decoding ends in a message or in `Malformed`, and what decoded encodes to something
/// that decodes to itself.
pub fn fuzz_message(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(message) = Message::decode(&bytes) {
        let mut again = Vec::with_capacity(bytes.len());
        message.encode(&mut again);
        let again = Message::decode(&Bytes::from(again)).expect("what we write we can read");
        assert_eq!(again, message, "a message survives its own encoding");
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
