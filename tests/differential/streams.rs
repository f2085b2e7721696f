//! RangeStream with a sort target and no order: etcd sorts each chunk by itself, so that where chunks end shows in the
//! answer. More keys than the random runs have, of very different sizes.
//!
//! **Invariants**: both servers hold the same keys, written in the same order.

use bytes::Bytes;
use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Client, Random, Scratch, Server, oracle, oracle_is_old, seed_from_env, server_under_test};

const KEYS: usize = 700;
/// What a chunk's answer grows to.
const FLAG: &str = "--max-request-bytes=20000";

fn puts(random: &mut Random) -> Vec<pb::PutRequest> {
    let put = |random: &mut Random| {
        let key = format!("key{:04}", random.below(u64::try_from(KEYS).expect("small")));
        let length = *random.pick(&[0, 1, 3, 20, 200, 2000, 12_000]);
        let first = u8::try_from(random.below(200)).expect("a byte");
        pb::PutRequest { key: key.into(), value: vec![first; length].into(), ..Default::default() }
    };
    (0..2 * KEYS).map(|_| put(random)).collect()
}

fn streams() -> Vec<pb::RangeRequest> {
    let mut all = Vec::new();
    for sort_target in 1..=4 {
        for limit in [0, 1, 7, 10, 11, 12, 35, 300, 5000, -1, i64::MAX] {
            for (key, range_end) in [("\0", "\0"), ("key0100", "key0500"), ("key0001", "")] {
                let (key, range_end) = (Bytes::from_static(key.as_bytes()), Bytes::from_static(range_end.as_bytes()));
                let request = pb::RangeRequest { key, range_end, limit, sort_target, ..Default::default() };
                all.push(pb::RangeRequest { keys_only: true, ..request.clone() });
                all.push(pb::RangeRequest { count_only: true, ..request.clone() });
                all.push(pb::RangeRequest { revision: 600, ..request.clone() });
                all.push(request);
            }
        }
    }
    all
}

#[test]
fn chunks_end_where_etcds_do() {
    if oracle_is_old() {
        return println!("RangeStream came with 3.7");
    }
    let seed = seed_from_env("RINGBOLT_DIFF_SEED");
    println!("RINGBOLT_DIFF_SEED={seed}");
    let mut random = Random::new(seed);
    let scratch = Scratch::new("streams");
    let start = |name: &str, program, flags: &[&str]| {
        let directory = scratch.path().join(name);
        std::fs::create_dir(&directory).expect("a fresh directory");
        Server::start(program, &directory, flags).unwrap_or_else(|failed| panic!("{name} does not start: {failed}"))
    };
    let servers =
        [start("ours", &server_under_test(), &[FLAG]), start("oracle", &oracle(), &[FLAG, "--unsafe-no-fsync"])];
    let puts = puts(&mut random);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let ours = Client::open(servers[0].client).await.expect("it serves");
        let oracle = Client::open(servers[1].client).await.expect("it serves");
        for put in &puts {
            ours.put(put).await.expect("a good put");
            oracle.put(put).await.expect("a good put");
        }
        let mut repeated = 0;
        for request in streams() {
            let told = [ours.range_stream(&request).await, oracle.range_stream(&request).await];
            let [ours, oracle] = told.map(|answer| {
                let answer = answer.unwrap_or_else(|error| panic!("{request:?}: {error:?}"));
                let revision = answer.header.map(|header| header.revision);
                (answer.kvs, answer.more, answer.count, revision)
            });
            let keys = |pairs: &[ringbolt::proto::mvccpb::KeyValue]| {
                pairs.iter().map(|pair| String::from_utf8_lossy(&pair.key).into_owned()).collect::<Vec<_>>()
            };
            assert_eq!(keys(&ours.0), keys(&oracle.0), "{request:?}");
            assert!(ours == oracle, "the keys of {request:?} are equal, something else is not");
            let mut shown = keys(&ours.0);
            let all = shown.len();
            shown.sort();
            shown.dedup();
            repeated += all - shown.len();
        }
        assert!(repeated > 0, "some answers are longer than a chunk");
    });
}
