//! Pages of the file that rot under a running writer, after they were read and found whole. Whatever rots, the writer refuses
//! or does what it would have done: nothing of a rotten page gets into what is written, and nothing panics.

use std::collections::BTreeMap;

use super::world::{Model, Random, Step, TREES, World, compare};
use crate::limits::PAGE_BYTES;
use crate::tree::{Error, Page, Stamp, Tree, Txn, View};
use crate::types::{PageNumber, RaftIndex};

/// Pages as they were before they rotted.
pub(crate) type Rotten = Vec<(PageNumber, Page)>;

impl Tree {
    /// Carries out a checkpoint as the shell does: afterwards the memory holds what the file does.
    pub(crate) fn checkpoint_to_file(&mut self) {
        let Some(plan) = self.plan_checkpoint() else { return };
        let shared = self.shared();
        for range in plan.ranges() {
            for page in range.first.0..range.end().0 {
                let mut bytes = [0; PAGE_BYTES];
                plan.write_page(PageNumber(page), &mut bytes);
                *self.memory(PageNumber(page)) = bytes;
            }
            shared.forget_verified(range);
        }
        self.on_checkpoint_done(plan);
    }

    /// Rots up to `count` pages of the file, without a word to anybody.
    pub(crate) fn rot(&mut self, count: usize, random: &mut Random) -> Rotten {
        let space = &self.editor.space;
        let pages = (0..self.file_pages()).map(PageNumber);
        let pages: Vec<_> = pages.filter(|page| space.live.contains(page.0) && !space.dirty.contains(page.0)).collect();
        let pages: Vec<_> = pages.into_iter().filter(|page| page.0 >= 3 + 256).collect();
        let mut rotten: BTreeMap<PageNumber, Page> = BTreeMap::new();
        for _ in 0..count.min(pages.len()) {
            let page = pages[random.size(pages.len())];
            let other = *self.memory(pages[random.size(pages.len())]);
            let memory = self.memory(page);
            rotten.entry(page).or_insert(*memory);
            match random.below(8) {
                0 => memory.fill(0),
                1 => *memory = other,
                2 => memory[512..1024].fill(random.byte()),
                3 => memory[..48].copy_from_slice(&random.bytes(48)),
                _ => {
                    // Headers and slots more often than cells.
                    let bound = [48, 300, PAGE_BYTES][random.size(3)];
                    (0..1 + random.below(3)).for_each(|_| memory[random.size(bound)] ^= 1 << random.below(8));
                }
            }
        }
        rotten.into_iter().collect()
    }

    /// Undoes it where the page is still the one that rotted.
    pub(crate) fn heal(&mut self, rotten: Rotten) {
        for (page, bytes) in rotten {
            assert!(!self.editor.space.dirty.contains(page.0), "a page of the last checkpoint is not written again");
            *self.memory(page) = bytes;
        }
    }

    fn memory(&mut self, page: PageNumber) -> &mut Page {
        self.editor.shared.arena().page_mut(&mut self.editor.permit, page)
    }
}

/// Like `world::apply`, but what was not found need not have been missing.
fn apply(txn: &mut Txn<'_>, model: &mut Model, step: &Step) -> Result<(), Error> {
    match step {
        Step::Insert(tree, key, entry) => {
            let is_new = txn.insert(*tree, key, &entry.head, &entry.body, entry.weighted)?;
            let old = model.get_mut(tree).unwrap().insert(key.clone(), entry.clone());
            assert_eq!(is_new, old.is_none());
        }
        Step::Remove(tree, key) => {
            let was_there = txn.remove(*tree, key)?;
            assert_eq!(was_there, model.get_mut(tree).unwrap().remove(key).is_some());
        }
        Step::Weigh(tree, key, weighted) => {
            let was_there = txn.set_weighted(*tree, key, *weighted)?;
            let entry = model.get_mut(tree).unwrap().get_mut(key);
            assert_eq!(was_there, entry.is_some());
            entry.into_iter().for_each(|entry| entry.weighted = *weighted);
        }
    }
    Ok(())
}

/// One transaction while pages are rotten: it is refused, or does exactly what it should.
fn transact(world: &mut World, operations: u64, refusals: &mut BTreeMap<&'static str, u64>) {
    if world.tree.pages_free() < 100 {
        world.grow(400);
    }
    let steps: Vec<_> = (0..1 + world.random.below(operations)).map(|_| world.step(4)).collect();
    let mut model = world.model.clone();
    let count = 1 + world.random.size(12);
    let rotten = world.tree.rot(count, &mut world.random);
    read_anyhow(world.reader.pin().view(), &mut world.random);
    let mut txn = world.tree.begin();
    let outcome = steps.iter().try_for_each(|step| apply(&mut txn, &mut model, step));
    world.applied += 1;
    match outcome {
        Ok(()) => {
            txn.commit(Stamp { applied_index: RaftIndex(world.applied), ..Stamp::default() });
            world.model = model;
        }
        Err(error) => {
            drop(txn);
            if let Error::Corrupt { what, .. } = error {
                *refusals.entry(what).or_default() += 1;
            } else {
                assert_eq!(error, Error::OutOfPages);
            }
        }
    }
    world.tree.heal(rotten);
}

/// Readers look at a page of the file once. What they are told of one that rotted since may be anything, but they get an end.
fn read_anyhow(view: View<'_>, random: &mut Random) {
    for tree in TREES {
        let mut cursor = view.cursor(tree);
        let mut more = cursor.seek_first();
        while let Ok(true) = more {
            let _ = (cursor.cell(), cursor.key());
            more = cursor.next();
        }
        let mut more = cursor.seek_last();
        while let Ok(true) = more {
            more = cursor.prev_weighted();
        }
        for _ in 0..10 {
            let length = random.size(20);
            let key = random.bytes(length);
            let _ = (view.find(tree, &key), view.rank(tree, &key), cursor.seek_weighted(&key), cursor.seek_below(&key));
        }
    }
}

/// The same for a sweep.
fn sweep(world: &mut World, refusals: &mut BTreeMap<&'static str, u64>) {
    let ceiling = world.random.below(world.tree.file_pages());
    world.tree.editor.space.set_ceiling(ceiling);
    let mut sweep = crate::tree::sweep::Sweep::new(ceiling);
    while !sweep.is_over() {
        let rotten = world.tree.rot(4, &mut world.random);
        let mut txn = world.tree.begin();
        let swept = txn.sweep(&mut sweep, 1 + world.random.below(9));
        if let Err(error) = swept {
            drop(txn);
            world.tree.heal(rotten);
            if let Error::Corrupt { what, .. } = error {
                *refusals.entry(what).or_default() += 1;
            }
            return;
        }
        world.applied += 1;
        txn.commit(Stamp { applied_index: RaftIndex(world.applied), ..Stamp::default() });
        world.tree.heal(rotten);
    }
}

fn run(seed: u64) -> BTreeMap<&'static str, u64> {
    println!("seed {seed}");
    let mut world = World::new(seed);
    let mut refusals = BTreeMap::new();
    (0..20).for_each(|_| world.transact(150, 1));
    for round in 0..150 {
        if round % 5 == 0 {
            world.tree.checkpoint_to_file();
            // Everything is read and found whole before it rots.
            if world.random.one_in(2) {
                compare(world.tree.begin().view(), &world.model, &mut world.random);
            }
        }
        if round % 10 == 9 {
            sweep(&mut world, &mut refusals)
        } else {
            transact(&mut world, 12, &mut refusals)
        }
        if round % 15 == 0 {
            // What is published is right, down to every page.
            world.tree.checkpoint_to_file();
            let rotten = world.tree.rot(0, &mut world.random);
            assert!(rotten.is_empty());
            world.tree.check().unwrap();
            world.tree.assert_invariants();
            compare(world.tree.begin().view(), &world.model, &mut world.random);
        }
    }
    assert_eq!(world.model.len(), TREES.len());
    refusals
}

#[test]
fn what_rots_under_the_writer_is_refused_and_never_written() {
    let mut refusals = BTreeMap::new();
    for seed in 1..=std::env::var("RINGBOLT_TREE_SEEDS").map_or(16, |seeds| seeds.parse().unwrap()) {
        for (what, count) in run(seed) {
            *refusals.entry(what).or_insert(0) += count;
        }
    }
    println!("{refusals:?}");
    assert!(refusals.get("checksum").is_some_and(|count| *count > 100), "{refusals:?}");
    assert!(refusals.contains_key("checksum of a run"), "{refusals:?}");
}
