//! Rot after everything was durable and marked: recovery refuses, or is exactly right. Never less, never other.

use super::disk::{Disk, Random};
use super::world::World;
use crate::wal::FileName;

const BLOCK: usize = 4096;

/// Damages one file, or moves bytes between two; says what it did.
fn damage(disk: &mut Disk, random: &mut Random) -> String {
    let names: Vec<FileName> = disk.files.keys().copied().collect();
    // The mark is one file among many: give it its share.
    let file = if random.chance(20) { FileName::Mark } else { names[random.size(names.len())] };
    let other = names[random.size(names.len())];
    let length = disk.files[&file].len();
    let bytes = disk.files.get_mut(&file).unwrap();
    match random.below(9) {
        0 => {
            let at = random.size(length);
            bytes[at] ^= 1 << random.below(8);
            format!("{file}: a bit flipped at {at}")
        }
        1 => {
            let (at, count) = (random.size(length), random.size(2 * BLOCK));
            let end = length.min(at + count);
            bytes[at..end].fill(0);
            format!("{file}: {at}..{end} zeroed")
        }
        2 => {
            let at = random.size(length);
            bytes[at..].fill(0);
            format!("{file}: zeroed from {at} to the end")
        }
        3 => {
            let (one, two) = (random.size(length / BLOCK) * BLOCK, random.size(length / BLOCK) * BLOCK);
            for at in 0..BLOCK {
                bytes.swap(one + at, two + at);
            }
            format!("{file}: blocks at {one} and {two} swapped")
        }
        4 => {
            let (one, two) = (random.size(length / BLOCK) * BLOCK, random.size(length / BLOCK) * BLOCK);
            bytes.copy_within(one..one + BLOCK, two);
            format!("{file}: block at {one} doubled at {two}")
        }
        5 => {
            let at = random.size(length);
            bytes.truncate(at);
            format!("{file}: cut to {at}")
        }
        6 => {
            disk.files.remove(&file);
            format!("{file}: deleted")
        }
        7 => {
            let copy = disk.files[&other].clone();
            disk.files.insert(file, copy);
            format!("{file}: replaced by a copy of {other}")
        }
        _ => {
            let from = disk.files[&other].clone();
            let at = random.size(from.len().min(length) / BLOCK) * BLOCK;
            disk.files.get_mut(&file).unwrap()[at..at + BLOCK].copy_from_slice(&from[at..at + BLOCK]);
            format!("{file}: block at {at} replaced by that of {other}")
        }
    }
}

/// A world with everything durable and marked.
fn settled(seed: u64) -> World {
    let mut world = World::new(seed);
    for _ in 0..world.random.below(3) {
        for _ in 0..world.random.below(150) {
            world.act();
        }
        world.crash(10);
    }
    for _ in 0..world.random.below(300) {
        world.act();
    }
    world.settle();
    world
}

#[test]
fn rot_is_refused_or_harmless() {
    let (mut refused, mut harmless) = (0, 0);
    for seed in 0..120 {
        let mut world = settled(seed);
        let count = world.group_count();
        let sound = world.recover_from(&world.disk, 999).expect("sound files are accepted");
        world.compare(&sound, count);
        for trial in 0..12 {
            let mut disk = world.disk.clone();
            let done = damage(&mut disk, &mut world.random);
            match world.recover_from(&disk, 999) {
                Ok(recovered) => {
                    println!("seed {seed} trial {trial}: {done}: accepted");
                    assert_eq!(world.count_of(&recovered), count, "silently less");
                    world.compare(&recovered, count);
                    assert_eq!(recovered.base, sound.base, "fewer kept entries");
                    harmless += 1;
                }
                Err(error) => {
                    assert!(!error.cure().is_empty());
                    assert!(error.to_string().contains(&error.file.to_string()), "{error}");
                    refused += 1;
                }
            }
        }
    }
    println!("{refused} refused, {harmless} harmless");
    assert!(refused > 300, "only {refused} trials were refused: the damage misses the log");
    assert!(harmless > 300, "only {harmless} trials were harmless");
}

/// What a member does after harmless damage must not make it harmful: it goes on, crashes, and nothing is lost.
#[test]
fn life_goes_on_after_harmless_damage() {
    for seed in 1000..1080 {
        println!("seed {seed}");
        let mut world = settled(seed);
        for _ in 0..4 {
            let mut disk = world.disk.clone();
            damage(&mut disk, &mut world.random);
            if world.recover_from(&disk, 999).is_ok() {
                world.disk = disk;
                world.crash(20);
                for _ in 0..world.random.below(60) {
                    world.act();
                }
                world.settle();
            }
        }
    }
}

/// Rot and a crash together may cost what was not marked yet, and never what was.
#[test]
fn rot_with_a_crash_never_loses_what_was_marked() {
    let mut less = 0;
    for seed in 2000..2150 {
        let mut world = World::new(seed);
        for _ in 0..world.random.below(300) {
            world.act();
        }
        let mut random = world.random.clone();
        world.disk.crash(&mut random);
        for _ in 0..8 {
            let mut disk = world.disk.clone();
            let done = damage(&mut disk, &mut random);
            let Ok(recovered) = world.recover_from(&disk, 999) else { continue };
            println!("seed {seed}: {done}");
            let count = world.count_of(&recovered);
            assert!(count >= world.sealed, "{count} groups, {} were marked", world.sealed);
            world.compare(&recovered, count);
            less += usize::from(count < world.durable);
        }
    }
    println!("{less} trials lost what was durable and not yet marked");
}

/// One file is an older version of itself: writes that were reported done and lost, or a file put back from a copy.
#[test]
fn an_older_file_is_refused_or_harmless() {
    let mut refused = 0;
    for seed in 3000..3120 {
        let mut world = settled(seed);
        let old = world.disk.clone();
        for _ in 0..1 + world.random.below(100) {
            world.act();
        }
        if world.random.chance(50) {
            world.crash(0);
        }
        world.settle();
        let count = world.group_count();
        for file in old.files.keys().filter(|file| world.disk.files.contains_key(file)) {
            println!("seed {seed}: an older {file}");
            let mut disk = world.disk.clone();
            disk.files.insert(*file, old.files[file].clone());
            match world.recover_from(&disk, 999) {
                Ok(recovered) => {
                    assert_eq!(world.count_of(&recovered), count, "silently less");
                    world.compare(&recovered, count);
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 50, "only {refused} older files were refused");
}
