//! A smoke run of the fuzzers' entry over seeded bytes.

use super::disk::Random;
use crate::wal::fuzz_recover;

fn smoke(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let bound = if random.chance(20) { 20_000 } else { 300 };
        let length = random.size(bound);
        let mut bytes: Vec<u8> = (0..length).map(|_| random.next().to_le_bytes()[0]).collect();
        // Edits near the start of a file's blocks, where the headers are, most of the time.
        if let Some(first) = bytes.first_mut().filter(|_| random.chance(80)) {
            *first |= 0x40;
        }
        fuzz_recover(&bytes);
    }
}

#[test]
fn arbitrary_bytes_never_panic() {
    smoke(0..1000);
}

/// `cargo test wal::tests::fuzz -- --ignored`: long.
#[test]
#[ignore = "long"]
fn arbitrary_bytes_never_panic_for_long() {
    smoke(1000..200_000);
}
