//! The tree's point operations and walks on a million cells: `cargo bench --bench tree_cursor`.
//!
//! Keys are as Kubernetes makes them, bodies of 64 bytes; probes are spread over the whole tree, so that each touches cold
//! pages.

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use ringbolt::tree::{Arena, Config, Stamp, Tree, TreeId};
use ringbolt::types::ShardId;

/// Cells in the tree; few in a smoke run.
fn cells() -> u64 {
    std::env::var("TREE_CELLS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000)
}

/// Operations of one sample.
const BATCH: u64 = 1000;

fn main() {
    divan::main();
}

/// Spreads numbers.
fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word ^ (word >> 29)
}

fn key(at: u64) -> Vec<u8> {
    let hash = mix(at + 1);
    let mut key = format!("/registry/pods/ns-{:04}/pod-{:012x}", hash % 500, hash >> 16).into_bytes();
    key.extend([0xff; 12]);
    key
}

fn filled() -> Tree {
    let pages = cells() / 4 + 50_000;
    let config = Config { free_pages_kept: pages, ..Config::default() };
    let mut tree = Tree::create(Arena::anonymous(pages), config, pages).expect("enough pages");
    let mut at = 0;
    while at < cells() {
        let mut txn = tree.begin();
        for _ in 0..BATCH {
            txn.insert(TreeId::Keys, &key(at), &[1; 6], &[7; 64], true).expect("enough pages");
            at += 1;
        }
        txn.commit(Stamp::default());
    }
    tree
}

#[divan::bench]
fn find(bencher: Bencher<'_, '_>) {
    let tree = filled();
    let pin = tree.shared().reader(ShardId(0)).pin();
    let mut round = 0;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        round += BATCH;
        (round..round + BATCH)
            .filter(|at| pin.view().find(TreeId::Keys, &key(mix(*at) % cells())).expect("sound").is_some())
            .count()
    });
}

#[divan::bench]
fn rank(bencher: Bencher<'_, '_>) {
    let tree = filled();
    let pin = tree.shared().reader(ShardId(0)).pin();
    let mut round = 0;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        round += BATCH;
        (round..round + BATCH)
            .map(|at| pin.view().rank(TreeId::Keys, &key(mix(at) % cells())).expect("sound"))
            .fold(0, u64::wrapping_add)
    });
}

#[divan::bench]
fn next(bencher: Bencher<'_, '_>) {
    let tree = filled();
    let pin = tree.shared().reader(ShardId(0)).pin();
    let view = pin.view();
    let mut cursor = view.cursor(TreeId::Keys);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        let mut bytes = 0;
        for _ in 0..BATCH {
            if !cursor.next().expect("sound") {
                cursor.seek_first().expect("sound");
            }
            bytes += cursor.cell().expect("sound").map_or(0, |cell| cell.body.len());
        }
        bytes
    });
}

/// Overwrites spread over the tree, so many to a transaction: 1 shows what a commit costs by itself.
#[divan::bench(args = [1, 10, 100, 1000])]
fn overwrite(bencher: Bencher<'_, '_>, per_transaction: u64) {
    let mut tree = filled();
    let mut round = 0;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        for _ in 0..BATCH / per_transaction {
            let mut txn = tree.begin();
            for _ in 0..per_transaction {
                round += 1;
                let key = key(mix(round) % cells());
                txn.insert(TreeId::Keys, &key, &[1; 6], &[9; 64], true).expect("enough pages");
            }
            black_box(txn.commit(Stamp::default()));
        }
    });
}

/// Ascending keys, as the Revisions tree gets them.
#[divan::bench]
fn append(bencher: Bencher<'_, '_>) {
    let pages = 200_000;
    let config = Config { free_pages_kept: pages, ..Config::default() };
    let mut tree = Tree::create(Arena::anonymous(pages), config, pages).expect("enough pages");
    let mut at = 0u64;
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        let mut txn = tree.begin();
        for _ in 0..BATCH {
            at += 1;
            let mut key = [0; 12];
            key[..8].copy_from_slice(&(at % 5_000_000).to_be_bytes());
            txn.insert(TreeId::Revisions, &key, &[1], &[7; 40], false).expect("enough pages");
        }
        txn.commit(Stamp::default())
    });
}
