//! Random histories against the model: transactions, aborts, pins held for long, checkpoints in between, reopening.

use super::world::World;

fn run(seed: u64, rounds: u64, operations: u64) {
    println!("seed {seed}");
    let mut world = World::new(seed);
    for round in 0..rounds {
        // Phases in which the trees grow, and shorter ones in which they shrink.
        let removes = if round % 40 < 28 { 2 } else { 8 };
        world.transact(operations, removes);
        match world.random.below(12) {
            0 => {
                let pin = world.reader.pin();
                let model = world.model.clone();
                world.pins.push((pin, model));
            }
            1 if !world.pins.is_empty() => {
                let at = world.random.size(world.pins.len());
                world.pins.swap_remove(at);
            }
            2 => world.begin_checkpoint(),
            3 => world.finish_checkpoint(),
            4 => world.verify_pins(),
            5 | 6 => world.verify(),
            7 if world.random.one_in(3) => world.sweep(),
            _ => {}
        }
        if world.pins.len() > 6 {
            world.pins.remove(0);
        }
    }
    world.verify_pins();
    world.verify();
}

#[test]
fn agrees_with_the_model_in_small_transactions() {
    for seed in 1..=std::env::var("RINGBOLT_TREE_SEEDS").map_or(12, |s| s.parse().unwrap()) {
        run(seed, 300, 12);
    }
}

#[test]
fn agrees_with_the_model_in_large_transactions() {
    for seed in 100..=100 + std::env::var("RINGBOLT_TREE_SEEDS").map_or(6, |s: String| s.parse::<u64>().unwrap() / 2) {
        run(seed, 60, 400);
    }
}
