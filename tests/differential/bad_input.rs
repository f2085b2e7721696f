//! Bad input one by one: each case is answered by both servers, every difference is told, and both still serve.
//!
//! **Invariants**: a case says whether its text is contract or the wording of a library.

use bytes::Bytes;
use prost::Message;
use ringbolt::proto::etcdserverpb as pb;
use ringbolt::proto::grpc::health::v1::HealthCheckRequest;

use crate::client::{Call, Client, Connection, Scratch, Server, code, frame, oracle, oracle_is_old, server_under_test};
use crate::known;
use crate::op::{Seen, seen};
use crate::requests::{REQUEST_BYTES_MAX, TRANSPORT_EXTRA_BYTES};

const RANGE: &str = "/etcdserverpb.KV/Range";
const STREAM: &str = "/etcdserverpb.KV/RangeStream";
const PUT: &str = "/etcdserverpb.KV/Put";

/// What of an answer is contract.
#[derive(Clone, Copy, PartialEq)]
enum Compare {
    /// Everything.
    All,
    /// All but the text, which is a library's wording.
    Code,
    /// The code is that of etcd or this one.
    CodeOr(u32),
}

struct Case {
    name: String,
    call: Call,
    compare: Compare,
}

fn case(name: impl Into<String>, compare: Compare, call: Call) -> Case {
    Case { name: name.into(), call, compare }
}

fn range() -> pb::RangeRequest {
    pb::RangeRequest { key: "a".into(), ..Default::default() }
}

fn cases() -> Vec<Case> {
    let mut cases = paths();
    cases.extend(frames());
    cases.extend(metadata());
    cases.extend(sizes());
    cases.extend(messages());
    cases.extend(health());
    cases
}

fn paths() -> Vec<Case> {
    let known = [
        "/etcdserverpb.KV/Nothing",
        "/etcdserverpb.Nothing/Range",
        "/Nothing/Range",
        "/etcdserverpb.Cluster/Nothing",
        "/grpc.health.v1.Health/Nothing",
    ];
    let odd = ["/", "//", "/etcdserverpb.KV", "/etcdserverpb.KV/", "/etcdserverpb.KV/Range/", "/a/b/c"];
    let odd = odd.into_iter().map(|path| (path, Compare::Code));
    let all = known.into_iter().map(|path| (path, Compare::All)).chain(odd);
    all.map(|(path, compare)| case(format!("path {path}"), compare, Call::new(path, &range()))).collect()
}

fn frames() -> Vec<Case> {
    let good = frame(0, &range().encode_to_vec());
    let mut cases = Vec::new();
    for path in [RANGE, STREAM] {
        let mut add = |name: &str, body: Bytes| {
            cases.push(case(format!("{name} to {path}"), Compare::Code, Call::raw(path, body)));
        };
        add("no body", Bytes::new());
        add("three bytes", good.slice(..3));
        add("frame header alone", good.slice(..5));
        add("message cut short", good.slice(..good.len() - 1));
        add("two messages", [good.as_ref(), good.as_ref()].concat().into());
        add("a message and a half", [good.as_ref(), &good[..4]].concat().into());
        add("compressed flag without encoding", frame(1, &range().encode_to_vec()));
        add("flag 2", frame(2, &range().encode_to_vec()));
        add("flag 255", frame(255, &range().encode_to_vec()));
        add("length of 4 GiB", Bytes::from_static(b"\0\xff\xff\xff\xffabc"));
    }
    cases
}

fn metadata() -> Vec<Case> {
    let with = |name: &str, value: &[u8]| Call::new(RANGE, &range()).with(name, value);
    let mut cases = Vec::new();
    for value in ["1", "S", "1x", "-1S", "123456789S", "1.5S", "", " 1S"] {
        cases.push(case(format!("grpc-timeout {value:?}"), Compare::Code, with("grpc-timeout", value.as_bytes())));
    }
    for value in ["20S", "99999999H", "30000m", "1M"] {
        cases.push(case(format!("grpc-timeout {value:?}"), Compare::All, with("grpc-timeout", value.as_bytes())));
    }
    for value in ["application/grpc+proto", "application/grpc;x=y", "application/grpc+json", "application/grpc-web"] {
        cases.push(case(format!("content-type {value}"), Compare::Code, with("content-type", value.as_bytes())));
    }
    for value in ["application/json", "text/plain", ""] {
        cases.push(case(format!("content-type {value:?}"), Compare::Code, with("content-type", value.as_bytes())));
    }
    let mut unknown = with("grpc-encoding", b"nothing");
    unknown.body = frame(1, b"x");
    cases.push(case("unknown encoding, compressed", Compare::Code, unknown));
    cases.push(case("unknown encoding, plain", Compare::Code, with("grpc-encoding", b"nothing")));
    // A deadline that is over: the read is not done.
    cases.push(case("grpc-timeout 1n", Compare::All, with("grpc-timeout", b"1n")));
    cases.push(case("identity", Compare::All, with("grpc-encoding", b"identity")));
    cases.push(case("api version not UTF-8", Compare::All, with("client-api-version", b"\xff\xfe")));
    cases.push(case("hasleader", Compare::All, with("hasleader", b"true")));
    cases.push(case("token", Compare::All, with("token", b"nobody")));
    cases.push(case("bearer", Compare::All, with("authorization", b"Bearer nobody")));
    cases.push(case("binary metadata that is not base64", Compare::Code, with("x-bin", b"!")));
    cases.push(case("8 KiB of metadata", Compare::All, with("long", &[b'x'; 8192])));
    let mut get = Call::new(RANGE, &range());
    get.method = "GET";
    cases.push(case("GET", Compare::Code, get));
    cases
}

fn sizes() -> Vec<Case> {
    let put = |length: usize| {
        let value = vec![b'v'; length - 12];
        let message = pb::PutRequest { key: "big".into(), value: value.into(), ..Default::default() };
        Call::new(PUT, &message)
    };
    let transport = REQUEST_BYTES_MAX + TRANSPORT_EXTRA_BYTES;
    [REQUEST_BYTES_MAX - 200, REQUEST_BYTES_MAX + 200, transport - 64, transport, transport + 1, 5 * transport]
        .into_iter()
        .map(|length| case(format!("about {length} bytes"), Compare::All, put(length)))
        .collect()
}

fn messages() -> Vec<Case> {
    let tails: [(&str, &[u8]); 12] = [
        ("field number 0", b"\x02\0"),
        ("tag cut short", b"\x80"),
        ("length beyond the end", b"\x0a\x7f"),
        ("length of 2^63", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        ("varint of 11 bytes", b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ("group", b"\xf3\x01\xf4\x01"),
        ("group without end", b"\xf3\x01"),
        ("end without group", b"\xf4\x01"),
        ("wire type 6", b"\xf6\x01"),
        ("wire type 7", b"\xf7\x01"),
        ("known field of another wire type", b"\x08\x01"),
        ("fixed 32 cut short", b"\xf5\x01\0"),
    ];
    let mut cases = Vec::new();
    for (name, tail) in tails {
        for path in [RANGE, STREAM, PUT] {
            let mut message = pb::RangeRequest { key: "bad".into(), ..Default::default() }.encode_to_vec();
            message.extend_from_slice(tail);
            // Go's parser skips a known field of another wire type as if it were unknown; ours refuses the message.
            let compare = if name.starts_with("known field") { Compare::CodeOr(code::INTERNAL) } else { Compare::Code };
            cases.push(case(format!("{name} to {path}"), compare, Call::raw(path, frame(0, &message))));
        }
    }
    // Nesting that a parser without a limit answers with a stack overflow.
    for depth in [50, 90, 120, 5000] {
        let mut message = Vec::new();
        for _ in 0..depth {
            let mut outer = Vec::new();
            prost::encoding::bytes::encode(4, &message, &mut outer);
            message.clear();
            prost::encoding::bytes::encode(2, &outer, &mut message);
        }
        cases.push(case(
            format!("txn nested {depth} deep"),
            Compare::CodeOr(code::INTERNAL),
            Call::raw("/etcdserverpb.KV/Txn", frame(0, &message)),
        ));
    }
    cases
}

fn health() -> Vec<Case> {
    let check = |service: &str| {
        let request = HealthCheckRequest { service: service.to_owned() };
        Call::new("/grpc.health.v1.Health/Check", &request)
    };
    ["", "etcdserverpb.KV", "nothing"]
        .into_iter()
        .map(|service| case(format!("health of {service:?}"), Compare::All, check(service)))
        .collect()
}

#[test]
fn each_case_is_answered_as_by_etcd() {
    if oracle_is_old() {
        println!("left out: the wording of this etcd is that of an older gRPC library");
        return;
    }
    let scratch = Scratch::new("bad-input");
    let start = |name: &str, program| {
        let directory = scratch.path().join(name);
        std::fs::create_dir(&directory).expect("a fresh directory");
        Server::start(program, &directory, &[]).unwrap_or_else(|failed| panic!("{name} does not start: {failed}"))
    };
    let servers = [start("ours", &server_under_test()), start("oracle", &oracle())];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut wrong = Vec::new();
    runtime.block_on(async {
        for case in cases() {
            let mut answers = Vec::new();
            for server in &servers {
                // A connection each: a case may cost its connection.
                let connection = Connection::open(server.client).await.expect("the server listens");
                let mut answer = seen(&case.call.path, connection.call(&case.call).await);
                known::level(&mut answer);
                answers.push(answer);
                let client = Client::open(server.client).await.expect("the server listens");
                client.range(&range()).await.unwrap_or_else(|error| panic!("after {}: {error:?}", case.name));
            }
            let [ours, oracle] = &answers[..] else { unreachable!("two servers") };
            if !agree(case.compare, ours, oracle) {
                wrong.push(format!("{}:\n    ours   {}\n    oracle {}", case.name, brief(ours), brief(oracle)));
            }
        }
    });
    assert!(wrong.is_empty(), "{} of {} cases differ:\n{}", wrong.len(), cases().len(), wrong.join("\n"));
}

fn agree(compare: Compare, ours: &Seen, oracle: &Seen) -> bool {
    match compare {
        Compare::All => ours == oracle,
        Compare::Code => ours.code == oracle.code && ours.http.0 == oracle.http.0 && ours.body == oracle.body,
        Compare::CodeOr(code) => ours.code == oracle.code || ours.code == Some(code),
    }
}

fn brief(seen: &Seen) -> String {
    let body = format!("{:?}", seen.body);
    format!("http {:?} code {:?} text {:?} body {body:.120}", seen.http, seen.code, seen.text)
}
