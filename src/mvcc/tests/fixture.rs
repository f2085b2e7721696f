//! HashKV against numbers that a real etcd gave for the same operations.

use bytes::Bytes;

use super::support::{hash, new_tree, pin, run};
use crate::command::request_op::Request;
use crate::command::{Command, CompactionRequest, DeleteRangeRequest, PutRequest, RequestOp, TxnRequest};
use crate::mvcc::{Error, Progress, Want, compact_step, resume_compaction};
use crate::tree::Tree;

const RECORDED: &str = include_str!("hashkv.txt");

fn text(word: &str) -> Bytes {
    Bytes::copy_from_slice(word.as_bytes())
}

fn put(key: &str, value: &str) -> PutRequest {
    PutRequest { key: text(key), value: text(value), ..Default::default() }
}

fn delete(key: &str, range_end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: text(key), range_end: text(range_end), ..Default::default() }
}

fn op(words: &[&str]) -> Request {
    match words {
        ["put", key, value] => Request::RequestPut(put(key, value)),
        ["del", key] => Request::RequestDeleteRange(delete(key, "")),
        ["del", key, "--from-key"] => Request::RequestDeleteRange(delete(key, "\0")),
        other => panic!("unknown operation {other:?}"),
    }
}

fn txn(words: &[&str]) -> TxnRequest {
    let ops = words.split(|word| *word == ";").map(|words| RequestOp { request: Some(op(words)) });
    TxnRequest { success: ops.collect(), ..Default::default() }
}

fn check_hash(tree: &Tree, revision: &str, answer: &[&str], line: &str) {
    let found = hash(&pin(tree).view(), revision.parse().unwrap(), 5);
    match answer {
        ["error", "compacted"] => assert_eq!(found, Err(Error::Compacted), "{line}"),
        ["error", "future"] => assert_eq!(found, Err(Error::FutureRevision), "{line}"),
        [sum, compact, hashed] => {
            let found = found.unwrap();
            let found = (found.hash, found.compact_revision.0, found.hash_revision.0);
            assert_eq!(found, (sum.parse().unwrap(), compact.parse().unwrap(), hashed.parse().unwrap()), "{line}");
        }
        other => panic!("unknown answer {other:?}"),
    }
}

/// Replays the recording, with `step` called after each command. Hashes compared: of any revision, and of revisions of
/// earlier compactions, which are remembered only if each compaction finished before the next.
fn replay(finishes: bool, mut step: impl FnMut(&mut Tree)) -> (u32, u32) {
    let mut tree = new_tree();
    let (mut hashes, mut remembered) = (0, 0);
    for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let command = match words.as_slice() {
            ["restart"] => {
                resume_compaction(&mut tree).unwrap();
                continue;
            }
            ["remembered", revision, answer @ ..] => {
                if finishes {
                    check_hash(&tree, revision, answer, line);
                    remembered += 1;
                }
                continue;
            }
            ["hash", revision, answer @ ..] => {
                check_hash(&tree, revision, answer, line);
                hashes += 1;
                continue;
            }
            ["put", key, value] => Command::Put(put(key, value)),
            ["del", key] => Command::DeleteRange(delete(key, "")),
            ["delrange", key, end] => Command::DeleteRange(delete(key, end)),
            ["delfrom", key] => Command::DeleteRange(delete(key, "\0")),
            ["txn", words @ ..] => Command::Txn(txn(words)),
            ["compact", revision] => {
                Command::Compact(CompactionRequest { revision: revision.parse().unwrap(), physical: true })
            }
            other => panic!("unknown line {other:?}"),
        };
        run(&mut tree, &command, Want::Effect).unwrap();
        step(&mut tree);
    }
    (hashes, remembered)
}

#[test]
fn the_numbers_of_a_real_etcd() {
    let finish = |tree: &mut Tree| while compact_step(tree, 2).unwrap() == Progress::More {};
    assert_eq!(replay(true, finish), (39, 82), "the recording was read whole");
}

#[test]
fn the_same_numbers_before_any_row_is_removed() {
    assert_eq!(replay(false, |_| {}).0, 39);
}

#[test]
fn the_same_numbers_in_the_middle_of_removing() {
    assert_eq!(replay(false, |tree| _ = compact_step(tree, 1).unwrap()).0, 39);
}
