//! The bounds that a client runs into, with etcd's numbers and texts, beside real etcd.
//!
//! **Invariants**: both servers get the same bytes.

use ringbolt::proto::etcdserverpb as pb;

use super::raw::{END_HEADERS, END_STREAM, HEADERS, REFUSED_STREAM, RESET, Raw, begin_call, call_headers, frame};
use crate::client::{Call, Client, Program, Scratch, Server, oracle, server_under_test};

fn on_both<T>(name: &str, flags: &[&str], ask: impl Fn(&Server) -> T) -> [T; 2] {
    let scratch = Scratch::new(name);
    [server_under_test(), oracle()].map(|program: Program| {
        let directory = scratch.path().join(program.label);
        std::fs::create_dir_all(&directory).unwrap();
        let server = Server::start(&program, &directory, flags).unwrap_or_else(|failed| panic!("{failed}"));
        ask(&server)
    })
}

fn answers(server: &Server, calls: &[Call]) -> Vec<(Option<u32>, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::open(server.client).await.unwrap();
        let mut answers = Vec::new();
        for call in calls {
            let answer = client.connection.send(call).await.unwrap().answer().await.unwrap();
            answers.push((answer.code, answer.text));
        }
        answers
    })
}

#[test]
fn sizes_and_operations_are_bounded_as_with_etcd() {
    let put = |bytes: usize| {
        let put = pb::PutRequest { key: "k".into(), value: vec![b'v'; bytes].into(), ..Default::default() };
        Call::new("/etcdserverpb.KV/Put", &put)
    };
    let txn = |operations: usize| {
        let range = pb::RangeRequest { key: "k".into(), ..Default::default() };
        let operation = pb::RequestOp { request: Some(pb::request_op::Request::RequestRange(range)) };
        let txn = pb::TxnRequest { success: vec![operation; operations], ..Default::default() };
        Call::new("/etcdserverpb.KV/Txn", &txn)
    };
    let compressed = Call::raw("/etcdserverpb.KV/Range", crate::client::frame(1, b"\x0a\x01k"));
    let named = compressed.clone().with("grpc-encoding", b"unheard-of");
    let odd = Call::raw("/etcdserverpb.KV/Range", crate::client::frame(7, b"\x0a\x01k"));
    // Only the length of it is there.
    let promised = Call::raw("/etcdserverpb.KV/Range", bytes::Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]));
    let calls = [put(1_572_864), put(2 << 20), put(3 << 20), txn(128), txn(129), compressed, named, odd, promised];
    let [ours, theirs] = on_both("abuse-sizes", &[], |server| answers(server, &calls));
    assert_eq!(ours, theirs);
    for text in ["request is too large", "too many operations", "larger than max"] {
        assert!(ours.iter().any(|(_, said)| said.contains(text)), "{text}: {ours:?}");
    }
}

/// As many streams as are allowed are served, and one more is refused in a way that clients try again after.
#[test]
fn streams_beyond_the_limit_are_refused_as_with_etcd() {
    let told = |server: &Server| {
        let mut raw = Raw::open(server.client, &[]);
        let opened: Vec<u8> =
            (0..20_u32).flat_map(|number| begin_call(number * 2 + 1, "/etcdserverpb.Watch/Watch")).collect();
        raw.pour(&opened);
        let mut refused = Vec::new();
        while refused.len() < 10 {
            let came = raw.await_kind(RESET).expect("only the stream is refused");
            assert_eq!(came.code(), REFUSED_STREAM);
            refused.push(came.stream);
        }
        refused
    };
    let [ours, theirs] = on_both("abuse-streams", &["--max-concurrent-streams=10"], told);
    assert_eq!(ours, (10..20).map(|number| number * 2 + 1).collect::<Vec<u32>>());
    assert_eq!(ours, theirs);
}

/// A client that goes on opening streams beyond the limit, for a long time.
#[test]
fn streams_beyond_the_limit_without_end() {
    let arena = super::arena::Arena::new("too many streams", &["--max-concurrent-streams=10"]);
    let mut raw = Raw::open(arena.client(), &[]);
    let reading = raw.drain();
    for group in 0..100_u32 {
        let opened: Vec<u8> = (0..1000_u32)
            .flat_map(|number| {
                let block = call_headers("/etcdserverpb.Watch/Watch");
                let flags = if number % 2 == 0 { END_HEADERS } else { END_HEADERS | END_STREAM };
                frame(HEADERS, flags, (group * 1000 + number) * 2 + 1, &block)
            })
            .collect();
        raw.pour(&opened);
    }
    arena.is_served();
    raw.finish();
    println!("{:?}", reading.join().unwrap().last());
    arena.end(ringbolt::limits::FLOOD_BYTES_MAX);
}
