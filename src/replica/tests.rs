//! Whole replicas against simulated disks and networks: elections, restarts, exactly-once answers, linearizable reads,
//! lack of space, compaction, the clean end, and the same history from the same seed.

mod disk;
mod scenarios;
mod world;

use world::{CALM, ROUGH, Weather, World};

fn run(seed: u64, members: u64, weather: Weather, steps: usize) -> World {
    let mut world = World::new(seed, members, weather);
    for _ in 0..steps {
        world.step();
    }
    world.calm_down();
    let (acknowledged, served) = (world.acknowledged(), world.reads_served);
    for _ in 0..4000 {
        world.step();
    }
    world.settle();
    let what = format!("seed {seed}, {members} members, {} snapshots needed", world.snapshots_needed);
    assert!(world.acknowledged() > acknowledged + 50, "{what}: no put is acknowledged any more");
    assert!(world.reads_served > served + 20, "{what}: no read is served any more");
    world.check_state();
    world
}

#[test]
fn a_single_member_acknowledges_everything() {
    let world = run(1, 1, CALM, 3000);
    assert_eq!(world.open(), 0, "everything is answered");
    assert_eq!(world.acknowledged(), world.proposals.len(), "and nothing is refused");
    let revisions: Vec<_> = world.by_revision.keys().map(|revision| revision.0).collect();
    assert!(revisions.windows(2).all(|pair| pair[0] + 1 == pair[1]), "revisions are dense");
}

#[test]
fn calm_clusters_acknowledge_nearly_everything() {
    for members in [3, 5] {
        let world = run(7, members, CALM, 3000);
        assert_eq!(world.open(), 0, "everything is answered");
        assert!(world.acknowledged() * 10 > world.proposals.len() * 9, "{members}");
    }
}

#[test]
fn rough_worlds_lose_nothing() {
    for seed in 0..16 {
        let members = [1, 3, 1, 5][usize::try_from(seed % 4).unwrap()];
        run(seed, members, ROUGH, 3000);
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in [5, 2026] {
        let (one, two) = (run(seed, 3, ROUGH, 3000), run(seed, 3, ROUGH, 3000));
        assert_eq!((one.trace, one.now, one.tickets), (two.trace, two.now, two.tickets), "seed {seed}");
    }
}
