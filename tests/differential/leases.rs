//! Leases beside etcd's: seeded grants, revocations, keep-alives and questions; every answer compared.
//!
//! **Invariants**: ids are the client's, so that both servers have the same; what is left of a lease may differ by the time
//! between the two answers.

use std::collections::BTreeMap;

use bytes::Bytes;
use ringbolt::proto::etcdserverpb as pb;

use crate::client::{CallError, Client, Duplex, Random, Scratch, Server, oracle, seed_from_env, server_under_test};

const STEPS: usize = 400;

/// One request.
#[derive(Clone, Debug)]
enum Op {
    Grant(pb::LeaseGrantRequest),
    Revoke(i64),
    KeepAlive(i64),
    TimeToLive(i64, bool),
    Leases,
    Put(pb::PutRequest),
    Delete(pb::DeleteRangeRequest),
    Range,
}

/// An answer with what may differ taken out.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Error(CallError),
    Grant(i64, i64, i64),
    Revision(i64),
    KeepAlive(i64, i64, i64),
    TimeToLive { id: i64, ttl: i64, granted: i64, keys: Vec<Bytes> },
    Leases(Vec<i64>),
    Pairs(Vec<(Bytes, i64)>),
}

fn op(random: &mut Random) -> Op {
    let id = i64::try_from(random.below(8)).unwrap();
    let id = if random.below(12) == 0 { -id } else { id };
    let key = Bytes::from(format!("k{}", random.below(9)));
    match random.below(16) {
        0..3 => {
            let ttl = *random.pick(&[-5, 0, 1, 2, 60, 700, 9_000_000_000, 9_000_000_001, i64::MAX, i64::MIN]);
            // An id that the server picks is its own.
            Op::Grant(pb::LeaseGrantRequest {
                ttl: ttl.max(if ttl > 2 { ttl } else { -5 }),
                id: if id == 0 { 9 } else { id },
            })
        }
        3 => Op::Revoke(id),
        4..6 => Op::KeepAlive(id),
        6..9 => Op::TimeToLive(id, random.below(2) == 0),
        9 => Op::Leases,
        10 => {
            let range_end = if random.below(3) == 0 { Bytes::from_static(b"k5") } else { Bytes::new() };
            Op::Delete(pb::DeleteRangeRequest { key, range_end, prev_kv: false })
        }
        11 => Op::Range,
        _ => {
            let (ignore_value, ignore_lease) = (random.below(6) == 0, random.below(6) == 0);
            let lease = if ignore_lease && random.below(4) > 0 { 0 } else { id };
            Op::Put(pb::PutRequest { key, lease, ignore_value, ignore_lease, ..Default::default() })
        }
    }
}

struct Side {
    _server: Server,
    client: Client,
    stream: Duplex,
}

fn revision(header: &Option<pb::ResponseHeader>) -> i64 {
    header.as_ref().expect("each answer has one").revision
}

impl Side {
    async fn start(server: Server) -> Self {
        let client = Client::open(server.client).await.expect("it serves");
        let stream = client.connection.duplex("/etcdserverpb.Lease/LeaseKeepAlive", &[]).await.expect("it serves");
        Self { _server: server, client, stream }
    }

    async fn run(&mut self, op: &Op) -> Result<Seen, CallError> {
        let client = &self.client;
        Ok(match op {
            Op::Grant(request) => {
                let answer = client.lease_grant(request).await?;
                Seen::Grant(revision(&answer.header), answer.id, answer.ttl)
            }
            Op::Revoke(id) => {
                Seen::Revision(revision(&client.lease_revoke(&pb::LeaseRevokeRequest { id: *id }).await?.header))
            }
            Op::KeepAlive(id) => {
                self.stream.send(&pb::LeaseKeepAliveRequest { id: *id });
                let answer: pb::LeaseKeepAliveResponse = self.stream.message().await;
                Seen::KeepAlive(revision(&answer.header), answer.id, answer.ttl)
            }
            Op::TimeToLive(id, keys) => {
                let answer = client.lease_time_to_live(&pb::LeaseTimeToLiveRequest { id: *id, keys: *keys }).await?;
                let mut keys = answer.keys;
                keys.sort();
                Seen::TimeToLive { id: answer.id, ttl: answer.ttl, granted: answer.granted_ttl, keys }
            }
            Op::Leases => {
                let answer = client.lease_leases(&pb::LeaseLeasesRequest {}).await?;
                Seen::Leases(answer.leases.iter().map(|lease| lease.id).collect())
            }
            Op::Put(request) => Seen::Revision(revision(&client.put(request).await?.header)),
            Op::Delete(request) => Seen::Revision(revision(&client.delete_range(request).await?.header)),
            Op::Range => {
                let all = pb::RangeRequest { key: "\0".into(), range_end: "\0".into(), ..Default::default() };
                let answer = client.range(&all).await?;
                Seen::Pairs(answer.kvs.into_iter().map(|pair| (pair.key, pair.lease)).collect())
            }
        })
    }
}

/// Takes out what depends on when each server was asked.
fn level(ours: &mut Seen, oracle: &mut Seen) {
    if let (Seen::TimeToLive { ttl: ours, .. }, Seen::TimeToLive { ttl: oracle, .. }) = (ours, oracle)
        && (*ours - *oracle).abs() <= 1
        && *ours >= 0
        && *oracle >= 0
    {
        *ours = *oracle;
    }
}

fn start_both(name: &str) -> ([Server; 2], Scratch) {
    let scratch = Scratch::new(name);
    let start = |name: &str, program, flags: &[&str]| {
        let directory = scratch.path().join(name);
        std::fs::create_dir(&directory).expect("a fresh directory");
        Server::start(program, &directory, flags).unwrap_or_else(|failed| panic!("{name} does not start: {failed}"))
    };
    ([start("ours", &server_under_test(), &[]), start("oracle", &oracle(), &["--unsafe-no-fsync"])], scratch)
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work);
}

#[test]
fn leases_are_answered_as_etcds_are() {
    let seed = seed_from_env("RINGBOLT_DIFF_SEED");
    println!("RINGBOLT_DIFF_SEED={seed}");
    let mut random = Random::new(seed);
    let ([ours, oracle], _scratch) = start_both("leases");
    run(async {
        let (mut ours, mut oracle) = (Side::start(ours).await, Side::start(oracle).await);
        let mut kinds = BTreeMap::<String, usize>::new();
        for number in 0..STEPS {
            let op = op(&mut random);
            let (seen, expected) = tokio::join!(ours.run(&op), oracle.run(&op));
            let (mut seen, mut expected) = (seen.unwrap_or_else(Seen::Error), expected.unwrap_or_else(Seen::Error));
            level(&mut seen, &mut expected);
            assert_eq!(seen, expected, "RINGBOLT_DIFF_SEED={seed}, {number}: {op:?}");
            let what = format!("{seen:?}");
            *kinds.entry(what.chars().take_while(|letter| letter.is_alphabetic()).collect()).or_default() += 1;
        }
        println!("{kinds:?}");
        assert!(kinds.len() >= 6, "{kinds:?}");
    });
}

#[test]
fn leases_expire_with_their_keys_and_live_on_when_renewed() {
    let ([ours, oracle], _scratch) = start_both("expiry");
    let expire = |server: Server| async move {
        let mut side = Side::start(server).await;
        let mut watch = side.client.connection.duplex("/etcdserverpb.Watch/Watch", &[]).await.expect("it serves");
        let create = pb::WatchCreateRequest { key: "k".into(), range_end: "l".into(), ..Default::default() };
        let union = pb::watch_request::RequestUnion::CreateRequest(create);
        watch.send(&pb::WatchRequest { request_union: Some(union) });
        watch.message::<pb::WatchResponse>().await;
        for (id, ttl) in [(1, 2), (2, 4)] {
            side.client.lease_grant(&pb::LeaseGrantRequest { ttl, id }).await.expect("a grant");
            for key in ["b", "a"] {
                let put = pb::PutRequest { key: format!("k{id}{key}").into(), lease: id, ..Default::default() };
                side.client.put(&put).await.expect("a put");
            }
        }
        let mut deleted = Vec::new();
        while deleted.len() < 2 {
            side.run(&Op::KeepAlive(2)).await.expect("it is there");
            let response: pb::WatchResponse = watch.message().await;
            let events = response.events.iter().filter(|event| event.r#type == 1);
            deleted.extend(events.map(|event| event.kv.clone().unwrap()));
        }
        let left = side.run(&Op::Range).await.expect("it serves");
        let renewed = side.run(&Op::KeepAlive(1)).await.expect("it answers");
        (deleted, left, renewed)
    };
    run(async {
        let (ours, oracle) = tokio::join!(expire(ours), expire(oracle));
        assert_eq!(ours, oracle);
        let Seen::Pairs(left) = ours.1 else { panic!("pairs") };
        assert_eq!(left, [(Bytes::from_static(b"k2a"), 2), (Bytes::from_static(b"k2b"), 2)]);
    });
}

#[test]
fn an_id_that_the_server_picks_is_positive_and_new() {
    let ([ours, oracle], _scratch) = start_both("lease-ids");
    run(async {
        for server in [ours, oracle] {
            let client = Client::open(server.client).await.expect("it serves");
            let mut ids = Vec::new();
            for _ in 0..50 {
                ids.push(client.lease_grant(&pb::LeaseGrantRequest { ttl: 60, id: 0 }).await.expect("a grant").id);
            }
            assert!(ids.iter().all(|id| *id > 0), "{ids:?}");
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), 50);
        }
    });
}
