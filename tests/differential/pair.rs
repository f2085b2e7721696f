//! Two servers that get the same operations, and the run that compares their answers.
//!
//! **Invariants**: writes are sent one by one; reads between two writes are in flight together; both servers have
//! answered everything before the next write.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Answer, Connection, Lost, Program, Scratch, Server};
use crate::generate::Generator;
use crate::known;
use crate::op::{Op, Seen, seen};
use crate::requests::Knowledge;
use crate::ties;

/// How many reads are in flight at once.
const READS_IN_FLIGHT: usize = 24;

/// After how many differences that left both histories equal a run ends.
const HARMLESS_MAX: usize = 40;

/// Where operations come from.
pub(crate) enum Source<'a> {
    /// The generator.
    Generate(&'a mut Generator),
    /// A list, for shrinking.
    Replay(std::slice::Iter<'a, Op>),
}

impl Source<'_> {
    fn next(&mut self, known: Knowledge) -> Option<Op> {
        match self {
            Self::Generate(generator) => Some(generator.next(known)),
            Self::Replay(ops) => ops.next().cloned(),
        }
    }
}

/// The first two answers that differ.
#[derive(Debug)]
pub(crate) struct Difference {
    /// Which operation.
    pub(crate) index: usize,
    /// The answer of the server under test.
    pub(crate) ours: Seen,
    /// The answer of etcd.
    pub(crate) oracle: Seen,
    /// What a server that lost the call wrote last.
    pub(crate) logs: String,
    /// etcd itself crashed: there is nothing to compare with.
    pub(crate) oracle_died: bool,
}

/// What a run did.
#[derive(Default)]
pub(crate) struct Tally {
    /// Operations by kind and outcome.
    pub(crate) kinds: BTreeMap<(&'static str, String), u64>,
    /// What the answers told last.
    pub(crate) known: Knowledge,
    /// Differences that left both histories equal.
    pub(crate) harmless: Vec<Difference>,
}

struct Side {
    server: Server,
    connection: Option<Connection>,
}

/// Both servers.
pub(crate) struct Pair {
    sides: [Side; 2],
    // Dropped, and with it removed, after the servers.
    _scratch: Scratch,
}

impl Pair {
    /// Starts both with the same flags.
    pub(crate) fn start(ours: &Program, our_flags: &[&str], oracle: &Program, oracle_flags: &[&str]) -> Self {
        let scratch = Scratch::new("differential");
        let start = |name: &str, program: &Program, flags: &[&str]| {
            let directory = scratch.path().join(name);
            std::fs::create_dir(&directory).expect("a fresh directory");
            let server = Server::start(program, &directory, flags)
                .unwrap_or_else(|failed| panic!("{} does not start: {failed}", program.path.display()));
            Side { server, connection: None }
        };
        let sides = [start("ours", ours, our_flags), start("oracle", oracle, oracle_flags)];
        Self { sides, _scratch: scratch }
    }

    /// Runs `limit` operations, keeps them in `done`, and stops at the first difference.
    pub(crate) async fn run(
        &mut self,
        source: &mut Source<'_>,
        limit: usize,
        done: &mut Vec<Op>,
        tally: &mut Tally,
    ) -> Result<(), Box<Difference>> {
        let mut from = done.len();
        let mut reads = 0;
        while done.len() < limit {
            let Some(op) = source.next(tally.known) else { break };
            let read = op.is_read();
            done.push(op);
            reads = if read { reads + 1 } else { 0 };
            if read && reads < READS_IN_FLIGHT && done.len() < limit {
                continue;
            }
            // The reads before a write are answered before it is sent.
            let end = if read { done.len() } else { done.len() - 1 };
            self.answer(&done[from..end], from, tally).await?;
            if !read {
                self.answer(&done[end..], end, tally).await?;
            }
            (from, reads) = (done.len(), 0);
        }
        self.answer(&done[from..], from, tally).await
    }

    async fn answer(&mut self, ops: &[Op], first: usize, tally: &mut Tally) -> Result<(), Box<Difference>> {
        if let [Op::Restart { kill }] = ops {
            self.restart(*kill).await;
            return Ok(());
        }
        let [ours, oracle] = &mut self.sides;
        // Both servers work at the same time.
        let (ours, oracle) = tokio::join!(ours.answers(ops), oracle.answers(ops));
        for (offset, ((ours, oracle), op)) in ours.into_iter().zip(oracle).zip(ops).enumerate() {
            let path = op.call().map(|call| call.path).unwrap_or_default();
            let (mut ours, mut oracle) = (seen(&path, ours), seen(&path, oracle));
            known::level(&mut ours);
            known::level(&mut oracle);
            ties::level(op, &mut ours);
            ties::level(op, &mut oracle);
            let lost = oracle.http.0 == 0 && self.sides[1].server.has_ended();
            if (ours != oracle || lost) && !known::accepted(op, &ours, &oracle) {
                let logs = self.last_words(&ours) + &self.last_words(&oracle);
                let index = first + offset;
                // While the histories are equal, the rest can be compared as well.
                let harmless = op.is_read() || ours.code.is_some_and(|code| code != 0) && oracle.code != Some(0);
                let go_on = harmless && logs.is_empty() && tally.harmless.len() < HARMLESS_MAX;
                let difference = Difference { index, ours, oracle, logs, oracle_died: lost };
                if !go_on {
                    return Err(Box::new(difference));
                }
                tally.harmless.push(difference);
                continue;
            }
            tally.note(op, &oracle);
        }
        Ok(())
    }

    /// The ends of both logs, if this answer was lost.
    fn last_words(&self, seen: &Seen) -> String {
        if seen.http.0 != 0 {
            return String::new();
        }
        let mut text = String::new();
        for side in &self.sides {
            let log = side.server.log();
            let lines: Vec<&str> = log.lines().collect();
            let fatal = lines.iter().rposition(|line| line.starts_with("panic") || line.contains("panicked at"));
            let from = fatal.unwrap_or(lines.len().saturating_sub(5));
            text.push_str(&format!("{} wrote last:\n", side.server.program.path.display()));
            for line in lines.iter().skip(from).take(16) {
                text.push_str(&format!("  {line:.300}\n"));
            }
        }
        text
    }

    async fn restart(&mut self, kill: bool) {
        for side in &mut self.sides {
            // A graceful stop waits for open connections.
            if let Some(connection) = side.connection.take() {
                connection.close().await;
            }
        }
        std::thread::scope(|scope| {
            for side in &mut self.sides {
                scope.spawn(move || side.restart(kill));
            }
        });
    }
}

impl Side {
    fn restart(&mut self, kill: bool) {
        if kill {
            self.server.kill();
        } else {
            assert!(self.server.stop().is_some(), "{} does not stop", self.server.program.label);
        }
        if let Err(failed) = self.server.restart() {
            panic!("{} does not come back: {failed}", self.server.program.path.display());
        }
    }

    async fn answers(&mut self, ops: &[Op]) -> Vec<Result<Answer, Lost>> {
        let mut flying = Vec::with_capacity(ops.len());
        for op in ops {
            let call = op.call().expect("a restart stands alone");
            // A call that ends its connection must not take others with it, nor be taken.
            let connection = self.connection().await;
            flying.push(match connection {
                Ok(connection) => connection.send(&call).await,
                Err(lost) => Err(lost),
            });
        }
        let mut answers = Vec::with_capacity(ops.len());
        for sent in flying {
            answers.push(match sent {
                Ok(sent) => sent.answer().await,
                Err(lost) => Err(lost),
            });
        }
        answers
    }

    async fn connection(&mut self) -> Result<Connection, Lost> {
        if let Some(connection) = self.connection.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(connection.clone());
        }
        let connection = Connection::open(self.server.client).await?;
        self.connection = Some(connection.clone());
        Ok(connection)
    }
}

impl Tally {
    fn note(&mut self, op: &Op, answer: &Seen) {
        let outcome = match answer.code {
            Some(0) => "ok".to_owned(),
            Some(code) => format!("{code} {:.60}", answer.text),
            None => format!("http {} {:.40}", answer.http.0, answer.text),
        };
        *self.kinds.entry((op.kind(), outcome)).or_default() += 1;
        if let Some(header) = answer.body.header() {
            self.known.current = self.known.current.max(header.revision);
        }
        if let (Op::Compact(pb::CompactionRequest { revision, .. }), Some(0)) = (op, answer.code) {
            self.known.compacted = self.known.compacted.max(*revision);
        }
    }

    /// A table of what was answered.
    pub(crate) fn table(&self, took: Duration) -> String {
        let total: u64 = self.kinds.values().sum();
        let mut text = format!("{total} operations in {took:.1?}; revision {}\n", self.known.current);
        for ((kind, outcome), count) in &self.kinds {
            text.push_str(&format!("{count:>9}  {kind:<13} {outcome}\n"));
        }
        text
    }
}

/// Reads the clock, for durations that are printed and never decide anything.
pub(crate) fn clock() -> Instant {
    Instant::now()
}
