//! How etcd streams a range that names a sort target and no order: chunk by chunk, each sorted by itself.
//!
//! A chunk is what `Range` answers with a limit: the pairs that follow in the order of the keys, then sorted, then cut by
//! one. The next chunk begins behind the key that was shown last. So a client sees some keys twice and others not at all
//! once the answer is longer than a chunk; a client that wants an order has to ask `Range`.
//!
//! Invariants
//! - Each chunk begins behind the first key of the one before, so a stream ends.
//! - Where chunks end is told by the pairs alone: it is the same on every member.

use bytes::{BufMut, Bytes, BytesMut};

use super::scan::Scan;
use super::wire::{self, Tail};
use super::work::wide;
use crate::command::RangeRequest;

/// Pairs of the first chunk, etcd's figure.
const FIRST_CHUNK_PAIRS: i64 = 10;

/// A stream of chunks under way.
#[derive(Debug)]
pub struct SortedChunks {
    /// Asks for the next chunk.
    request: RangeRequest,
    /// Pairs that the client wants of all chunks; below 0, all in one chunk.
    limit: i64,
    /// Pairs shown so far.
    shown: i64,
    /// What a chunk's answer should weigh.
    bytes_target: u64,
}

/// What is known of a stream whose last chunk was found.
#[derive(Clone, PartialEq, Debug)]
pub struct StreamEnd {
    /// Whether the limit cut the answer, and the pairs shown.
    pub tail: Tail,
    /// The keys behind the last chunk, to be counted on top.
    pub rest: Option<RangeRequest>,
}

impl SortedChunks {
    /// Whether a streamed request is one of these.
    pub fn concern(request: &RangeRequest) -> bool {
        request.sort_target != 0 && !request.count_only
    }

    /// Begins a stream. A chunk's answer grows to about `bytes_target` bytes.
    pub fn new(request: RangeRequest, bytes_target: usize) -> Self {
        let limit = if request.limit == 0 { i64::MAX } else { request.limit };
        let request = RangeRequest { limit: FIRST_CHUNK_PAIRS.min(limit), ..request };
        Self { request, limit, shown: 0, bytes_target: wide(bytes_target) }
    }

    /// What to scan for next.
    pub fn request(&self) -> &RangeRequest {
        &self.request
    }

    /// A scan for `request` is prepared; `Some` when there is no chunk behind it.
    pub fn on_chunk(&mut self, scan: &Scan) -> Option<StreamEnd> {
        let more = scan.tail().more;
        self.shown += i64::try_from(scan.pairs()).expect("pairs of one chunk are counted by its limit");
        let rest = scan.last_key().filter(|_| more).map(|last| self.behind(last));
        assert!(rest.is_some() == more, "a chunk that was cut has a last pair");
        let next = rest.as_ref().filter(|_| self.shown != self.limit);
        let Some(next) = next else {
            return Some(StreamEnd { tail: Tail { more, count: self.shown }, rest });
        };
        let limit = self.next_limit(scan);
        self.request = RangeRequest { limit, count_only: false, ..next.clone() };
        None
    }

    /// A count of what lies behind `last`.
    fn behind(&self, last: &[u8]) -> RangeRequest {
        let mut key = BytesMut::with_capacity(last.len() + 1);
        key.put_slice(last);
        key.put_u8(0);
        let key: Bytes = key.freeze();
        assert!(key > self.request.key, "chunks move on");
        RangeRequest { key, limit: 0, count_only: true, ..self.request.clone() }
    }

    /// Twice or half as many pairs when a chunk's answer was far from its target.
    fn next_limit(&self, scan: &Scan) -> i64 {
        let limit = self.request.limit;
        let found = i64::try_from(scan.pairs()).unwrap_or(i64::MAX).saturating_add(1);
        let size = wire::range_length(scan.revision(), scan.encoded_length(), Tail { more: true, count: found });
        let adjusted = if size < self.bytes_target / 2 {
            limit.saturating_mul(2)
        } else if size > self.bytes_target.saturating_mul(2) {
            (limit / 2).max(1)
        } else {
            limit
        };
        adjusted.min(self.limit - self.shown)
    }
}
