//! `--quota-backend-bytes`: beyond it, what would grow the store is refused with etcd's error, and the rest goes on.
//!
//! **Invariants**: when exactly the quota is met is each store's own; what is answered then is not.

use bytes::Bytes;
use ringbolt::proto::etcdserverpb as pb;

use crate::client::{CallError, Client, Program, Scratch, Server, Status, code, oracle, server_under_test};

const QUOTA_BYTES: usize = 48 << 20;
const VALUE_BYTES: usize = 256 << 10;

fn put(number: usize) -> pb::PutRequest {
    // Incompressible or not does not matter: neither store compresses.
    let value = vec![u8::try_from(number % 251).expect("below 251"); VALUE_BYTES];
    pb::PutRequest { key: format!("fill/{number:04}").into(), value: value.into(), ..Default::default() }
}

fn txn(op: pb::request_op::Request) -> pb::TxnRequest {
    pb::TxnRequest { success: vec![pb::RequestOp { request: Some(op) }], ..Default::default() }
}

/// Kinds of requests, and what each was told.
type Told = Vec<(&'static str, Result<(), CallError>)>;

/// What each kind of request is told once the quota is met.
async fn told_when_full(client: &Client) -> Told {
    use pb::request_op::Request;
    let all = Bytes::from_static(b"\0");
    let count = pb::RangeRequest { key: all.clone(), range_end: all, count_only: true, ..Default::default() };
    let one = pb::RangeRequest { key: "fill/0003".into(), ..Default::default() };
    let small = pb::PutRequest { key: "small".into(), ..Default::default() };
    let delete = pb::DeleteRangeRequest { key: "fill/0001".into(), ..Default::default() };
    let nested = txn(Request::RequestPut(small.clone()));
    vec![
        ("put", client.put(&put(9999)).await.map(drop)),
        ("small put", client.put(&small).await.map(drop)),
        ("txn with put", client.txn(&txn(Request::RequestPut(small))).await.map(drop)),
        ("txn with nested put", client.txn(&txn(Request::RequestTxn(nested))).await.map(drop)),
        ("put without a key", client.put(&pb::PutRequest { key: Bytes::new(), ..put(9999) }).await.map(drop)),
        ("count", client.range(&count).await.map(drop)),
        ("range", client.range(&one).await.map(drop)),
        ("delete", client.delete_range(&delete).await.map(drop)),
        ("txn with delete", client.txn(&txn(Request::RequestDeleteRange(delete))).await.map(drop)),
        ("compact", client.compact(&pb::CompactionRequest { revision: 5, physical: true }).await.map(drop)),
        ("hash", client.hash_kv(&pb::HashKvRequest::default()).await.map(drop)),
        ("put after it", client.put(&put(9999)).await.map(drop)),
    ]
}

/// Which alarms stand, ids apart.
async fn alarms(client: &Client) -> (Vec<i32>, usize) {
    let list = client.alarm(&pb::AlarmRequest::default()).await.expect("it serves");
    let status = client.status(&pb::StatusRequest {}).await.expect("it serves");
    (list.alarms.iter().map(|alarm| alarm.alarm).collect(), status.errors.len())
}

async fn disarm(client: &Client) {
    for alarm in client.alarm(&pb::AlarmRequest::default()).await.expect("it serves").alarms {
        let request = pb::AlarmRequest { action: 2, member_id: alarm.member_id, alarm: alarm.alarm };
        client.alarm(&request).await.expect("a good request");
    }
}

/// The alarm that the refusal raised: how it is seen, and that a disarmed one comes again while the store is full.
async fn told_of_the_alarm(client: &Client) -> Vec<(Vec<i32>, usize)> {
    let raised = alarms(client).await;
    disarm(client).await;
    let disarmed = alarms(client).await;
    client.put(&put(9999)).await.expect_err("it is still full");
    vec![raised, disarmed, alarms(client).await]
}

/// Makes room, and says whether small puts go in before and after the alarm is disarmed.
async fn told_with_room(client: &Client) -> [bool; 2] {
    let everything = pb::DeleteRangeRequest { key: "fill/".into(), range_end: "fill0".into(), ..Default::default() };
    let revision = client.delete_range(&everything).await.expect("it makes room").header.expect("it has one").revision;
    client.compact(&pb::CompactionRequest { revision, physical: true }).await.expect("it makes room");
    let small = pb::PutRequest { key: "small".into(), ..Default::default() };
    let before = client.put(&small).await.is_ok();
    disarm(client).await;
    [before, client.put(&small).await.is_ok()]
}

type Filled = (usize, Told, Vec<(Vec<i32>, usize)>, [bool; 2]);

fn fill(program: &Program) -> Filled {
    let scratch = Scratch::new("quota");
    let flag = format!("--quota-backend-bytes={QUOTA_BYTES}");
    let server = Server::start(program, scratch.path(), &[&flag]).unwrap_or_else(|failed| panic!("{failed}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = Client::open(server.client).await.expect("it serves");
        for number in 0..2 * QUOTA_BYTES / VALUE_BYTES {
            if let Err(error) = client.put(&put(number)).await {
                let text = "etcdserver: mvcc: database space exceeded".to_owned();
                assert_eq!(error, CallError::Status(Status { code: code::RESOURCE_EXHAUSTED, text }), "put {number}");
                let told = told_of_the_alarm(&client).await;
                return (number, told_when_full(&client).await, told, told_with_room(&client).await);
            }
        }
        panic!("{} took twice its quota", program.label);
    })
}

#[test]
fn a_full_store_answers_as_etcd_does() {
    let (ours, our_answers, our_alarms, our_room) = fill(&server_under_test());
    let (oracle, oracle_answers, oracle_alarms, oracle_room) = fill(&oracle());
    println!("full after {ours} values of {VALUE_BYTES} bytes; etcd after {oracle}");
    assert_eq!(our_answers, oracle_answers);
    assert_eq!(our_alarms, oracle_alarms);
    // etcd's file stays as long as it was until it is defragmented; ours counts what is used.
    assert_eq!((our_room, oracle_room), ([false, true], [false, false]));
    let fitting = QUOTA_BYTES / VALUE_BYTES;
    assert!(ours > fitting / 2, "full after {ours} values, where {fitting} fit the quota");
}
