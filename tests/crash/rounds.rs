//! Rounds of load, death and return on one data directory.
//!
//! **Invariants**: one seed gives one sequence of plans (the moments themselves are the machine's); a failure keeps the
//! data directory and names seed and round.

use std::process::Command;
use std::time::{Duration, Instant};

use ringbolt::proto::etcdserverpb as pb;

use crate::check::Checked;
use crate::client::{Client, Random, Scratch, Server, oracle, seed_from_env, server_under_test};
use crate::load::load;

const SEED: &str = "RINGBOLT_CRASH_SEED";
const ROUNDS: &str = "RINGBOLT_CRASH_ROUNDS";

/// How a round ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    /// SIGKILL under load.
    Kill,
    /// SIGKILL under load, and again while the next process starts.
    KillStarting(u64),
    /// SIGTERM under load.
    Stop,
    /// Load ends first, then SIGTERM: the hash must stay.
    Quiet,
}

#[test]
fn nothing_acknowledged_is_lost() {
    let seed = seed_from_env(SEED);
    let rounds = std::env::var(ROUNDS).map_or(150, |text| text.parse().expect("a number of rounds"));
    println!("{SEED}={seed} {ROUNDS}={rounds}");
    on_this_thread(run(seed, rounds));
}

/// The checks can fail: a data directory put back to an earlier moment is told from the right one.
#[test]
fn an_older_data_directory_is_found() {
    on_this_thread(async {
        let scratch = Scratch::new("crash-older");
        let mut server = Server::start(&oracle(), scratch.path(), &[]).unwrap_or_else(|failed| panic!("{failed}"));
        let (mut checked, mut random) = (Checked::new(), Random::new(1));
        let mut copies = Vec::new();
        for round in 0..3 {
            let seen = load(&mut server, round, round, (checked.revision, &checked.state), 50, End::Kill).await;
            let copy = scratch.path().join(format!("copy{round}"));
            let copied = Command::new("cp").arg("-a").arg(server.data()).arg(&copy).status().expect("cp runs");
            assert!(copied.success(), "cp: {copied}");
            copies.push(copy);
            if round == 2 {
                // The last writes were told, and are gone.
                std::fs::remove_dir_all(server.data()).expect("our directory");
                std::fs::rename(&copies[1], server.data()).expect("our directories");
            }
            server.restart().unwrap_or_else(|failed| panic!("{failed}"));
            let result = checked.check(&server, seen, &mut random).await;
            match round {
                2 => {
                    let what = result.expect_err("acknowledged writes are gone");
                    assert!(what.contains("acknowledged at revision"), "{what}");
                }
                _ => result.expect("nothing is lost yet"),
            }
        }
    });
}

fn on_this_thread(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, work);
}

async fn run(seed: u64, rounds: u64) {
    let started = Instant::now();
    let scratch = Scratch::new("crash");
    let mut random = Random::new(seed);
    let mut server = Server::start(&server_under_test(), scratch.path(), &["--snapshot-count=200"])
        .unwrap_or_else(|failed| panic!("first start: {failed}"));
    let mut checked = Checked::new();
    let (mut kills, mut starts) = (0_u64, Duration::ZERO);
    for round in 0..rounds {
        let end = plan(round, &mut random);
        let exponent = random.between(1, 12);
        let stop_after = usize::try_from(random.between(1, 1 << exponent)).expect("positive");
        let seen = load(&mut server, random.next(), round, (checked.revision, &checked.state), stop_after, end).await;
        kills += u64::from(end != End::Quiet && end != End::Stop);
        if let End::KillStarting(times) = end {
            for _ in 0..times {
                server.restart_unready();
                // A moment of the start-up: there is no event to await, the moment is to be any.
                tokio::time::sleep(Duration::from_micros(random.below(60_000))).await;
                server.kill();
                kills += 1;
            }
        }
        let restart = Instant::now();
        let mut result = server.restart().map_err(|failed| format!("it does not come back: {failed}"));
        starts += restart.elapsed();
        if result.is_ok() {
            result = checked.check(&server, seen, &mut random).await;
        }
        if result.is_ok() && end == End::Quiet {
            result = hash_stays(&mut server).await;
        }
        if let Err(what) = result {
            // The panic keeps the data directory and the log, and says where.
            let repeat = format!("{SEED}={seed} {ROUNDS}={rounds} cargo test --test crash -- --nocapture");
            panic!("seed {seed}, round {round} ({end:?}): {what:.3000}\nrepeat: {repeat}");
        }
    }
    let mean = starts / u32::try_from(rounds).expect("few rounds");
    println!(
        "{rounds} rounds, {kills} kills in {:.1?}; start {mean:.1?} on average; revision {}, compacted {}; {:?}",
        started.elapsed(),
        checked.revision,
        checked.compacted,
        checked.totals
    );
    assert!(kills >= rounds.saturating_mul(6) / 7, "{kills} kills in {rounds} rounds");
}

fn plan(round: u64, random: &mut Random) -> End {
    match round % 10 {
        9 => End::Quiet,
        4 => End::Stop,
        2 | 6 => End::KillStarting(random.below(4) + 1),
        _ => End::Kill,
    }
}

/// HashKV of the newest and of older revisions is the same after a clean restart.
async fn hash_stays(server: &mut Server) -> Result<(), String> {
    let mut told = Vec::new();
    for pass in 0..2 {
        let client = Client::open(server.client).await.map_err(|lost| lost.to_string())?;
        let mut hashes = Vec::new();
        let newest = hash(&client, 0).await?;
        for back in [0, 1, 10] {
            hashes.push(hash(&client, newest.hash_revision - back).await?);
        }
        client.connection.close().await;
        told.push(hashes);
        if pass == 0 {
            let status = server.stop();
            status.ok_or("it does not stop")?;
            server.restart().map_err(|failed| format!("it does not come back: {failed}"))?;
        }
    }
    if told[0] != told[1] {
        return Err(format!("HashKV before and after a clean restart: {told:?}"));
    }
    Ok(())
}

async fn hash(client: &Client, revision: i64) -> Result<pb::HashKvResponse, String> {
    let answer = client.hash_kv(&pb::HashKvRequest { revision }).await;
    let mut answer = answer.map_err(|error| format!("HashKV at {revision}: {error:?}"))?;
    // The term grows with each start.
    answer.header = None;
    Ok(answer)
}
