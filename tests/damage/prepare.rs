//! Data directories to damage, and what a server on them must tell.
//!
//! **Invariants**: everything in `Expected` was acknowledged; nothing was in flight when the server ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use ringbolt::proto::etcdserverpb as pb;
use ringbolt::proto::mvccpb::KeyValue;

use crate::client::{CallError, Client, Program, Random, Server};

/// What a server that serves must tell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expected {
    /// The store's revision.
    pub(crate) revision: i64,
    /// The newest pairs.
    pub(crate) newest: BTreeMap<Bytes, KeyValue>,
    /// All pairs at some revision between the compacted and the newest one.
    pub(crate) older: (i64, BTreeMap<Bytes, KeyValue>),
    /// HashKV now.
    pub(crate) hash: u32,
}

/// A data directory of a server that has ended.
pub(crate) struct Prepared {
    /// The directory that holds `data`.
    pub(crate) directory: PathBuf,
    /// The data as it was some writes earlier, for lost writes.
    pub(crate) earlier: PathBuf,
    /// What is in it.
    pub(crate) expected: Expected,
    /// How its server ended.
    pub(crate) how: &'static str,
    /// The flags from which its identity follows.
    pub(crate) identity: Vec<String>,
}

/// Fills a data directory and ends its server by SIGTERM, or SIGKILL.
pub(crate) fn prepare(program: &Program, directory: &Path, seed: u64, kill: bool) -> Prepared {
    std::fs::create_dir_all(directory).expect("a fresh directory");
    let mut server = Server::start(program, directory, &["--snapshot-count=100"])
        .unwrap_or_else(|failed| panic!("the undamaged server does not start: {failed}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut random = Random::new(seed);
    let earlier = directory.join("earlier");
    let expected = runtime.block_on(async {
        fill(&server, &mut random, 350, true).await;
        assert!(server.stop().is_some(), "the undamaged server does not stop");
        copy(&server.data(), &earlier);
        server.restart().unwrap_or_else(|failed| panic!("the undamaged server does not come back: {failed}"));
        let older = fill(&server, &mut random, 150, false).await;
        fill(&server, &mut random, 40, false).await;
        let client = Client::open(server.client).await.expect("it serves");
        let expected = tell(&client, older).await.expect("it serves");
        client.connection.close().await;
        expected
    });
    if kill {
        server.kill();
    } else {
        assert!(server.stop().is_some(), "the undamaged server does not stop");
    }
    let how = if kill { "SIGKILL" } else { "SIGTERM" };
    let url = format!("http://{}", server.peer);
    let identity = vec![format!("--initial-advertise-peer-urls={url}"), format!("--initial-cluster=one={url}")];
    Prepared { directory: directory.to_owned(), earlier, expected, how, identity }
}

/// Writes one request after the other; tells the last revision.
async fn fill(server: &Server, random: &mut Random, count: u64, compact: bool) -> i64 {
    let client = Client::open(server.client).await.expect("it serves");
    let mut revision = 0;
    for number in 0..count {
        let key = |random: &mut Random| Bytes::from(format!("registry/things/{:03}", random.below(120)));
        let header = match random.below(8) {
            0 => {
                let request = pb::DeleteRangeRequest { key: key(random), ..Default::default() };
                client.delete_range(&request).await.expect("it serves").header
            }
            1 => {
                let put = |key| pb::RequestOp {
                    request: Some(pb::request_op::Request::RequestPut(pb::PutRequest {
                        key,
                        value: "of a txn".into(),
                        ..Default::default()
                    })),
                };
                let pair = [format!("pair/{number}/a"), format!("pair/{number}/b")];
                let success = pair.into_iter().map(|key| put(key.into())).collect();
                client.txn(&pb::TxnRequest { success, ..Default::default() }).await.expect("it serves").header
            }
            _ => {
                let length = *random.pick(&[0, 20, 100, 300, 300, 900, 2500, 7000, 20_000]);
                let value: Vec<u8> = (0..length).map(|_| random.next().to_le_bytes()[0]).collect();
                let request = pb::PutRequest { key: key(random), value: value.into(), ..Default::default() };
                client.put(&request).await.expect("it serves").header
            }
        };
        revision = header.expect("each answer has one").revision;
        if compact && number == count / 2 {
            let request = pb::CompactionRequest { revision: revision - 20, physical: true };
            client.compact(&request).await.expect("it serves");
        }
    }
    client.connection.close().await;
    revision
}

/// What a server tells: everything now, everything at revision `older`, and the hash.
pub(crate) async fn tell(client: &Client, older: i64) -> Result<Expected, CallError> {
    let (revision, newest) = everything(client, 0).await?;
    let (_, then) = everything(client, older).await?;
    let hash = client.hash_kv(&pb::HashKvRequest { revision: 0 }).await?.hash;
    Ok(Expected { revision, newest, older: (older, then), hash })
}

/// All pairs at a revision, and the store's revision.
pub(crate) async fn everything(client: &Client, revision: i64) -> Result<(i64, BTreeMap<Bytes, KeyValue>), CallError> {
    let all = Bytes::from_static(b"\0");
    let request = pb::RangeRequest { key: all.clone(), range_end: all, revision, ..Default::default() };
    let answer = client.range(&request).await?;
    let current = answer.header.map_or(0, |header| header.revision);
    let count = answer.count;
    let pairs: BTreeMap<Bytes, KeyValue> = answer.kvs.into_iter().map(|kv| (kv.key.clone(), kv)).collect();
    if usize::try_from(count).is_ok_and(|count| count == pairs.len()) {
        Ok((current, pairs))
    } else {
        Err(CallError::Malformed(format!("count {count} for {} pairs", pairs.len())))
    }
}

/// Copies a directory; zeros become holes, so that preallocated files cost little.
pub(crate) fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-a", "--sparse=always"]).arg(from).arg(to).status().expect("cp runs");
    assert!(status.success(), "cp {} {}: {status}", from.display(), to.display());
}
