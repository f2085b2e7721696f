//! What disks do: power cuts in the middle of a checkpoint, and writes that are torn, lost, misdirected or rot later.

use std::collections::BTreeMap;

use super::world::{Image, Model, Random, World};
use crate::limits::PAGE_BYTES;
use crate::tree::{Error, Tree, View};
use crate::types::{PageNumber, ShardId, TxnId};

/// Writes a random prefix of sectors of the new page over the old one.
fn tear(old: &mut [u8], new: &[u8], random: &mut Random) {
    let sectors = random.size(PAGE_BYTES / 512 + 1);
    old[..sectors * 512].copy_from_slice(&new[..sectors * 512]);
}

/// Cuts the power during the checkpoint in progress; the model that must be found again.
fn power_cut(world: &mut World, durable: &Model) -> Model {
    let Some((plan, model)) = world.plan.take() else { return durable.clone() };
    let mut writes = Image::writes(&plan);
    let meta = writes.pop().unwrap();
    // Before the first barrier: whatever pages, in whatever state.
    let before_barrier = world.random.one_in(2);
    for (page, bytes) in writes {
        match world.random.below(if before_barrier { 4 } else { 1 }) {
            0 | 1 => world.image.page_mut(page).copy_from_slice(&bytes),
            2 => tear(world.image.page_mut(page), &bytes, &mut world.random),
            _ => {}
        }
    }
    if before_barrier {
        return durable.clone();
    }
    match world.random.below(3) {
        0 => return durable.clone(),
        1 => {
            let old = world.image.page_mut(meta.0).to_vec();
            tear(world.image.page_mut(meta.0), &meta.1, &mut world.random);
            let now = world.image.page_mut(meta.0).to_vec();
            // Every difference may have lain in the sectors written.
            if now != meta.1 {
                assert!(now == old || now != meta.1);
                return durable.clone();
            }
        }
        _ => world.image.page_mut(meta.0).copy_from_slice(&meta.1),
    }
    model
}

#[test]
fn power_cuts_lose_nothing_that_was_durable() {
    let mut cuts = 0;
    for seed in 1..=40 {
        println!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..120 {
            let removes = world.random.below(8);
            world.transact(25, removes);
            match world.random.below(6) {
                0 | 1 => world.begin_checkpoint(),
                2 => world.finish_checkpoint(),
                3 => {
                    let Some(durable) = world.durable.clone() else { continue };
                    cuts += u64::from(world.plan.is_some());
                    let model = power_cut(&mut world, &durable);
                    let World { random, image, .. } = world;
                    world = World::resume(random, image, model);
                    assert!(!world.tree.stats().map_rebuilt);
                    world.verify();
                }
                _ => {}
            }
        }
        world.verify();
    }
    assert!(cuts > 200, "{cuts} cuts hit a checkpoint");
}

/// A store with several checkpoints behind it, and the models by transaction.
fn history(seed: u64) -> (World, BTreeMap<TxnId, Model>, Image) {
    let mut world = World::new(seed);
    world.huge_keys = true;
    let mut models = BTreeMap::new();
    let mut before = world.image.clone();
    for _ in 0..4 {
        for _ in 0..6 {
            world.transact(120, 3);
        }
        world.begin_checkpoint();
        if let Some((plan, model)) = &world.plan {
            models.insert(plan.txn(), model.clone());
        }
        before = world.image.clone();
        before.resize(world.tree.file_pages().max(before.pages()));
        world.finish_checkpoint();
    }
    (world, models, before)
}

/// Reads all that can be read: whatever is served must be the model's. The errors met.
fn read_leniently(view: View<'_>, model: &Model) -> Vec<Error> {
    let mut errors = vec![];
    for (tree, cells) in model {
        let mut cursor = view.cursor(*tree);
        for key in cells.keys() {
            match view.find(*tree, key) {
                Ok(cell) => {
                    let cell = cell.expect("a key of the model is there, or an error is");
                    let entry = &cells[key];
                    assert_eq!(
                        (cell.head, cell.body, cell.weighted),
                        (&entry.head[..], &entry.body[..], entry.weighted)
                    );
                }
                Err(error) => errors.push(error),
            }
        }
        let mut more = cursor.seek_first();
        let mut expected = cells.keys();
        while let Ok(true) = more {
            match cursor.key() {
                Ok(key) => assert_eq!(key, expected.next().map(Vec::as_slice)),
                Err(error) => {
                    expected.next();
                    errors.push(error);
                }
            }
            more = cursor.next();
        }
        match more {
            Ok(_) => assert_eq!(expected.next(), None),
            Err(error) => errors.push(error),
        }
    }
    errors
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    Torn,
    Lost,
    Misdirected,
    Rotten,
}

/// Puts one fault into what the last checkpoint wrote; whether the file is different now.
fn inject(image: &mut Image, before: &Image, page: PageNumber, fault: Fault, random: &mut Random) -> bool {
    let mut old = before.clone();
    old.resize(image.pages().max(old.pages()));
    let new = image.page_mut(page).to_vec();
    let old = old.page_mut(page).to_vec();
    match fault {
        Fault::Torn => {
            image.page_mut(page).copy_from_slice(&old);
            tear(image.page_mut(page), &new, random);
        }
        Fault::Lost => image.page_mut(page).copy_from_slice(&old),
        Fault::Misdirected => {
            image.page_mut(page).copy_from_slice(&old);
            let other = PageNumber(random.below(image.pages()));
            image.page_mut(other).copy_from_slice(&new);
            return true;
        }
        Fault::Rotten => image.page_mut(page)[random.size(PAGE_BYTES)] ^= 1 << random.below(8),
    }
    image.page_mut(page) != new
}

/// Opens the damaged file: it must be refused, or serve only what is right. Whether anything was noticed.
fn survives(image: &Image, models: &BTreeMap<TxnId, Model>, newest: TxnId) -> bool {
    let tree: Tree = match image.open(super::world::RESERVED) {
        Ok(tree) => tree,
        Err(error) => {
            println!("refused: {error}");
            return true;
        }
    };
    let model = &models[&tree.txn()];
    let reader = tree.shared().reader(ShardId(0));
    let errors = read_leniently(reader.pin().view(), model);
    let noticed = !errors.is_empty() || tree.stats().map_rebuilt || tree.txn() != newest;
    if let Ok(report) = tree.check() {
        assert!(errors.is_empty(), "a check finds what reading found: {errors:?} {report:?}");
        tree.assert_invariants();
    }
    noticed
}

#[test]
fn damaged_pages_are_never_served() {
    let mut noticed = BTreeMap::new();
    for seed in 1..=6 {
        println!("seed {seed}");
        let (mut world, models, before) = history(seed);
        let newest = *models.keys().last().unwrap();
        for round in 0..120 {
            let faults = [Fault::Torn, Fault::Lost, Fault::Misdirected, Fault::Rotten];
            let fault = faults[round % 4];
            let page = PageNumber(world.random.below(world.image.pages()));
            let mut image = world.image.clone();
            if !inject(&mut image, &before, page, fault, &mut world.random) {
                continue;
            }
            if survives(&image, &models, newest) {
                *noticed.entry(round % 4).or_insert(0) += 1;
            }
        }
    }
    // Faults in free pages go unnoticed, and should; but each kind must have hit something.
    assert!((0..4).all(|fault| noticed.get(&fault).is_some_and(|count| *count > 5)), "{noticed:?}");
}

#[test]
fn a_page_or_run_beyond_the_file_is_an_error() {
    use crate::tree::node::{RunRef, Runs};
    use crate::tree::view::NodeAt;
    let world = World::new(1);
    let shared = world.tree.shared();
    for page in [world.tree.file_pages(), super::world::RESERVED, u64::MAX] {
        let (page, birth) = (PageNumber(page), TxnId(1));
        let at = NodeAt { tree: crate::tree::TreeId::Auth, page, birth, level: 0, weight: 0 };
        assert!(matches!(shared.node(at), Err(Error::Corrupt { .. })));
        for length in [0, 1, u32::MAX] {
            let run = RunRef { page, birth, length, checksum: 0 };
            assert!(matches!(shared.run(&run), Err(Error::Corrupt { .. })));
        }
    }
    let run = RunRef { page: PageNumber(500), birth: TxnId(1), length: 100_000, checksum: 0 };
    assert!(matches!(shared.run(&run), Err(Error::Corrupt { .. })), "it starts within and ends beyond");
}

#[test]
fn every_lost_write_is_noticed() {
    // The same keys with other bodies of the same size, again and again: an old page looks like the new one but for its age.
    let mut world = World::new(8);
    let mut noticed = 0;
    for round in 0..12u8 {
        let mut txn = world.tree.begin();
        for key in 0..600u64 {
            let body = [vec![round; 50], vec![round; 1400]][usize::from(key % 40 == 0)].clone();
            let entry = super::world::Entry { head: vec![round], body, weighted: key % 2 == 0 };
            let step = super::world::Step::Insert(crate::tree::TreeId::Revisions, key.to_be_bytes().to_vec(), entry);
            match super::world::apply(&mut txn, &mut world.model, &step) {
                Ok(()) => {}
                Err(error) => assert_eq!(error, Error::OutOfPages),
            }
        }
        txn.commit(crate::tree::Stamp::default());
        if world.tree.pages_free() < 200 {
            world.grow(400);
        }
        world.begin_checkpoint();
        let (plan, _) = world.plan.as_ref().unwrap();
        let (writes, txn) = (Image::writes(plan), plan.txn());
        let before = world.image.clone();
        world.finish_checkpoint();
        if round < 6 {
            continue;
        }
        for (page, bytes) in writes.iter().rev().skip(1) {
            let mut image = world.image.clone();
            image.page_mut(*page).copy_from_slice(&before.clone().page_mut(*page)[..]);
            if image.page_mut(*page) == &bytes[..] {
                continue;
            }
            let models = BTreeMap::from([(txn, world.model.clone())]);
            assert!(survives(&image, &models, txn), "the loss of page {page} went unnoticed");
            noticed += 1;
        }
    }
    assert!(noticed > 100, "{noticed} losses");
}

#[test]
fn damaged_metas_and_map_blocks_cost_nothing_that_is_needed() {
    let mut holes = 0;
    for seed in 1..=4 {
        let (mut world, models, _) = history(seed);
        let newest = *models.keys().last().unwrap();
        for page in 0..5 {
            let mut image = world.image.clone();
            image.page_mut(PageNumber(page))[100] ^= 0x10;
            survives(&image, &models, newest);
            // The map can be built from the trees; then everything goes on.
            if page >= 3 {
                let mut resumed = World::resume(world.random.clone(), image, models[&newest].clone());
                assert_eq!(resumed.tree.txn(), newest);
                let stats = resumed.tree.stats();
                if stats.map_rebuilt {
                    // Which chunks are holes is lost: every free one must be granted before it is written.
                    holes += stats.pages_in_holes;
                    assert!(resumed.tree.pages_free() < resumed.tree.pages_used() + 64 * 40);
                }
                for _ in 0..20 {
                    resumed.transact(40, 4);
                    resumed.begin_checkpoint();
                    resumed.finish_checkpoint();
                }
                resumed.verify();
            }
        }
        // Two metas gone leave the third; all three leave nothing to trust.
        let mut image = world.image.clone();
        (0..3).for_each(|page| image.page_mut(PageNumber(page))[9] ^= 1);
        assert_eq!(image.open(super::world::RESERVED).unwrap_err(), Error::NoMeta);
        (0..3).for_each(|page| image.page_mut(PageNumber(page)).fill(0));
        assert_eq!(image.open(super::world::RESERVED).unwrap_err(), Error::NoStore);
        let mut image = world.image.clone();
        image.resize(world.tree.file_pages() - 1);
        assert!(matches!(image.open(super::world::RESERVED).unwrap_err(), Error::ShortFile { .. }));
        world.verify();
    }
    assert!(holes > 0, "some had whole chunks free");
}

#[test]
fn a_lost_write_is_found_when_the_shell_drops_its_copies() {
    // The arena itself plays the file here: what a checkpoint wrote is checked again after `forget_verified`.
    let mut world = World::new(9);
    for _ in 0..10 {
        world.transact(50, 2);
    }
    world.begin_checkpoint();
    let (plan, model) = world.plan.take().unwrap();
    let ranges: Vec<_> = plan.ranges().collect();
    let shared = world.tree.shared();
    world.tree.on_checkpoint_done(plan);
    assert!(read_leniently(world.reader.pin().view(), &model).is_empty());
    ranges.iter().for_each(|range| shared.forget_verified(*range));
    // The pages in memory were never sealed: exactly what a lost write would leave behind.
    assert!(!read_leniently(world.reader.pin().view(), &model).is_empty());
}
