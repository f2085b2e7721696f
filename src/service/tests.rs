//! The services over loopback, the way a client sees them.

use super::fake::FakeMember;
use super::member::{Member, ProposeError, ReadError, Timeout};
use super::{Service, Settings, serve_connection};
use crate::command::Kind;
use crate::limits;
use crate::net::{Address, Bound, Connection, Stream};
use crate::proto::etcdserverpb as pb;
use crate::proto::grpc::health::v1 as health;
use crate::rpc::{Shutdown, TestClient};
use bytes::Bytes;
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use glommio::{LocalExecutorBuilder, Placement, Task};
use prost::Message;
use std::cell::Cell;
use std::future::Future;

/// A server with one member, and a client connected to it.
struct World {
    member: FakeMember,
    shutdown: Shutdown,
    address: Address,
    client: TestClient,
    _accepting: Task<()>,
}

impl World {
    async fn new(settings: Settings) -> Self {
        let bound = Bound::bind(&Address::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = bound.address().clone();
        let mut listener = bound.attach().unwrap();
        let (member, shutdown) = (FakeMember::new(), Shutdown::default());
        let service = Service::new(member.clone(), settings, shutdown.clone());
        let _accepting = glommio::spawn_local(async move {
            loop {
                let served = serve_connection(listener.accept().await.unwrap().attach().unwrap(), service.clone());
                glommio::spawn_local(async move { drop(served.await) }).detach();
            }
        });
        let client = TestClient::connect(connect(&address)).await;
        Self { member, shutdown, address, client, _accepting }
    }

    /// A call that succeeds.
    async fn ok<R: Message + Default>(&self, path: &str, request: impl Message) -> R {
        let (code, message, bytes) = self.client.call(path, &[], &request).await;
        assert_eq!((code.as_str(), message.as_str()), ("0", ""), "{path}");
        R::decode(bytes[0].clone()).unwrap()
    }

    /// A call that fails: its code and text.
    async fn error(&self, path: &str, request: impl Message) -> (String, String) {
        self.error_with(path, &[], request).await
    }

    async fn error_with(&self, path: &str, metadata: &[(&str, &[u8])], request: impl Message) -> (String, String) {
        let (code, message, messages) = self.client.call(path, metadata, &request).await;
        assert!(messages.is_empty() && code != "0", "{path}: {code} {message}");
        (code, message)
    }

    async fn put(&self, key: &str, value: impl Into<Bytes>) -> pb::PutResponse {
        let request = pb::PutRequest { key: bytes(key), value: value.into(), ..Default::default() };
        self.ok("/etcdserverpb.KV/Put", request).await
    }

    async fn range(&self, request: pb::RangeRequest) -> pb::RangeResponse {
        self.ok("/etcdserverpb.KV/Range", request).await
    }

    /// An HTTP/1.1 request: status line, headers, body.
    async fn http(&self, request: &str) -> (String, String, String) {
        let mut stream = connect(&self.address);
        let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let (status, headers) = head.split_once("\r\n").unwrap();
        (status.to_owned(), headers.to_owned(), body.to_owned())
    }
}

fn connect(address: &Address) -> Stream {
    let Address::Tcp(address) = address else { panic!("a TCP server") };
    Connection::from_tcp(std::net::TcpStream::connect(address).unwrap()).unwrap().attach().unwrap()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn key(key: &str) -> pb::RangeRequest {
    pb::RangeRequest { key: bytes(key), ..Default::default() }
}

fn everything() -> pb::RangeRequest {
    pb::RangeRequest { key: bytes("\0"), range_end: bytes("\0"), ..Default::default() }
}

fn code(code: u8, text: &str) -> (String, String) {
    (code.to_string(), text.to_owned())
}

fn run<F: Future<Output = ()> + 'static>(test: impl FnOnce(World) -> F + Send + 'static) {
    run_with(Settings::default(), test);
}

fn run_with<F: Future<Output = ()> + 'static>(settings: Settings, test: impl FnOnce(World) -> F + Send + 'static) {
    let executor = LocalExecutorBuilder::new(Placement::Unbound).make().unwrap();
    executor.run(async move { test(World::new(settings).await).await });
}

#[test]
fn writes_and_reads_with_etcds_headers() {
    run(|world| async move {
        let put = world.put("a", "1").await;
        let header = put.header.unwrap();
        let identity = crate::service::Member::identity(&world.member).clone();
        assert_eq!((header.cluster_id, header.member_id), (identity.cluster_id.0, identity.member_id.0));
        assert_eq!((header.revision, header.raft_term), (2, 2));
        world.put("b", "2").await;
        let answer = world.range(everything()).await;
        assert_eq!((answer.count, answer.more, answer.kvs.len(), answer.header.unwrap().revision), (2, false, 2, 3));
        assert_eq!((&answer.kvs[1].key[..], &answer.kvs[1].value[..]), (&b"b"[..], &b"2"[..]));
        let deleted: pb::DeleteRangeResponse = world
            .ok(
                "/etcdserverpb.KV/DeleteRange",
                pb::DeleteRangeRequest { key: bytes("a"), prev_kv: true, ..Default::default() },
            )
            .await;
        assert_eq!(
            (deleted.deleted, &deleted.prev_kvs[0].value[..], deleted.header.unwrap().revision),
            (1, &b"1"[..], 4)
        );
        let past = world.range(pb::RangeRequest { revision: 3, ..key("a") }).await;
        assert_eq!((past.kvs.len(), past.header.unwrap().revision), (1, 4));
        let compacted: pb::CompactionResponse =
            world.ok("/etcdserverpb.KV/Compact", pb::CompactionRequest { revision: 4, physical: true }).await;
        assert_eq!(compacted.header.unwrap().revision, 4);
        let compacted = world.error("/etcdserverpb.KV/Range", pb::RangeRequest { revision: 3, ..key("a") }).await;
        assert_eq!(compacted, code(11, "etcdserver: mvcc: required revision has been compacted"));
    });
}

#[test]
fn only_linearizable_reads_ask_for_a_barrier() {
    run(|world| async move {
        world.put("a", "1").await;
        world.range(pb::RangeRequest { serializable: true, ..key("a") }).await;
        assert_eq!(world.member.barriers(), 0);
        world.range(key("a")).await;
        assert_eq!(world.member.barriers(), 1);
        let op = |serializable| pb::RequestOp {
            request: Some(pb::request_op::Request::RequestRange(pb::RangeRequest { serializable, ..key("a") })),
        };
        for (serializable, barriers) in [(true, 1), (false, 2)] {
            let txn = pb::TxnRequest { success: vec![op(true), op(serializable)], ..Default::default() };
            let answer: pb::TxnResponse = world.ok("/etcdserverpb.KV/Txn", txn).await;
            assert_eq!((answer.succeeded, answer.responses.len()), (true, 2));
            assert_eq!(answer.header.unwrap().member_id, 0x2e12_59d4_15f2_a040);
            assert_eq!(world.member.barriers(), barriers);
        }
        world.member.fail_reads(Some(ReadError::LeaderChanged));
        let failed = world.error("/etcdserverpb.KV/Range", key("a")).await;
        assert_eq!(failed, code(14, "etcdserver: leader changed"));
    });
}

#[test]
fn a_txn_that_writes_is_replicated() {
    run(|world| async move {
        let put = pb::PutRequest { key: bytes("k"), value: bytes("v"), ..Default::default() };
        let success = vec![pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) }];
        let compare = vec![pb::Compare {
            target: pb::compare::CompareTarget::Create.into(),
            key: bytes("k"),
            target_union: Some(pb::compare::TargetUnion::CreateRevision(0)),
            ..Default::default()
        }];
        let txn = pb::TxnRequest { compare, success, ..Default::default() };
        for (succeeded, revision) in [(true, 2), (false, 2)] {
            let answer: pb::TxnResponse = world.ok("/etcdserverpb.KV/Txn", txn.clone()).await;
            assert_eq!((answer.succeeded, answer.header.unwrap().revision), (succeeded, revision));
        }
    });
}

#[test]
fn large_ranges_come_whole_in_one_message_or_in_many() {
    run(|world| async move {
        let value = Bytes::from(vec![b'v'; 1000]);
        for index in 0..1500 {
            world.put(&format!("key{index:05}"), value.clone()).await;
        }
        let whole = world.range(everything()).await;
        assert_eq!((whole.count, whole.more, whole.kvs.len()), (1500, false, 1500));
        assert!(whole.kvs.iter().all(|pair| pair.value == value));
        let page = world.range(pb::RangeRequest { limit: 500, ..everything() }).await;
        assert_eq!((page.count, page.more, page.kvs.len()), (1500, true, 500));
        let sorted = pb::RangeRequest { sort_order: 2, sort_target: 3, limit: 700, ..everything() };
        let sorted = world.range(sorted).await;
        assert_eq!((sorted.count, sorted.kvs.len(), &sorted.kvs[0].key[..]), (1500, 700, &b"key01499"[..]));
        for limit in [0, 1, 20, 500] {
            let request = pb::RangeRequest { limit, ..everything() };
            let (status, text, messages) = world.client.call("/etcdserverpb.KV/RangeStream", &[], &request).await;
            assert_eq!((status.as_str(), text.as_str()), ("0", ""));
            let mut merged = pb::RangeStreamResponse::default();
            for (index, message) in messages.iter().enumerate() {
                let part = pb::RangeStreamResponse::decode(message.clone()).unwrap().range_response.unwrap();
                assert_eq!(part.header.is_some(), index + 1 == messages.len(), "the last one has the header");
                merged.merge(message.clone()).unwrap();
            }
            assert_eq!(merged.range_response.unwrap(), world.range(request).await);
        }
        let counted = world.range(pb::RangeRequest { count_only: true, ..everything() }).await;
        assert_eq!((counted.count, counted.kvs.len()), (1500, 0));
    });
}

#[test]
fn wrong_requests_get_etcds_codes_and_texts() {
    let settings = Settings { request_bytes_max: 1000, txn_ops_max: 2, ..Settings::default() };
    run_with(settings, |world| async move {
        let (range, put) = ("/etcdserverpb.KV/Range", "/etcdserverpb.KV/Put");
        assert_eq!(world.error(range, key("")).await, code(3, "etcdserver: key is not provided"));
        let unsorted = pb::RangeRequest { sort_order: 9, ..key("a") };
        assert_eq!(world.error(range, unsorted).await, code(3, "etcdserver: invalid sort option"));
        let future = pb::RangeRequest { revision: 9, ..key("a") };
        let future_text = "etcdserver: mvcc: required revision is a future revision";
        assert_eq!(world.error(range, future).await, code(11, future_text));
        let sized =
            |value: usize| pb::PutRequest { key: bytes("k"), value: vec![0; value].into(), ..Default::default() };
        let _: pb::PutResponse = world.ok(put, sized(950)).await;
        assert_eq!(world.error(put, sized(1000)).await, code(3, "etcdserver: request is too large"));
        let max = 1000 + limits::REQUEST_OVERHEAD_BYTES;
        let larger = format!("grpc: received message larger than max ({} vs. {max})", max + 7);
        assert_eq!(world.error(put, sized(max)).await, code(8, &larger));
        let kept = pb::PutRequest { ignore_value: true, ..sized(1) };
        assert_eq!(world.error(put, kept).await, code(3, "etcdserver: value is provided"));
        let missing = pb::PutRequest { key: bytes("none"), ignore_value: true, ..Default::default() };
        assert_eq!(world.error(put, missing).await, code(3, "etcdserver: key not found"));
        let leased = pb::PutRequest { lease: 5, ..sized(1) };
        assert_eq!(world.error(put, leased).await, code(5, "etcdserver: requested lease not found"));
        let many = pb::TxnRequest { success: vec![pb::RequestOp::default(); 3], ..Default::default() };
        let many_text = "etcdserver: too many operations in txn request";
        assert_eq!(world.error("/etcdserverpb.KV/Txn", many).await, code(3, many_text));
        let empty = pb::TxnRequest { success: vec![pb::RequestOp::default()], ..Default::default() };
        assert_eq!(world.error("/etcdserverpb.KV/Txn", empty).await, code(3, "etcdserver: key not found"));
        let sorted = pb::RangeRequest { sort_order: 2, ..key("a") };
        let unsupported = "RangeStream does not support custom sort orders";
        assert_eq!(world.error("/etcdserverpb.KV/RangeStream", sorted).await, code(12, unsupported));
    });
}

#[test]
fn failures_of_the_member_are_told_as_etcd_tells_them() {
    run(|world| async move {
        let put = || pb::PutRequest { key: bytes("k"), ..Default::default() };
        for (error, expected) in [
            (ProposeError::NoSpace, code(8, "etcdserver: mvcc: database space exceeded")),
            (ProposeError::TooManyRequests, code(2, "etcdserver: too many requests")),
            (ProposeError::Timeout(Timeout::Plain), code(14, "etcdserver: request timed out")),
            (ProposeError::Stopped, code(14, "etcdserver: server stopped")),
        ] {
            world.member.fail_proposals(Some(error));
            assert_eq!(world.error("/etcdserverpb.KV/Put", put()).await, expected);
        }
        world.member.fail_proposals(None);
        world.member.set_status(|status| status.leader.0 = 0);
        let led: &[(&str, &[u8])] = &[("hasleader", b"true")];
        let failed = world.error_with("/etcdserverpb.KV/Put", led, put()).await;
        assert_eq!(failed, code(14, "etcdserver: no leader"));
        let garbled: &[(&str, &[u8])] = &[("client-api-version", b"\xff")];
        let failed = world.error_with("/etcdserverpb.KV/Put", garbled, put()).await;
        assert_eq!(failed, code(3, "etcdserver: invalid client api version"));
        world.member.set_status(|status| status.is_learner = true);
        let learner = code(9, "etcdserver: rpc not supported for learner");
        assert_eq!(world.error("/etcdserverpb.KV/Put", put()).await, learner);
        assert_eq!(world.error("/etcdserverpb.KV/Range", key("a")).await, learner);
        world.range(pb::RangeRequest { serializable: true, ..key("a") }).await;
        let status: pb::StatusResponse = world.ok("/etcdserverpb.Maintenance/Status", pb::StatusRequest {}).await;
        assert_eq!((status.errors, status.is_learner), (vec!["etcdserver: no leader".to_owned()], true));
    });
}

#[test]
fn what_is_not_served_yet_is_unimplemented() {
    run(|world| async move {
        for (path, text) in [
            ("/v3lockpb.Lock/Lock", "unknown service v3lockpb.Lock"),
            ("/etcdserverpb.Maintenance/Nope", "unknown method Nope for service etcdserverpb.Maintenance"),
            ("/etcdserverpb.Cluster/MemberAdd", "unknown method MemberAdd for service etcdserverpb.Cluster"),
            ("/nowhere", "malformed method name: \"/nowhere\""),
        ] {
            assert_eq!(world.error(path, pb::StatusRequest {}).await, code(12, text));
        }
        let undecodable = world.client.raw("/etcdserverpb.KV/Put", &[0, 0, 0, 0, 2, 0x0a, 0x7f]).await;
        let text = "grpc: error unmarshalling request: proto: cannot parse invalid wire-format data";
        assert_eq!((undecodable.0, undecodable.1), code(13, text));
        let stream = "/etcdserverpb.KV/RangeStream";
        let twice = [0, 0, 0, 0, 3, 0x0a, 1, b'a', 0, 0, 0, 0, 3, 0x0a, 1, b'b'];
        for (body, text) in [
            (&twice[..0], "cardinality violation: received no request message from non-client-streaming RPC"),
            (&twice[..3], "cardinality violation: received no request message from non-client-streaming RPC"),
            (&twice[..], "cardinality violation: received multiple request messages for non-client-streaming RPC"),
        ] {
            let violation = world.client.raw(stream, body).await;
            assert_eq!((violation.0, violation.1), code(13, text));
        }
    });
}

#[test]
fn maintenance_cluster_and_health_answer() {
    run(|world| async move {
        world.put("a", "1").await;
        let status: pb::StatusResponse = world.ok("/etcdserverpb.Maintenance/Status", pb::StatusRequest {}).await;
        assert_eq!((status.version.as_str(), status.storage_version.as_str()), ("3.7.1", "3.7.0"));
        assert_eq!((status.db_size, status.db_size_in_use, status.db_size_quota), (20_480, 16_384, 2 << 30));
        assert_eq!((status.raft_index, status.raft_applied_index, status.raft_term), (1, 1, 2));
        assert_eq!((status.leader, status.header.unwrap().revision), (0x2e12_59d4_15f2_a040, 2));
        let hashed: pb::HashKvResponse =
            world.ok("/etcdserverpb.Maintenance/HashKV", pb::HashKvRequest { revision: 0 }).await;
        // What etcd 3.7.1 answers after `put a b`, here for the value 1.
        assert_eq!((hashed.compact_revision, hashed.hash_revision), (-1, 2));
        let future = world.error("/etcdserverpb.Maintenance/HashKV", pb::HashKvRequest { revision: 9 }).await;
        assert_eq!(future, code(11, "etcdserver: mvcc: required revision is a future revision"));
        let alarms: pb::AlarmResponse = world.ok("/etcdserverpb.Maintenance/Alarm", pb::AlarmRequest::default()).await;
        assert!(alarms.alarms.is_empty());
        let listed: pb::MemberListResponse =
            world.ok("/etcdserverpb.Cluster/MemberList", pb::MemberListRequest { linearizable: true }).await;
        assert_eq!((listed.members.len(), listed.members[0].name.as_str()), (1, "fake"));
        assert_eq!((listed.header.unwrap().revision, world.member.barriers()), (0, 2));
        let ask = |service: &str| health::HealthCheckRequest { service: service.to_owned() };
        let serving: health::HealthCheckResponse = world.ok("/grpc.health.v1.Health/Check", ask("")).await;
        assert_eq!(serving.status, 1);
        let unknown = world.error("/grpc.health.v1.Health/Check", ask("etcd")).await;
        assert_eq!(unknown, code(5, "unknown service"));
        let all: health::HealthListResponse =
            world.ok("/grpc.health.v1.Health/List", health::HealthListRequest {}).await;
        assert_eq!(all.statuses[""].status, 1);
    });
}

#[test]
fn whoever_meets_the_quota_raises_the_alarm_that_stays() {
    run(|world| async move {
        let (put, alarm) = ("/etcdserverpb.KV/Put", "/etcdserverpb.Maintenance/Alarm");
        let full = code(8, "etcdserver: mvcc: database space exceeded");
        world.member.set_status(|status| status.quota_bytes = status.used_bytes + 300);
        assert_eq!(world.error(put, pb::PutRequest { value: vec![0; 44].into(), ..Default::default() }).await, full);
        let raised = [pb::AlarmMember { member_id: 0x2e12_59d4_15f2_a040, alarm: 1 }];
        let list: pb::AlarmResponse = world.ok(alarm, pb::AlarmRequest::default()).await;
        assert_eq!(list.alarms, raised);
        world.member.set_status(|status| status.quota_bytes = 2 << 30);
        assert_eq!(world.error(put, pb::PutRequest { key: bytes("k"), ..Default::default() }).await, full);
        let status: pb::StatusResponse = world.ok("/etcdserverpb.Maintenance/Status", pb::StatusRequest {}).await;
        assert_eq!(status.errors, ["memberID:3319814642761637952 alarm:NOSPACE"]);
        assert_eq!(world.http("GET /health").await.2, "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n");
        let disarm = pb::AlarmRequest { action: 2, member_id: raised[0].member_id, alarm: 1 };
        let disarmed: pb::AlarmResponse = world.ok(alarm, disarm).await;
        assert_eq!((&disarmed.alarms[..], disarmed.header.unwrap().revision), (&raised[..], 1));
        world.put("k", "1").await;
        let unknown = code(3, "etcdserver: unknown alarm action");
        assert_eq!(world.error(alarm, pb::AlarmRequest { action: 3, ..Default::default() }).await, unknown);
    });
}

/// Requests that come while a long answer is worked out are answered meanwhile, not behind it.
#[test]
fn a_long_read_holds_nobody_up() {
    run(|world| async move {
        for key in 0..60_000u64 {
            let request =
                pb::PutRequest { key: key.to_be_bytes().to_vec().into(), value: bytes("v"), ..Default::default() };
            world.member.propose(Kind::Put, request.encode_to_vec().into()).await.unwrap();
        }
        let other = TestClient::connect(connect(&world.address)).await;
        // All of the work and next to nothing to send.
        let sorted = pb::RangeRequest { sort_order: 2, sort_target: 4, limit: 1, ..everything() };
        let (done, served) = (Cell::new(false), Cell::new(0u32));
        let long = async {
            let answer: pb::RangeResponse = world.ok("/etcdserverpb.KV/Range", sorted).await;
            assert_eq!(answer.count, 60_000);
            done.set(true);
        };
        let short = async {
            while !done.get() {
                let (code, ..) = other.call("/etcdserverpb.KV/Range", &[], &key("a")).await;
                assert_eq!(code, "0");
                served.set(served.get() + 1);
            }
        };
        futures_lite::future::zip(long, short).await;
        assert!(served.get() >= 4, "{} requests were answered meanwhile", served.get());
    });
}

#[test]
fn a_health_watch_ends_with_the_server() {
    run(|world| async move {
        let World { client, shutdown, .. } = &world;
        let whole = health::HealthCheckRequest::default();
        let watch = client.call("/grpc.health.v1.Health/Watch", &[], &whole);
        let stop = async {
            world.put("a", "the watch has begun").await;
            shutdown.begin();
        };
        let ((code, _, messages), ()) = futures_lite::future::zip(watch, stop).await;
        assert_eq!((code.as_str(), messages.len()), ("1", 2));
        let last = health::HealthCheckResponse::decode(messages[1].clone()).unwrap();
        assert_eq!(last.status, 2);
    });
}

#[test]
fn http_endpoints_answer_as_gos_server_does() {
    run(|world| async move {
        world.put("a", "1").await;
        let healthy = r#"{"health":"true","reason":""}"#;
        let (status, headers, body) = world.http("GET /health").await;
        assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", healthy));
        assert!(headers.contains("Content-Type: text/plain; charset=utf-8"));
        assert!(headers.contains("Access-Control-Allow-Origin: *"));
        let (_, _, body) = world.http("GET /version").await;
        assert_eq!(body, r#"{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}"#);
        let (status, headers, body) = world.http("POST /health").await;
        assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 405 Method Not Allowed", "Method Not Allowed\n"));
        assert!(headers.contains("Allow: GET") && headers.contains("X-Content-Type-Options: nosniff"));
        let (status, _, body) = world.http("GET /v2/keys").await;
        assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 404 Not Found", "404 page not found\n"));
        let (status, _, body) = world.http("OPTIONS /health").await;
        assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", ""));
        assert_eq!(world.http("GET /livez").await.2, "ok\n");
        let ready = "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner ok\nok\n";
        assert_eq!(world.http("GET /readyz?verbose").await.2, ready);
        assert_eq!(world.http("GET /readyz/non_learner?verbose").await.2, "[+]non_learner ok\nok\n");
        assert_eq!(world.http("GET /readyz/nope").await.2, "404 page not found\n");
        assert!(world.http("GET //health").await.0.starts_with("HTTP/1.1 307"));
        let (_, _, metrics) = world.http("GET /metrics").await;
        assert!(
            metrics.contains("etcd_server_has_leader 1\n")
                && metrics.contains("\netcd_mvcc_db_total_size_in_bytes 20480\n")
        );
        let corrupt = pb::AlarmRequest { action: 1, member_id: 5, alarm: 2 };
        let _: pb::AlarmResponse = world.ok("/etcdserverpb.Maintenance/Alarm", corrupt).await;
        world.member.set_status(|status| (status.leader.0, status.is_learner) = (0, true));
        let (status, _, body) = world.http("GET /health?exclude=CORRUPT").await;
        let no_leader = "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}\n";
        assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 503 Service Unavailable", no_leader));
        assert_eq!(world.http("GET /health").await.2, "{\"health\":\"false\",\"reason\":\"ALARM CORRUPT\"}\n");
        assert_eq!(world.http("GET /health?serializable=true&exclude=CORRUPT").await.2, healthy);
        world.member.fail_reads(Some(ReadError::Timeout(Timeout::Plain)));
        let (status, _, body) = world.http("GET /readyz?exclude=data_corruption").await;
        assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
        let failed = "[+]serializable_read ok\n[-]linearizable_read failed: etcdserver: request timed out\n[-]non_learner failed: not supported for learner\n\n";
        assert_eq!(body, failed);
    });
}
