//! Stores of every kind, there and back.

use bytes::Bytes;
use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Client, Random, Scratch, Server, oracle_is_old, seed_from_env};
use crate::round::{Saved, compare, revision, runtime, start};

async fn put(client: &Client, key: String, value: Vec<u8>, lease: i64) {
    let request = pb::PutRequest { key: key.into(), value: value.into(), lease, ..Default::default() };
    client.put(&request).await.expect("a good request");
}

async fn put_some(client: &Client, count: usize) {
    for index in 0..count {
        put(client, format!("{index}"), vec![1; 100], 0).await;
    }
}

async fn delete(client: &Client, key: &str, range_end: Vec<u8>) {
    let request = pb::DeleteRangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: range_end.into(),
        ..Default::default()
    };
    client.delete_range(&request).await.expect("a good request");
}

async fn compact(client: &Client, revision: i64, physical: bool) {
    client.compact(&pb::CompactionRequest { revision, physical }).await.expect("a good request");
}

async fn grant(client: &Client, id: i64, ttl: i64) {
    client.lease_grant(&pb::LeaseGrantRequest { ttl, id }).await.expect("a good request");
}

/// Saves, restores, compares at these revisions and at the present one, and writes on.
fn there_and_back(scratch: &Scratch, server: &Server, name: &str, revisions: impl IntoIterator<Item = i64>) -> Saved {
    let saved = Saved::of(server, scratch.path().join(format!("{name}.db")));
    let etcd = saved.restored(&scratch.path().join(name), &[]);
    runtime().block_on(async {
        let (ours, theirs) = (Client::open(server.client).await.unwrap(), Client::open(etcd.client).await.unwrap());
        let now = revision(&ours).await;
        assert_eq!(revision(&theirs).await, now);
        assert!(saved.revision() == now || now == 1, "the last row is of the present revision");
        compare(&ours, &theirs, revisions.into_iter().chain([0])).await;
        put(&theirs, "behind".to_owned(), vec![1], 0).await;
        assert_eq!(revision(&theirs).await, now + 1);
    });
    saved
}

/// A seeded mix of everything.
async fn fill(client: &Client, random: &mut Random, operations: usize) {
    for _ in 0..operations {
        let key = format!("key/{:03}", random.below(150));
        let sizes = [0, 1, 30, 400, 1023, 1024, 1025, 3000, 4096, 20_000];
        let value = vec![b'a' + u8::try_from(random.below(26)).unwrap(); *random.pick(&sizes)];
        match random.below(20) {
            0 => delete(client, &key, b"key/1".to_vec()).await,
            1..4 => delete(client, &key, vec![]).await,
            4..6 => put(client, key, value, *random.pick(&[7, 70, -7])).await,
            6 => {
                let put = pb::PutRequest { key: key.clone().into(), value: value.into(), ..Default::default() };
                let delete = pb::DeleteRangeRequest { key: "key/000".into(), ..Default::default() };
                let other = pb::PutRequest { key: (key + "/x").into(), ..Default::default() };
                let operations = [
                    pb::request_op::Request::RequestPut(put),
                    pb::request_op::Request::RequestDeleteRange(delete),
                    pb::request_op::Request::RequestPut(other),
                ];
                let success = operations.map(|one| pb::RequestOp { request: Some(one) }).into();
                let txn = pb::TxnRequest { success, ..Default::default() };
                // One that writes a key twice is refused.
                let _ = client.txn(&txn).await;
            }
            _ => put(client, key, value, 0).await,
        }
    }
}

#[test]
fn random_stores() {
    let seed = seed_from_env("RINGBOLT_SNAPSHOT_SEED");
    for seed in seed..seed + 2 {
        println!("RINGBOLT_SNAPSHOT_SEED={seed}");
        let scratch = Scratch::new("random");
        let server = start(&scratch);
        let mut random = Random::new(seed);
        let (runtime, mut compacted) = (runtime(), 0);
        for (round, name) in ["whole", "compacted", "compacted-again"].into_iter().enumerate() {
            let now = runtime.block_on(async {
                let client = Client::open(server.client).await.unwrap();
                if round == 0 {
                    for (id, ttl) in [(7, 3000), (70, 5000), (-7, 7000), (i64::MAX, 9000)] {
                        grant(&client, id, ttl).await;
                    }
                }
                fill(&client, &mut random, 300).await;
                if round > 0 {
                    compacted = revision(&client).await - 120;
                    compact(&client, compacted, random.chance(1, 2)).await;
                }
                revision(&client).await
            });
            // etcd has no checksum of the compacted revision itself once it is started anew.
            let revisions: Vec<i64> = (0..6).map(|_| random.between(compacted.max(1) + 1, now)).collect();
            there_and_back(&scratch, &server, name, revisions);
        }
    }
}

#[test]
fn an_empty_store() {
    let scratch = Scratch::new("empty");
    let server = start(&scratch);
    let saved = there_and_back(&scratch, &server, "empty", []);
    assert_eq!(saved.buckets["key"], []);
}

#[test]
fn a_store_whose_history_is_gone() {
    let scratch = Scratch::new("gone");
    let server = start(&scratch);
    runtime().block_on(async {
        let client = Client::open(server.client).await.unwrap();
        put_some(&client, 50).await;
        delete(&client, "0", vec![0]).await;
        put(&client, "last".to_owned(), vec![1], 0).await;
        let now = revision(&client).await;
        compact(&client, now, true).await;
    });
    let saved = there_and_back(&scratch, &server, "gone", []);
    assert_eq!(saved.buckets["key"].len(), 1);
}

/// Everything deleted and compacted: what is left is the last deletion, which keeps the revision.
#[test]
fn a_store_of_deletions_alone() {
    let scratch = Scratch::new("deletions");
    let server = start(&scratch);
    runtime().block_on(async {
        let client = Client::open(server.client).await.unwrap();
        put_some(&client, 50).await;
        delete(&client, "0", vec![0]).await;
        let now = revision(&client).await;
        compact(&client, now, true).await;
    });
    let saved = there_and_back(&scratch, &server, "deletions", []);
    assert!(saved.buckets["key"].iter().all(|(key, _)| key.len() == 18), "tombstones only");
    assert_eq!(saved.meta("finishedCompactRev"), saved.meta("scheduledCompactRev"));
}

#[test]
fn large_values_and_many_small_keys() {
    let scratch = Scratch::new("sizes");
    let server = start(&scratch);
    runtime().block_on(async {
        let client = Client::open(server.client).await.unwrap();
        for index in 0..12_u8 {
            put(&client, format!("large/{index}"), vec![index; (1 << 20) + usize::from(index)], 0).await;
        }
        for batch in 0..160 {
            let small = |index: i32| pb::PutRequest {
                key: format!("small/{}", batch * 125 + index).into(),
                value: "v".into(),
                ..Default::default()
            };
            let success = (0..125)
                .map(|index| pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(small(index))) });
            let txn = pb::TxnRequest { success: success.collect(), ..Default::default() };
            client.txn(&txn).await.expect("a good request");
        }
    });
    let saved = there_and_back(&scratch, &server, "sizes", [5, 13, 14, 100]);
    assert_eq!(saved.buckets["key"].len(), 20_012);
}

/// The way back after a loss: revisions go on far above those that watchers have seen.
#[test]
fn a_restore_with_a_bump() {
    let scratch = Scratch::new("bump");
    let server = start(&scratch);
    runtime().block_on(async {
        let client = Client::open(server.client).await.unwrap();
        put_some(&client, 10).await;
    });
    if oracle_is_old() {
        return;
    }
    let saved = Saved::of(&server, scratch.path().join("saved.db"));
    let etcd = saved.restored(&scratch.path().join("bumped"), &["--bump-revision", "1000", "--mark-compacted"]);
    runtime().block_on(async {
        let theirs = Client::open(etcd.client).await.unwrap();
        assert_eq!(revision(&theirs).await, 1011);
        put(&theirs, "behind".to_owned(), vec![1], 0).await;
        assert_eq!(revision(&theirs).await, 1012);
    });
}
