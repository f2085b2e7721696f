//! Random histories: every answer, every reading and the rows that stay, compared with the model.

use super::model::{Model, ModelAnswer};
use super::random::Random;
use super::support::{dump, hash, new_tree, pin, run, scan};
use crate::command::{Command, Response};
use crate::mvcc::check::check_txn;
use crate::mvcc::{Compaction, Error, Progress, Want, compact_step, range, read_only_txn};
use crate::tree::Tree;

fn compare_answers(found: Result<Response, Error>, expected: Result<ModelAnswer, Error>, context: &str) {
    let found = found.map(|response| match response {
        Response::Put(response) => ModelAnswer::Put(response),
        Response::DeleteRange(response) => ModelAnswer::Delete(response),
        Response::Txn(response) => ModelAnswer::Txn(response),
        Response::Compact { compacted, .. } => ModelAnswer::Compact(compacted.0),
        Response::Noop | Response::Alarm(_) | Response::Downgrade => ModelAnswer::Noop,
        Response::Lease(_) => unreachable!("no test here has leases granted"),
    });
    assert_eq!(found, expected, "{context}");
}

fn compare_reads(tree: &Tree, model: &Model, random: &mut Random, context: &str) {
    let pinned = pin(tree);
    let view = pinned.view();
    for _ in 0..4 {
        let request = random.range(model.current);
        let expected = model.range(&request);
        assert_eq!(range(&view, &request), expected, "{context}: {request:?}");
        let (cells, bytes) = (1 + random.below(40), 1 + random.below(200));
        let (cells, bytes) = (usize::try_from(cells).unwrap(), usize::try_from(bytes).unwrap());
        assert_eq!(
            scan(&view, &request, cells, bytes),
            expected,
            "{context}: in steps of {cells}, {bytes}: {request:?}"
        );
    }
}

fn compare_hashes(tree: &Tree, model: &Model, random: &mut Random, context: &str) {
    let pinned = pin(tree);
    let view = pinned.view();
    let current = u64::try_from(model.current).unwrap();
    let some = i64::try_from(random.below(current + 2)).unwrap();
    let once_compacted = model.remembered.keys().rev().take(9).copied();
    for revision in [0, some, model.compacted, -3].into_iter().chain(once_compacted) {
        if model.remembered.contains_key(&revision) && !model.remembered.keys().rev().take(9).any(|at| *at == revision)
        {
            continue;
        }
        let found = hash(&view, revision, 1 + usize::try_from(random.below(20)).unwrap());
        if let Ok(found) = &found
            && revision != 0
        {
            assert_eq!(found.hash_revision.0, revision);
        }
        let found = found.map(|found| (found.hash, found.compact_revision.0));
        assert_eq!(found, model.hash(revision), "{context}: HashKV at {revision}");
    }
}

/// One history of `commands` commands.
fn history(seed: u64, commands: u32) {
    let mut random = Random::new(seed);
    let (mut tree, mut model) = (new_tree(), Model::new());
    for number in 0..commands {
        let context = format!("seed {seed}, command {number}");
        let command = random.command(model.current);
        if let Command::Txn(txn) = &command
            && check_txn(txn, 1000).is_err()
        {
            continue;
        }
        let want = if random.one_in(4) { Want::Effect } else { Want::Answer };
        let before = Compaction::of(&pin(&tree).view()).unwrap();
        let found = run(&mut tree, &command, want);
        let expected = model.apply(&command);
        if let (Ok(ModelAnswer::Compact(revision)), false) = (&expected, before.is_pending()) {
            model.remember(before.finished.0, *revision);
        }
        assert_eq!(found.as_ref().err(), expected.as_ref().err(), "{context}: {command:?}");
        if let Ok(outcome) = &found {
            assert_eq!(outcome.revision.0, model.current, "{context}");
        }
        if want == Want::Answer {
            compare_answers(found.map(|outcome| outcome.response), expected, &context);
        }
        compare_reads(&tree, &model, &mut random, &context);
        if number % 16 == 0 {
            compare_hashes(&tree, &model, &mut random, &context);
        }
        if random.one_in(6) {
            compact_step(&mut tree, 1 + usize::try_from(random.below(9)).unwrap()).unwrap();
        }
        if random.one_in(30) {
            while compact_step(&mut tree, 3).unwrap() == Progress::More {}
            assert_eq!(dump(&pin(&tree).view()), model.retained(), "{context}");
        }
    }
    while compact_step(&mut tree, 7).unwrap() == Progress::More {}
    assert!(!Compaction::of(&pin(&tree).view()).unwrap().is_pending());
    assert_eq!(dump(&pin(&tree).view()), model.retained(), "seed {seed}, at the end");
}

#[test]
fn random_histories_are_as_the_model_says() {
    for seed in 1..=60 {
        history(seed, 150);
    }
}

#[test]
fn a_longer_history() {
    history(1000, 1500);
}

/// Paste a failing seed here.
#[test]
fn one_seed() {
    history(1, 150);
}

#[test]
fn steps_of_a_compaction_end_alike_whatever_their_size() {
    for seed in 1..=20 {
        let dumps: Vec<_> = [1, 2, 5, 1_000_000].map(|step| compacted(seed, step)).into();
        for (found, step) in dumps.iter().zip([1, 2, 5, 1_000_000]) {
            assert_eq!(*found, dumps[0], "seed {seed}, steps of {step}");
        }
    }
}

/// A history whose compactions run in steps of `rows` between the commands.
fn compacted(seed: u64, rows: usize) -> Vec<super::model::ModelRow> {
    let mut random = Random::new(seed);
    let mut tree = new_tree();
    let mut current = 1;
    for _ in 0..120 {
        let command = random.command(current);
        let refused = matches!(&command, Command::Txn(txn) if check_txn(txn, 1000).is_err());
        if !refused && let Ok(outcome) = run(&mut tree, &command, Want::Effect) {
            current = outcome.revision.0;
        }
        compact_step(&mut tree, rows).unwrap();
    }
    while compact_step(&mut tree, rows).unwrap() == Progress::More {}
    dump(&pin(&tree).view())
}

#[test]
fn a_txn_of_ranges_alone_answers_alike_from_a_pin_and_from_the_log() {
    for seed in 1..=40 {
        let mut random = Random::new(seed);
        let (mut tree, mut model) = (new_tree(), Model::new());
        for _ in 0..40 {
            let command = Command::Put(random.put());
            assert_eq!(run(&mut tree, &command, Want::Effect).is_ok(), model.apply(&command).is_ok());
        }
        for _ in 0..40 {
            let mut txn = random.txn(model.current, 0);
            for op in txn.success.iter_mut().chain(&mut txn.failure) {
                op.request = Some(crate::command::request_op::Request::RequestRange(random.range(model.current)));
            }
            let read = read_only_txn(&pin(&tree).view(), &txn);
            if let Ok(response) = &read {
                assert_eq!(response.header.as_ref().unwrap().revision, model.current);
            }
            let logged = run(&mut tree, &Command::Txn(txn), Want::Answer);
            let read = read.map(|response| Response::Txn(crate::command::TxnResponse { header: None, ..response }));
            assert_eq!(read, logged.map(|outcome| outcome.response), "seed {seed}");
        }
    }
}
