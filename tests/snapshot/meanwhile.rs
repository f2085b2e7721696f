//! A snapshot while the store is written to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Client, Scratch};
use crate::round::{Saved, main_of, runtime, start};

/// Writes one value to two keys.
async fn pair(client: &Client, value: Vec<u8>) -> i64 {
    let operation = |key: &'static str| {
        let put = pb::PutRequest { key: key.into(), value: value.clone().into(), ..Default::default() };
        pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) }
    };
    let txn = pb::TxnRequest { success: vec![operation("left"), operation("right")], ..Default::default() };
    client.txn(&txn).await.expect("a good request").header.expect("each answer has one").revision
}

/// The content is exactly one revision: at least what was acknowledged before, no transaction split, none left out.
#[test]
fn the_content_is_one_revision() {
    let scratch = Scratch::new("meanwhile");
    let server = start(&scratch);
    let (written, stop) = (AtomicI64::new(0), AtomicBool::new(false));
    runtime().block_on(async {
        let client = Client::open(server.client).await.unwrap();
        for index in 0..32_u8 {
            pair(&client, vec![index; 700_000]).await;
        }
    });
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            runtime().block_on(async {
                let client = Client::open(server.client).await.unwrap();
                while !stop.load(Ordering::Relaxed) {
                    written.store(pair(&client, b"small".to_vec()).await, Ordering::Relaxed);
                }
            });
        });
        for round in 0..5 {
            let before = written.load(Ordering::Relaxed);
            let saved = Saved::of(&server, scratch.path().join(format!("{round}.db")));
            let after = written.load(Ordering::Relaxed);
            let mut rows: BTreeMap<i64, usize> = BTreeMap::new();
            for (key, _) in &saved.buckets["key"] {
                *rows.entry(main_of(key)).or_default() += 1;
            }
            let revision = saved.revision();
            // One more may be applied and not yet told.
            assert!((before..=after + 1).contains(&revision), "{before} <= {revision} <= {after}");
            assert!(rows.keys().copied().eq(2..=revision), "no revision is left out");
            assert!(rows.values().all(|count| *count == 2), "no transaction is split");
        }
        let during = written.load(Ordering::Relaxed);
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("the writer ends");
        assert!(during > 34, "puts went on");
    });
}
