//! Space: given back, granted again, refused, and kept by pins.

use super::world::{CONFIG, Entry, Image, Random, World, compare};
use crate::limits::TREE_GROUP_PAGES;
use crate::tree::{Arena, Config, Error, Stamp, Tree, TreeId};
use crate::types::ShardId;

#[test]
fn space_goes_back_after_mass_deletes_and_is_granted_again() {
    for seed in [4, 5] {
        let mut world = World::with(seed, CONFIG);
        world.key_space = 20_000;
        for _ in 0..120 {
            world.transact(400, 0);
        }
        world.begin_checkpoint();
        world.finish_checkpoint();
        let full = world.tree.file_pages();
        let mut txn = world.tree.begin();
        for (tree, cells) in &mut world.model {
            let keys: Vec<_> = cells.keys().cloned().collect();
            for (at, key) in keys.iter().enumerate() {
                if at % 50 != 0 {
                    assert!(txn.remove(*tree, key).unwrap());
                    cells.remove(key);
                }
            }
        }
        world.applied += 1;
        txn.commit(Stamp { applied_index: crate::types::RaftIndex(world.applied), ..Stamp::default() });
        world.verify();
        let mut sweep = None;
        for _ in 0..30 {
            sweep = sweep.or_else(|| world.tree.plan_sweep());
            let mut txn = world.tree.begin();
            if let Some(sweep) = &mut sweep {
                txn.sweep(sweep, 20).unwrap();
            }
            world.applied += 1;
            txn.commit(Stamp { applied_index: crate::types::RaftIndex(world.applied), ..Stamp::default() });
            sweep = sweep.filter(|sweep| !sweep.is_over());
            world.begin_checkpoint();
            world.finish_checkpoint();
            world.verify();
        }
        let (stats, used) = (world.tree.stats(), world.tree.pages_used());
        let in_file = world.tree.file_pages() - stats.pages_in_holes;
        assert!(in_file < full / 4, "{full} pages, now {in_file} of which {used} are used, {stats:?}");
        assert!(stats.pages_given_back > 0);
        for _ in 0..60 {
            world.transact(400, 0);
            if world.random.one_in(5) {
                world.begin_checkpoint();
                world.finish_checkpoint();
            }
        }
        world.verify();
    }
}

#[test]
fn holes_are_granted_again_before_they_are_written() {
    let mut world = World::with(1, CONFIG);
    let model = world.model.get_mut(&TreeId::LeaseKeys).unwrap();
    let insert = |tree: &mut Tree, model: &mut super::world::ModelTree, from: u64, to: u64| {
        let mut txn = tree.begin();
        for key in from..to {
            let body = vec![u8::try_from(key % 251).unwrap(); 20_000];
            let entry = Entry { head: vec![], body, weighted: false };
            txn.insert(TreeId::LeaseKeys, &key.to_be_bytes(), &entry.head, &entry.body, false).unwrap();
            model.insert(key.to_be_bytes().to_vec(), entry);
        }
        txn.commit(Stamp::default());
    };
    let plan = world.tree.plan_grow(2000).unwrap();
    world.image.resize(plan.first_page.0 + plan.page_count);
    world.tree.on_grow_done(&plan);
    insert(&mut world.tree, model, 0, 300);
    // The older ones lie lower in the file.
    let mut txn = world.tree.begin();
    for key in 0..200u64 {
        assert!(txn.remove(TreeId::LeaseKeys, &key.to_be_bytes()).unwrap());
        model.remove(&key.to_be_bytes()[..]);
    }
    txn.commit(Stamp::default());
    world.begin_checkpoint();
    world.finish_checkpoint();
    let (holes, file_pages) = (world.tree.stats().pages_in_holes, world.tree.file_pages());
    assert!(holes >= 640, "{holes} pages in holes");
    world.verify();
    let mut reopened = World::resume(Random::new(2), world.image.clone(), world.model.clone());
    assert_eq!(reopened.tree.stats().pages_in_holes, holes);
    for world in [&mut world, &mut reopened] {
        let plan = world.tree.plan_grow(200).unwrap();
        assert!(plan.first_page.0 + plan.page_count <= file_pages, "a hole before the end: {plan:?}");
        world.tree.on_grow_done(&plan);
        assert_eq!(world.tree.stats().pages_in_holes, holes - plan.page_count);
        world.verify();
        let free = world.tree.pages_free();
        let model = world.model.get_mut(&TreeId::LeaseKeys).unwrap();
        insert(&mut world.tree, model, 0, free / 6);
        world.verify();
        world.begin_checkpoint();
        world.finish_checkpoint();
        world.verify();
    }
}

#[test]
fn whole_groups_leave_the_file_and_come_again() {
    let reserved = 3 * TREE_GROUP_PAGES;
    let mut tree = Tree::create(Arena::anonymous(reserved), CONFIG, 512).unwrap();
    let mut image = Image::new(512);
    for round in 0..3u64 {
        let body = vec![7; 3_000_000];
        let mut keys = vec![];
        while tree.file_pages() < 2 * TREE_GROUP_PAGES + 100 {
            let key = keys.len().to_be_bytes();
            let mut txn = tree.begin();
            if txn.insert(TreeId::Leases, &key, &[], &body, true) == Err(Error::OutOfPages) {
                drop(txn);
                let plan = tree.plan_grow(1000).unwrap();
                image.resize(image.pages().max(plan.first_page.0 + plan.page_count));
                tree.on_grow_done(&plan);
                continue;
            }
            txn.commit(Stamp::default());
            keys.push(key);
        }
        for half in [true, false] {
            let plan = tree.plan_checkpoint().unwrap();
            image.apply(&plan);
            let reopened = image.open(reserved).unwrap();
            reopened.check().unwrap();
            let done = tree.on_checkpoint_done(plan);
            image.give_back(&done);
            tree.check().unwrap();
            tree.assert_invariants();
            let mut txn = tree.begin();
            for key in keys.iter().filter(|_| half) {
                assert!(txn.remove(TreeId::Leases, key).unwrap());
            }
            txn.commit(Stamp::default());
        }
        let plan = tree.plan_checkpoint().unwrap();
        image.apply(&plan);
        let done = tree.on_checkpoint_done(plan);
        image.give_back(&done);
        assert!(tree.file_pages() < TREE_GROUP_PAGES, "round {round}: {} pages", tree.file_pages());
        assert_eq!(image.pages(), tree.file_pages());
        image.open(reserved).unwrap().check().unwrap();
    }
}

#[test]
fn a_refused_growth_leaves_everything_as_it_was() {
    for seed in 1..=4 {
        println!("seed {seed}");
        let mut world = World::new(seed);
        world.huge_keys = true;
        world.transact(40, 0);
        let mut refusals = 0;
        for round in 0..80 {
            let steps: Vec<_> = (0..30).map(|_| (world.key(), world.entry())).collect();
            let mut model = world.model.clone();
            let mut txn = world.tree.begin();
            let mut refused = false;
            for (key, entry) in &steps {
                match txn.insert(TreeId::Keys, key, &entry.head, &entry.body, entry.weighted) {
                    Ok(_) => {
                        let key = key.clone();
                        model.get_mut(&TreeId::Keys).unwrap().insert(key, entry.clone());
                    }
                    Err(error) => {
                        assert_eq!(error, Error::OutOfPages);
                        refused = true;
                        break;
                    }
                }
            }
            // Even then the transaction holds exactly what it did before the refusal; it may be kept or dropped.
            compare(txn.view(), &model, &mut world.random);
            refusals += u64::from(refused);
            if refused && round % 2 == 0 {
                drop(txn);
            } else {
                world.applied += 1;
                txn.commit(Stamp { applied_index: crate::types::RaftIndex(world.applied), ..Stamp::default() });
                world.model = model;
            }
            world.verify();
            if refusals % 5 == 4 {
                world.grow(64);
                refusals += 1;
            }
        }
        assert!(refusals > 10);
        let plan = world.tree.plan_grow(1).unwrap();
        assert_eq!(world.tree.plan_grow(1), None, "one at a time");
        world.tree.on_grow_failed(&plan);
        world.verify();
    }
}

#[test]
fn a_long_pin_keeps_its_own_pages_and_no_more() {
    let config = Config { grow_pages: 64, free_pages_kept: 1000 };
    let mut tree = Tree::create(Arena::anonymous(2000), config, 2000).unwrap();
    let fill = |tree: &mut Tree, from: u64, to: u64, byte: u8| {
        for at in from..to {
            let mut txn = tree.begin();
            txn.insert(TreeId::Revisions, &at.to_be_bytes(), &[], &[byte; 100], true).unwrap();
            txn.commit(Stamp::default());
        }
    };
    fill(&mut tree, 0, 5000, 1);
    let reader = tree.shared().reader(ShardId(0));
    let used = tree.pages_used();
    let pin = reader.pin();
    for round in 0..8 {
        fill(&mut tree, 0, 5000, round);
        // The pinned snapshot's pages wait, whatever number of transactions went by since.
        let waiting = tree.stats().pages_waiting;
        assert!(waiting <= used + 8, "round {round}: {waiting} pages wait for a pin of {used}");
        assert!(tree.stats().snapshots_held <= 2);
    }
    let mut cursor = pin.view().cursor(TreeId::Revisions);
    let mut more = cursor.seek_first().unwrap();
    while more {
        assert_eq!(cursor.cell().unwrap().unwrap().body, [1; 100]);
        more = cursor.next().unwrap();
    }
    drop(pin);
    tree.release();
    assert_eq!(tree.stats().pages_waiting, 0);
    tree.check().unwrap();
    tree.assert_invariants();
}

#[test]
fn ascending_and_descending_loads_fill_their_pages() {
    for (name, flip) in [("up", 0), ("down", u64::MAX)] {
        let mut tree = Tree::create(Arena::anonymous(9000), CONFIG, 9000).unwrap();
        let mut txn = tree.begin();
        for at in 0..50_000u64 {
            txn.insert(TreeId::Revisions, &(at ^ flip).to_be_bytes(), &[1], &[7; 40], false).unwrap();
        }
        txn.commit(Stamp::default());
        let report = tree.check().unwrap();
        let fill = report.bytes_used * 100 / (report.node_pages * 4048);
        assert!(fill >= 95, "{name}: {fill}% full");
    }
}
