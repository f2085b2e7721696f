//! Pages of the file that rot under commands, compactions and readers, after they were read and found whole.

use bytes::Bytes;

use super::model::Model;
use super::random::Random;
use super::support::{dump, hash, new_tree, pin, run, scan};
use crate::command::{Command, CompactionRequest, PutRequest};
use crate::mvcc::check::check_txn;
use crate::mvcc::{Error, Progress, Want, compact_step};
use crate::tree::tests::world;
use crate::tree::{self, Tree};

/// Two stores with the same history, of enough pages to hurt; the current revision.
fn twins(seed: u64) -> (Tree, Tree, i64) {
    let (mut random, mut model) = (Random::new(seed), Model::new());
    let (mut one, mut two) = (new_tree(), new_tree());
    for number in 0..400u64 {
        let mut command = random.command(model.current);
        if matches!(command, Command::Compact(_) | Command::Txn(_)) || random.one_in(2) {
            let value = Bytes::from(vec![b'v'; usize::try_from(random.below(1500)).unwrap()]);
            let key = Bytes::from(format!("many/{:03}", (number * 7) % 90));
            command = Command::Put(PutRequest { key, value, ..Default::default() });
        }
        let _ = model.apply(&command);
        let outcome = run(&mut one, &command, Want::Effect);
        assert_eq!(outcome, run(&mut two, &command, Want::Effect));
    }
    (one, two, model.current)
}

/// What may be said of a rotten store.
fn is_refusal(error: &Error) -> bool {
    error.is_fatal() && *error != Error::Tree(tree::Error::OutOfPages)
}

#[test]
fn a_compaction_over_rotten_pages_is_refused_or_right() {
    let mut refused = 0;
    for seed in 1..=12 {
        println!("seed {seed}");
        let (mut sound, mut rotting, current) = twins(seed);
        let mut rot = world::Random::new(seed);
        let compact = Command::Compact(CompactionRequest { revision: current - 20, physical: false });
        for tree in [&mut sound, &mut rotting] {
            run(tree, &compact, Want::Effect).unwrap();
            tree.checkpoint_to_file();
        }
        while compact_step(&mut sound, 7).unwrap() == Progress::More {}
        for step in 0..10_000 {
            if step % 3 == 0 {
                rotting.checkpoint_to_file();
                // Everything was whole when it was looked at.
                hash(&pin(&rotting).view(), 0, 1000).unwrap();
            }
            let rotten = rotting.rot(1 + rot.size(6), &mut rot);
            let stepped = compact_step(&mut rotting, 7);
            rotting.heal(rotten);
            match stepped {
                Ok(Progress::More) => {}
                Ok(Progress::Done) => break,
                Err(error) => {
                    assert!(is_refusal(&error), "{error}");
                    refused += 1;
                }
            }
        }
        assert!(dump(&pin(&sound).view()) == dump(&pin(&rotting).view()), "seed {seed}");
        let hashes = [&sound, &rotting].map(|tree| hash(&pin(tree).view(), current, 1000).unwrap());
        assert_eq!(hashes[0], hashes[1], "seed {seed}");
    }
    assert!(refused > 50, "{refused} steps were refused");
}

#[test]
fn commands_over_rotten_pages_are_refused_or_right() {
    let mut refused = 0;
    for seed in 1..=12 {
        println!("seed {seed}");
        let (mut sound, mut rotting, _) = twins(seed);
        let (mut random, mut rot) = (Random::new(seed + 100), world::Random::new(seed));
        let mut model = Model::new();
        for number in 0..200 {
            if number % 5 == 0 {
                rotting.checkpoint_to_file();
                hash(&pin(&rotting).view(), 0, 1000).unwrap();
            }
            let command = random.command(model.current);
            if matches!(&command, Command::Txn(txn) if check_txn(txn, 1000).is_err()) {
                continue;
            }
            let _ = model.apply(&command);
            let rotten = rotting.rot(1 + rot.size(6), &mut rot);
            let mut outcome = run(&mut rotting, &command, Want::Answer);
            rotting.heal(rotten);
            if outcome.as_ref().is_err_and(is_refusal) {
                refused += 1;
                outcome = run(&mut rotting, &command, Want::Answer);
            }
            assert_eq!(outcome, run(&mut sound, &command, Want::Answer), "seed {seed}: {command:?}");
        }
        assert!(dump(&pin(&sound).view()) == dump(&pin(&rotting).view()), "seed {seed}");
    }
    assert!(refused > 50, "{refused} commands were refused");
}

#[test]
fn readers_over_rotten_pages_come_to_an_end() {
    for seed in 1..=8 {
        println!("seed {seed}");
        let (_, mut rotting, current) = twins(seed);
        let (mut random, mut rot) = (Random::new(seed), world::Random::new(seed));
        rotting.checkpoint_to_file();
        hash(&pin(&rotting).view(), 0, 1000).unwrap();
        for _ in 0..60 {
            let rotten = rotting.rot(1 + rot.size(12), &mut rot);
            let pinned = pin(&rotting);
            for _ in 0..10 {
                // A page is checked at its first look, so the answer may be anything but a panic or no end.
                let _ = scan(&pinned.view(), &random.range(current), 50, 10_000);
            }
            let _ = hash(&pinned.view(), 0, 1000);
            drop(pinned);
            rotting.heal(rotten);
        }
    }
}
