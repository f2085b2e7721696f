//! The random runs: with default flags, with small limits, and with a server that is known to differ.
//!
//! **Invariants**: a failure prints seed, number, both answers and the one command that repeats it.

use std::time::Duration;

use crate::client::{Program, oracle, seed_from_env, server_under_test};
use crate::generate::Generator;
use crate::op::{Op, Seen};
use crate::pair::{Difference, Pair, Source, Tally, clock};
use crate::shrink::shrink;

const SEED: &str = "RINGBOLT_DIFF_SEED";
const OPS: &str = "RINGBOLT_DIFF_OPS";
const RESTARTS: &str = "RINGBOLT_DIFF_RESTARTS";
/// Real etcd has nothing to prove here about its fsync.
const ORACLE_FLAGS: [&str; 1] = ["--unsafe-no-fsync"];

struct Plan {
    test: &'static str,
    ops: usize,
    restarts: u64,
    ours: Program,
    our_flags: Vec<&'static str>,
    oracle_flags: Vec<&'static str>,
}

impl Plan {
    fn new(test: &'static str, ops: usize, restarts: u64, flags: &[&'static str]) -> Self {
        let oracle_flags = flags.iter().copied().chain(ORACLE_FLAGS).collect();
        let restarts = number_from_env(RESTARTS, restarts);
        // Further flags for the server under test, such as those that make two etcds differ.
        let more = std::env::var("RINGBOLT_DIFF_FLAGS").unwrap_or_default();
        let more: Vec<&'static str> = String::leak(more).split_whitespace().collect();
        let our_flags = flags.iter().copied().chain(more).collect();
        Self { test, ops, restarts, ours: server_under_test(), our_flags, oracle_flags }
    }

    fn pair(&self) -> Pair {
        Pair::start(&self.ours, &self.our_flags, &oracle(), &self.oracle_flags)
    }
}

fn number_from_env<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Runs a plan; the first difference comes back with the operations up to it.
async fn run(plan: &Plan, seed: u64) -> Result<Tally, (Box<Difference>, Vec<Op>)> {
    let started = clock();
    let every = u64::try_from(plan.ops).expect("64-bit") / (plan.restarts + 1);
    let (mut tally, mut answered, mut crashes) = (Tally::default(), 0, 0);
    let mut done;
    let result = loop {
        let mut pair = plan.pair();
        let mut generator = Generator::new(seed + crashes, every.max(1));
        done = Vec::new();
        tally.known = Default::default();
        let limit = plan.ops - answered;
        let result = pair.run(&mut Source::Generate(&mut generator), limit, &mut done, &mut tally).await;
        match result {
            // etcd's own crash says nothing about ours: go on with a fresh pair.
            Err(difference) if difference.oracle_died && crashes < 3 && tally.harmless.is_empty() => {
                println!(
                    "etcd crashed on {:?}\n{}",
                    shorten(&format!("{:?}", done[difference.index])),
                    difference.logs
                );
                answered += difference.index;
                crashes += 1;
            }
            other => break other,
        }
    };
    println!("{}: seed {seed}, {}", plan.test, tally.table(started.elapsed()));
    let mut all = std::mem::take(&mut tally.harmless);
    all.extend(result.err().map(|difference| *difference));
    // The first difference is the one to look at; the others are told with it.
    all.iter().skip(1).for_each(|difference| println!("also: {}", brief(difference, &done[difference.index])));
    match all.into_iter().next() {
        None => Ok(tally),
        Some(first) => {
            done.truncate(first.index + 1);
            Err((Box::new(first), done))
        }
    }
}

fn brief(difference: &Difference, op: &Op) -> String {
    let line = |seen: &Seen| format!("{:?} {:?} {:.300}", seen.code, seen.text, shorten(&format!("{:?}", seen.body)));
    let Difference { index, ours, oracle, .. } = difference;
    format!("{index} {:.400}\n    ours   {}\n    oracle {}", shorten(&format!("{op:?}")), line(ours), line(oracle))
}

fn check(plan: &Plan) {
    let seed = seed_from_env(SEED);
    println!("{}: {SEED}={seed} {OPS}={}", plan.test, plan.ops);
    runtime().block_on(async {
        let Err((difference, done)) = run(plan, seed).await else { return };
        let command = format!(
            "{SEED}={seed} {OPS}={} cargo test --test differential -- {} --exact --nocapture",
            plan.ops, plan.test
        );
        let report = report(&difference, done.last().expect("the one that differs"));
        println!("{report}\nrepeat: {command}\nshrinking for two minutes at most");
        let short = shrink(&|| plan.pair(), &done, Duration::from_secs(120)).await;
        match &short {
            Some(ops) => println!("{} operations are enough:", ops.len()),
            None => println!("the same operations on fresh servers agree: it depends on timing"),
        }
        let ops = short.unwrap_or_default();
        for op in ops.iter().skip(ops.len().saturating_sub(30)) {
            println!("    {:.600}", shorten(&format!("{op:?}")));
        }
        panic!("operation {} is answered differently; repeat: {command}", difference.index);
    });
}

fn report(difference: &Difference, op: &Op) -> String {
    let Difference { index, ours, oracle, logs, .. } = difference;
    let mut text = format!("operation {index} is answered differently:\n{}\n", shorten(&format!("{op:#?}")));
    let lines = |seen: &Seen| format!("{seen:#?}").lines().map(shorten).collect::<Vec<_>>();
    let (ours, oracle) = (lines(ours), lines(oracle));
    let first = ours.iter().zip(&oracle).take_while(|(ours, oracle)| ours == oracle).count();
    text.push_str(&format!("first difference in line {}:\n", first + 1));
    for (name, lines) in [("ours  ", &ours), ("oracle", &oracle)] {
        text.push_str(&format!("  {name}: {}\n", lines.get(first).map_or("(nothing)", |line| line.trim())));
    }
    for (name, lines) in [("ours", &ours), ("oracle", &oracle)] {
        text.push_str(&format!("{name}:\n"));
        let from = first.saturating_sub(30);
        if from > 0 {
            text.push_str("  …\n");
        }
        for line in lines.iter().skip(from).take(80) {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text.push_str(logs);
    text
}

/// Long byte strings lose their middles.
fn shorten(text: &str) -> String {
    let mut short = String::with_capacity(text.len().min(4096));
    for (index, piece) in text.split('"').enumerate() {
        if index > 0 {
            short.push('"');
        }
        let count = piece.chars().count();
        if index % 2 == 1 && count > 200 {
            short.extend(piece.chars().take(60));
            short.push_str(&format!("…({count})…"));
            short.extend(piece.chars().skip(count - 40));
        } else {
            short.push_str(piece);
        }
    }
    short
}

#[test]
fn default_flags() {
    check(&Plan::new("random::default_flags", number_from_env(OPS, 100_000), 5, &[]));
}

#[test]
fn small_limits() {
    let flags = ["--max-txn-ops=3", "--max-request-bytes=4096", "--snapshot-count=100"];
    check(&Plan::new("random::small_limits", number_from_env(OPS, 100_000) / 6, 2, &flags));
}

/// The comparison can fail: a real etcd whose limit differs by one is told from one with the default.
#[test]
fn another_limit_is_found() {
    let mut plan = Plan::new("random::another_limit_is_found", 20_000, 0, &[]);
    plan.ours = oracle();
    plan.our_flags = vec!["--max-txn-ops=127", "--unsafe-no-fsync"];
    let found = runtime().block_on(run(&plan, 1)).err();
    let (difference, done) = found.expect("20,000 operations meet the limit");
    assert!(matches!(done.last(), Some(Op::Txn(_))), "{difference:?}");
    assert_eq!(difference.ours.text, "etcdserver: too many operations in txn request");
    assert_eq!(difference.oracle.code, Some(0));
}
