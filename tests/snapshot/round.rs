//! One round trip: save, look, restore, start etcd on it, compare.
//!
//! **Invariants**: everything that is compared is asked of both servers in the same words.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use prost::Message;
use ringbolt::proto::etcdserverpb as pb;
use ringbolt::proto::mvccpb::KeyValue;
use tokio::runtime::Runtime;

use crate::client::{CallError, Client, Scratch, Server, oracle, server_under_test, tool};
use crate::naive::{self, Rows};

/// A runtime for one test.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// The server under test, fresh.
pub(crate) fn start(scratch: &Scratch) -> Server {
    let directory = scratch.path().join("ours");
    std::fs::create_dir(&directory).expect("a fresh directory");
    Server::start(&server_under_test(), &directory, &[]).unwrap_or_else(|failed| panic!("{failed}"))
}

/// Runs one of etcd's tools, which must succeed; what it printed.
pub(crate) fn run(name: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(tool(name));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCDCTL")) {
        command.env_remove(name);
    }
    let output = command.args(arguments).output().expect("it runs");
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name} {arguments:?}: {}\n{out}\n{error}", output.status);
    out.into_owned()
}

/// A snapshot in a file.
pub(crate) struct Saved {
    pub(crate) path: PathBuf,
    /// What the naive reader finds in it.
    pub(crate) buckets: BTreeMap<String, Rows>,
}

/// What `etcdutl snapshot status` says.
#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    hash: u32,
    revision: i64,
    total_key: usize,
    total_size: usize,
    version: String,
}

impl Saved {
    /// Saves with etcdctl.
    pub(crate) fn of(server: &Server, path: PathBuf) -> Self {
        let text = path.to_str().expect("our name");
        run("etcdctl", &[&format!("--endpoints={}", server.client), "snapshot", "save", text]);
        let file = std::fs::read(&path).expect("it was saved");
        let (content, checksum) = file.split_at(file.len() - 32);
        assert_eq!(checksum, sha256(content));
        let saved = Self { buckets: naive::read(content), path };
        saved.check_status(content.len());
        saved
    }

    /// etcdutl's words against what the rows say.
    fn check_status(&self, total_size: usize) {
        let told = run("etcdutl", &["snapshot", "status", "-w", "json", self.path.to_str().expect("our name")]);
        let told: Told = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{told}: {error}"));
        let mut hash = 0;
        for (bucket, rows) in &self.buckets {
            hash = crc32c::crc32c_append(hash, bucket.as_bytes());
            for (key, value) in rows {
                hash = crc32c::crc32c_append(crc32c::crc32c_append(hash, key), value);
            }
        }
        let version = String::from_utf8(self.meta("storageVersion").expect("it is always there").clone()).unwrap();
        let expected = Told { hash, revision: self.revision(), total_key: self.live_keys(), total_size, version };
        assert_eq!(told, expected);
    }

    /// A row of the bucket `meta`.
    pub(crate) fn meta(&self, name: &str) -> Option<&Vec<u8>> {
        self.buckets["meta"].iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value)
    }

    /// The revision of the last row; 0 if there is none.
    pub(crate) fn revision(&self) -> i64 {
        self.buckets["key"].last().map_or(0, |(key, _)| main_of(key))
    }

    fn live_keys(&self) -> usize {
        let mut live = BTreeMap::new();
        for (key, value) in &self.buckets["key"] {
            live.insert(KeyValue::decode(&**value).expect("a pair").key, key.len() == 17);
        }
        live.values().filter(|live| **live).count()
    }

    /// Restores into `directory` and starts etcd on it.
    pub(crate) fn restored(&self, directory: &Path, extra: &[&str]) -> Server {
        std::fs::create_dir(directory).expect("a fresh directory");
        let data = directory.join("data");
        let path = [self.path.to_str().expect("our name"), "--data-dir", data.to_str().expect("our name")];
        run("etcdutl", &[&["snapshot", "restore"], &path[..], extra].concat());
        Server::start(&oracle(), directory, &[]).unwrap_or_else(|failed| panic!("{failed}"))
    }
}

/// The revision that a row's key names.
pub(crate) fn main_of(key: &[u8]) -> i64 {
    i64::from_be_bytes(key[..8].try_into().expect("eight bytes"))
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).to_vec()
}

/// Everything at a revision.
fn all(revision: i64) -> pb::RangeRequest {
    pb::RangeRequest { key: vec![0].into(), range_end: vec![0].into(), revision, ..Default::default() }
}

/// Both servers give the same pairs and the same checksum at every one of these revisions, and know the same leases.
pub(crate) async fn compare(ours: &Client, etcd: &Client, revisions: impl IntoIterator<Item = i64>) {
    for revision in revisions {
        // A store that is empty is at the same revision, and has no other.
        let pairs = |answer: Result<pb::RangeResponse, CallError>| answer.map(|answer| (answer.kvs, answer.count));
        let (left, right) = (pairs(ours.range(&all(revision)).await), pairs(etcd.range(&all(revision)).await));
        assert!(left == right, "at {revision}: {:?} pairs here, {:?} there", left.map(|l| l.1), right.map(|r| r.1));
        let request = pb::HashKvRequest { revision };
        let hashed = |answer: Result<pb::HashKvResponse, CallError>| {
            answer.map(|answer| (answer.hash, answer.compact_revision, answer.hash_revision))
        };
        let (left, right) = (hashed(ours.hash_kv(&request).await), hashed(etcd.hash_kv(&request).await));
        assert_eq!(left, right, "HashKV at {revision}");
    }
    assert_eq!(leases(ours).await, leases(etcd).await);
}

/// Every lease with what was granted and its keys.
async fn leases(client: &Client) -> BTreeMap<i64, (i64, Vec<Vec<u8>>)> {
    let listed = client.lease_leases(&pb::LeaseLeasesRequest {}).await.expect("it serves");
    let mut all = BTreeMap::new();
    for pb::LeaseStatus { id } in listed.leases {
        let told = client.lease_time_to_live(&pb::LeaseTimeToLiveRequest { id, keys: true }).await.expect("it serves");
        let mut keys: Vec<Vec<u8>> = told.keys.iter().map(|key| key.to_vec()).collect();
        keys.sort();
        all.insert(id, (told.granted_ttl, keys));
    }
    all
}

/// The current revision.
pub(crate) async fn revision(client: &Client) -> i64 {
    let answer = client.range(&pb::RangeRequest { limit: 1, ..all(0) }).await.expect("it serves");
    answer.header.expect("each answer has one").revision
}
