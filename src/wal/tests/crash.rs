//! Crashes at every moment: everything that was reported durable comes back exactly, and nothing that was not planned.

use super::world::World;

fn run(seed: u64) -> (usize, u64) {
    println!("seed {seed}");
    let mut world = World::new(seed);
    for _ in 0..6 {
        for _ in 0..world.random.below(120) {
            world.act();
        }
        world.crash(15);
    }
    (world.cuts, world.log.bytes())
}

#[test]
fn what_was_durable_survives_crashes() {
    let cuts: usize = (0..400).map(|seed| run(seed).0).sum();
    assert!(cuts > 200, "only {cuts} torn tails: the model does not try hard enough");
}

/// Paste a seed here.
#[test]
fn one_seed() {
    run(0);
}

/// `cargo test wal::tests::crash -- --ignored`: long.
#[test]
#[ignore = "long"]
fn what_was_durable_survives_crashes_for_long() {
    for seed in 10_000..40_000 {
        run(seed);
    }
}
