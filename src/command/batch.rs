//! A batch of commands: the data of one raft entry.
//!
//! ```text
//! u8  version (1)
//! u64 proposer's member id, u64 its boot nonce, u64 sequence of the first command, u32 count   (little-endian)
//! count times: u8 kind, varint length, payload
//! ```
//! A payload is the request as etcd's protobuf has it, mostly the client's own bytes.
//!
//! Invariants
//! - The n-th command of a batch has the sequence `first + n`; with proposer and nonce that names one proposal for ever.
//! - What `parse` accepts, `iter` walks to the end of; only a payload can still be malformed.
//! - Nothing here panics on bytes from a log or a peer. Fuzz: `fuzz_batch`.

use bytes::Bytes;
use prost::Message;

use super::{
    AlarmRequest, CompactionRequest, DeleteRangeRequest, DowngradeInfo, LeaseCommand, LeaseExpiry, PutRequest,
    TxnRequest,
};
use crate::codec::{self, Reader, put_varint, varint_length};
use crate::limits::BATCH_COMMANDS_MAX;
use crate::types::{BootNonce, MemberId};

/// The only layout there is so far.
const VERSION: u8 = 1;

/// Bytes before the first command.
const HEADER_BYTES: usize = 1 + 8 + 8 + 8 + 4;

/// Where the count stands in the header.
const COUNT_OFFSET: usize = HEADER_BYTES - 4;

/// What a command does; the byte in front of its payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// `PutRequest`.
    Put = 1,
    /// `DeleteRangeRequest`.
    DeleteRange = 2,
    /// `TxnRequest`.
    Txn = 3,
    /// `CompactionRequest`.
    Compact = 4,
    /// No payload, no effect: proves that the log moves.
    Noop = 5,
    /// `AlarmRequest`.
    Alarm = 10,
    /// `DowngradeInfo`.
    Downgrade = 11,
    /// `LeaseGrantRequest`, its id chosen and its time to live raised to the shortest.
    LeaseGrant = 16,
    /// `LeaseRevokeRequest`.
    LeaseRevoke = 17,
    /// `LeaseExpiry`: a leader's own revocation.
    LeaseExpire = 18,
    /// `LeaseCheckpointRequest`.
    LeaseCheckpoint = 19,
}

impl Kind {
    /// The byte that stands for this kind.
    pub fn code(self) -> u8 {
        match self {
            Self::Put => 1,
            Self::DeleteRange => 2,
            Self::Txn => 3,
            Self::Compact => 4,
            Self::Noop => 5,
            Self::Alarm => 10,
            Self::Downgrade => 11,
            Self::LeaseGrant => 16,
            Self::LeaseRevoke => 17,
            Self::LeaseExpire => 18,
            Self::LeaseCheckpoint => 19,
        }
    }

    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Put,
        Self::DeleteRange,
        Self::Txn,
        Self::Compact,
        Self::Noop,
        Self::Alarm,
        Self::LeaseGrant,
        Self::LeaseRevoke,
        Self::LeaseExpire,
        Self::LeaseCheckpoint,
        Self::Downgrade,
    ];

    /// Its place in `ALL`.
    pub fn place(self) -> usize {
        match self {
            Self::Put => 0,
            Self::DeleteRange => 1,
            Self::Txn => 2,
            Self::Compact => 3,
            Self::Noop => 4,
            Self::Alarm => 5,
            Self::LeaseGrant => 6,
            Self::LeaseRevoke => 7,
            Self::LeaseExpire => 8,
            Self::LeaseCheckpoint => 9,
            Self::Downgrade => 10,
        }
    }

    /// The kind behind a byte, if this version knows it.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Put),
            2 => Some(Self::DeleteRange),
            3 => Some(Self::Txn),
            4 => Some(Self::Compact),
            5 => Some(Self::Noop),
            10 => Some(Self::Alarm),
            11 => Some(Self::Downgrade),
            16 => Some(Self::LeaseGrant),
            17 => Some(Self::LeaseRevoke),
            18 => Some(Self::LeaseExpire),
            19 => Some(Self::LeaseCheckpoint),
            _ => None,
        }
    }
}

/// One decoded command. Its byte fields are slices of the batch.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Writes one key.
    Put(PutRequest),
    /// Deletes a key or a range.
    DeleteRange(DeleteRangeRequest),
    /// Compares, then one of two lists of operations.
    Txn(TxnRequest),
    /// Forgets what came before a revision.
    Compact(CompactionRequest),
    /// Nothing.
    Noop,
    /// Raises or disarms an alarm.
    Alarm(AlarmRequest),
    /// Enables or cancels a downgrade.
    Downgrade(DowngradeInfo),
    /// About leases.
    Lease(LeaseCommand),
}

impl Command {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Put(_) => Kind::Put,
            Self::DeleteRange(_) => Kind::DeleteRange,
            Self::Txn(_) => Kind::Txn,
            Self::Compact(_) => Kind::Compact,
            Self::Noop => Kind::Noop,
            Self::Alarm(_) => Kind::Alarm,
            Self::Downgrade(_) => Kind::Downgrade,
            Self::Lease(command) => command.kind(),
        }
    }
}

/// Why bytes are not a batch that this version can apply. The member that meets one must stop: skipping what
/// others applied would make it differ from them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The batch ends before its header, its commands or a payload do.
    Cut,
    /// The version byte is of another release.
    UnknownVersion(u8),
    /// A command of a kind that this release does not know.
    UnknownKind(u8),
    /// More commands than a batch may hold.
    TooMany(u32),
    /// Bytes after the last command.
    Trailing,
    /// The payload is not the message that its kind says.
    Payload(Kind),
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cut => write!(formatter, "the command batch is cut short"),
            Self::UnknownVersion(version) => {
                write!(formatter, "command batch of version {version}; this release knows version {VERSION}")
            }
            Self::UnknownKind(code) => write!(formatter, "command of unknown kind {code}; a newer release wrote it"),
            Self::TooMany(count) => write!(formatter, "{count} commands in one batch, at most {BATCH_COMMANDS_MAX}"),
            Self::Trailing => write!(formatter, "bytes after the last command of a batch"),
            Self::Payload(kind) => write!(formatter, "the payload of a {kind:?} command does not decode"),
        }
    }
}

impl std::error::Error for Malformed {}

impl From<codec::Malformed> for Malformed {
    fn from(_: codec::Malformed) -> Self {
        Self::Cut
    }
}

/// Collects commands into the bytes of one entry.
#[derive(Debug)]
pub struct BatchBuilder {
    bytes: Vec<u8>,
    count: u32,
}

impl BatchBuilder {
    /// An empty batch of `proposer` in the run named by `nonce`, whose first command has the sequence `first`.
    pub fn new(proposer: MemberId, nonce: BootNonce, first: u64) -> Self {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.push(VERSION);
        bytes.extend_from_slice(&proposer.0.to_le_bytes());
        bytes.extend_from_slice(&nonce.0.to_le_bytes());
        bytes.extend_from_slice(&first.to_le_bytes());
        bytes.extend_from_slice(&0u32.to_le_bytes());
        assert_eq!(bytes.len(), HEADER_BYTES);
        Self { bytes, count: 0 }
    }

    /// Appends a command; its sequence is the first plus the number of those before it.
    ///
    /// # Panics
    /// When the batch is full: `is_full` says so beforehand.
    pub fn push(&mut self, kind: Kind, payload: &[u8]) {
        assert!(!self.is_full(), "a batch holds {BATCH_COMMANDS_MAX} commands");
        let length = u64::try_from(payload.len()).expect("a length fits 64 bits");
        self.bytes.reserve(1 + varint_length(length) + payload.len());
        self.bytes.push(kind.code());
        put_varint(&mut self.bytes, length);
        self.bytes.extend_from_slice(payload);
        self.count += 1;
    }

    /// Whether another command must go into another batch.
    pub fn is_full(&self) -> bool {
        self.count >= BATCH_COMMANDS_MAX
    }

    /// Commands so far.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether nothing was pushed yet.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes so far, the header included.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The entry's data.
    pub fn finish(mut self) -> Bytes {
        self.bytes[COUNT_OFFSET..HEADER_BYTES].copy_from_slice(&self.count.to_le_bytes());
        Bytes::from(self.bytes)
    }
}

/// A batch whose framing was checked.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Who proposed it.
    pub proposer: MemberId,
    /// In which run of that member: tickets of an earlier run mean nothing to this one.
    pub nonce: BootNonce,
    first: u64,
    count: u32,
    bytes: Bytes,
}

impl Batch {
    /// Checks the framing of all commands.
    pub fn parse(bytes: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(&bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(Malformed::UnknownVersion(version));
        }
        let proposer = MemberId(reader.u64()?);
        let nonce = BootNonce(reader.u64()?);
        let first = reader.u64()?;
        let count = reader.u32()?;
        if count > BATCH_COMMANDS_MAX {
            return Err(Malformed::TooMany(count));
        }
        for _ in 0..count {
            take_frame(&mut reader)?;
        }
        if !reader.is_empty() {
            return Err(Malformed::Trailing);
        }
        Ok(Self { proposer, nonce, first, count, bytes })
    }

    /// Number of commands.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The commands in order, each with its sequence.
    pub fn iter(&self) -> Commands<'_> {
        Commands { batch: self, offset: HEADER_BYTES, taken: 0 }
    }
}

impl<'a> IntoIterator for &'a Batch {
    type Item = Result<(u64, Command), Malformed>;
    type IntoIter = Commands<'a>;

    fn into_iter(self) -> Commands<'a> {
        self.iter()
    }
}

/// Walks the commands of a batch.
#[derive(Debug)]
pub struct Commands<'a> {
    batch: &'a Batch,
    offset: usize,
    taken: u32,
}

impl Iterator for Commands<'_> {
    type Item = Result<(u64, Command), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.taken == self.batch.count {
            return None;
        }
        let sequence = self.batch.first.wrapping_add(u64::from(self.taken));
        self.taken += 1;
        Some(self.take().map(|command| (sequence, command)))
    }
}

impl Commands<'_> {
    fn take(&mut self) -> Result<Command, Malformed> {
        let bytes = &self.batch.bytes;
        let mut reader = Reader::new(&bytes[self.offset..]);
        let (kind, length) = take_frame(&mut reader)?;
        let end = bytes.len() - reader.rest().len();
        assert!(end > self.offset, "a frame has at least two bytes");
        self.offset = end;
        decode(kind, bytes.slice(end - length..end))
    }
}

/// Reads a command's kind and steps over its payload, whose length is returned.
fn take_frame(reader: &mut Reader<'_>) -> Result<(Kind, usize), Malformed> {
    let code = reader.u8()?;
    let kind = Kind::from_code(code).ok_or(Malformed::UnknownKind(code))?;
    let length = usize::try_from(reader.varint()?).map_err(|_| Malformed::Cut)?;
    reader.bytes(length)?;
    Ok((kind, length))
}

fn decode(kind: Kind, payload: Bytes) -> Result<Command, Malformed> {
    let malformed = |_| Malformed::Payload(kind);
    Ok(match kind {
        Kind::Put => Command::Put(PutRequest::decode(payload).map_err(malformed)?),
        Kind::DeleteRange => Command::DeleteRange(DeleteRangeRequest::decode(payload).map_err(malformed)?),
        Kind::Txn => Command::Txn(TxnRequest::decode(payload).map_err(malformed)?),
        Kind::Compact => Command::Compact(CompactionRequest::decode(payload).map_err(malformed)?),
        Kind::Alarm => Command::Alarm(AlarmRequest::decode(payload).map_err(malformed)?),
        Kind::Downgrade => Command::Downgrade(DowngradeInfo::decode(payload).map_err(malformed)?),
        Kind::Noop if payload.is_empty() => Command::Noop,
        Kind::Noop => return Err(Malformed::Payload(kind)),
        Kind::LeaseGrant => LeaseCommand::Grant(Message::decode(payload).map_err(malformed)?).into(),
        Kind::LeaseRevoke => LeaseCommand::Revoke(Message::decode(payload).map_err(malformed)?).into(),
        Kind::LeaseExpire => {
            LeaseCommand::Expire(LeaseExpiry::decode(&payload).map_err(|_| Malformed::Payload(kind))?).into()
        }
        Kind::LeaseCheckpoint => LeaseCommand::Checkpoint(Message::decode(payload).map_err(malformed)?).into(),
    })
}

/// Fuzz entry: any bytes are either refused or walked to their end, sequence by sequence.
pub fn fuzz_batch(bytes: &[u8]) {
    let Ok(batch) = Batch::parse(Bytes::copy_from_slice(bytes)) else { return };
    let mut sequence = batch.first;
    let mut walked = 0;
    for item in &batch {
        walked += 1;
        if let Ok((found, _)) = item {
            assert_eq!(found, sequence);
        }
        sequence = sequence.wrapping_add(1);
    }
    assert_eq!(walked, batch.count());
}
