//! Hundreds of trials, a few at once, and the table of what came of them.
//!
//! **Invariants**: a trial's damage follows from the seed and its number alone.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Client, Program, Random, Scratch, Server, free_address, oracle, seed_from_env, server_under_test};
use crate::damage::BLOCK_BYTES;
use crate::prepare::{Prepared, copy, everything, prepare};
use crate::trial::{Outcome, Trial, run};

const SEED: &str = "RINGBOLT_DAMAGE_SEED";
const TRIALS: &str = "RINGBOLT_DAMAGE_TRIALS";
const ONLY: &str = "RINGBOLT_DAMAGE_ONLY";
/// Trials at once.
const WORKERS: u64 = 2;

struct Plan<'a> {
    program: &'a Program,
    seed: u64,
    /// Numbers of the trials.
    numbers: std::ops::Range<u64>,
    /// How long a start may take before it is a hang.
    patience: Duration,
}

impl Plan<'_> {
    fn prepare(&self, directory: &Path) -> Vec<Prepared> {
        // Even when one trial is repeated, its directory comes from the same sequence.
        (0..4)
            .map(|number| {
                prepare(self.program, &directory.join(format!("prepared{number}")), self.seed + number, number % 2 == 1)
            })
            .collect()
    }

    fn run(&self, directory: &Path) -> BTreeMap<u64, Trial> {
        let prepared = self.prepare(directory);
        for base in &prepared {
            // What nothing was done to is served, or a refusal would prove nothing.
            let Trial { outcome, told, .. } = run(self.program, base, &directory.join("control"), None, self.patience);
            assert_eq!(outcome, Outcome::Served, "an undamaged copy, after {}: {told}", base.how);
        }
        let next = AtomicU64::new(self.numbers.start);
        let trials = Mutex::new(BTreeMap::new());
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.numbers.end {
                            return;
                        }
                        let seed = Random::new(self.seed ^ (number << 32)).next();
                        let base = &prepared[usize::try_from(number % 4).expect("small")];
                        let own = directory.join(format!("trial{number}"));
                        let trial = run(self.program, base, &own, Some(seed), self.patience);
                        trials.lock().expect("no worker panics").insert(number, trial);
                    }
                });
            }
        });
        trials.into_inner().expect("no worker panics")
    }
}

fn table(trials: &BTreeMap<u64, Trial>) -> String {
    let mut counts: BTreeMap<(&str, Outcome), u64> = BTreeMap::new();
    for trial in trials.values() {
        *counts.entry((trial.damage.kind, trial.outcome)).or_default() += 1;
        *counts.entry(("all", trial.outcome)).or_default() += 1;
    }
    let mut kinds: Vec<&str> = counts.keys().map(|(kind, _)| *kind).collect();
    kinds.dedup();
    let shown: Vec<Outcome> = Outcome::ALL
        .into_iter()
        .filter(|outcome| outcome.allowed() || counts.contains_key(&("all", *outcome)))
        .collect();
    let mut text = format!("{:<15}", "damage");
    for outcome in &shown {
        let mark = if outcome.allowed() { "" } else { "!" };
        let _ = write!(text, " {:>20}", format!("{mark}{outcome:?}"));
    }
    for kind in kinds {
        let _ = write!(text, "\n{kind:<15}");
        for outcome in &shown {
            let _ = write!(text, " {:>20}", counts.get(&(kind, *outcome)).copied().unwrap_or(0));
        }
    }
    text
}

fn findings(trials: &BTreeMap<u64, Trial>) -> Vec<String> {
    let bad = trials.iter().filter(|(_, trial)| !trial.outcome.allowed());
    bad.map(|(number, trial)| {
        let Trial { damage, how, outcome, told } = trial;
        let place = format!("{} {} of {}", damage.kind, damage.detail, damage.file.display());
        format!("trial {number}, after {how}: {place}: {outcome:?}\n{told:.1600}")
    })
    .collect()
}

#[test]
fn damage_is_served_exactly_or_refused() {
    let started = Instant::now();
    let seed = seed_from_env(SEED);
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let count = number(TRIALS).unwrap_or(400);
    let numbers = number(ONLY).map_or(0..count, |only| only..only + 1);
    println!("{SEED}={seed} {TRIALS}={count}");
    let scratch = Scratch::new("damage");
    let program = server_under_test();
    let plan = Plan { program: &program, seed, numbers, patience: Duration::from_secs(30) };
    let trials = plan.run(scratch.path());
    println!("{} trials in {:.1?}\n{}", trials.len(), started.elapsed(), table(&trials));
    for (_, trial) in trials.iter().filter(|(_, trial)| trial.outcome == Outcome::Refused).take(3) {
        println!(
            "for example: {} {} of {:?}:\n{}",
            trial.damage.kind, trial.damage.detail, trial.damage.file, trial.told
        );
    }
    let findings = findings(&trials);
    assert!(
        findings.is_empty(),
        "{} findings:\n{}\nrepeat one: {SEED}={seed} {ONLY}=<trial> cargo test --test damage -- --nocapture",
        findings.len(),
        findings.join("\n")
    );
}

/// The trials can fail: real etcd loses data, panics or hangs in some of them.
#[test]
fn findings_are_found() {
    let scratch = Scratch::new("damage-etcd");
    let program = oracle();
    let plan = Plan { program: &program, seed: 3, numbers: 0..24, patience: Duration::from_secs(4) };
    let trials = plan.run(scratch.path());
    println!("etcd, {} trials\n{}", trials.len(), table(&trials));
    let worse = trials.values().any(|trial| trial.outcome > Outcome::RefusedWithoutStep);
    assert!(worse, "no finding in {} trials of etcd", trials.len());
}

/// The kernel kills a process that touches a mapped page beyond the file's end: that ends with the file and the place told.
#[test]
fn a_file_cut_short_under_a_running_server_is_named() {
    let scratch = Scratch::new("damage-cut");
    let program = server_under_test();
    let directory = scratch.path().join("prepared");
    let prepared = prepare(&program, &directory, 5, false);
    let own = scratch.path().join("own");
    std::fs::create_dir_all(&own).expect("a fresh directory");
    copy(&prepared.directory.join("data"), &own.join("data"));
    let identity: Vec<&str> = prepared.identity.iter().map(String::as_str).collect();
    let mut server = Server::spawn(&program, &own, &identity, free_address(), free_address());
    server.await_ready(Duration::from_secs(30)).unwrap_or_else(|failed| panic!("{failed}"));
    let db = std::fs::OpenOptions::new().write(true).open(own.join("data/member/db")).expect("our file");
    db.set_len(BLOCK_BYTES).expect("our file");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let read = runtime.block_on(async {
        let client = Client::open(server.client).await.expect("it serves");
        everything(&client, 0).await
    });
    let status = server.await_exit(Duration::from_secs(30)).expect("it ends");
    let log = server.log();
    assert!(read.is_err() && status.code() == Some(1), "{status}, {read:?}\n{log}");
    let told = log.lines().find(|line| line.contains("SIGBUS")).unwrap_or_else(|| panic!("no word of it\n{log}"));
    assert!(told.contains("data/member/db at offset ") && told.contains("restore the member"), "{told}");
}
