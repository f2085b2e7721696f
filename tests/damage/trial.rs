//! One trial: a copy of a prepared directory, damaged, started, asked for everything.
//!
//! **Invariants**: each outcome is either allowed or a finding; a finding carries what a second look needs.

use std::fmt::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use ringbolt::proto::etcdserverpb as pb;

use crate::client::{CallError, Client, Failed, Program, Random, Server, free_address};
use crate::damage::{Damage, damage, files};
use crate::prepare::{Expected, Prepared, copy, everything, tell};

/// What a damaged directory came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Everything is there.
    Served,
    /// It did not start and named the damaged file.
    Refused,
    /// It did not start and named another file that is there.
    RefusedByOther,
    /// It serves, and answers what it cannot read with an error, or stopped with a file named.
    ErrorWhileRunning,
    /// It did not start or refused a read, and told no file.
    RefusedWithoutFile,
    /// It did not start or refused a read, and told the file, but no place in it or no next step.
    RefusedWithoutStep,
    /// It ended with exit code 0, without having served.
    EndedAsIfWell,
    /// It panicked or died of a signal.
    Panicked,
    /// It neither served nor ended, or did not answer.
    Hung,
    /// It served less than was acknowledged.
    Less,
    /// It served something else than was acknowledged.
    Wrong,
}

impl Outcome {
    /// All of them, allowed ones first.
    pub(crate) const ALL: [Self; 11] = [
        Self::Served,
        Self::Refused,
        Self::RefusedByOther,
        Self::ErrorWhileRunning,
        Self::RefusedWithoutFile,
        Self::RefusedWithoutStep,
        Self::EndedAsIfWell,
        Self::Panicked,
        Self::Hung,
        Self::Less,
        Self::Wrong,
    ];

    /// True if it is no finding.
    pub(crate) fn allowed(self) -> bool {
        matches!(self, Self::Served | Self::Refused | Self::RefusedByOther | Self::ErrorWhileRunning)
    }
}

/// A finished trial.
pub(crate) struct Trial {
    /// What was done.
    pub(crate) damage: Damage,
    /// How the prepared server had ended.
    pub(crate) how: &'static str,
    /// What came of it.
    pub(crate) outcome: Outcome,
    /// What was seen, in one line or a few.
    pub(crate) told: String,
}

/// Runs one trial, with the damage of a seed or none, in `directory`, which is removed unless it is a finding.
pub(crate) fn run(
    program: &Program,
    prepared: &Prepared,
    directory: &Path,
    seed: Option<u64>,
    patience: Duration,
) -> Trial {
    let data = directory.join("data");
    std::fs::create_dir_all(directory).expect("a fresh directory");
    copy(&prepared.directory.join("data"), &data);
    let names: Vec<String> = files(&data).iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let damage = match seed {
        // A copy that nothing was done to.
        None => Damage { kind: "none", file: PathBuf::from("nothing"), detail: String::new() },
        Some(seed) => damage(&data, &prepared.earlier, &mut Random::new(seed)),
    };
    let mut flags = vec!["--snapshot-count=100"];
    // The last one of a flag counts.
    flags.extend(prepared.identity.iter().map(String::as_str));
    let mut server = Server::spawn(program, directory, &flags, free_address(), free_address());
    let (outcome, told) = match server.await_ready(patience) {
        Err(failed) => refused(&failed, &damage, &names),
        Ok(()) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let (outcome, told) = runtime.block_on(serve(&mut server, &prepared.expected));
            after(&mut server, outcome, told, &damage, &names)
        }
    };
    drop(server);
    if outcome.allowed() {
        let _ = std::fs::remove_dir_all(directory);
    }
    Trial { damage, how: prepared.how, outcome, told }
}

fn refused(failed: &Failed, damage: &Damage, names: &[String]) -> (Outcome, String) {
    let told = failed.to_string();
    let Some(status) = failed.status else { return (Outcome::Hung, told) };
    if panicked(status, &failed.log) {
        return (Outcome::Panicked, told);
    }
    if status.success() {
        return (Outcome::EndedAsIfWell, told);
    }
    judged(&failed.log, &told, damage, names)
}

/// Whether the log tells what an operator must know: the file, the place, and what to do.
fn judged(log: &str, told: &str, damage: &Damage, names: &[String]) -> (Outcome, String) {
    // The last lines tell why; the ones before name every file that was opened.
    let why = why(log);
    let base = |name: &str| Path::new(name).file_name().map(|base| base.to_string_lossy().into_owned());
    let named = |name: &str| base(name).is_some_and(|base| why.contains(&base));
    let own = named(&damage.file.to_string_lossy());
    if !own && !names.iter().any(|name| named(name)) {
        return (Outcome::RefusedWithoutFile, if why.is_empty() { told.to_owned() } else { why });
    }
    // A file that is gone has no places.
    let placed = why.contains(" at offset ") || damage.kind == "deleted";
    let next = ["restore th", "put back the files", "start the version", "start this member with its own"];
    if !placed || !next.iter().any(|step| why.contains(step)) {
        return (Outcome::RefusedWithoutStep, why);
    }
    (if own { Outcome::Refused } else { Outcome::RefusedByOther }, why)
}

/// The lines of level error or worse, and those that are no JSON.
fn why(log: &str) -> String {
    let bad = |line: &&str| {
        !line.starts_with('{')
            || ["\"level\":\"error\"", "\"level\":\"fatal\"", "\"level\":\"panic\""]
                .iter()
                .any(|level| line.contains(level))
    };
    let mut text = String::new();
    for line in log.lines().filter(bad) {
        let _ = writeln!(text, "  {line:.800}");
    }
    text
}

fn panicked(status: ExitStatus, log: &str) -> bool {
    let texts = ["panicked at", "panic:", "\"level\":\"panic\"", "fatal error:", "goroutine 1 [", "SIGBUS", "SIGSEGV"];
    status.signal().is_some() || texts.iter().any(|text| log.contains(text))
}

/// Asks a server that started for everything.
async fn serve(server: &mut Server, expected: &Expected) -> (Outcome, String) {
    let client = match Client::open(server.client).await {
        Ok(client) => client,
        Err(lost) => return (Outcome::Hung, lost.to_string()),
    };
    let told = tell(&client, expected.older.0).await;
    let (outcome, what) = match told {
        Ok(told) => compare(&told, expected),
        Err(error) => piecewise(&client, expected, &error).await,
    };
    client.connection.close().await;
    (outcome, what)
}

fn compare(told: &Expected, expected: &Expected) -> (Outcome, String) {
    if told == expected {
        return (Outcome::Served, String::new());
    }
    let missing = expected.newest.keys().filter(|&key| !told.newest.contains_key(key)).count();
    let what = format!(
        "revision {} of {}, {missing} keys missing, {} at revision {} of {}, hash {} of {}",
        told.revision,
        expected.revision,
        told.older.1.len(),
        expected.older.0,
        expected.older.1.len(),
        told.hash,
        expected.hash
    );
    let less = told.revision < expected.revision || missing > 0;
    (if less { Outcome::Less } else { Outcome::Wrong }, what)
}

/// Reads failed: each key alone is right or an error too, and never something else.
async fn piecewise(client: &Client, expected: &Expected, first: &CallError) -> (Outcome, String) {
    let mut errors = 0;
    for (key, kv) in &expected.newest {
        let request = pb::RangeRequest { key: key.clone(), ..Default::default() };
        match client.range(&request).await {
            Ok(answer) if answer.kvs.first() == Some(kv) => {}
            Ok(answer) => return (Outcome::Wrong, format!("{key:?}: {answer:.300?}, expected {kv:.300?}")),
            Err(CallError::Lost(lost)) if lost.0.contains("no answer within") => return (Outcome::Hung, lost.0),
            Err(CallError::Lost(_)) => break,
            Err(_) => errors += 1,
        }
    }
    let now = everything(client, 0).await.map(|_| ());
    (Outcome::ErrorWhileRunning, format!("{first:?}; {errors} keys unreadable; everything: {now:?}"))
}

/// A server that served must be able to stop; one that ended by itself must have said why.
fn after(server: &mut Server, outcome: Outcome, told: String, damage: &Damage, names: &[String]) -> (Outcome, String) {
    if server.has_ended() {
        let status = server.await_exit(Duration::ZERO).expect("it has ended");
        let (ended, why) = refused(&Failed { status: Some(status), log: server.log() }, damage, names);
        return match (outcome, ended) {
            (Outcome::Less | Outcome::Wrong, _) => (outcome, told),
            (_, Outcome::Refused | Outcome::RefusedByOther) => (Outcome::ErrorWhileRunning, why),
            (_, other) => (other, format!("{told}\n{why}")),
        };
    }
    if outcome == Outcome::ErrorWhileRunning {
        // The client is told that the data is corrupt, the operator where.
        return match judged(&server.log(), &told, damage, names) {
            (Outcome::Refused | Outcome::RefusedByOther, why) => (outcome, format!("{told}\n{why}")),
            (other, why) => (other, format!("{told}\n{why}")),
        };
    }
    if outcome != Outcome::Served {
        return (outcome, told);
    }
    match server.stop() {
        None => (Outcome::Hung, "it served and does not stop".to_owned()),
        Some(status) if panicked_text(&server.log()) => (Outcome::Panicked, format!("at its stop, {status}")),
        Some(_) => (outcome, told),
    }
}

fn panicked_text(log: &str) -> bool {
    log.contains("panicked at") || log.contains("\npanic: ")
}
