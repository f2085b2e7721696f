//! Readers on other threads while the writer commits and checkpoints: each pin sees one transaction, whole, for as long as
//! it is held.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::world::{CONFIG, Random};
use crate::tree::{Arena, Pinned, Shared, Stamp, Tree, TreeId};
use crate::types::{RaftIndex, ShardId};

const KEYS: u64 = 300;
const COMMITS: u64 = 400;

/// Every cell's body names the transaction's index: short, or long enough for a run.
fn body(index: u64, key: u64) -> Vec<u8> {
    let length = if key.is_multiple_of(50) { 1500 } else { 40 };
    index.to_be_bytes().into_iter().cycle().take(length).collect()
}

fn scan(pin: &Pinned) {
    let index = pin.stamp().applied_index.0;
    let mut cursor = pin.view().cursor(TreeId::Leases);
    let (mut more, mut key) = (cursor.seek_first().unwrap(), 0u64);
    while more {
        let cell = cursor.cell().unwrap().unwrap();
        assert_eq!(cell.key, key.to_be_bytes());
        assert_eq!(cell.body, body(index, key), "key {key} in the snapshot of {index}");
        key += 1;
        more = cursor.next().unwrap();
    }
    assert_eq!(key, if index == 0 { 0 } else { KEYS });
    assert_eq!(pin.view().weight(TreeId::Leases), key);
}

fn read(shared: &Arc<Shared>, shard: usize, done: &AtomicBool) -> u64 {
    let reader = shared.reader(ShardId(shard));
    let mut random = Random::new(u64::try_from(shard).unwrap() + 1);
    let mut held = vec![];
    let mut scans = 0;
    let mut last = 0;
    while !done.load(Ordering::Relaxed) {
        let pin = reader.pin();
        let index = pin.stamp().applied_index.0;
        assert!(index >= last, "snapshots ascend");
        last = index;
        assert!(reader.latest_stamp().applied_index.0 >= index);
        scan(&pin);
        scans += 1;
        if random.one_in(3) {
            held.push(pin);
        }
        if held.len() > 5 {
            let pin = held.swap_remove(random.size(held.len()));
            scan(&pin);
        }
    }
    held.iter().for_each(scan);
    scans
}

/// Tells the readers to stop even if the writer fails.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn readers_see_whole_transactions_only() {
    let mut tree = Tree::create(Arena::anonymous(3000), CONFIG, 3000).unwrap();
    let (shared, done) = (tree.shared(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|shard| {
                let (shared, done) = (&shared, &done);
                scope.spawn(move || read(shared, shard, done))
            })
            .collect();
        let finish = Finish(&done);
        let mut plan = None;
        for index in 1..=COMMITS {
            let mut txn = tree.begin();
            for key in 0..KEYS {
                let inserted = txn.insert(TreeId::Leases, &key.to_be_bytes(), &[], &body(index, key), true);
                assert_eq!(inserted, Ok(index == 1));
            }
            txn.commit(Stamp { applied_index: RaftIndex(index), ..Stamp::default() });
            if index % 64 == 0 {
                plan = tree.plan_checkpoint();
            }
            if index % 64 == 40
                && let Some(plan) = plan.take()
            {
                tree.on_checkpoint_done(plan);
            }
        }
        drop(finish);
        let scans: u64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert!(scans > 0, "the readers got a turn");
    });
    tree.release();
    tree.check().unwrap();
    tree.assert_invariants();
    assert!(tree.stats().snapshots_held <= 3);
}
