//! Seeded random commands and ranges, chosen so that they meet: few keys, some of them prefixes of others.

use bytes::Bytes;

use crate::command::compare::TargetUnion;
use crate::command::request_op::Request;
use crate::command::{
    Command, CompactionRequest, Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};

/// xorshift64*.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn between(&mut self, low: i64, high: i64) -> i64 {
        low + i64::try_from(self.below(u64::try_from(high - low + 1).unwrap())).unwrap()
    }

    fn small(&mut self, bound: u64) -> i32 {
        i32::try_from(self.below(bound)).unwrap()
    }

    pub(crate) fn key(&mut self) -> Bytes {
        const KEYS: [&[u8]; 14] = [
            b"a",
            b"a\0",
            b"a\0\0",
            b"ab",
            b"abc",
            b"b",
            b"b\xff",
            b"b\xff\xff",
            b"c/1",
            b"c/2",
            b"c/3",
            b"\0",
            b"\xff",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ];
        let choice = usize::try_from(self.below(20)).unwrap();
        match KEYS.get(choice) {
            Some(key) => Bytes::from_static(key),
            None => Bytes::from(format!("k{:02}", self.below(24))),
        }
    }

    fn range_end(&mut self) -> Bytes {
        match self.below(6) {
            0 | 1 => Bytes::new(),
            2 => Bytes::from_static(b"\0"),
            _ => self.key(),
        }
    }

    fn value(&mut self) -> Bytes {
        match self.below(6) {
            0 => Bytes::new(),
            1 => Bytes::from(vec![b'x'; 5000]),
            // Equal in more bytes than a sort holds.
            2 => Bytes::from(format!("{:>40}{}", "", self.below(4))),
            3 => Bytes::from(vec![b' '; usize::try_from(30 + self.below(5)).unwrap()]),
            _ => Bytes::from(format!("v{}", self.below(10))),
        }
    }

    pub(crate) fn put(&mut self) -> PutRequest {
        let (ignore_value, ignore_lease) = (self.one_in(8), self.one_in(8));
        PutRequest {
            key: self.key(),
            value: if ignore_value { Bytes::new() } else { self.value() },
            lease: if ignore_lease || self.below(10) > 1 { 0 } else { self.between(-1, 3) },
            prev_kv: self.one_in(3),
            ignore_value,
            ignore_lease,
        }
    }

    pub(crate) fn delete(&mut self) -> DeleteRangeRequest {
        // A range to the end of all keys is rare, or little would ever live.
        let range_end = if self.one_in(3) { self.range_end() } else { Bytes::new() };
        DeleteRangeRequest { key: self.key(), range_end, prev_kv: self.one_in(3) }
    }

    pub(crate) fn range(&mut self, current: i64) -> RangeRequest {
        let filtered = self.one_in(4);
        let bound = |random: &mut Self| if filtered && random.one_in(2) { random.between(-1, current + 1) } else { 0 };
        RangeRequest {
            key: self.key(),
            range_end: self.range_end(),
            limit: if self.one_in(2) { self.between(-1, 8) } else { 0 },
            revision: if self.one_in(2) { self.between(-2, current + 1) } else { 0 },
            sort_order: self.small(3),
            sort_target: if self.one_in(2) { self.small(5) } else { 0 },
            serializable: self.one_in(2),
            keys_only: self.one_in(4),
            count_only: self.one_in(6),
            min_mod_revision: bound(self),
            max_mod_revision: bound(self),
            min_create_revision: bound(self),
            max_create_revision: bound(self),
        }
    }

    fn compare(&mut self, current: i64) -> Compare {
        let union = match self.below(6) {
            0 => TargetUnion::Version(self.between(0, 4)),
            1 => TargetUnion::CreateRevision(self.between(0, current)),
            2 => TargetUnion::ModRevision(self.between(0, current)),
            3 => TargetUnion::Value(self.value()),
            4 => TargetUnion::Lease(self.between(0, 2)),
            _ => TargetUnion::Version(0),
        };
        Compare {
            result: self.small(5),
            target: self.small(6),
            key: self.key(),
            range_end: if self.one_in(3) { self.range_end() } else { Bytes::new() },
            target_union: Some(union).filter(|_| self.below(8) > 0),
        }
    }

    pub(crate) fn txn(&mut self, current: i64, depth: u32) -> TxnRequest {
        let compares = if self.one_in(3) { 0 } else { 1 + self.below(2) };
        let ops = |random: &mut Self| (0..random.below(5)).map(|_| random.op(current, depth)).collect();
        TxnRequest {
            compare: (0..compares).map(|_| self.compare(current)).collect(),
            success: ops(self),
            failure: ops(self),
        }
    }

    fn op(&mut self, current: i64, depth: u32) -> RequestOp {
        let request = match self.below(if depth == 0 { 8 } else { 10 }) {
            0..3 => Request::RequestPut(self.put()),
            3..5 => Request::RequestDeleteRange(self.delete()),
            5..8 => Request::RequestRange(self.range(current)),
            _ => Request::RequestTxn(self.txn(current, depth - 1)),
        };
        RequestOp { request: Some(request) }
    }

    pub(crate) fn command(&mut self, current: i64) -> Command {
        match self.below(40) {
            0..22 => Command::Put(self.put()),
            22..28 => Command::DeleteRange(self.delete()),
            28..38 => Command::Txn(self.txn(current, 2)),
            38 => Command::Compact(CompactionRequest { revision: self.between(-1, current + 1), physical: false }),
            _ => Command::Noop,
        }
    }
}
