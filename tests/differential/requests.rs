//! Seeded requests: small key space, so that requests meet each other, and every field with good and bad values.
//!
//! **Invariants**: the same seed and the same knowledge give the same requests.

use bytes::Bytes;
use prost::Message;
use ringbolt::proto::etcdserverpb as pb;

use crate::client::Random;

/// etcd's default for --max-request-bytes.
pub(crate) const REQUEST_BYTES_MAX: usize = 1_572_864;
/// What the transport takes beyond it.
pub(crate) const TRANSPORT_EXTRA_BYTES: usize = 524_288;
/// etcd's default for --max-txn-ops.
pub(crate) const TXN_OPS_MAX: usize = 128;

/// What the answers so far have told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Knowledge {
    /// The highest revision seen in a header.
    pub(crate) current: i64,
    /// The last revision compacted.
    pub(crate) compacted: i64,
}

/// Makes requests.
pub(crate) struct Requests {
    pub(crate) random: Random,
    keys: Vec<Bytes>,
    pattern: Bytes,
}

impl Requests {
    /// Starts from a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut pattern_random = Random::new(seed ^ 0x5EED);
        let words = REQUEST_BYTES_MAX / 4;
        let pattern: Vec<u8> = (0..words).flat_map(|_| pattern_random.next().to_le_bytes()).collect();
        Self { random: Random::new(seed), keys: keys(), pattern: pattern.into() }
    }

    /// Bytes of the shared pattern: large values cost no memory here.
    pub(crate) fn filler(&mut self, length: usize) -> Bytes {
        let start = self.random.index(self.pattern.len() - length);
        self.pattern.slice(start..start + length)
    }

    fn key(&mut self) -> Bytes {
        if self.random.chance(1, 60) {
            return Bytes::new();
        }
        self.random.pick(&self.keys).clone()
    }

    fn range_end(&mut self, key: &Bytes) -> Bytes {
        match self.random.below(10) {
            0..=3 => Bytes::new(),
            4 => Bytes::from_static(b"\0"),
            5 | 6 => prefix_end(key),
            _ => self.random.pick(&self.keys).clone(),
        }
    }

    fn value(&mut self) -> Bytes {
        let length = match self.random.below(200) {
            0..=9 => 0,
            10..=149 => self.random.index(24),
            150..=189 => self.random.index(3000),
            190..=198 => self.random.index(12_000),
            _ => self.random.index(120_000),
        };
        self.filler(length)
    }

    /// A revision to read at or to filter by.
    pub(crate) fn revision(&mut self, known: Knowledge) -> i64 {
        let Knowledge { current, compacted } = known;
        match self.random.below(40) {
            0..=19 => 0,
            20..=29 => self.random.between(compacted.min(current), current),
            30..=34 => self.random.between((current - 20).max(0), current),
            35 => compacted,
            36 => compacted - 1,
            37 => compacted + 1,
            38 => *self.random.pick(&[1, 2, -1, i64::MIN, current]),
            _ => *self.random.pick(&[current + 1, current + 2, current + 1000, i64::MAX]),
        }
    }

    fn bound(&mut self, known: Knowledge) -> i64 {
        match self.random.below(12) {
            0 => -1,
            1 => known.current + 5,
            _ => self.random.between(0, known.current.max(1)),
        }
    }

    /// A RangeRequest with every field in play.
    pub(crate) fn range(&mut self, known: Knowledge) -> pb::RangeRequest {
        let key = if self.random.chance(1, 12) { Bytes::from_static(b"\0") } else { self.key() };
        let range_end = self.range_end(&key);
        let mut request = pb::RangeRequest {
            key,
            range_end,
            revision: self.revision(known),
            serializable: self.random.chance(1, 3),
            keys_only: self.random.chance(1, 5),
            count_only: self.random.chance(1, 8),
            ..Default::default()
        };
        if self.random.chance(2, 5) {
            request.limit = *self.random.pick(&[1, 1, 2, 3, 4, 5, 7, 10, 12, 20, 1000, -1, i64::MAX, i64::MIN]);
        }
        if self.random.chance(2, 5) {
            request.sort_order = *self.random.pick(&[0, 1, 1, 1, 2, 2, 2]);
            request.sort_target = *self.random.pick(&[0, 0, 1, 2, 3, 4]);
        }
        if self.random.chance(1, 100) {
            request.sort_order = *self.random.pick(&[3, -1, i32::MAX, i32::MIN, 1]);
            request.sort_target = *self.random.pick(&[5, -1, i32::MAX, 4, 0]);
        }
        if self.random.chance(1, 5) {
            for _ in 0..self.random.below(3) {
                let bound = self.bound(known);
                match self.random.below(4) {
                    0 => request.min_mod_revision = bound,
                    1 => request.max_mod_revision = bound,
                    2 => request.min_create_revision = bound,
                    _ => request.max_create_revision = bound,
                }
            }
        }
        request
    }

    /// A RangeRequest of which most are allowed as a stream.
    pub(crate) fn range_stream(&mut self, known: Knowledge) -> pb::RangeRequest {
        let mut request = self.range(known);
        if self.random.chance(9, 10) {
            // A target without an order: each chunk of the stream is sorted by itself.
            let sorts = [(0, 0), (0, 0), (0, 1), (1, 0), (2, 0), (3, 0), (4, 0)];
            (request.sort_target, request.sort_order) = *self.random.pick(&sorts);
            (request.min_mod_revision, request.max_mod_revision) = (0, 0);
            (request.min_create_revision, request.max_create_revision) = (0, 0);
        }
        if self.random.chance(1, 2) {
            (request.key, request.range_end) = (Bytes::from_static(b"\0"), Bytes::from_static(b"\0"));
        }
        request
    }

    /// A PutRequest; leases are unknown ones, since nothing grants any.
    pub(crate) fn put(&mut self) -> pb::PutRequest {
        let mut request = pb::PutRequest {
            key: self.key(),
            value: self.value(),
            prev_kv: self.random.chance(1, 4),
            ..Default::default()
        };
        if self.random.chance(1, 10) {
            request.ignore_value = true;
            if self.random.chance(4, 5) {
                request.value = Bytes::new();
            }
        }
        request.ignore_lease = self.random.chance(1, 12);
        if self.random.chance(1, 60) {
            request.lease = *self.random.pick(&[1, 7, -1, i64::MAX, i64::MIN]);
        }
        request
    }

    /// A PutRequest whose encoding has exactly `length` bytes.
    pub(crate) fn put_of_length(&mut self, length: usize) -> pb::PutRequest {
        let mut request = pb::PutRequest { key: Bytes::from_static(b"big"), ..Default::default() };
        request.value = self.filler(length - 16);
        request.value = self.filler(length - 16 + (length - request.encoded_len()));
        assert_eq!(request.encoded_len(), length, "the length of a value's length does not change here");
        request
    }

    /// A DeleteRangeRequest, mostly of few keys.
    pub(crate) fn delete_range(&mut self) -> pb::DeleteRangeRequest {
        let key = self.key();
        let range_end = match self.random.below(20) {
            0..=11 => Bytes::new(),
            12 | 13 => prefix_end(&key),
            14 => Bytes::from_static(b"\0"),
            _ => self.random.pick(&self.keys).clone(),
        };
        pb::DeleteRangeRequest { key, range_end, prev_kv: self.random.chance(1, 3) }
    }

    fn compare(&mut self, known: Knowledge) -> pb::Compare {
        use pb::compare::TargetUnion;
        let key = self.key();
        let range_end = if self.random.chance(1, 4) { self.range_end(&key) } else { Bytes::new() };
        let mut result = *self.random.pick(&[0, 0, 1, 2, 3]);
        let mut target = *self.random.pick(&[0, 1, 2, 3, 4]);
        let number = match self.random.below(4) {
            0 => self.random.between(0, 3),
            1 => 0,
            2 => known.current,
            _ => self.random.between(0, known.current.max(1)),
        };
        let mut kind = target;
        if self.random.chance(1, 60) {
            // The union does not belong to the target.
            kind = *self.random.pick(&[0, 1, 2, 3, 4, 5]);
        }
        if self.random.chance(1, 150) {
            result = *self.random.pick(&[4, -1, 1000]);
        }
        if self.random.chance(1, 150) {
            target = *self.random.pick(&[5, -1, 1000]);
        }
        let target_union = match kind {
            0 => Some(TargetUnion::Version(number)),
            1 => Some(TargetUnion::CreateRevision(number)),
            2 => Some(TargetUnion::ModRevision(number)),
            3 => Some(TargetUnion::Value(self.value())),
            4 => Some(TargetUnion::Lease(self.random.between(-1, 1))),
            _ => None,
        };
        pb::Compare { result, target, key, target_union, range_end }
    }

    fn branch(&mut self, known: Knowledge, depth: u64, reads_only: bool) -> Vec<pb::RequestOp> {
        let count = *self.random.pick(&[0, 1, 1, 1, 2, 2, 3, 4]);
        (0..count).map(|_| self.request_op(known, depth, reads_only)).collect()
    }

    fn request_op(&mut self, known: Knowledge, depth: u64, reads_only: bool) -> pb::RequestOp {
        use pb::request_op::Request;
        if self.random.chance(1, 300) {
            return pb::RequestOp { request: None };
        }
        let request = match self.random.below(20) {
            _ if reads_only => Request::RequestRange(self.range_inside(known)),
            0..=5 => Request::RequestRange(self.range_inside(known)),
            6..=13 => Request::RequestPut(self.put()),
            14..=16 => Request::RequestDeleteRange(self.delete_range()),
            _ if depth > 0 => Request::RequestTxn(self.txn_of(known, depth - 1, false)),
            _ => Request::RequestPut(self.put()),
        };
        pb::RequestOp { request: Some(request) }
    }

    fn range_inside(&mut self, known: Knowledge) -> pb::RangeRequest {
        let mut request = self.range(known);
        // A bad revision fails the whole txn: let most pass.
        if self.random.chance(3, 4) {
            request.revision = 0;
        }
        request
    }

    fn txn_of(&mut self, known: Knowledge, depth: u64, reads_only: bool) -> pb::TxnRequest {
        let compares = *self.random.pick(&[0, 0, 1, 1, 2, 3]);
        pb::TxnRequest {
            compare: (0..compares).map(|_| self.compare(known)).collect(),
            success: self.branch(known, depth, reads_only),
            failure: self.branch(known, depth, reads_only),
        }
    }

    /// A TxnRequest: nested, with range compares, duplicate keys, empty unions, too many operations.
    pub(crate) fn txn(&mut self, known: Knowledge) -> pb::TxnRequest {
        let mut request = match self.random.below(40) {
            0 => self.txn_of_many(),
            1..=4 => self.txn_of(known, 0, true),
            5..=20 => self.txn_of(known, 0, false),
            _ => self.txn_of(known, 3, false),
        };
        if deletes(&request) {
            // etcd 3.7.1 crashes, at each start again, on a put with ignore_value or ignore_lease of a key that its
            // txn deletes when one of the two is nested.
            ignore_nothing(&mut request);
        }
        request
    }

    fn txn_of_many(&mut self) -> pb::TxnRequest {
        use pb::request_op::Request;
        let count = *self.random.pick(&[TXN_OPS_MAX - 1, TXN_OPS_MAX, TXN_OPS_MAX + 1, 300]);
        let put = |index: usize| pb::RequestOp {
            request: Some(Request::RequestPut(pb::PutRequest {
                key: format!("many/{index:03}").into(),
                value: Bytes::from_static(b"of many"),
                ..Default::default()
            })),
        };
        let puts: Vec<_> = (0..count).map(put).collect();
        match self.random.below(3) {
            0 => pb::TxnRequest { success: puts, ..Default::default() },
            1 => pb::TxnRequest { failure: puts, ..Default::default() },
            _ => {
                // What is left for a nested txn is the limit less its parent's size.
                let inner = pb::TxnRequest { success: puts, ..Default::default() };
                let nested = pb::RequestOp { request: Some(Request::RequestTxn(inner)) };
                pb::TxnRequest { success: vec![nested], ..Default::default() }
            }
        }
    }

    /// A CompactionRequest, mostly of a revision not far below the current one.
    pub(crate) fn compact(&mut self, known: Knowledge) -> pb::CompactionRequest {
        let revision = match self.random.below(8) {
            0 => self.revision(known),
            1 => known.current,
            2 => known.compacted,
            _ => self.random.between(known.compacted, known.current),
        };
        pb::CompactionRequest { revision, physical: self.random.chance(1, 2) }
    }
}

fn ops(txn: &pb::TxnRequest) -> impl Iterator<Item = &pb::request_op::Request> {
    txn.success.iter().chain(&txn.failure).filter_map(|op| op.request.as_ref())
}

fn deletes(txn: &pb::TxnRequest) -> bool {
    use pb::request_op::Request;
    ops(txn).any(|op| match op {
        Request::RequestDeleteRange(_) => true,
        Request::RequestTxn(inner) => deletes(inner),
        Request::RequestPut(_) | Request::RequestRange(_) => false,
    })
}

fn ignore_nothing(txn: &mut pb::TxnRequest) {
    use pb::request_op::Request;
    for op in txn.success.iter_mut().chain(&mut txn.failure).filter_map(|op| op.request.as_mut()) {
        match op {
            Request::RequestPut(put) => (put.ignore_value, put.ignore_lease) = (false, false),
            Request::RequestTxn(inner) => ignore_nothing(inner),
            Request::RequestDeleteRange(_) | Request::RequestRange(_) => {}
        }
    }
}

/// The end of the range of all keys that begin with `key`.
pub(crate) fn prefix_end(key: &[u8]) -> Bytes {
    let mut end = key.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(b"\0")
}

fn keys() -> Vec<Bytes> {
    let mut keys: Vec<Bytes> = [
        "a",
        "b",
        "c",
        "d",
        "a/a",
        "a/b",
        "a/c",
        "a/b/c",
        "b/1",
        "b/2",
        "b/3",
        "foo",
        "foo1",
        "foo2",
        "fop",
        "registry/pods/x",
        "registry/pods/y",
        "\0",
        "a\0",
        "a\0\0",
        "a\0b",
    ]
    .map(|text| Bytes::from_static(text.as_bytes()))
    .into();
    for binary in [&b"\xff"[..], b"\xff\xff", b"a\xff", b"a\xff\xff", b"\x80", b"\0\xff", b"\xff\0"] {
        keys.push(Bytes::from_static(binary));
    }
    for (length, last) in [(255, b'x'), (256, b'y'), (1500, b'z'), (1500, b'0'), (4096, b'1')] {
        let mut long = vec![b'l'; length];
        long.push(last);
        keys.push(long.into());
    }
    keys
}
