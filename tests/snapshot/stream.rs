//! The stream itself, message by message, and Hash.

use prost::Message;
use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Call, Client, InFlight, Scratch, Server, http_get, oracle};
use crate::naive;
use crate::round::{runtime, sha256, start};

const PATH: &str = "/etcdserverpb.Maintenance/Snapshot";

async fn messages(client: &Client) -> Vec<pb::SnapshotResponse> {
    let answer = client.connection.call(&Call::new(PATH, &pb::SnapshotRequest {})).await.expect("it serves");
    assert_eq!((answer.code, &*answer.text), (Some(0), ""));
    let decode = |frame: &crate::client::Frame| pb::SnapshotResponse::decode(frame.bytes.clone()).expect("a message");
    answer.frames.iter().map(decode).collect()
}

/// Pieces of 32 KiB that count down, each with the version and no header, and the checksum behind them.
fn check(messages: &[pb::SnapshotResponse], versions: &[&str]) -> Vec<u8> {
    let (last, blobs) = messages.split_last().expect("there is a checksum");
    let content: Vec<u8> = blobs.iter().flat_map(|message| message.blob.iter().copied()).collect();
    let mut remaining = content.len();
    for (index, message) in blobs.iter().enumerate() {
        remaining -= message.blob.len();
        assert_eq!(message.remaining_bytes, u64::try_from(remaining).unwrap());
        assert!(message.blob.len() == 32 * 1024 || index + 1 == blobs.len(), "{}", message.blob.len());
    }
    assert_eq!((last.remaining_bytes, &*last.blob), (0, &*sha256(&content)));
    for message in messages {
        assert_eq!((message.header, versions.contains(&&*message.version)), (None, true));
    }
    content
}

#[test]
fn messages_are_those_of_etcd() {
    let scratch = Scratch::new("stream");
    let ours = start(&scratch);
    let directory = scratch.path().join("etcd");
    std::fs::create_dir(&directory).expect("a fresh directory");
    let etcd = Server::start(&oracle(), &directory, &[]).unwrap_or_else(|failed| panic!("{failed}"));
    for (server, is_ours) in [(&ours, true), (&etcd, false)] {
        runtime().block_on(async {
            let client = Client::open(server.client).await.unwrap();
            for index in 0..40 {
                let value = vec![b'v'; 5000 * index].into();
                let request = pb::PutRequest { key: format!("{index}").into(), value, ..Default::default() };
                client.put(&request).await.expect("a good request");
            }
            // A new etcd takes a moment to agree with itself on its version.
            let versions: &[&str] = if is_ours { &["3.7.0"] } else { &["", "3.7.0"] };
            let content = check(&messages(&client).await, versions);
            if is_ours {
                let buckets = naive::read(&content);
                check_hash(&client, &buckets).await;
            }
        });
    }
}

/// `Hash` is the checksum over the rows of a snapshot, without those of `meta` that the rule leaves out.
async fn check_hash(client: &Client, buckets: &std::collections::BTreeMap<String, naive::Rows>) {
    let mut expected = 0;
    for (bucket, rows) in buckets {
        expected = crc32c::crc32c_append(expected, bucket.as_bytes());
        let ignored = ["consistent_index", "term", "storageVersion"].map(str::as_bytes);
        for (key, value) in rows.iter().filter(|(key, _)| bucket != "meta" || !ignored.contains(&&**key)) {
            expected = crc32c::crc32c_append(crc32c::crc32c_append(expected, key), value);
        }
    }
    let answer: pb::HashResponse =
        client.unary("/etcdserverpb.Maintenance/Hash", &pb::HashRequest {}).await.expect("it serves");
    let header = answer.header.expect("each answer has one");
    assert_eq!((answer.hash, header.revision), (expected, 41));
}

/// Clients that leave in the middle of a snapshot leave nothing behind: the next ones are served, and writes go on.
#[test]
fn clients_that_leave_are_let_go() {
    let scratch = Scratch::new("leave");
    let server = start(&scratch);
    runtime().block_on(async {
        let client = Client::open(server.client).await.unwrap();
        for index in 0..20 {
            let value = vec![b'v'; 1_000_000].into();
            let request = pb::PutRequest { key: format!("{index}").into(), value, ..Default::default() };
            client.put(&request).await.expect("a good request");
        }
        for _ in 0..50 {
            let leaver = Client::open(server.client).await.unwrap();
            let mut stream = leaver.connection.duplex(PATH, &[]).await.expect("it serves");
            stream.send(&pb::SnapshotRequest {});
            stream.finish();
            let first: pb::SnapshotResponse = stream.message().await;
            assert!(first.remaining_bytes > 1_000_000);
            drop(stream);
            leaver.connection.close().await;
        }
        let content = check(&messages(&client).await, &["3.7.0"]);
        assert_eq!(naive::read(&content)["key"].len(), 20);
    });
}

/// Clients that read nothing hold next to nothing of the server's memory, writes go on beside them, and once they read they
/// get the store as it was when they asked.
#[test]
fn slow_readers_get_what_they_asked_for() {
    const READERS: usize = 8;
    let scratch = Scratch::new("slow");
    let server = start(&scratch);
    runtime().block_on(async {
        let client = Client::open(server.client).await.unwrap();
        let put = async |index: u32| {
            let value = vec![b'v'; 100_000].into();
            let request = pb::PutRequest { key: format!("{index}").into(), value, ..Default::default() };
            client.put(&request).await.expect("a good request");
        };
        for index in 0..320 {
            put(index).await;
        }
        let before = own_memory(&server);
        let mut readers: Vec<InFlight> = Vec::new();
        for _ in 0..READERS {
            let call = Call::new(PATH, &pb::SnapshotRequest {});
            readers.push(client.connection.send(&call).await.expect("it serves"));
        }
        await_sent(&server, READERS * (15 << 20)).await;
        // A step's bytes and the largest value, and what the allocator keeps of others; the file is 32 MB. What puts left
        // behind comes and goes with checkpoints: what readers hold stays.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        loop {
            let grown = own_memory(&server).saturating_sub(before);
            if grown < READERS * 1_000_000 {
                break;
            }
            assert!(std::time::Instant::now() < deadline, "{grown} bytes for {READERS} readers");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        for index in 0..320 {
            put(index).await;
        }
        let all = pb::DeleteRangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..Default::default() };
        client.delete_range(&all).await.expect("a good request");
        client.compact(&pb::CompactionRequest { revision: 642, physical: true }).await.expect("a good request");
        for reader in readers {
            let answer = reader.answer().await.expect("it serves");
            assert_eq!(answer.code, Some(0), "{}", answer.text);
            let messages: Vec<pb::SnapshotResponse> =
                answer.frames.iter().map(|frame| Message::decode(frame.bytes.clone()).unwrap()).collect();
            let rows = naive::read(&check(&messages, &["3.7.0"])).remove("key").expect("it is always there");
            assert_eq!((rows.len(), crate::round::main_of(&rows[319].0)), (320, 321));
        }
    });
}

/// Bytes of memory that are the process's own.
fn own_memory(server: &Server) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux tells it");
    line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") << 10
}

/// Waits until the server has given so many bytes to its streams.
async fn await_sent(server: &Server, bytes: usize) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let page = http_get(server.client, "GET", "/metrics").expect("it serves").body;
        let line = page.lines().find_map(|line| line.strip_prefix("etcd_network_client_grpc_sent_bytes_total "));
        let sent: f64 = line.expect("it is counted").parse().expect("a number");
        if sent >= f64::from(u32::try_from(bytes).expect("below 4 GiB")) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{sent} bytes were sent and then no more");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
