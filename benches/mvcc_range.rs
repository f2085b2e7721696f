//! Benchmark of `src/mvcc/scan.rs` and `src/mvcc/write.rs`: what a get, a page, a count, a list and a put cost without
//! network, log or raft. `cargo bench --bench mvcc_range`; under `cargo test --benches` each runs once.

use std::sync::LazyLock;

use bytes::Bytes;
use divan::{Bencher, black_box};
use ringbolt::command::{PutRequest, RangeRequest};
use ringbolt::mvcc::{HashKv, Position, Progress, Scan, Want, Work, Writer};
use ringbolt::tree::{Arena, Config, Pinned, Stamp, Tree};
use ringbolt::types::{Revision, ShardId};

/// Keys in the store that is read.
const KEYS: u32 = 100_000;
/// Pages of an arena: 1 GiB, touched as it is used.
const PAGES: u64 = 262_144;
/// What a front gives a request before it lets others go on.
const STEP: (usize, usize) = (4096, 256 * 1024);

fn main() {
    divan::main();
}

fn key(number: u32) -> Bytes {
    Bytes::from(format!("/registry/pods/default/pod-{number:08}"))
}

fn new_tree() -> Tree {
    Tree::create(Arena::anonymous(PAGES), Config { grow_pages: 1024, free_pages_kept: 1024 }, PAGES).expect("fits")
}

/// Puts `numbers` in one tree transaction, each as a command of its own.
fn put(tree: &mut Tree, numbers: impl Iterator<Item = u32>, value: &Bytes) {
    let mut txn = tree.begin();
    let stamp = txn.view().stamp();
    let mut writer = Writer::new(&mut txn, Position::of(&stamp));
    for number in numbers {
        let request = PutRequest { key: key(number), value: value.clone(), ..PutRequest::default() };
        writer.put(&request, Want::Answer).expect("puts succeed");
    }
    let position = writer.position();
    txn.commit(Stamp { revision: position.current, compacted: position.compacted, ..stamp });
}

/// A store of `KEYS` keys of 1 KiB, of which each tenth was written again.
fn filled() -> Pinned {
    static TREE: LazyLock<std::sync::Arc<ringbolt::tree::Shared>> = LazyLock::new(|| {
        let mut tree = new_tree();
        let value = Bytes::from(vec![b'v'; 1024]);
        for start in (0..KEYS).step_by(1000) {
            put(&mut tree, start..start + 1000, &value);
        }
        put(&mut tree, (0..KEYS).step_by(10), &value);
        tree.shared()
    });
    TREE.reader(ShardId(0)).pin()
}

fn all() -> RangeRequest {
    let (key, range_end) = (Bytes::from_static(b"/registry/pods/"), Bytes::from_static(b"/registry/pods0"));
    RangeRequest { key, range_end, ..RangeRequest::default() }
}

/// Answers a request as a front does; bytes of the answer without its header.
fn answer(pinned: &Pinned, request: &RangeRequest, out: &mut Vec<u8>) -> u64 {
    out.clear();
    let view = pinned.view();
    let (bytes, step) = (STEP.1, || Work::cells(STEP.0));
    let mut scan = Scan::new(&view, request).expect("a valid request");
    if let Some(tail) = scan.encode_whole(&view, out, bytes, &mut step()).expect("readable") {
        tail.put(out);
        return u64::try_from(out.len()).expect("fits");
    }
    while scan.prepare(&view, &mut step()).expect("readable") == Progress::More {}
    loop {
        out.clear();
        if scan.next_chunk(&view, out, bytes, &mut step()).expect("readable") == Progress::Done {
            return scan.encoded_length();
        }
    }
}

#[divan::bench]
fn get(bencher: Bencher<'_, '_>) {
    let (pinned, mut out, mut number) = (filled(), Vec::new(), 0u32);
    bencher.bench_local(|| {
        number = (number + 7919) % KEYS;
        let request = RangeRequest { key: key(number), ..RangeRequest::default() };
        black_box(answer(&pinned, &request, &mut out))
    });
}

#[divan::bench]
fn get_of_a_past_revision(bencher: Bencher<'_, '_>) {
    let (pinned, mut out, mut number) = (filled(), Vec::new(), 0u32);
    bencher.bench_local(|| {
        number = (number + 7919) % KEYS;
        let request = RangeRequest { key: key(number), revision: i64::from(KEYS) / 2, ..RangeRequest::default() };
        black_box(answer(&pinned, &request, &mut out))
    });
}

#[divan::bench(args = [10, 500])]
fn page(bencher: Bencher<'_, '_>, limit: i64) {
    let (pinned, mut out) = (filled(), Vec::new());
    let request = RangeRequest { limit, ..all() };
    bencher.bench_local(|| black_box(answer(&pinned, &request, &mut out)));
}

#[divan::bench]
fn count(bencher: Bencher<'_, '_>) {
    let (pinned, mut out) = (filled(), Vec::new());
    let request = RangeRequest { count_only: true, ..all() };
    bencher.bench_local(|| black_box(answer(&pinned, &request, &mut out)));
}

#[divan::bench]
fn count_of_1000_changes_ago(bencher: Bencher<'_, '_>) {
    let (pinned, mut out) = (filled(), Vec::new());
    let revision = Position::of(&pinned.view().stamp()).current.0 - 1000;
    let request = RangeRequest { count_only: true, revision, ..all() };
    bencher.bench_local(|| black_box(answer(&pinned, &request, &mut out)));
}

#[divan::bench(sample_count = 10)]
fn list(bencher: Bencher<'_, '_>) {
    let (pinned, mut out) = (filled(), Vec::new());
    bencher.bench_local(|| black_box(answer(&pinned, &all(), &mut out)));
}

#[divan::bench(sample_count = 10)]
fn list_of_keys(bencher: Bencher<'_, '_>) {
    let (pinned, mut out) = (filled(), Vec::new());
    let request = RangeRequest { keys_only: true, ..all() };
    bencher.bench_local(|| black_box(answer(&pinned, &request, &mut out)));
}

#[divan::bench(sample_count = 10)]
fn list_sorted_by_version(bencher: Bencher<'_, '_>) {
    let (pinned, mut out) = (filled(), Vec::new());
    let request = RangeRequest { sort_target: 1, sort_order: 2, ..all() };
    bencher.bench_local(|| black_box(answer(&pinned, &request, &mut out)));
}

#[divan::bench(sample_count = 10)]
fn hash_kv(bencher: Bencher<'_, '_>) {
    let pinned = filled();
    bencher.bench_local(|| {
        let mut hash = HashKv::new(&pinned.view(), Revision(0)).expect("the current revision");
        hash.step(&pinned.view(), &mut Work::unbounded()).expect("readable")
    });
}

/// Puts of 256 bytes over 100,000 keys, so many to a tree transaction; the figure is for all of them.
#[divan::bench(args = [1, 16, 256])]
fn put_256_bytes(bencher: Bencher<'_, '_>, batch: u32) {
    let mut tree = new_tree();
    let value = Bytes::from(vec![b'v'; 256]);
    for start in (0..KEYS).step_by(1000) {
        put(&mut tree, start..start + 1000, &value);
    }
    let mut number = 0u32;
    bencher.counter(divan::counter::ItemsCount::new(batch)).bench_local(|| {
        let start = number;
        number = number.wrapping_add(batch);
        put(&mut tree, (start..start + batch).map(|at| at.wrapping_mul(7919) % KEYS), &value);
    });
}
