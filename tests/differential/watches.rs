//! Watches beside etcd's: the same writes and the same requests on the same streams; per watcher, what is told is compared
//! event by event.
//!
//! **Invariants**: how events are grouped into messages, and when, is each server's own; their order within a watcher is not.
//! Compaction happens only while every watcher is up to date, so that who is compacted away does not depend on time.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::Bytes;
use prost::Message;
use ringbolt::proto::etcdserverpb as pb;
use ringbolt::proto::etcdserverpb::watch_request::RequestUnion;
use ringbolt::proto::mvccpb;

use crate::client::{
    Client, Connection, Duplex, PATIENCE, Random, Received, Scratch, Server, oracle, seed_from_env, server_under_test,
};

const STREAMS: usize = 3;
const STEPS: usize = 220;

/// What one watcher was told, however it was grouped.
#[derive(Clone, Debug, Default, PartialEq)]
struct Told {
    /// What came of each request for this id: the header's revision, and the reason if it was refused.
    created: Vec<(i64, bool, String)>,
    /// Its events, all of them one after the other.
    events: Vec<mvccpb::Event>,
    /// How it ended: the compacted revision, the reason.
    canceled: Vec<(i64, String)>,
}

/// One server's side of the streams.
struct Side {
    _server: Server,
    client: Client,
    streams: Vec<Duplex>,
    told: Vec<BTreeMap<i64, Told>>,
}

impl Side {
    async fn start(server: Server) -> Self {
        let client = Client::open(server.client).await.expect("it serves");
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            let connection = Connection::open(server.client).await.expect("it serves");
            streams.push(connection.duplex("/etcdserverpb.Watch/Watch", &[]).await.expect("it serves"));
        }
        let told = vec![BTreeMap::new(); STREAMS];
        Self { _server: server, client, streams, told }
    }

    /// Takes in what has arrived, and wakes the task when there is more.
    fn take(&mut self, context: &mut Context<'_>) {
        for (stream, told) in self.streams.iter_mut().zip(&mut self.told) {
            while let Poll::Ready(received) = stream.poll_next(context) {
                let Received::Message(message) = received else { panic!("a watch ended: {received:?}") };
                let response = pb::WatchResponse::decode(message).expect("the server's encoding");
                let revision = response.header.as_ref().map_or(-1, |header| header.revision);
                let last = response.events.iter().map(|event| event.kv.as_ref().unwrap().mod_revision).max();
                assert!(last.is_none_or(|last| last <= revision), "the header is behind its events: {response:?}");
                let watcher = told.entry(response.watch_id).or_default();
                if response.created {
                    watcher.created.push((revision, response.canceled, response.cancel_reason));
                } else if response.canceled {
                    watcher.canceled.push((response.compact_revision, response.cancel_reason));
                }
                watcher.events.extend(response.events);
            }
        }
    }

    fn send(&mut self, stream: usize, request: RequestUnion) {
        self.streams[stream].send(&pb::WatchRequest { request_union: Some(request) });
    }
}

struct Both {
    sides: [Side; 2],
    seed: u64,
    /// Requests for watchers so far.
    asked: usize,
    current: i64,
    compacted: i64,
}

impl Both {
    /// Until both were told the same, and everything asked was answered.
    async fn settle(&mut self) {
        let settled = poll_fn(|context| {
            self.sides.iter_mut().for_each(|side| side.take(context));
            if self.is_settled() { Poll::Ready(()) } else { Poll::Pending }
        });
        if tokio::time::timeout(PATIENCE, settled).await.is_err() {
            self.explain();
        }
    }

    fn is_settled(&self) -> bool {
        let [ours, oracle] = &self.sides;
        let answers = ours.told.iter().flat_map(|told| told.values()).map(|told| told.created.len());
        ours.told == oracle.told && answers.sum::<usize>() == self.asked
    }

    fn explain(&self) -> ! {
        let [ours, oracle] = &self.sides;
        for stream in 0..STREAMS {
            let ids: std::collections::BTreeSet<_> =
                ours.told[stream].keys().chain(oracle.told[stream].keys()).collect();
            for id in ids {
                let (ours, oracle) = (ours.told[stream].get(id), oracle.told[stream].get(id));
                if ours != oracle {
                    let same = ours.iter().zip(oracle).map(|(ours, oracle)| {
                        ours.events.iter().zip(&oracle.events).take_while(|(ours, oracle)| ours == oracle).count()
                    });
                    let same: usize = same.sum();
                    for (name, told) in [("ours", ours), ("oracle", oracle)] {
                        let told = told.cloned().unwrap_or_default();
                        let next: Vec<_> = told.events.iter().skip(same).take(2).collect();
                        println!(
                            "stream {stream}, watcher {id}, {name}: {:?} {same} then {next:?} {:?}",
                            told.created, told.canceled
                        );
                    }
                }
            }
        }
        panic!("RINGBOLT_DIFF_SEED={} differs", self.seed);
    }

    async fn put(&mut self, request: &pb::PutRequest) {
        for side in &self.sides {
            let answer = side.client.put(request).await.expect("a put");
            self.current = answer.header.unwrap().revision;
        }
    }

    async fn write(&mut self, random: &mut Random) {
        match random.below(10) {
            0 | 1 => {
                let request = pb::DeleteRangeRequest {
                    key: key(random),
                    range_end: if random.below(2) == 0 { range_end(random) } else { Bytes::new() },
                    prev_kv: false,
                };
                for side in &self.sides {
                    let answer = side.client.delete_range(&request).await.expect("a deletion");
                    self.current = answer.header.unwrap().revision;
                }
            }
            2 => {
                let mut keys: Vec<Bytes> = (0..1 + random.below(5)).map(|_| key(random)).collect();
                keys.sort();
                keys.dedup();
                let put = |key| pb::request_op::Request::RequestPut(pb::PutRequest { key, ..Default::default() });
                let ops = keys.into_iter().map(|key| pb::RequestOp { request: Some(put(key)) }).collect();
                let request = pb::TxnRequest { success: ops, ..Default::default() };
                for side in &self.sides {
                    self.current = side.client.txn(&request).await.expect("a txn").header.unwrap().revision;
                }
            }
            3 => {
                // A lease with keys, and its revocation: one revision with several deletions.
                let lease = i64::try_from(1 + random.below(1 << 40)).unwrap();
                let keys = [key(random), key(random)];
                let grant = pb::LeaseGrantRequest { ttl: 600, id: lease };
                for side in &self.sides {
                    side.client.lease_grant(&grant).await.expect("a grant");
                    for key in &keys {
                        let put = pb::PutRequest { key: key.clone(), lease, ..Default::default() };
                        side.client.put(&put).await.expect("a put");
                    }
                    let revoked = side.client.lease_revoke(&pb::LeaseRevokeRequest { id: lease }).await;
                    self.current = revoked.expect("a revocation").header.unwrap().revision;
                }
            }
            _ => {
                let length = usize::try_from(random.below(60)).unwrap();
                self.put(&pb::PutRequest { key: key(random), value: vec![b'v'; length].into(), ..Default::default() })
                    .await;
            }
        }
    }

    fn create(&mut self, random: &mut Random) {
        let current = self.current;
        let start_revision = match random.below(6) {
            0 => random.between(-1, current),
            1 => random.between(self.compacted.max(1), current),
            2 => current + i64::try_from(random.below(6)).unwrap(),
            _ => 0,
        };
        let filters = [pb::watch_create_request::FilterType::Noput, pb::watch_create_request::FilterType::Nodelete];
        let request = pb::WatchCreateRequest {
            key: if random.below(12) == 0 { Bytes::new() } else { key(random) },
            range_end: if random.below(2) == 0 { range_end(random) } else { Bytes::new() },
            start_revision,
            progress_notify: random.below(2) == 0,
            filters: filters.into_iter().filter(|_| random.below(6) == 0).map(i32::from).collect(),
            prev_kv: random.below(2) == 0,
            watch_id: if random.below(4) == 0 { i64::try_from(random.below(8)).unwrap() } else { 0 },
            fragment: random.below(3) == 0,
        };
        let stream = random.index(STREAMS);
        self.asked += 1;
        for side in &mut self.sides {
            side.send(stream, RequestUnion::CreateRequest(request.clone()));
        }
    }

    fn cancel(&mut self, random: &mut Random) {
        let stream = random.index(STREAMS);
        let watch_id = i64::try_from(random.below(10)).unwrap();
        for side in &mut self.sides {
            side.send(stream, RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id }));
        }
    }

    /// Until nobody reads history any more: etcd looks for those that do every tenth of a second, and takes all of them at
    /// once, so one that came last is served with the rest.
    async fn await_readers(&mut self) {
        self.put(&pb::PutRequest { key: "z".into(), ..Default::default() }).await;
        let start_revision = self.current;
        self.put(&pb::PutRequest { key: "z".into(), ..Default::default() }).await;
        for side in &self.sides {
            let connection = &side.client.connection;
            let mut stream = connection.duplex("/etcdserverpb.Watch/Watch", &[]).await.expect("it serves");
            let create = pb::WatchCreateRequest { key: "z".into(), start_revision, ..Default::default() };
            stream.send(&pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) });
            read(&mut stream, |response| !response.events.is_empty()).await;
        }
    }

    async fn compact(&mut self, random: &mut Random) {
        self.await_readers().await;
        self.settle().await;
        let revision = random.between(self.compacted.max(1), self.current);
        for side in &self.sides {
            let answer = side.client.compact(&pb::CompactionRequest { revision, physical: random.below(2) == 0 }).await;
            if answer.is_ok() {
                self.compacted = revision;
            }
        }
    }
}

fn key(random: &mut Random) -> Bytes {
    Bytes::from(format!("k{}", random.below(12)))
}

fn range_end(random: &mut Random) -> Bytes {
    match random.below(4) {
        0 => Bytes::from_static(b"\0"),
        1 => Bytes::from_static(b"l"),
        _ => key(random),
    }
}

fn servers(name: &str, flags: &[&str]) -> ([Server; 2], Scratch) {
    let scratch = Scratch::new(name);
    let start = |name: &str, program, flags: &[&str]| {
        let directory = scratch.path().join(name);
        std::fs::create_dir(&directory).expect("a fresh directory");
        Server::start(program, &directory, flags).unwrap_or_else(|failed| panic!("{name} does not start: {failed}"))
    };
    let oracle_flags = [flags, &["--unsafe-no-fsync"]].concat();
    ([start("ours", &server_under_test(), flags), start("oracle", &oracle(), &oracle_flags)], scratch)
}

fn run(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work);
}

#[test]
fn watchers_are_told_what_etcds_are() {
    let seed = seed_from_env("RINGBOLT_DIFF_SEED");
    println!("RINGBOLT_DIFF_SEED={seed}");
    let mut random = Random::new(seed);
    let ([ours, oracle], _scratch) = servers("watches", &[]);
    run(async {
        let sides = [Side::start(ours).await, Side::start(oracle).await];
        let mut both = Both { sides, seed, asked: 0, current: 1, compacted: 0 };
        for _ in 0..STEPS {
            match random.below(20) {
                0..11 => both.write(&mut random).await,
                // The next write must find both done with it; and an end comes behind the same events.
                11..16 => {
                    both.create(&mut random);
                    both.settle().await;
                }
                16 | 17 => {
                    both.settle().await;
                    both.cancel(&mut random);
                    both.settle().await;
                }
                18 if random.below(4) == 0 => both.compact(&mut random).await,
                _ => both.settle().await,
            }
        }
        both.settle().await;
        // What would come too often would come before the answers to these.
        for stream in 0..STREAMS {
            for watch_id in 0..40 {
                let told = both.sides[1].told[stream].get(&watch_id);
                if told.is_some_and(|told| told.canceled.is_empty()) {
                    for side in &mut both.sides {
                        side.send(stream, RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id }));
                    }
                }
            }
        }
        both.settle().await;
        let told: usize = both.sides[0].told.iter().flat_map(|told| told.values()).map(|told| told.events.len()).sum();
        println!("{told} events at revision {}", both.current);
        assert!(told > 100, "the run had something to tell");
    });
}

/// Reads what a stream is told until `enough`.
async fn read(stream: &mut Duplex, mut enough: impl FnMut(&pb::WatchResponse) -> bool) -> Vec<pb::WatchResponse> {
    let mut all = Vec::new();
    loop {
        let response: pb::WatchResponse = stream.message().await;
        let done = enough(&response);
        all.push(response);
        if done {
            return all;
        }
    }
}

#[test]
fn a_large_revision_comes_in_fragments_as_etcds_does() {
    let ([ours, oracle], _scratch) = servers("fragments", &["--max-request-bytes=100000"]);
    let watch = |server: &Server| {
        let address = server.client;
        async move {
            let client = Client::open(address).await.expect("it serves");
            let put = |number: usize| pb::PutRequest {
                key: format!("k{number:03}").into(),
                value: vec![b'v'; 60_000 + 1000 * (number % 7)].into(),
                ..Default::default()
            };
            for number in 0..40 {
                client.put(&put(number)).await.expect("a put");
            }
            let mut stream = client.connection.duplex("/etcdserverpb.Watch/Watch", &[]).await.expect("it serves");
            for (fragment, start_revision) in [(true, 0), (false, 0), (true, 42)] {
                let create = pb::WatchCreateRequest {
                    key: "k".into(),
                    range_end: "l".into(),
                    prev_kv: true,
                    fragment,
                    start_revision,
                    ..Default::default()
                };
                stream.send(&pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) });
            }
            for _ in 0..3 {
                let created: pb::WatchResponse = stream.message().await;
                assert!(created.created && !created.canceled);
            }
            let all = pb::DeleteRangeRequest { key: "k".into(), range_end: "l".into(), prev_kv: false };
            client.delete_range(&all).await.expect("a deletion");
            let mut left = 3;
            let told = read(&mut stream, |response| {
                left -= i32::from(!response.fragment);
                left == 0
            })
            .await;
            let mut by_watcher = BTreeMap::<i64, Vec<(usize, bool)>>::new();
            for response in told {
                by_watcher.entry(response.watch_id).or_default().push((response.events.len(), response.fragment));
            }
            by_watcher
        }
    };
    run(async {
        let (ours, oracle) = (watch(&ours).await, watch(&oracle).await);
        assert_eq!(ours, oracle);
        assert_eq!(ours[&1], [(40, false)]);
        assert!(ours[&0].len() > 3);
    });
}

#[test]
fn progress_is_told_when_etcd_tells_it() {
    let ([ours, oracle], _scratch) = servers("progress", &["--watch-progress-notify-interval=200ms"]);
    let watch = |server: &Server| {
        let address = server.client;
        async move {
            let client = Client::open(address).await.expect("it serves");
            let put = |key: &'static str| pb::PutRequest { key: key.into(), ..Default::default() };
            let mut stream = client.connection.duplex("/etcdserverpb.Watch/Watch", &[]).await.expect("it serves");
            let create = |key: &'static str, start_revision, progress_notify| {
                let key = Bytes::from_static(key.as_bytes());
                pb::WatchCreateRequest { key, start_revision, progress_notify, ..Default::default() }
            };
            let request = |union| pb::WatchRequest { request_union: Some(union) };
            let ask = request(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}));
            // Nobody to tell.
            stream.send(&ask);
            stream.send(&request(RequestUnion::CreateRequest(create("a", 0, false))));
            let mut told = vec![stream.message::<pb::WatchResponse>().await];
            client.put(&put("b")).await.expect("a put");
            stream.send(&ask);
            told.push(stream.message().await);
            // One that begins later keeps the others' progress back.
            stream.send(&request(RequestUnion::CreateRequest(create("a", 4, false))));
            told.push(stream.message().await);
            stream.send(&ask);
            stream.send(&request(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id: 1 })));
            told.push(stream.message().await);
            stream.send(&ask);
            told.push(stream.message().await);
            // By itself, after the interval.
            stream.send(&request(RequestUnion::CreateRequest(create("c", 0, true))));
            told.push(stream.message().await);
            told.push(stream.message().await);
            told.iter_mut().for_each(|response| response.header = None);
            told
        }
    };
    run(async {
        let (ours, oracle) = (watch(&ours).await, watch(&oracle).await);
        assert_eq!(ours, oracle);
    });
}
