//! What the simulated clients ask, and what each answer obliges the cluster to.
//!
//! Invariants
//! - Every value written carries the number of its operation, so a value names the one operation that wrote it.
//! - A client has at most one operation under way; an operation whose member crashed is forgotten: it may have
//!   happened or not, and the chronicle takes either.

use bytes::Bytes;
use prost::Message;
use ringbolt::command::{Kind, Outcome, Response};
use ringbolt::proto::etcdserverpb as pb;

use crate::chronicle::Change;
use crate::rng::Rng;

/// Keys that all clients fight over.
pub(crate) const KEYS: u64 = 24;

/// The first of the keys that are put with leases and that no client deletes.
const LEASED_ONLY: u64 = 900;

/// How many of those there are.
const LEASED_ONLY_KEYS: u64 = 16;

/// One request.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// A replicated command, as bytes for the batch.
    Write {
        /// What kind of command.
        kind: Kind,
        /// The request, encoded.
        payload: Bytes,
    },
    /// A range read of `[from, to)`.
    Read {
        /// First key.
        from: Vec<u8>,
        /// First key not wanted.
        to: Vec<u8>,
        /// Whether it may be answered without asking anybody.
        serializable: bool,
    },
    /// How long does this lease live, and which keys hang on it.
    TimeToLive(i64),
}

/// What an acknowledged write obliges to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Duty {
    /// The revision holds exactly these changes.
    Changes(i64, Vec<Change>),
    /// Nothing was changed.
    Nothing,
}

/// Draws operations.
#[derive(Debug)]
pub(crate) struct Workload {
    rng: Rng,
    operations: u64,
    /// Bytes of filler in a value, at most: above a quarter page they go to overflow runs.
    pub(crate) value_bytes_max: u64,
    /// Compactions, per thousand operations.
    pub(crate) compactions_per_mille: u64,
    /// Alarms raised, per thousand operations; ten times as many are disarmed.
    pub(crate) alarms_per_mille: u64,
}

impl Workload {
    /// A workload from a seeded generator.
    pub(crate) fn new(rng: Rng, value_bytes_max: u64, compactions_per_mille: u64, alarms_per_mille: u64) -> Self {
        Self { rng, operations: 0, value_bytes_max, compactions_per_mille, alarms_per_mille }
    }

    /// The next operation; `revision` is about where the store stands.
    pub(crate) fn draw(&mut self, revision: i64) -> Operation {
        self.operations += 1;
        if self.rng.chance(self.compactions_per_mille) {
            let back = i64::try_from(self.rng.below(20)).expect("small");
            let request = pb::CompactionRequest { revision: (revision - back).max(1), physical: false };
            return write(Kind::Compact, &request);
        }
        // Runs without alarms draw what they always drew.
        if self.alarms_per_mille > 0 && self.rng.chance(11 * self.alarms_per_mille) {
            let action = if self.rng.below(11) == 0 { 1 } else { 2 };
            let alarm = if self.rng.below(3) == 0 { 2 } else { 1 };
            return write(Kind::Alarm, &pb::AlarmRequest { action, member_id: 1 + self.rng.below(2), alarm });
        }
        match self.rng.below(100) {
            0..45 => {
                let request = self.put();
                write(Kind::Put, &request)
            }
            45..55 => {
                let request = self.delete();
                write(Kind::DeleteRange, &request)
            }
            55..70 => {
                let request = self.txn(revision);
                write(Kind::Txn, &request)
            }
            draw => {
                let (from, to) = self.span();
                Operation::Read { from, to, serializable: draw >= 95 }
            }
        }
    }

    /// A put with a lease, mostly of a key that hangs on leases only; 0 is none.
    pub(crate) fn leased_put(&mut self, lease: i64) -> Operation {
        self.operations += 1;
        let own = self.rng.chance(700);
        let number = if own { LEASED_ONLY + self.rng.below(LEASED_ONLY_KEYS) } else { self.rng.below(KEYS) };
        let value = self.value();
        let request = pb::PutRequest { key: key(number).into(), value: value.into(), lease, ..Default::default() };
        write(Kind::Put, &request)
    }

    fn key(&mut self) -> Vec<u8> {
        key(self.rng.below(KEYS))
    }

    fn value(&mut self) -> Vec<u8> {
        let mut value = format!("op{}-{}", self.operations, self.rng.bits()).into_bytes();
        let filler = usize::try_from(self.rng.below(self.value_bytes_max)).expect("small");
        value.resize(value.len() + filler, b'.');
        value
    }

    fn span(&mut self) -> (Vec<u8>, Vec<u8>) {
        let low = self.rng.below(KEYS);
        let high = (low + 1 + self.rng.below(KEYS)).min(KEYS);
        (key(low), key(high))
    }

    fn put(&mut self) -> pb::PutRequest {
        let (key, value) = (self.key(), self.value());
        pb::PutRequest { key: key.into(), value: value.into(), prev_kv: self.rng.chance(300), ..Default::default() }
    }

    fn delete(&mut self) -> pb::DeleteRangeRequest {
        let (from, to) = self.span();
        let range_end = if self.rng.chance(500) { Bytes::new() } else { to.into() };
        pb::DeleteRangeRequest { key: from.into(), range_end, prev_kv: true }
    }

    fn txn(&mut self, revision: i64) -> pb::TxnRequest {
        let guard = pb::Compare {
            result: pb::compare::CompareResult::Less.into(),
            target: pb::compare::CompareTarget::Mod.into(),
            key: self.key().into(),
            target_union: Some(pb::compare::TargetUnion::ModRevision(revision - 2)),
            ..Default::default()
        };
        let first = self.rng.below(KEYS);
        let mut puts = |skip: u64| {
            let value = self.value();
            let key = key((first + skip) % KEYS);
            let put = pb::PutRequest { key: key.into(), value: value.into(), ..Default::default() };
            pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) }
        };
        let success = vec![puts(0), puts(1), puts(2)];
        let failure = vec![puts(3)];
        pb::TxnRequest { compare: vec![guard], success, failure }
    }
}

/// The n-th key.
pub(crate) fn key(number: u64) -> Vec<u8> {
    format!("key/{number:03}").into_bytes()
}

/// Whether a key goes only with its lease.
pub(crate) fn is_leased_only(wanted: &[u8]) -> bool {
    wanted.starts_with(b"key/9")
}

/// A write of this request.
pub(crate) fn write(kind: Kind, request: &impl Message) -> Operation {
    Operation::Write { kind, payload: request.encode_to_vec().into() }
}

/// What `outcome` of the write `(kind, payload)` obliges to.
pub(crate) fn duty(kind: Kind, payload: &Bytes, outcome: &Outcome) -> Duty {
    let revision = outcome.revision.0;
    let change =
        |put: &pb::PutRequest| Change { key: put.key.to_vec(), value: Some(put.value.to_vec()), lease: put.lease };
    match (&outcome.response, kind) {
        (Response::Put(_), Kind::Put) => {
            let request = pb::PutRequest::decode(payload.clone()).expect("our own request");
            Duty::Changes(revision, vec![change(&request)])
        }
        (Response::DeleteRange(response), Kind::DeleteRange) => {
            let gone = response.prev_kvs.iter().map(|kv| Change { key: kv.key.to_vec(), value: None, lease: 0 });
            let gone: Vec<_> = gone.collect();
            if gone.is_empty() { Duty::Nothing } else { Duty::Changes(revision, gone) }
        }
        (Response::Txn(response), Kind::Txn) => {
            let request = pb::TxnRequest::decode(payload.clone()).expect("our own request");
            let branch = if response.succeeded { &request.success } else { &request.failure };
            let changes = branch.iter().map(|operation| match &operation.request {
                Some(pb::request_op::Request::RequestPut(put)) => change(put),
                other => panic!("the workload makes only puts, not {other:?}"),
            });
            Duty::Changes(revision, changes.collect())
        }
        (_, Kind::Compact) | (Response::Alarm(_), Kind::Alarm) => Duty::Nothing,
        // What leases oblige to is for the ledger to say.
        (Response::Lease(_), Kind::LeaseGrant | Kind::LeaseRevoke) => Duty::Nothing,
        (response, kind) => panic!("a {kind:?} was answered with {response:?}"),
    }
}
