//! The protobuf bytes of key-value pairs and of what follows them in a range's answer, written straight from pages.
//!
//! Invariants
//! - Fields stand in the order of their numbers and zero values are left out, as etcd's own encoder does it: HashKV is
//!   a checksum over these bytes.
//! - The length functions say exactly what the `put` functions append.

use bytes::Bytes;

use super::Error;
use super::row::{Values, Version};
use super::work::wide;
use crate::codec::{put_varint, varint_length};
use crate::command::KeyValue;
use crate::types::Revision;

const KEY: u8 = 0x0a;
const CREATE_REVISION: u8 = 0x10;
const MOD_REVISION: u8 = 0x18;
const VERSION: u8 = 0x20;
const VALUE: u8 = 0x2a;
const LEASE: u8 = 0x30;

/// `RangeResponse.kvs`.
const RESPONSE_KVS: u8 = 0x12;
/// `RangeResponse.more`.
const RESPONSE_MORE: u8 = 0x18;
/// `RangeResponse.count`.
const RESPONSE_COUNT: u8 = 0x20;

/// Which fields of a key-value pair an answer shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fields {
    /// All.
    All,
    /// All but the value.
    NoValue,
    /// Neither value nor lease: what etcd answers to `keys_only` from its index.
    Index,
}

impl Fields {
    /// The value to be shown of a version.
    pub(super) fn value<'a>(self, version: &Version<'_>, values: &mut Values<'a>) -> Result<&'a [u8], Error> {
        if self == Self::All { values.of(version) } else { Ok(&[]) }
    }

    fn value_length(self, version: &Version<'_>) -> usize {
        if self == Self::All { version.value_length } else { 0 }
    }

    fn lease(self, version: &Version<'_>) -> i64 {
        if self == Self::Index { 0 } else { version.head.lease.0 }
    }
}

fn bytes_length(length: usize) -> usize {
    if length == 0 { 0 } else { 1 + varint_length(wide(length)) + length }
}

fn integer_length(value: i64) -> usize {
    if value == 0 { 0 } else { 1 + varint_length(value.cast_unsigned()) }
}

fn put_bytes(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        out.push(tag);
        put_varint(out, wide(bytes.len()));
        out.extend_from_slice(bytes);
    }
}

fn put_integer(out: &mut Vec<u8>, tag: u8, value: i64) {
    if value != 0 {
        out.push(tag);
        put_varint(out, value.cast_unsigned());
    }
}

/// Length of `put_pair`.
pub(super) fn pair_length(version: &Version<'_>, fields: Fields) -> usize {
    if version.head.tombstone {
        return bytes_length(version.key.len());
    }
    bytes_length(version.key.len())
        + integer_length(version.head.create.0)
        + integer_length(version.at.main.0)
        + integer_length(version.head.version)
        + bytes_length(fields.value_length(version))
        + integer_length(fields.lease(version))
}

/// Appends a `mvccpb.KeyValue` with what `Fields::value` gave as value; a tombstone has its key alone.
pub(super) fn put_pair(out: &mut Vec<u8>, version: &Version<'_>, value: &[u8], fields: Fields) {
    assert_eq!(value.len(), fields.value_length(version), "the value is the version's");
    put_bytes(out, KEY, version.key);
    if version.head.tombstone {
        return;
    }
    put_integer(out, CREATE_REVISION, version.head.create.0);
    put_integer(out, MOD_REVISION, version.at.main.0);
    put_integer(out, VERSION, version.head.version);
    put_bytes(out, VALUE, value);
    put_integer(out, LEASE, fields.lease(version));
}

/// Length of `put_kvs`.
pub(super) fn kvs_length(version: &Version<'_>, fields: Fields) -> usize {
    let pair = pair_length(version, fields);
    1 + varint_length(wide(pair)) + pair
}

/// Appends one `kvs` field of a `RangeResponse`.
pub(super) fn put_kvs(out: &mut Vec<u8>, version: &Version<'_>, value: &[u8], fields: Fields) {
    let length = pair_length(version, fields);
    out.reserve(length + 11);
    out.push(RESPONSE_KVS);
    put_varint(out, wide(length));
    let start = out.len();
    put_pair(out, version, value, fields);
    assert_eq!(out.len() - start, length, "the length function and the encoder differ");
}

/// Length of a whole `RangeResponse` that etcd would encode: the revision alone in its header, pairs that take
/// `pairs_bytes`, and the tail.
pub(super) fn range_length(revision: Revision, pairs_bytes: u64, tail: Tail) -> u64 {
    pairs_bytes + wide(2 + integer_length(revision.0) + tail.encoded_length())
}

/// A key-value pair, whole, as a message of its own, for the small answers that are built whole.
pub(super) fn pair(version: &Version<'_>, value: &[u8]) -> KeyValue {
    assert!(!version.head.tombstone, "a tombstone is no answer");
    assert_eq!(value.len(), version.value_length, "the value is the version's");
    KeyValue {
        key: Bytes::copy_from_slice(version.key),
        create_revision: version.head.create.0,
        mod_revision: version.at.main.0,
        version: version.head.version,
        value: Bytes::copy_from_slice(value),
        lease: version.head.lease.0,
    }
}

/// What stands behind the pairs in a range's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tail {
    /// Whether the limit cut the answer.
    pub more: bool,
    /// Keys in the range, whatever limit and filters.
    pub count: i64,
}

impl Tail {
    /// Bytes that `put` appends.
    pub fn encoded_length(&self) -> usize {
        (if self.more { 2 } else { 0 }) + integer_length(self.count)
    }

    /// Appends the `more` and `count` fields of a `RangeResponse`.
    pub fn put(&self, out: &mut Vec<u8>) {
        assert!(self.count >= 0, "a number of keys: {}", self.count);
        let start = out.len();
        if self.more {
            out.extend_from_slice(&[RESPONSE_MORE, 1]);
        }
        put_integer(out, RESPONSE_COUNT, self.count);
        assert_eq!(out.len() - start, self.encoded_length());
    }
}

/// `WatchResponse.events`.
const RESPONSE_EVENTS: u8 = 0x5a;
/// `Event.type`, which is left out for a put.
const EVENT_DELETED: [u8; 2] = [0x08, 1];
/// `Event.kv`.
const EVENT_KV: u8 = 0x12;
/// `Event.prev_kv`.
const EVENT_PREVIOUS: u8 = 0x1a;

/// A version with its value.
pub(super) type Shown<'a> = (Version<'a>, &'a [u8]);

/// Appends one `events` field of a `WatchResponse`: what `version` did to its key, and the pair before if it is shown. A
/// deletion's pair has its key and its revision alone.
pub(super) fn put_event(out: &mut Vec<u8>, (version, value): Shown<'_>, previous: Option<Shown<'_>>) {
    let deleted = version.head.tombstone;
    let revision = if deleted { integer_length(version.at.main.0) } else { 0 };
    let pair = pair_length(&version, Fields::All) + revision;
    let before = previous.map(|(previous, _)| pair_length(&previous, Fields::All));
    let within = |length: usize| 1 + varint_length(wide(length)) + length;
    let length = (if deleted { EVENT_DELETED.len() } else { 0 }) + within(pair) + before.map_or(0, within);
    out.reserve(length + 11);
    out.push(RESPONSE_EVENTS);
    put_varint(out, wide(length));
    let start = out.len();
    if deleted {
        out.extend_from_slice(&EVENT_DELETED);
    }
    out.push(EVENT_KV);
    put_varint(out, wide(pair));
    put_pair(out, &version, value, Fields::All);
    if deleted {
        put_integer(out, MOD_REVISION, version.at.main.0);
    }
    if let (Some((previous, value)), Some(before)) = (previous, before) {
        out.push(EVENT_PREVIOUS);
        put_varint(out, wide(before));
        put_pair(out, &previous, value, Fields::All);
    }
    assert_eq!(out.len() - start, length, "the length function and the encoder differ");
}
