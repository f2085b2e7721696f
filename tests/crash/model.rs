//! The store as it must be: what each request does to each state, revision by revision.
//!
//! **Invariants**: a revision is made by exactly one request; a request makes at most one revision.

use std::collections::BTreeMap;

use bytes::Bytes;
use ringbolt::proto::etcdserverpb as pb;
use ringbolt::proto::mvccpb::KeyValue;

/// Keys and what they hold.
pub(crate) type State = BTreeMap<Bytes, KeyValue>;

/// A change of one key: its new value, or its end.
pub(crate) type Change = (Bytes, Option<Bytes>);

/// What a request asks for.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    /// One key.
    Put(Bytes, Bytes),
    /// A key, or the keys from the first up to the second.
    Delete(Bytes, Option<Bytes>),
    /// Several keys at once: the first list if the key's mod revision is as given, else the second.
    Txn {
        /// The key compared.
        key: Bytes,
        /// The mod revision it must have.
        mod_revision: i64,
        /// Changes if it has it.
        then: Vec<Change>,
        /// Changes if not.
        otherwise: Vec<Change>,
    },
}

impl Action {
    /// What it changes in this state; nothing if it makes no revision.
    pub(crate) fn changes(&self, state: &State) -> Vec<Change> {
        match self {
            Self::Put(key, value) => vec![(key.clone(), Some(value.clone()))],
            Self::Delete(key, None) => state.contains_key(key).then(|| (key.clone(), None)).into_iter().collect(),
            Self::Delete(key, Some(end)) if key < end => {
                state.range(key.clone()..end.clone()).map(|(key, _)| (key.clone(), None)).collect()
            }
            Self::Delete(_, Some(_)) => Vec::new(),
            Self::Txn { then, otherwise, .. } => {
                let changes = if self.succeeds(state) { then } else { otherwise };
                let real = |(key, value): &&Change| value.is_some() || state.contains_key(key);
                changes.iter().filter(real).cloned().collect()
            }
        }
    }

    /// Whether its compare holds.
    pub(crate) fn succeeds(&self, state: &State) -> bool {
        match self {
            Self::Txn { key, mod_revision, .. } => state.get(key).map_or(0, |kv| kv.mod_revision) == *mod_revision,
            Self::Put(..) | Self::Delete(..) => true,
        }
    }

    /// The changes that are made in `state` at `revision`.
    pub(crate) fn apply(&self, state: &mut State, revision: i64) {
        for (key, value) in self.changes(state) {
            match value {
                None => drop(state.remove(&key)),
                Some(value) => put(state, key, value, revision),
            }
        }
    }

    /// The request as it is sent.
    pub(crate) fn request(&self) -> pb::TxnRequest {
        match self {
            Self::Txn { key, mod_revision, then, otherwise } => {
                let compare = pb::Compare {
                    result: pb::compare::CompareResult::Equal.into(),
                    target: pb::compare::CompareTarget::Mod.into(),
                    key: key.clone(),
                    target_union: Some(pb::compare::TargetUnion::ModRevision(*mod_revision)),
                    ..Default::default()
                };
                let ops = |changes: &[Change]| changes.iter().map(op).collect();
                pb::TxnRequest { compare: vec![compare], success: ops(then), failure: ops(otherwise) }
            }
            Self::Put(..) | Self::Delete(..) => unreachable!("not a txn"),
        }
    }
}

fn put(state: &mut State, key: Bytes, value: Bytes, revision: i64) {
    let before = state.get(&key);
    let kv = KeyValue {
        key: key.clone(),
        create_revision: before.map_or(revision, |kv| kv.create_revision),
        mod_revision: revision,
        version: before.map_or(1, |kv| kv.version + 1),
        value,
        lease: 0,
    };
    state.insert(key, kv);
}

fn op(change: &Change) -> pb::RequestOp {
    use pb::request_op::Request;
    let (key, value) = change.clone();
    let request = match value {
        Some(value) => Request::RequestPut(pb::PutRequest { key, value, prev_kv: true, ..Default::default() }),
        None => Request::RequestDeleteRange(pb::DeleteRangeRequest { key, prev_kv: true, ..Default::default() }),
    };
    pb::RequestOp { request: Some(request) }
}

/// What an acknowledged request told.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    /// What was asked.
    pub(crate) action: Action,
    /// The revision in the header of the answer.
    pub(crate) revision: i64,
    /// Whether the compare held, as told.
    pub(crate) succeeded: bool,
    /// The pairs that were there before, as told, in the order of the changes.
    pub(crate) before: Vec<Option<KeyValue>>,
}

/// A linearizable read, to be checked against the state of its revision.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    /// The revision in the header of the answer.
    pub(crate) revision: i64,
    /// The highest revision acknowledged to anyone before it was sent.
    pub(crate) floor: i64,
    /// The key.
    pub(crate) key: Bytes,
    /// What it held.
    pub(crate) kv: Option<KeyValue>,
}

/// Everything that clients saw in one round.
#[derive(Default, Debug)]
pub(crate) struct Seen {
    /// Answered writes that made a revision.
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// Answered writes that made none.
    pub(crate) without_effect: u64,
    /// Writes whose answer never came.
    pub(crate) unanswered: Vec<Action>,
    /// Compactions that were answered.
    pub(crate) compacted: i64,
    /// Compactions whose answer never came.
    pub(crate) maybe_compacted: Vec<i64>,
    /// Reads.
    pub(crate) reads: Vec<Read>,
    /// The highest revision acknowledged so far.
    pub(crate) floor: i64,
}
