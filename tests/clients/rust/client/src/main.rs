//! What a program does with etcd through the crate etcd-client: ENDPOINT, or ENDPOINT CA CERTIFICATE KEY.

use std::time::Duration;

use etcd_client::{
    Certificate, Client, Compare, CompareOp, ConnectOptions, DeleteOptions, Error, EventType, GetOptions, Identity,
    PutOptions, SortOrder, SortTarget, TlsOptions, Txn, TxnOp, TxnOpResponse, WatchOptions, WatchStream,
};

const PATIENCE: Duration = Duration::from_secs(30);

type Done = Result<(), Error>;

/// Expects one of etcd's errors.
fn refused<T>(outcome: Result<T, Error>, text: &str) {
    match outcome {
        Err(Error::GRpcStatus(status)) => assert_eq!(status.message(), text),
        Err(other) => panic!("{other}, where {text} was expected"),
        Ok(_) => panic!("no error, where {text} was expected"),
    }
}

async fn keys_and_values(client: &mut Client) -> Done {
    for index in 0..10 {
        client.put(format!("key/{index}"), format!("value {index}"), None).await?;
    }
    let one = client.get("key/3", None).await?;
    assert_eq!((one.kvs()[0].value(), one.kvs()[0].version(), one.count()), (&b"value 3"[..], 1, 1));
    let options = GetOptions::new().with_prefix().with_limit(3).with_sort(SortTarget::Key, SortOrder::Descend);
    let page = client.get("key/", Some(options)).await?;
    assert_eq!((page.count(), page.more(), page.kvs().len(), page.kvs()[0].key()), (10, true, 3, &b"key/9"[..]));
    let put = client.put("key/3", "other", Some(PutOptions::new().with_prev_key())).await?;
    assert_eq!(put.prev_key().map(|pair| pair.value()), Some(&b"value 3"[..]));
    let before = put.header().map_or(0, |header| header.revision()) - 1;
    let past = client.get("key/3", Some(GetOptions::new().with_revision(before))).await?;
    assert_eq!(past.kvs()[0].value(), b"value 3");
    let gone = client.delete("key/", Some(DeleteOptions::new().with_prefix().with_prev_key())).await?;
    assert_eq!((gone.deleted(), gone.prev_kvs().len()), (10, 10));
    let large = vec![0xff; 1_000_000];
    client.put("large", large.clone(), None).await?;
    assert!(client.get("large", None).await?.kvs()[0].value() == large);
    Ok(())
}

async fn transactions(client: &mut Client) -> Done {
    client.put("txn", "1", None).await?;
    let guarded = Txn::new()
        .when([Compare::value("txn", CompareOp::Equal, "1"), Compare::create_revision("absent", CompareOp::Equal, 0)])
        .and_then([TxnOp::put("txn", "2", None), TxnOp::get("txn", None)])
        .or_else([TxnOp::txn(Txn::new().and_then([TxnOp::delete("txn", None)]))]);
    let answer = client.txn(guarded.clone()).await?;
    assert!(answer.succeeded());
    assert!(matches!(&answer.op_responses()[1], TxnOpResponse::Get(got) if got.kvs()[0].value() == b"2"));
    let answer = client.txn(guarded).await?;
    assert!(!answer.succeeded() && client.get("txn", None).await?.count() == 0);
    Ok(())
}

/// What a watch showed: kind, key, value, value before.
type Seen = (EventType, Vec<u8>, Vec<u8>, Option<Vec<u8>>);

async fn take(stream: &mut WatchStream, count: usize) -> Result<Vec<Seen>, Error> {
    let mut found = Vec::new();
    while found.len() < count {
        let answer = tokio::time::timeout(PATIENCE, stream.message()).await;
        let answer = answer.unwrap_or_else(|_| panic!("{} of {count} events", found.len()))?;
        for event in answer.expect("the watch goes on").events() {
            let (pair, before) = (event.kv().expect("an event has its key"), event.prev_kv());
            let before = before.map(|pair| pair.value().to_vec());
            found.push((event.event_type(), pair.key().to_vec(), pair.value().to_vec(), before));
        }
    }
    Ok(found)
}

async fn watches(client: &mut Client) -> Done {
    let first = client.put("watch/a", "1", None).await?;
    let first = first.header().map_or(0, |header| header.revision());
    let options = WatchOptions::new().with_prefix().with_start_revision(first).with_prev_key().with_fragment();
    let mut stream = client.watch("watch/", Some(options)).await?;
    client.put("watch/a", "2", None).await?;
    client.delete("watch/a", None).await?;
    client.put("watched", "not here", None).await?;
    client.put("watch/b", "3", None).await?;
    let expected: [Seen; 4] = [
        (EventType::Put, b"watch/a".into(), b"1".into(), None),
        (EventType::Put, b"watch/a".into(), b"2".into(), Some(b"1".into())),
        (EventType::Delete, b"watch/a".into(), b"".into(), Some(b"2".into())),
        (EventType::Put, b"watch/b".into(), b"3".into(), None),
    ];
    assert_eq!(take(&mut stream, 4).await?, expected);
    stream.request_progress().await?;
    let progress = stream.message().await?.expect("the watch goes on");
    assert!(progress.events().is_empty() && progress.header().map(|header| header.revision()) == Some(first + 4));
    stream.cancel(0).await?;
    assert!(stream.message().await?.is_some_and(|answer| answer.canceled()));
    Ok(())
}

async fn leases(client: &mut Client) -> Done {
    let lease = client.lease_grant(300, None).await?.id();
    client.put("leased/a", "1", Some(PutOptions::new().with_lease(lease))).await?;
    let options = etcd_client::LeaseTimeToLiveOptions::new().with_keys();
    let left = client.lease_time_to_live(lease, Some(options)).await?;
    assert_eq!((left.granted_ttl(), left.keys()), (300, &[b"leased/a".to_vec()][..]));
    assert!(client.leases().await?.leases().iter().any(|other| other.id() == lease));
    let (mut keeper, mut renewals) = client.lease_keep_alive(lease).await?;
    keeper.keep_alive().await?;
    assert_eq!(renewals.message().await?.map(|renewal| renewal.ttl()), Some(300));
    client.lease_revoke(lease).await?;
    assert_eq!(client.get("leased/a", None).await?.count(), 0);
    refused(client.lease_revoke(lease).await, "etcdserver: requested lease not found");
    let mut stream = client.watch("leased/b", None).await?;
    let short = client.lease_grant(1, None).await?.id();
    client.put("leased/b", "1", Some(PutOptions::new().with_lease(short))).await?;
    assert_eq!(take(&mut stream, 2).await?[1].0, EventType::Delete);
    assert_eq!(client.lease_time_to_live(short, None).await?.ttl(), -1);
    Ok(())
}

async fn compaction(client: &mut Client) -> Done {
    let first = client.put("compacted", "1", None).await?.header().map_or(0, |header| header.revision());
    let last = client.put("compacted", "2", None).await?.header().map_or(0, |header| header.revision());
    client.compact(last, None).await?;
    let at = |revision| Some(GetOptions::new().with_revision(revision));
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    refused(client.get("compacted", at(first)).await, compacted);
    refused(client.compact(last, None).await, compacted);
    let future = "etcdserver: mvcc: required revision is a future revision";
    refused(client.get("compacted", at(last + 1)).await, future);
    let mut stream = client.watch("compacted", Some(WatchOptions::new().with_start_revision(first))).await?;
    loop {
        let answer = tokio::time::timeout(PATIENCE, stream.message()).await.expect("a refusal comes")?;
        let answer = answer.expect("the stream goes on");
        assert!(answer.events().is_empty());
        if answer.canceled() {
            assert_eq!(answer.compact_revision(), last);
            return Ok(());
        }
    }
}

async fn errors(client: &mut Client) -> Done {
    refused(client.put("", "x", None).await, "etcdserver: key is not provided");
    let twice = Txn::new().and_then([TxnOp::put("k", "1", None), TxnOp::put("k", "2", None)]);
    refused(client.txn(twice).await, "etcdserver: duplicate key given in txn request");
    refused(client.put("k", vec![0; 1_600_000], None).await, "etcdserver: request is too large");
    let absent = Some(PutOptions::new().with_lease(12345));
    refused(client.put("k", "v", absent).await, "etcdserver: requested lease not found");
    Ok(())
}

async fn maintenance(client: &mut Client) -> Done {
    assert!(client.status().await?.version().starts_with("3."));
    assert_eq!(client.member_list().await?.members()[0].name(), "one");
    assert!(client.alarm(etcd_client::AlarmAction::Get, etcd_client::AlarmType::None, None).await?.alarms().is_empty());
    let mut snapshot = client.snapshot().await?;
    let mut length = 0;
    while let Some(piece) = snapshot.message().await? {
        length += piece.blob().len();
    }
    assert!(length > 4096);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut options = ConnectOptions::new().with_timeout(PATIENCE);
    let mut bare = None;
    if let [_, ca, certificate, key] = &arguments[..] {
        let trusting = TlsOptions::new().ca_certificate(Certificate::from_pem(std::fs::read(ca)?));
        let identity = Identity::from_pem(std::fs::read(certificate)?, std::fs::read(key)?);
        options = options.with_tls(trusting.clone().identity(identity));
        bare = Some(ConnectOptions::new().with_timeout(Duration::from_secs(5)).with_tls(trusting));
    }
    let mut client = Client::connect(&arguments[..1], Some(options)).await?;
    keys_and_values(&mut client).await?;
    transactions(&mut client).await?;
    watches(&mut client).await?;
    leases(&mut client).await?;
    compaction(&mut client).await?;
    errors(&mut client).await?;
    maintenance(&mut client).await?;
    if let Some(bare) = bare {
        // A client without a certificate of its own gets nothing.
        let outcome = match Client::connect(&arguments[..1], Some(bare)).await {
            Ok(mut client) => client.get("x", None).await.map(drop),
            Err(error) => Err(error),
        };
        assert!(outcome.is_err(), "a client without a certificate was served");
    }
    Ok(())
}
