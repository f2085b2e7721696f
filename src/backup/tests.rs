//! The file of a store is what the naive reader makes of it: every row there is, by etcd's rules.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Error, Hashing, Measuring, Member};
use crate::bbolt::naive::{self, Rows};
use crate::codec::crc32c;
use crate::command::{
    AlarmRequest, Command, CompactionRequest, DeleteRangeRequest, DowngradeInfo, KeyValue, PutRequest,
};
use crate::limits::PAGE_BYTES;
use crate::mvcc::tests::random::Random;
use crate::mvcc::tests::support::{new_tree, pin, run};
use crate::mvcc::{HashKv, Want, Work, compact_step};
use crate::tree::{Pinned, Tree};
use crate::types::{LeaseId, MemberId, Revision};
use prost::Message;

const MEMBER: u64 = 0x2e12_59d4_15f2_a040;

fn members() -> Vec<Member> {
    vec![Member {
        id: MemberId(MEMBER),
        name: "a<b".to_owned(),
        peer_urls: vec!["http://127.0.0.1:2380".to_owned()],
        client_urls: vec!["http://127.0.0.1:2379".to_owned(), "http://h:1?a&b".to_owned()],
        is_learner: false,
    }]
}

/// The file, made in steps of so many cells and taken in pieces.
fn file_of(pinned: &Pinned, cells: usize, piece: usize) -> Result<Vec<u8>, Error> {
    let view = pinned.view();
    let mut measuring = Measuring::new(&view, members());
    let mut writing = loop {
        measuring = match measuring.step(&view, &mut Work::cells(cells))? {
            Ok(writing) => break writing,
            Err(measuring) => measuring,
        };
    };
    let mut file = Vec::new();
    loop {
        let progress = writing.step(&view, &mut Work::cells(cells))?;
        let taken = writing.take(piece);
        assert!(progress == crate::mvcc::Progress::Done || taken.len() % piece == 0);
        file.extend(taken);
        if progress == crate::mvcc::Progress::Done {
            assert_eq!(u64::try_from(file.len()).unwrap(), writing.file_bytes());
            return Ok(file);
        }
    }
}

fn read(pinned: &Pinned) -> BTreeMap<String, Rows> {
    let file = file_of(pinned, usize::MAX, 1 << 15).unwrap();
    assert!(file == file_of(pinned, 3, PAGE_BYTES).unwrap(), "steps make no difference");
    let buckets = naive::read(&file);
    let names: Vec<&str> = buckets.keys().map(String::as_str).collect();
    let all = "alarm auth authRoles authUsers cluster key lease members members_removed meta";
    assert_eq!(names.join(" "), all);
    check_hash(pinned, &buckets);
    buckets
}

/// Hash is the checksum over the file's rows, but for what changes without a change.
fn check_hash(pinned: &Pinned, buckets: &BTreeMap<String, Rows>) {
    let ignored = ["consistent_index", "storageVersion", "term"].map(str::as_bytes);
    let mut expected = 0;
    for (bucket, rows) in buckets {
        expected = crc32c(expected, bucket.as_bytes());
        for (key, value) in rows.iter().filter(|(key, _)| bucket != "meta" || !ignored.contains(&&**key)) {
            expected = crc32c(crc32c(expected, key), value);
        }
    }
    let mut hashing = Hashing::new(&pinned.view(), members());
    let hash = loop {
        if let Some(hash) = hashing.step(&pinned.view(), &mut Work::cells(2)).unwrap() {
            break hash;
        }
    };
    assert_eq!(hash, expected);
}

/// HashKV of the whole history is the checksum over the rows of `key`, as long as nothing was compacted.
fn check_history(pinned: &Pinned, rows: &Rows) {
    let checksum = rows.iter().fold(crc32c(0, b"key"), |sum, (key, value)| crc32c(crc32c(sum, key), value));
    let view = pinned.view();
    let hashed = HashKv::new(&view, Revision(0)).unwrap().step(&view, &mut Work::unbounded()).unwrap().unwrap();
    assert_eq!(hashed.hash, checksum);
    for (key, value) in rows {
        let pair = KeyValue::decode(&**value).unwrap();
        assert!(key[8] == b'_' && key.len() == if pair.mod_revision == 0 { 18 } else { 17 });
        let main = i64::from_be_bytes(key[..8].try_into().unwrap());
        assert!(pair.mod_revision == 0 && key[17..] == *b"t" || pair.mod_revision == main, "{key:?}");
    }
}

fn put(tree: &mut Tree, key: &str, length: usize, lease: i64) {
    let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::from(vec![b'v'; length]));
    let command = Command::Put(PutRequest { key, value, lease, ..Default::default() });
    run(tree, &command, Want::Effect).unwrap();
}

fn grant(tree: &mut Tree, id: i64, ttl: i64) {
    let mut txn = tree.begin();
    let stamp = txn.view().stamp();
    crate::lease::grant(&mut txn, LeaseId(id), ttl).unwrap();
    txn.commit(stamp);
}

#[test]
fn an_empty_store_is_what_a_new_etcd_writes() {
    let buckets = read(&pin(&new_tree()));
    let text = |bucket: &str| -> Vec<(String, String)> {
        let show = |bytes: &[u8]| bytes.escape_ascii().to_string().replace("\\\"", "\"");
        buckets[bucket].iter().map(|(key, value)| (show(key), show(value))).collect()
    };
    let pairs = |rows: &[(&str, &str)]| -> Vec<(String, String)> {
        rows.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    for empty in ["alarm", "authRoles", "authUsers", "key", "lease", "members_removed"] {
        assert_eq!(text(empty), [], "{empty}");
    }
    assert_eq!(text("auth"), pairs(&[("authRevision", r"\x00\x00\x00\x00\x00\x00\x00\x01")]));
    let downgrade = r#"{"target-version":"","enabled":false}"#;
    assert_eq!(text("cluster"), pairs(&[("clusterVersion", "3.7.0"), ("downgrade", downgrade)]));
    let member = concat!(
        r#"{"id":3319814642761637952,"peerURLs":["http://127.0.0.1:2380"],"name":"a\\u003cb","#,
        r#""clientURLs":["http://127.0.0.1:2379","http://h:1?a\\u0026b"]}"#
    );
    assert_eq!(text("members"), pairs(&[("2e1259d415f2a040", member)]));
    let zero = r"\x00\x00\x00\x00\x00\x00\x00\x00";
    let state = r#"{"voters":[3319814642761637952],"auto_leave":false}"#;
    let meta = [("confState", state), ("consistent_index", zero), ("storageVersion", "3.7.0"), ("term", zero)];
    assert_eq!(text("meta"), pairs(&meta));
}

#[test]
fn every_row_of_the_history_is_there() {
    for seed in 1..=6 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut tree = new_tree();
        grant(&mut tree, 7, 100);
        for _ in 0..1500 {
            let key = format!("key {}", random.below(200));
            let length = [10, 100, 1000, 1100, 5000][usize::try_from(random.below(5)).unwrap()];
            match random.below(10) {
                0 => {
                    let request =
                        DeleteRangeRequest { key: key.into(), range_end: "key 3".into(), ..Default::default() };
                    run(&mut tree, &Command::DeleteRange(request), Want::Effect).unwrap();
                }
                1 => put(&mut tree, &key, 0, 7),
                _ => put(&mut tree, &key, length, 0),
            }
        }
        put(&mut tree, "big", 1 << 20, 0);
        put(&mut tree, "after", 1, 7);
        let pinned = pin(&tree);
        let before = read(&pinned);
        check_history(&pinned, &before["key"]);
        // What is written now belongs to the next root.
        put(&mut tree, "late", 1, 0);
        assert!(read(&pinned) == before);
        let last = |buckets: &BTreeMap<String, Rows>| buckets["key"].last().unwrap().0.clone();
        assert!(last(&read(&pin(&tree))) > last(&before));
    }
}

#[test]
fn leases_stand_in_the_order_of_etcd() {
    let mut tree = new_tree();
    let mut ids: Vec<i64> = (1..1500).map(|index| index * 3).chain([i64::MAX, i64::MIN, -1, -2]).collect();
    ids.iter().for_each(|id| grant(&mut tree, *id, 60));
    ids.sort_unstable_by_key(|id| id.cast_unsigned());
    let found = read(&pin(&tree)).remove("lease").unwrap();
    let keys: Vec<i64> = found.iter().map(|(key, _)| i64::from_be_bytes((&**key).try_into().unwrap())).collect();
    assert_eq!(keys, ids);
    assert_eq!(found[0].1, [0x08, 3, 0x10, 60]);
}

#[test]
fn alarms_compactions_and_a_downgrade_are_told() {
    let mut tree = new_tree();
    for index in 0..20 {
        put(&mut tree, &format!("{}", index % 3), 10, 0);
    }
    run(&mut tree, &Command::Compact(CompactionRequest { revision: 9, physical: false }), Want::Effect).unwrap();
    let mut txn = tree.begin();
    let stamp = txn.view().stamp();
    for alarm in [2, 1] {
        crate::alarm::change(&mut txn, &AlarmRequest { action: 1, member_id: 300, alarm }).unwrap();
    }
    let info = DowngradeInfo { enabled: true, target_version: "3.6.0".to_owned() };
    crate::cluster::set_downgrade(&mut txn, &info).unwrap();
    txn.commit(stamp);
    let buckets = read(&pin(&tree));
    assert_eq!(buckets["alarm"], [(vec![8, 172, 2, 16, 1], vec![]), (vec![8, 172, 2, 16, 2], vec![])]);
    assert_eq!(buckets["cluster"][0].1, b"3.6.0");
    assert_eq!(buckets["cluster"][1].1, br#"{"target-version":"3.6.0","enabled":true}"#);
    let meta: BTreeMap<Vec<u8>, Vec<u8>> = buckets["meta"].iter().cloned().collect();
    let mark = b"\0\0\0\0\0\0\0\x09_\0\0\0\0\0\0\0\0".to_vec();
    assert_eq!(meta.get(&b"scheduledCompactRev"[..]), Some(&mark));
    assert_eq!(meta.get(&b"finishedCompactRev"[..]), None, "its rows are still there");
    assert_eq!(meta[&b"storageVersion"[..]], b"3.6.0");
    assert_eq!(buckets["key"].len(), 20);
    while compact_step(&mut tree, 100).unwrap() == crate::mvcc::Progress::More {}
    let after = read(&pin(&tree));
    let meta: BTreeMap<Vec<u8>, Vec<u8>> = after["meta"].iter().cloned().collect();
    assert_eq!(meta.get(&b"finishedCompactRev"[..]), Some(&mark));
    assert!(after["key"].len() < 20);
}
