//! Seeded simulation of whole clusters: the real replica, WAL, tree and mvcc code, on simulated disks, clocks and links.
//!
//! A failure prints its seed and the command that repeats it. Long runs: `RINGBOLT_SIM_SEEDS=100000 cargo test --release
//! --test sim`; one seed: `RINGBOLT_SIM_SEED=n cargo test --release --test sim`.

mod chronicle;
mod disk;
mod jobs;
mod leases;
mod net;
mod node;
mod planted;
mod rng;
mod viewers;
mod workload;
mod world;

use crate::planted::{ALL, Bug};
use crate::world::{Options, Report, World};

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn run(options: Options) -> Result<Report, String> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| World::new(options).run()));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    })
}

#[test]
fn seeds_hold() {
    hold("seeds_hold", 150, |options| options);
}

/// The same with alarms: members refuse the same writes, whoever crashed in between.
#[test]
fn alarmed_seeds_hold() {
    let total = hold("alarmed_seeds_hold", 40, |options| Options { alarms_per_mille: 5, ..options });
    assert!(total.alarmed > 100 || setting("RINGBOLT_SIM_SEED").is_some(), "alarms refused {} writes", total.alarmed);
}

/// The same with clients that watch, and leases that come and go.
#[test]
fn watched_and_leased_seeds_hold() {
    let total = hold("watched_and_leased_seeds_hold", 40, Options::with_watchers_and_leases);
    let seen = total.events > 1000 && total.progress > 100 && total.compacted > 10 && total.resumed > 100;
    let leased = total.expired > 50 && total.renewed > 500 && total.checkpointed > 10;
    assert!(seen && leased || setting("RINGBOLT_SIM_SEED").is_some(), "{total:?}");
}

/// A seed that once found something: the log was full at a start, and nothing made room in it.
#[test]
fn a_full_log_at_the_start_holds() {
    let outcome = run(Options::draw(117).with_watchers_and_leases());
    assert!(outcome.is_ok(), "seed 117: {outcome:?}");
}

/// Runs the seeds that the environment asks for, or the first `count`, as `adapt` changes their options.
fn hold(test: &str, count: u64, adapt: impl Fn(Options) -> Options) -> Report {
    let only = setting("RINGBOLT_SIM_SEED");
    let first = only.unwrap_or(1);
    let count = setting("RINGBOLT_SIM_SEEDS").unwrap_or(if only.is_some() { 1 } else { count });
    let mut total = Report::default();
    for seed in first..first + count {
        let options = adapt(Options::draw(seed));
        match run(options.clone()) {
            Ok(report) => {
                total.writes += report.writes;
                total.reads += report.reads;
                total.crashes += report.crashes;
                total.refusals += report.refusals;
                total.alarmed += report.alarmed;
                total.sweeps += report.sweeps;
                total.events += report.events;
                total.progress += report.progress;
                total.compacted += report.compacted;
                total.resumed += report.resumed;
                total.expired += report.expired;
                total.renewed += report.renewed;
                total.checkpointed += report.checkpointed;
            }
            Err(violation) => panic!(
                "seed {seed}: {violation}\n{options:?}\nrepeat: RINGBOLT_SIM_SEED={seed} cargo test --test sim -- {test} --exact"
            ),
        }
    }
    println!("{count} seeds from {first}: {total:?}");
    assert!(only.is_some() || count < 100 || total.sweeps > 10, "files are swept while all this goes on: {total:?}");
    total
}

#[test]
fn a_seed_repeats_itself() {
    for seed in [3, 7, 11] {
        assert_eq!(run(Options::draw(seed)), run(Options::draw(seed)), "seed {seed}");
        let watched = || run(Options::draw(seed).with_watchers_and_leases());
        assert_eq!(watched(), watched(), "seed {seed}");
    }
}

/// The seeds within which a planted bug must be found.
const SEEDS_TO_FIND: u64 = 100;

fn options_for(bug: Bug, seed: u64) -> Options {
    let mut options = Options { bug: Some(bug), ..Options::draw(seed) };
    // Where a bug needs others to show it, there are others.
    if matches!(bug, Bug::FollowerAcknowledgesEarly | Bug::VoteNotPersisted | Bug::ReadWithoutIndex) {
        options.members = 3;
    }
    if bug == Bug::RenewedByAnybody {
        options.members = 3;
    }
    if bug.needs_watchers_and_leases() {
        options = options.with_watchers_and_leases();
    }
    options.liars = 0;
    options.clients = options.clients.max(4);
    options
}

fn find(bug: Bug, seeds: u64) -> Option<(u64, String)> {
    (1..=seeds).find_map(|seed| run(options_for(bug, seed)).err().map(|violation| (seed, violation)))
}

#[test]
fn planted_bugs_are_found() {
    // The panics of runs that find something are not news.
    std::panic::set_hook(Box::new(|_| {}));
    let mut missed = Vec::new();
    let only = std::env::var("RINGBOLT_SIM_BUG").ok();
    for bug in ALL.into_iter().filter(|bug| only.as_ref().is_none_or(|only| *only == format!("{bug:?}"))) {
        match find(bug, setting("RINGBOLT_SIM_SEEDS").unwrap_or(SEEDS_TO_FIND)) {
            Some((seed, violation)) => {
                let first: String = violation.chars().take(150).collect();
                println!("{bug:?}: seed {seed}: {first}");
            }
            None => missed.push(bug),
        }
    }
    let _ = std::panic::take_hook();
    assert!(missed.is_empty(), "not found: {missed:?}");
}

/// A patch that no longer fits the code shows nothing: each hunk's old lines stand in their file once.
#[test]
fn planted_patches_fit_the_code() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut hunks = 0;
    for entry in std::fs::read_dir(root.join("tests/sim/planted")).unwrap() {
        let path = entry.unwrap().path();
        let patch = std::fs::read_to_string(&path).unwrap();
        let mut code = String::new();
        for part in patch.split_inclusive('\n').collect::<Vec<_>>().split(|line| line.starts_with("@@ ")) {
            if let Some(name) = part.iter().rev().find_map(|line| line.strip_prefix("+++ b/")) {
                // What stands before the first hunk names the file; a hunk is followed by the next file's names.
                code = std::fs::read_to_string(root.join(name.trim())).unwrap();
            }
            let lines = part.iter().take_while(|line| !line.starts_with("--- a/"));
            let old: String = lines.filter_map(|line| line.strip_prefix([' ', '-'])).collect();
            if !old.is_empty() {
                assert_eq!(code.matches(&old).count(), 1, "{}: a hunk does not fit:\n{old}", path.display());
                hunks += 1;
            }
        }
    }
    assert!(hunks >= 12, "{hunks} hunks");
}
