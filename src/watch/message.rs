//! What a stream is sent, and its bytes: framed `WatchResponse` messages.
//!
//! Invariants
//! - Fields stand in the order of their numbers, the events last: so a message is a short head and shared bytes.

use std::borrow::Cow;

use bytes::Bytes;

use super::hub::Config;
use crate::codec::put_varint;
use crate::types::{Revision, Term};

const HEADER: u8 = 0x0a;
const CLUSTER_ID: u8 = 0x08;
const MEMBER_ID: u8 = 0x10;
const REVISION: u8 = 0x18;
const RAFT_TERM: u8 = 0x20;
const WATCH_ID: u8 = 0x10;
const CREATED: [u8; 2] = [0x18, 1];
const CANCELED: [u8; 2] = [0x20, 1];
const COMPACT_REVISION: u8 = 0x28;
const CANCEL_REASON: u8 = 0x32;
const FRAGMENT: [u8; 2] = [0x38, 1];

/// The id of what concerns no watcher, or all of a stream.
pub(super) const NO_WATCHER: i64 = -1;

/// One message.
#[derive(Debug)]
pub(super) struct Message {
    /// The watcher's id on its stream.
    pub(super) watch_id: i64,
    /// What the header says.
    pub(super) revision: Revision,
    /// The rest.
    pub(super) content: Content,
}

/// What a message says.
#[derive(Debug)]
pub(super) enum Content {
    /// The watcher is there.
    Created,
    /// It was not made, for this reason.
    Refused(Cow<'static, str>),
    /// It is gone, as was asked.
    Canceled,
    /// It is gone, because what it would see next is compacted through this revision.
    Compacted(Revision),
    /// Everything up to the header's revision was sent.
    Progress,
    /// Events, encoded; whether more of the same revision follow in another message.
    Events(Bytes, bool),
}

impl Content {
    /// The events, if it has any.
    pub(super) fn events(&self) -> &[u8] {
        match self {
            Self::Events(events, _) => events,
            Self::Created | Self::Refused(_) | Self::Canceled | Self::Compacted(_) | Self::Progress => &[],
        }
    }
}

fn put_integer(out: &mut Vec<u8>, tag: u8, value: u64) {
    if value != 0 {
        out.push(tag);
        put_varint(out, value);
    }
}

/// A message's bytes but for its events and its reason, at most: the frame's prefix, a header of four integers, the
/// watcher's id, marks and a revision.
pub(super) const HEAD_BYTES_MAX: usize = 5 + 2 + 4 * 11 + 11 + 4 + 11;

/// Makes the heads of messages: what the header of the one before said is not made again.
#[derive(Debug, Default)]
pub(super) struct Head {
    of: Option<(Revision, Term)>,
    header: Vec<u8>,
}

impl Head {
    /// Appends the message but for its events, and before it the frame's prefix for all of it.
    pub(super) fn put(&mut self, out: &mut Vec<u8>, config: &Config, term: Term, message: &Message) {
        if self.of != Some((message.revision, term)) {
            self.header.clear();
            put_header(&mut self.header, config, term, message.revision);
            self.of = Some((message.revision, term));
        }
        let frame = out.len();
        let empty = (config.frame_prefix)(0);
        out.extend_from_slice(&empty);
        out.extend_from_slice(&self.header);
        put_fields(out, message);
        let length = out.len() - frame - empty.len() + message.content.events().len();
        out[frame..frame + empty.len()].copy_from_slice(&(config.frame_prefix)(length));
    }
}

fn put_header(out: &mut Vec<u8>, config: &Config, term: Term, revision: Revision) {
    out.extend_from_slice(&[HEADER, 0]);
    let header = out.len();
    put_integer(out, CLUSTER_ID, config.cluster.0);
    put_integer(out, MEMBER_ID, config.member.0);
    put_integer(out, REVISION, revision.0.cast_unsigned());
    put_integer(out, RAFT_TERM, term.0);
    let length = out.len() - header;
    assert!(length < 0x80, "four integers take one byte of length");
    out[header - 1] = u8::try_from(length).unwrap_or(0);
}

fn put_fields(out: &mut Vec<u8>, message: &Message) {
    put_integer(out, WATCH_ID, message.watch_id.cast_unsigned());
    match &message.content {
        Content::Created => out.extend_from_slice(&CREATED),
        Content::Refused(reason) => {
            out.extend_from_slice(&CREATED);
            out.extend_from_slice(&CANCELED);
            out.push(CANCEL_REASON);
            put_varint(out, u64::try_from(reason.len()).expect("a length fits 64 bits"));
            out.extend_from_slice(reason.as_bytes());
        }
        Content::Canceled => out.extend_from_slice(&CANCELED),
        Content::Compacted(revision) => {
            out.extend_from_slice(&CANCELED);
            put_integer(out, COMPACT_REVISION, revision.0.cast_unsigned());
        }
        Content::Progress | Content::Events(_, false) => {}
        Content::Events(_, true) => out.extend_from_slice(&FRAGMENT),
    }
}

/// Bytes of a message around its events, as etcd counts them when it decides about fragments.
pub(super) fn head_length(config: &Config, term: Term, message: &Message) -> usize {
    let mut out = Vec::with_capacity(HEAD_BYTES_MAX);
    put_header(&mut out, config, term, message.revision);
    put_fields(&mut out, message);
    out.len()
}
