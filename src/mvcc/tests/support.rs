//! A store on an anonymous tree, with what the tests ask of it.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use super::model::ModelRow;
use crate::command::{Command, KeyValue, Outcome, RangeRequest, RangeResponse, Response, ResponseHeader};
use crate::mvcc::row::{Values, Version};
use crate::mvcc::{Error, HashKv, KvHash, Position, Progress, Scan, Want, Work, Writer};
use crate::tree::{Arena, Config, Pinned, Stamp, Tree, TreeId, View};
use crate::types::{Revision, ShardId};

/// Pages of a test's store: memory is touched as it is used.
const PAGES: u64 = 32_768;

/// A new store.
pub(crate) fn new_tree() -> Tree {
    let config = Config { grow_pages: 64, free_pages_kept: 64 };
    Tree::create(Arena::anonymous(PAGES), config, PAGES).unwrap()
}

/// A pin of the newest root.
pub(crate) fn pin(tree: &Tree) -> Pinned {
    tree.shared().reader(ShardId(0)).pin()
}

/// One command in a tree transaction of its own.
pub(crate) fn run(tree: &mut Tree, command: &Command, want: Want) -> Result<Outcome, Error> {
    let mut txn = tree.begin();
    let stamp = txn.view().stamp();
    let mut writer = Writer::new(&mut txn, Position::of(&stamp));
    let response = match command {
        Command::Put(put) => Response::Put(writer.put(put, want)?),
        Command::DeleteRange(delete) => Response::DeleteRange(writer.delete_range(delete, want)?),
        Command::Txn(request) => Response::Txn(writer.txn(request, want)?),
        Command::Compact(compact) => Response::Compact { compacted: writer.compact(compact)?, physical_wait: false },
        Command::Noop | Command::Alarm(_) | Command::Downgrade(_) => Response::Noop,
        Command::Lease(_) => unreachable!("no test here has leases granted"),
    };
    let position = writer.position();
    txn.commit(Stamp { revision: position.current, compacted: position.compacted, ..stamp });
    Ok(Outcome { revision: position.current, response })
}

/// A range through a scan in the smallest of steps.
pub(crate) fn scan(
    view: &View<'_>,
    request: &RangeRequest,
    cells: usize,
    bytes: usize,
) -> Result<RangeResponse, Error> {
    let mut scan = Scan::new(view, request)?;
    let mut out = b"before".to_vec();
    if let Some(tail) = scan.encode_whole(view, &mut out, bytes, &mut Work::cells(cells))? {
        tail.put(&mut out);
        return Ok(decode(&scan, &out[6..]));
    }
    assert_eq!(out, b"before", "a failed attempt leaves no bytes");
    while scan.prepare(view, &mut Work::cells(cells))? == Progress::More {}
    let (length, tail) = (scan.encoded_length(), scan.tail());
    let mut chunks = 0;
    loop {
        let start = out.len();
        let progress = scan.next_chunk(view, &mut out, bytes, &mut Work::cells(cells))?;
        chunks += 1;
        let chunk = RangeResponse::decode(&out[start..]).expect("each chunk is whole pairs");
        let last = chunk.kvs.last().map_or(0, |pair| pair.encoded_len() + 11);
        assert!(out.len() - start <= bytes + last, "a chunk is at most one pair too long");
        if progress == Progress::Done {
            break;
        }
        assert!(chunks < 100_000, "a scan ends");
    }
    assert_eq!(u64::try_from(out.len() - 6).unwrap(), length);
    let before = out.len();
    tail.put(&mut out);
    assert_eq!(out.len() - before, tail.encoded_length());
    Ok(decode(&scan, &out[6..]))
}

fn decode(scan: &Scan, bytes: &[u8]) -> RangeResponse {
    let answer = RangeResponse::decode(bytes).expect("the encoding is protobuf");
    assert_eq!(answer.encode_to_vec(), bytes, "fields in order, zeros left out");
    let header = ResponseHeader { revision: scan.revision().0, ..Default::default() };
    RangeResponse { header: Some(header), ..answer }
}

/// HashKV in steps of `cells`.
pub(crate) fn hash(view: &View<'_>, revision: i64, cells: usize) -> Result<KvHash, Error> {
    let mut hash = HashKv::new(view, Revision(revision))?;
    loop {
        if let Some(found) = hash.step(view, &mut Work::cells(cells))? {
            return Ok(found);
        }
    }
}

/// Every row of the history, after checking that the index holds the newest row of each key and nothing else, that exactly
/// the live ones count, and that each row leads to the one before it.
pub(crate) fn dump(view: &View<'_>) -> Vec<ModelRow> {
    let (mut rows, mut newest) = (Vec::new(), BTreeMap::<Bytes, Version<'_>>::new());
    let mut cursor = view.cursor(TreeId::Revisions);
    cursor.seek(&[]).unwrap();
    while let Some(cell) = cursor.outline().unwrap() {
        let version = Version::of_row(cell).unwrap();
        let key = Bytes::copy_from_slice(version.key);
        let pair = (!version.head.tombstone).then(|| KeyValue {
            key: key.clone(),
            create_revision: version.head.create.0,
            mod_revision: version.at.main.0,
            version: version.head.version,
            value: Bytes::copy_from_slice(Values::new(view).of(&version).unwrap()),
            lease: version.head.lease.0,
        });
        rows.push(ModelRow { main: version.at.main.0, sub: version.at.sub, key: key.clone(), pair });
        let before = newest.insert(key, version);
        if let Some(before) = before {
            assert_eq!(version.chain.previous(), Ok(Some(before.at)), "{version:?}");
        }
        cursor.next().unwrap();
    }
    assert_eq!(view.weight(TreeId::Revisions), u64::try_from(rows.len()).unwrap());
    let mut cursor = view.cursor(TreeId::Keys);
    cursor.seek(&[]).unwrap();
    for (key, row) in &newest {
        let cell = cursor.outline().unwrap().expect("each key of the history is in the index");
        let version = Version::of_key(cell).unwrap();
        assert_eq!((version.key, version.at, version.head), (&key[..], row.at, row.head));
        assert_eq!((cell.weighted, version.value_length), (!row.head.tombstone, row.value_length));
        cursor.next().unwrap();
    }
    assert!(cursor.cell().unwrap().is_none(), "each key of the index has a row");
    let live = newest.values().filter(|version| !version.head.tombstone).count();
    assert_eq!(view.weight(TreeId::Keys), u64::try_from(live).unwrap());
    rows
}
