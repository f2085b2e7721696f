//! The naive store: a list of all rows ever written, and etcd's rules spelled out over it.
//!
//! Invariants
//! - Nothing here shares code with what it judges; every answer is worked out from the list alone.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::codec::crc32c;
use crate::command::compare::TargetUnion;
use crate::command::request_op::Request;
use crate::command::response_op::Response;
use crate::command::{
    Command, Compare, DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, PutResponse, RangeRequest,
    RangeResponse, ResponseHeader, ResponseOp, TxnRequest, TxnResponse,
};
use crate::mvcc::quicksort::Quicksort;
use crate::mvcc::{Error, Progress, Work};

/// One change.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct ModelRow {
    pub(crate) main: i64,
    pub(crate) sub: u32,
    pub(crate) key: Bytes,
    /// `None` for a deletion.
    pub(crate) pair: Option<KeyValue>,
}

/// What a command answers here.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum ModelAnswer {
    Put(PutResponse),
    Delete(DeleteRangeResponse),
    Txn(TxnResponse),
    Compact(i64),
    Noop,
}

/// The whole history.
#[derive(Clone, Default, Debug)]
pub(crate) struct Model {
    pub(crate) rows: Vec<ModelRow>,
    pub(crate) current: i64,
    pub(crate) compacted: i64,
    pub(crate) leases: BTreeSet<i64>,
    /// Checksums of compactions: revision to checksum and lower bound.
    pub(crate) remembered: BTreeMap<i64, (u32, i64)>,
    /// Rows of the command in progress.
    pending: u32,
}

type State = BTreeMap<Bytes, KeyValue>;

fn contains(key: &[u8], end: &[u8], candidate: &[u8]) -> bool {
    match end {
        [] => candidate == key,
        [0] => candidate >= key,
        _ => candidate >= key && candidate < end,
    }
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..Default::default() })
}

impl Model {
    pub(crate) fn new() -> Self {
        Self { current: 1, compacted: -1, ..Self::default() }
    }

    /// What lives at a revision.
    pub(crate) fn state(&self, revision: i64) -> State {
        let mut state = State::new();
        for row in self.rows.iter().filter(|row| row.main <= revision) {
            match &row.pair {
                Some(pair) => state.insert(row.key.clone(), pair.clone()),
                None => state.remove(&row.key),
            };
        }
        state
    }

    /// The revision that reads inside the command in progress see.
    fn seen(&self) -> i64 {
        self.current + i64::from(self.pending > 0)
    }

    fn now(&self) -> State {
        self.state(self.seen())
    }

    /// The same steps as etcd's executeRange, one after the other.
    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, Error> {
        let current = self.seen();
        let mut revision = request.revision;
        if revision > current {
            return Err(Error::FutureRevision);
        }
        if revision <= 0 {
            revision = current;
        }
        if revision < self.compacted {
            return Err(Error::Compacted);
        }
        let state = self.state(revision);
        let mut pairs: Vec<KeyValue> =
            state.into_values().filter(|pair| contains(&request.key, &request.range_end, &pair.key)).collect();
        let count = i64::try_from(pairs.len()).unwrap();
        if request.count_only {
            return Ok(RangeResponse { header: header(current), count, ..Default::default() });
        }
        let filters = [
            request.max_mod_revision,
            request.min_mod_revision,
            request.max_create_revision,
            request.min_create_revision,
        ];
        let default_order = request.sort_order == 0 || (request.sort_target == 0 && request.sort_order == 1);
        let cut_early = request.limit > 0 && default_order && filters.iter().all(|bound| *bound == 0);
        let limit = usize::try_from(request.limit).unwrap_or(0);
        if cut_early {
            pairs.truncate(limit + 1);
        }
        let above = |value: i64, min: i64| min == 0 || value >= min;
        let below = |value: i64, max: i64| max == 0 || value <= max;
        pairs.retain(|pair| below(pair.mod_revision, filters[0]) && above(pair.mod_revision, filters[1]));
        pairs.retain(|pair| below(pair.create_revision, filters[2]) && above(pair.create_revision, filters[3]));
        pairs = sorted(pairs, request.sort_target, request.sort_order == 2);
        let more = limit > 0 && pairs.len() > limit;
        if more {
            pairs.truncate(limit);
        }
        if request.keys_only {
            for pair in &mut pairs {
                pair.value = Bytes::new();
                if request.sort_target != 4 {
                    pair.lease = 0;
                }
            }
        }
        Ok(RangeResponse { header: header(current), kvs: pairs, more, count })
    }

    pub(crate) fn apply(&mut self, command: &Command) -> Result<ModelAnswer, Error> {
        assert_eq!(self.pending, 0);
        let answer = match command {
            Command::Put(put) => {
                self.check_put(put)?;
                let response = self.put(put);
                ModelAnswer::Put(PutResponse { header: None, ..response })
            }
            Command::DeleteRange(delete) => {
                ModelAnswer::Delete(DeleteRangeResponse { header: None, ..self.delete(delete) })
            }
            Command::Txn(txn) => {
                let began = self.now();
                self.check_txn(txn, &began, &mut Vec::new())?;
                ModelAnswer::Txn(TxnResponse { header: None, ..self.txn(txn, &began)? })
            }
            Command::Compact(compact) => {
                if compact.revision <= self.compacted {
                    return Err(Error::Compacted);
                }
                if compact.revision > self.current {
                    return Err(Error::FutureRevision);
                }
                self.compacted = compact.revision;
                ModelAnswer::Compact(compact.revision)
            }
            Command::Noop | Command::Alarm(_) | Command::Downgrade(_) => ModelAnswer::Noop,
            Command::Lease(_) => unreachable!("no test here has leases granted"),
        };
        self.current = self.seen();
        self.pending = 0;
        Ok(answer)
    }

    fn check_put(&self, put: &PutRequest) -> Result<(), Error> {
        if put.lease != 0 && !self.leases.contains(&put.lease) {
            return Err(Error::LeaseNotFound);
        }
        if (put.ignore_value || put.ignore_lease) && !self.now().contains_key(&put.key) {
            return Err(Error::KeyNotFound);
        }
        Ok(())
    }

    fn push(&mut self, key: &Bytes, pair: Option<KeyValue>) {
        self.rows.push(ModelRow { main: self.current + 1, sub: self.pending, key: key.clone(), pair });
        self.pending += 1;
    }

    fn put(&mut self, put: &PutRequest) -> PutResponse {
        let previous = self.now().remove(&put.key);
        let kept = previous.clone().unwrap_or_default();
        let main = self.current + 1;
        let pair = KeyValue {
            key: put.key.clone(),
            create_revision: if previous.is_some() { kept.create_revision } else { main },
            mod_revision: main,
            version: kept.version + 1,
            value: if put.ignore_value { kept.value } else { put.value.clone() },
            lease: if put.ignore_lease { kept.lease } else { put.lease },
        };
        self.push(&put.key, Some(pair));
        PutResponse { header: header(main), prev_kv: previous.filter(|_| put.prev_kv) }
    }

    fn delete(&mut self, delete: &DeleteRangeRequest) -> DeleteRangeResponse {
        let victims: Vec<KeyValue> =
            self.now().into_values().filter(|pair| contains(&delete.key, &delete.range_end, &pair.key)).collect();
        for pair in &victims {
            self.push(&pair.key, None);
        }
        DeleteRangeResponse {
            header: header(self.seen()),
            deleted: i64::try_from(victims.len()).unwrap(),
            prev_kvs: if delete.prev_kv { victims } else { Vec::new() },
        }
    }

    fn check_txn(&self, txn: &TxnRequest, began: &State, deleted: &mut Vec<(Bytes, Bytes)>) -> Result<(), Error> {
        let branch = if holds_all(began, &txn.compare) { &txn.success } else { &txn.failure };
        for op in branch {
            match &op.request {
                Some(Request::RequestRange(range)) if range.revision == 0 => {}
                Some(Request::RequestRange(range)) if range.revision > self.current => {
                    return Err(Error::FutureRevision);
                }
                Some(Request::RequestRange(range)) if range.revision < self.compacted => return Err(Error::Compacted),
                Some(Request::RequestRange(_)) | None => {}
                Some(Request::RequestPut(put)) => {
                    self.check_put(put)?;
                    let keeps = put.ignore_lease || put.ignore_value;
                    if keeps && deleted.iter().any(|(key, end)| contains(key, end, &put.key)) {
                        return Err(Error::KeyNotFound);
                    }
                }
                Some(Request::RequestDeleteRange(delete)) => {
                    deleted.push((delete.key.clone(), delete.range_end.clone()));
                }
                Some(Request::RequestTxn(nested)) => self.check_txn(nested, began, deleted)?,
            }
        }
        Ok(())
    }

    fn txn(&mut self, txn: &TxnRequest, began: &State) -> Result<TxnResponse, Error> {
        let succeeded = holds_all(began, &txn.compare);
        let mut responses = Vec::new();
        for op in if succeeded { &txn.success } else { &txn.failure } {
            let response = match &op.request {
                Some(Request::RequestRange(range)) => Some(Response::ResponseRange(self.range(range)?)),
                Some(Request::RequestPut(put)) => Some(Response::ResponsePut(self.put(put))),
                Some(Request::RequestDeleteRange(delete)) => Some(Response::ResponseDeleteRange(self.delete(delete))),
                Some(Request::RequestTxn(nested)) => Some(Response::ResponseTxn(self.txn(nested, began)?)),
                None => None,
            };
            responses.push(ResponseOp { response });
        }
        Ok(TxnResponse { header: Some(ResponseHeader::default()), succeeded, responses })
    }

    /// The rows that a finished compaction leaves.
    pub(crate) fn retained(&self) -> Vec<ModelRow> {
        self.retained_at(self.compacted)
    }

    fn retained_at(&self, compacted: i64) -> Vec<ModelRow> {
        let newest = self.newest(compacted);
        let keep = |row: &ModelRow| {
            row.main > compacted
                || (newest.get(&row.key) == Some(&(row.main, row.sub)) && (row.pair.is_some() || row.main == compacted))
        };
        self.rows.iter().filter(|row| keep(row)).cloned().collect()
    }

    /// The place of the last row of each key at or below a revision.
    fn newest(&self, revision: i64) -> BTreeMap<Bytes, (i64, u32)> {
        let mut newest = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.main <= revision) {
            newest.insert(row.key.clone(), (row.main, row.sub));
        }
        newest
    }

    /// The rows that etcd's index would keep at a revision. A key's generations end with its tombstones; the first one
    /// that ends at or after the revision gives its last row up to there, unless that is the tombstone itself.
    fn keep(&self, revision: i64) -> BTreeSet<(i64, u32)> {
        let mut generations: BTreeMap<&Bytes, Vec<Vec<&ModelRow>>> = BTreeMap::new();
        for row in &self.rows {
            let of_key = generations.entry(&row.key).or_insert_with(|| vec![Vec::new()]);
            of_key.last_mut().unwrap().push(row);
            if row.pair.is_none() {
                of_key.push(Vec::new());
            }
        }
        let mut keep = BTreeSet::new();
        for of_key in generations.values() {
            let ends_later = |generation: &&Vec<&ModelRow>| {
                generation.last().is_none_or(|last| last.pair.is_some() || last.main >= revision)
            };
            let generation = of_key.iter().find(ends_later).unwrap();
            if let Some(row) = generation.iter().rev().find(|row| row.main <= revision)
                && row.pair.is_some()
            {
                keep.insert((row.main, row.sub));
            }
        }
        keep
    }

    /// etcd's rule: the set of rows to keep at the hashed revision, then one pass over the rows. With the lower bound.
    pub(crate) fn hash(&self, revision: i64) -> Result<(u32, i64), Error> {
        if let Some(remembered) = self.remembered.get(&revision) {
            return Ok(*remembered);
        }
        if revision > 0 && revision < self.compacted {
            return Err(Error::Compacted);
        }
        if revision > self.current {
            return Err(Error::FutureRevision);
        }
        let revision = if revision == 0 { self.current } else { revision };
        Ok((self.checksum(self.compacted, revision, &self.keep(revision)), self.compacted))
    }

    /// What etcd remembers of a compaction to `revision` after a finished one to `lower`. Its index keeps tombstones at
    /// exactly the revision then.
    pub(crate) fn remember(&mut self, lower: i64, revision: i64) {
        let mut keep = self.keep(revision);
        let tombstones = self.rows.iter().filter(|row| row.main == revision && row.pair.is_none());
        keep.extend(tombstones.map(|row| (row.main, row.sub)));
        self.remembered.insert(revision, (self.checksum(lower, revision, &keep), lower));
    }

    fn checksum(&self, lower: i64, revision: i64, keep: &BTreeSet<(i64, u32)>) -> u32 {
        let mut hash = crc32c(0, b"key");
        for row in self.retained_at(lower).iter().filter(|row| row.main <= revision) {
            if row.main <= lower && !keep.is_empty() && !keep.contains(&(row.main, row.sub)) {
                continue;
            }
            if row.main == lower && row.pair.is_none() {
                continue;
            }
            hash = crc32c(hash, &etcd_row(row));
        }
        hash
    }
}

/// Sorts pairs that stand in the order of their keys. Where equal ones end is told by the sort whose recordings of Go are
/// beside it: the one thing here that is not worked out anew.
fn sorted(pairs: Vec<KeyValue>, target: i32, descending: bool) -> Vec<KeyValue> {
    let values: BTreeSet<Bytes> = pairs.iter().map(|pair| pair.value.clone()).collect();
    let rank = |value: &Bytes| values.iter().position(|other| other == value).unwrap();
    let numbers: Vec<i64> = match target {
        0 if descending => (0..).take(pairs.len()).collect(),
        0 => return pairs,
        1 => pairs.iter().map(|pair| pair.version).collect(),
        2 => pairs.iter().map(|pair| pair.create_revision).collect(),
        3 => pairs.iter().map(|pair| pair.mod_revision).collect(),
        _ => pairs.iter().map(|pair| i64::try_from(rank(&pair.value)).unwrap()).collect(),
    };
    let mut sort = Quicksort::new(numbers.into_iter(), descending);
    assert_eq!(sort.step(&mut Work::unbounded()), Progress::Done);
    (0..pairs.len()).map(|place| pairs[sort.place(place)].clone()).collect()
}

fn etcd_row(row: &ModelRow) -> Vec<u8> {
    let mut bytes = row.main.to_be_bytes().to_vec();
    bytes.push(b'_');
    bytes.extend_from_slice(&i64::from(row.sub).to_be_bytes());
    let pair = row.pair.clone().unwrap_or_else(|| {
        bytes.push(b't');
        KeyValue { key: row.key.clone(), ..Default::default() }
    });
    bytes.extend_from_slice(&prost::Message::encode_to_vec(&pair));
    bytes
}

fn holds_all(state: &State, compares: &[Compare]) -> bool {
    compares.iter().all(|compare| {
        let found: Vec<&KeyValue> =
            state.values().filter(|pair| contains(&compare.key, &compare.range_end, &pair.key)).collect();
        if found.is_empty() {
            return compare.target != 3 && holds(compare, &KeyValue::default());
        }
        found.into_iter().all(|pair| holds(compare, pair))
    })
}

fn holds(compare: &Compare, pair: &KeyValue) -> bool {
    let union = compare.target_union.as_ref();
    let number = |value: i64, given: Option<i64>| value.cmp(&given.unwrap_or(0));
    let ordering = match compare.target {
        0 => number(pair.version, if let Some(TargetUnion::Version(given)) = union { Some(*given) } else { None }),
        1 => number(
            pair.create_revision,
            if let Some(TargetUnion::CreateRevision(given)) = union { Some(*given) } else { None },
        ),
        2 => number(
            pair.mod_revision,
            if let Some(TargetUnion::ModRevision(given)) = union { Some(*given) } else { None },
        ),
        3 => pair.value.cmp(&if let Some(TargetUnion::Value(given)) = union { given.clone() } else { Bytes::new() }),
        4 => number(pair.lease, if let Some(TargetUnion::Lease(given)) = union { Some(*given) } else { None }),
        _ => std::cmp::Ordering::Equal,
    };
    match compare.result {
        0 => ordering.is_eq(),
        1 => ordering.is_gt(),
        2 => ordering.is_lt(),
        3 => ordering.is_ne(),
        _ => true,
    }
}
