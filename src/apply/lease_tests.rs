//! Leases through entries: random commands against a naive store of keys and leases, and the rules one by one.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Answer, Applied, Applier, CommittedEntry, Payload};
use crate::command::{
    AlarmRequest, BatchBuilder, Command, DeleteRangeRequest, Kind, LeaseCheckpoint, LeaseCheckpointRequest,
    LeaseCommand, LeaseExpiry, LeaseGrantRequest, LeaseResponse, LeaseRevokeRequest, PutRequest, Response,
};
use crate::lease::{self, Change, Lease};
use crate::limits::LEASE_TTL_SECONDS_MAX;
use crate::mvcc::Error;
use crate::mvcc::tests::random::Random;
use crate::mvcc::tests::support::{dump, new_tree, pin};
use crate::tree::Tree;
use crate::types::{BootNonce, LeaseId, MemberId, RaftIndex, Term};
use prost::Message;

const MEMBER: MemberId = MemberId(7);
const NONCE: BootNonce = BootNonce(70);
const TERM: Term = Term(5);

struct Store {
    tree: Tree,
    changes: Vec<Change>,
}

impl Store {
    fn new() -> Self {
        Self { tree: new_tree(), changes: Vec::new() }
    }

    /// One command in an entry of its own.
    fn run(&mut self, command: Command) -> Answer {
        let mut builder = BatchBuilder::new(MEMBER, NONCE, 1);
        match &command {
            Command::Lease(command) => {
                let (kind, payload) = command.encode();
                builder.push(kind, &payload);
            }
            Command::Put(put) => builder.push(Kind::Put, &put.encode_to_vec()),
            Command::DeleteRange(delete) => builder.push(Kind::DeleteRange, &delete.encode_to_vec()),
            Command::Alarm(alarm) => builder.push(Kind::Alarm, &alarm.encode_to_vec()),
            Command::Downgrade(info) => builder.push(Kind::Downgrade, &info.encode_to_vec()),
            Command::Txn(_) | Command::Compact(_) | Command::Noop => panic!("not here"),
        }
        let index = pin(&self.tree).stamp().applied_index.next();
        let entry = CommittedEntry { index, term: TERM, payload: Payload::Batch(builder.finish()) };
        let mut answers = Vec::new();
        let applied: Applied =
            Applier::new(MEMBER, NONCE).apply(&mut self.tree, &[entry], |_| true, &mut answers).unwrap();
        self.changes.extend(applied.into_lease_changes());
        answers.pop().unwrap()
    }

    /// A command about leases: the revision after it and its answer.
    fn lease(&mut self, command: LeaseCommand) -> Result<(i64, LeaseResponse), Error> {
        self.run(command.into()).1.map(|outcome| {
            let Response::Lease(response) = outcome.response else { panic!("{outcome:?} to a command about leases") };
            (outcome.revision.0, response)
        })
    }

    fn grant(&mut self, id: i64, ttl: i64) -> Result<(i64, LeaseResponse), Error> {
        self.lease(LeaseCommand::Grant(LeaseGrantRequest { id, ttl }))
    }

    fn revoke(&mut self, id: i64) -> Result<(i64, LeaseResponse), Error> {
        self.lease(LeaseCommand::Revoke(LeaseRevokeRequest { id }))
    }

    fn expire(&mut self, term: u64, id: i64) -> Result<(i64, LeaseResponse), Error> {
        self.lease(LeaseCommand::Expire(LeaseExpiry { term: Term(term), id: LeaseId(id) }))
    }

    fn put(&mut self, key: &str, lease: i64) -> Result<i64, Error> {
        let key = Bytes::copy_from_slice(key.as_bytes());
        self.run(Command::Put(PutRequest { key, lease, ..Default::default() })).1.map(|outcome| outcome.revision.0)
    }

    fn attached(&self, id: i64) -> Vec<Vec<u8>> {
        lease::attached(&pin(&self.tree).view(), LeaseId(id), None, 1000).unwrap()
    }

    fn leases(&self) -> Vec<Lease> {
        lease::all(&pin(&self.tree).view()).unwrap()
    }
}

fn granted(revision: i64, id: i64, ttl_seconds: i64) -> Result<(i64, LeaseResponse), Error> {
    Ok((revision, LeaseResponse::Granted { id: LeaseId(id), ttl_seconds }))
}

#[test]
fn a_revocation_deletes_its_keys_in_order_in_one_revision() {
    let mut store = Store::new();
    assert_eq!(store.grant(9, 60), granted(1, 9, 60));
    for key in ["b", "a", "c", "ab"] {
        store.put(key, 9).unwrap();
    }
    store.put("c", 0).unwrap();
    assert_eq!(store.attached(9), [&b"a"[..], b"ab", b"b"]);
    assert_eq!(store.revoke(9), Ok((7, LeaseResponse::Revoked)));
    let rows = dump(&pin(&store.tree).view());
    let last: Vec<_> = rows.iter().filter(|row| row.main == 7).map(|row| (&row.key[..], row.pair.is_none())).collect();
    assert_eq!(last, [(&b"a"[..], true), (&b"ab"[..], true), (&b"b"[..], true)]);
    assert!(store.leases().is_empty() && store.attached(9).is_empty());
    assert_eq!(store.put("a", 9), Err(Error::LeaseNotFound));
    assert_eq!(store.revoke(9), Err(Error::LeaseNotFound));
    assert_eq!(store.revoke(0), Err(Error::LeaseNotFound));
}

#[test]
fn grants_are_refused_as_etcd_refuses_them() {
    let mut store = Store::new();
    assert_eq!(store.grant(1, LEASE_TTL_SECONDS_MAX + 1), Err(Error::LeaseTtlTooLarge));
    assert_eq!(store.grant(0, 5), Err(Error::LeaseNotFound));
    assert_eq!(store.grant(1, LEASE_TTL_SECONDS_MAX), granted(1, 1, LEASE_TTL_SECONDS_MAX));
    assert_eq!(store.grant(1, 5), Err(Error::LeaseExists));
    assert_eq!(store.revoke(1), Ok((1, LeaseResponse::Revoked)), "without keys it is no revision");
    let lease = Lease { id: LeaseId(1), ttl_seconds: LEASE_TTL_SECONDS_MAX, remaining_seconds: 0 };
    assert_eq!(store.changes, [Change::Granted(lease), Change::Revoked(LeaseId(1))]);
}

#[test]
fn an_expiry_of_an_older_term_does_nothing() {
    let mut store = Store::new();
    store.grant(1, 5).unwrap();
    store.put("a", 1).unwrap();
    assert_eq!(store.expire(4, 1), Ok((2, LeaseResponse::Outdated)));
    assert_eq!((store.attached(1).len(), store.changes.len()), (1, 1));
    assert_eq!(store.expire(5, 1), Ok((3, LeaseResponse::Revoked)));
    assert_eq!(store.expire(5, 1), Err(Error::LeaseNotFound));
    assert_eq!(store.changes.len(), 2);
}

#[test]
fn a_checkpoint_notes_what_is_left_of_leases_that_are_there() {
    let mut store = Store::new();
    store.grant(1, 500).unwrap();
    let checkpoints = [(1, 321), (2, 5)].map(|(id, remaining_ttl)| LeaseCheckpoint { id, remaining_ttl }).into();
    let answer = store.lease(LeaseCommand::Checkpoint(LeaseCheckpointRequest { checkpoints }));
    assert_eq!(answer, Ok((1, LeaseResponse::Checkpointed)));
    assert_eq!(store.leases()[0].remaining_seconds, 321);
    assert_eq!(store.changes[1], Change::Checkpointed(LeaseId(1), 321));
}

#[test]
fn alarms_refuse_grants_and_a_corrupt_cluster_keeps_its_leases() {
    let mut store = Store::new();
    store.grant(1, 5).unwrap();
    store.grant(2, 5).unwrap();
    let raise = |alarm| Command::Alarm(AlarmRequest { action: 1, member_id: 3, alarm });
    store.run(raise(1)).1.unwrap();
    assert_eq!(store.grant(3, 5), Err(Error::NoSpace));
    assert_eq!(store.revoke(2), Ok((1, LeaseResponse::Revoked)));
    store.run(raise(2)).1.unwrap();
    assert_eq!(store.grant(3, 5), Err(Error::Corrupt));
    assert_eq!(store.revoke(1), Err(Error::Corrupt));
    assert_eq!(store.expire(TERM.0, 1), Err(Error::Corrupt));
    let checkpoints = vec![LeaseCheckpoint { id: 1, remaining_ttl: 3 }];
    let noted = store.lease(LeaseCommand::Checkpoint(LeaseCheckpointRequest { checkpoints }));
    assert_eq!(noted, Ok((1, LeaseResponse::Checkpointed)));
}

#[test]
fn a_lease_with_more_keys_than_a_chunk() {
    let mut store = Store::new();
    store.grant(1, 5).unwrap();
    for number in 0..2500 {
        store.put(&format!("{number}"), 1).unwrap();
    }
    assert_eq!(store.revoke(1), Ok((2502, LeaseResponse::Revoked)));
    assert!(store.attached(1).is_empty());
}

/// Keys with their leases, and leases.
#[derive(Default)]
struct Model {
    keys: BTreeMap<Bytes, i64>,
    leases: BTreeMap<i64, i64>,
    revision: i64,
}

impl Model {
    fn revoke(&mut self, id: i64) -> bool {
        let there = self.leases.remove(&id).is_some();
        let before = self.keys.len();
        self.keys.retain(|_, lease| *lease != id || !there);
        self.revision += i64::from(self.keys.len() < before);
        there
    }

    fn put(&mut self, put: &PutRequest) -> bool {
        let kept = self.keys.get(&put.key).copied();
        let lease = if put.ignore_lease { kept.unwrap_or(0) } else { put.lease };
        let fine = (put.lease == 0 || self.leases.contains_key(&put.lease))
            && (kept.is_some() || !(put.ignore_lease || put.ignore_value));
        if fine {
            self.keys.insert(put.key.slice(..), lease);
            self.revision += 1;
        }
        fine
    }

    fn delete(&mut self, delete: &DeleteRangeRequest) {
        let hit = |key: &Bytes| match &delete.range_end[..] {
            [] => *key == delete.key,
            [0] => *key >= delete.key,
            _ => *key >= delete.key && *key < delete.range_end,
        };
        let before = self.keys.len();
        self.keys.retain(|key, _| !hit(key));
        self.revision += i64::from(self.keys.len() < before);
    }
}

#[test]
fn random_commands_attach_detach_and_revoke_as_the_model_does() {
    for seed in 1..=40 {
        let (mut store, mut random) = (Store::new(), Random::new(seed));
        let mut model = Model { revision: 1, ..Model::default() };
        for _ in 0..150 {
            let id = i64::try_from(random.below(4)).unwrap() + 1;
            let worked = match random.below(10) {
                0 | 1 => {
                    let fine = !model.leases.contains_key(&id);
                    model.leases.entry(id).or_insert(60 + id);
                    (fine, store.grant(id, 60 + id).is_ok())
                }
                2 => (model.revoke(id), store.revoke(id).is_ok()),
                3 => (model.revoke(id), store.expire(TERM.0, id).is_ok()),
                4 => {
                    let delete = random.delete();
                    model.delete(&delete);
                    (true, store.run(Command::DeleteRange(delete)).1.is_ok())
                }
                _ => {
                    let mut put = random.put();
                    if !put.ignore_lease && random.one_in(2) {
                        put.lease = id;
                    }
                    (model.put(&put), store.run(Command::Put(put)).1.is_ok())
                }
            };
            assert_eq!(worked.0, worked.1, "seed {seed}");
            assert_eq!(pin(&store.tree).stamp().revision.0.max(1), model.revision, "seed {seed}");
        }
        let leases: Vec<_> = store.leases().iter().map(|lease| (lease.id.0, lease.ttl_seconds)).collect();
        assert_eq!(leases, model.leases.iter().map(|(id, ttl)| (*id, *ttl)).collect::<Vec<_>>(), "seed {seed}");
        for id in -1..=5 {
            let keys: Vec<_> = model.keys.iter().filter(|(_, lease)| **lease == id && id != 0).collect();
            let expected: Vec<Vec<u8>> = keys.iter().map(|(key, _)| key.to_vec()).collect();
            assert_eq!(store.attached(id), expected, "seed {seed}, lease {id}");
        }
    }
}

#[test]
fn the_index_moves_with_every_answer() {
    let mut store = Store::new();
    store.grant(1, 5).unwrap();
    store.grant(1, 5).unwrap_err();
    assert_eq!(pin(&store.tree).stamp().applied_index, RaftIndex(2));
}
