//! One thread of load: its connections, its arrivals, its latencies.
//!
//! Invariants
//! - Open loop: arrivals are drawn from the seed before anything is sent and never wait for an answer; a latency runs from the
//!   moment the operation was due, however late it could be sent (no coordinated omission).
//! - Closed loop: each connection keeps its number of operations in flight; a latency runs from the call.
//! - Closed loop: what ends inside the window is counted. Open loop: what was due inside it.
//!
//! It must not know what a work sends, nor print.

use crate::connection::{Answer, Connection};
use crate::poll::{self, Poll};
use crate::pool::WINDOWS;
use crate::process::now;
use crate::wire;
use crate::work::{Kind, Operation, PATHS, Random, Verdict, Work};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Barrier, Mutex};

const READ_BYTES: usize = 256 * 1024;
/// How long answers are waited for once nothing more is sent.
pub(crate) const DRAIN_NS: u64 = 10_000_000_000;
/// Different texts of errors that are kept.
const ERROR_TEXTS_MAX: usize = 16;
const SECOND: u64 = 1_000_000_000;

/// How operations arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// So many in flight on each connection.
    Closed {
        /// In flight on each connection.
        streams: usize,
    },
    /// So many a second over all threads, at exponentially distributed intervals.
    Open {
        /// Operations a second.
        rate: f64,
    },
}

/// What every thread is told.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) target: SocketAddr,
    /// Connections of all threads together.
    pub(crate) connections: usize,
    pub(crate) threads: usize,
    pub(crate) pace: Pace,
    pub(crate) warmup_ns: u64,
    /// None: until the work has nothing more to do.
    pub(crate) window_ns: Option<u64>,
    pub(crate) seed: u64,
    /// Compact once, this long into the window (first thread).
    pub(crate) compact_ns: Option<u64>,
}

/// What a thread saw.
pub(crate) struct Tally {
    /// Operations that succeeded. Open loop: all that were due in the window, also those that ended after it.
    pub(crate) operations: u64,
    /// Operations that ended in the window: what the server's CPU time in the window is divided by.
    pub(crate) ended: u64,
    pub(crate) conflicts: u64,
    pub(crate) latency: Histogram<u64>,
    /// Open loop: how long after it was due each operation was handed to its connection.
    pub(crate) lateness: Histogram<u64>,
    pub(crate) errors: BTreeMap<String, u64>,
    pub(crate) error_count: u64,
    /// Operations that were due in the window and had no answer in the end.
    pub(crate) unfinished: u64,
    pub(crate) answer_bytes: u64,
    /// Operations that ended in each second of the window.
    pub(crate) per_second: Vec<u64>,
    /// When the last counted operation ended.
    pub(crate) last_end: u64,
    /// How long the compaction's answer took.
    pub(crate) compaction_ns: Option<u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let histogram = || Histogram::new_with_bounds(100, 600 * SECOND, 3).expect("the bounds are in order");
        Self {
            operations: 0,
            ended: 0,
            conflicts: 0,
            latency: histogram(),
            lateness: histogram(),
            errors: BTreeMap::new(),
            error_count: 0,
            unfinished: 0,
            answer_bytes: 0,
            per_second: Vec::new(),
            last_end: 0,
            compaction_ns: None,
        }
    }

    /// Takes another thread's figures in.
    pub(crate) fn add(&mut self, other: Self) {
        self.operations += other.operations;
        self.ended += other.ended;
        self.conflicts += other.conflicts;
        self.latency.add(&other.latency).expect("same bounds");
        self.lateness.add(&other.lateness).expect("same bounds");
        for (text, count) in other.errors {
            *self.errors.entry(text).or_default() += count;
        }
        self.error_count += other.error_count;
        self.unfinished += other.unfinished;
        self.answer_bytes += other.answer_bytes;
        for (second, count) in other.per_second.into_iter().enumerate() {
            if second == self.per_second.len() {
                self.per_second.push(0);
            }
            self.per_second[second] += count;
        }
        self.last_end = self.last_end.max(other.last_end);
        self.compaction_ns = self.compaction_ns.or(other.compaction_ns);
    }

    /// Counts an operation that was due at `due` and ended at `moment`.
    pub(crate) fn count(&mut self, due: u64, moment: u64, window_start: u64) {
        self.operations += 1;
        self.last_end = moment;
        self.latency.saturating_record(moment.saturating_sub(due));
        let second = usize::try_from(moment.saturating_sub(window_start) / SECOND).expect("seconds fit");
        if self.per_second.len() <= second {
            self.per_second.resize(second + 1, 0);
        }
        self.per_second[second] += 1;
    }

    pub(crate) fn error(&mut self, text: String) {
        self.error_count += 1;
        if self.errors.len() < ERROR_TEXTS_MAX || self.errors.contains_key(&text) {
            *self.errors.entry(text).or_default() += 1;
        }
    }
}

/// Where the threads meet: all connected, then the moment that the run starts from.
pub(crate) struct Meeting {
    barrier: Barrier,
    start: Mutex<u64>,
}

impl Meeting {
    /// For `parties` threads, the one that samples included.
    pub(crate) fn new(parties: usize) -> Self {
        Self { barrier: Barrier::new(parties), start: Mutex::new(0) }
    }

    /// Waits for all others, and returns the same moment to all.
    pub(crate) fn wait(&self) -> u64 {
        if self.barrier.wait().is_leader() {
            *self.start.lock().expect("no thread panics with it") = now();
        }
        self.barrier.wait();
        *self.start.lock().expect("no thread panics with it")
    }
}

/// One thread's state.
struct Engine<'a> {
    plan: &'a Plan,
    work: Work,
    connections: Vec<Connection<Operation>>,
    poll: Poll,
    tally: Tally,
    window: (u64, u64),
    message: Vec<u8>,
    buffer: Vec<u8>,
    ready: Vec<usize>,
    answers: Vec<Answer<Operation>>,
    outstanding: usize,
    exhausted: bool,
    /// When to compact.
    compact_at: Option<u64>,
    /// Revision of the last answer, looked at while a compaction is to come.
    revision: u64,
}

/// Connects, meets the others, works, and returns what was seen.
pub(crate) fn run(plan: &Plan, work: Work, thread: usize, meeting: &Meeting) -> io::Result<Tally> {
    poll::sharpen_timers();
    let share = plan.connections * (thread + 1) / plan.threads - plan.connections * thread / plan.threads;
    let opened = open_all(plan, share);
    let start = meeting.wait();
    let (connections, poll) = opened?;
    let window_start = start + plan.warmup_ns;
    let window = (window_start, plan.window_ns.map_or(u64::MAX, |length| window_start + length));
    let mut engine = Engine {
        plan,
        work,
        connections,
        poll,
        tally: Tally::new(),
        window,
        message: Vec::new(),
        buffer: vec![0; READ_BYTES],
        ready: Vec::new(),
        answers: Vec::new(),
        outstanding: 0,
        exhausted: false,
        compact_at: plan.compact_ns.filter(|_| thread == 0).map(|after| window_start + after),
        revision: 0,
    };
    match plan.pace {
        Pace::Closed { streams } => engine.closed(streams)?,
        Pace::Open { rate } => {
            let threads = f64::from(u32::try_from(plan.threads).expect("few threads"));
            engine.open(start, rate / threads, u64::try_from(thread).expect("few threads"))?;
        }
    }
    Ok(engine.tally)
}

type Opened = (Vec<Connection<Operation>>, Poll);

fn open_all(plan: &Plan, share: usize) -> io::Result<Opened> {
    let poll = Poll::new()?;
    let mut connections = Vec::new();
    let authority = plan.target.to_string();
    for index in 0..share {
        let socket = TcpStream::connect(plan.target)?;
        let connection = Connection::open(socket, &authority, PATHS, WINDOWS)?;
        poll.add(&connection.socket, index)?;
        connections.push(connection);
    }
    Ok((connections, poll))
}

impl Engine<'_> {
    fn closed(&mut self, streams: usize) -> io::Result<()> {
        for index in 0..self.connections.len() {
            for _ in 0..streams {
                self.start_next(index, now());
            }
            self.connections[index].flush()?;
        }
        while !self.exhausted && now() < self.window.1 {
            self.compact_if_due()?;
            self.turn(100_000_000, true)?;
        }
        self.drain()
    }

    fn open(&mut self, start: u64, rate: f64, thread: u64) -> io::Result<()> {
        let mut random = Random::new(self.plan.seed ^ 0x6172_7269_7661_6c73 ^ thread << 32);
        let mut due = start + interval(&mut random, rate);
        let mut connection = 0;
        let mut touched = Vec::new();
        while due < self.window.1 {
            let mut moment = now();
            while due <= moment && due < self.window.1 {
                connection = (connection + 1) % self.connections.len();
                if (self.window.0..self.window.1).contains(&due) {
                    self.tally.lateness.saturating_record(moment - due);
                }
                self.start_next(connection, due);
                if touched.last() != Some(&connection) {
                    touched.push(connection);
                }
                due += interval(&mut random, rate);
                // A long backlog must not keep the answers waiting: look at the sockets now and then.
                if touched.len() >= self.connections.len() {
                    break;
                }
                moment = now();
            }
            for index in touched.drain(..) {
                self.connections[index].flush()?;
            }
            self.compact_if_due()?;
            self.turn(due.saturating_sub(now()), false)?;
        }
        self.drain()
    }

    /// Waits for the answers that are still out.
    fn drain(&mut self) -> io::Result<()> {
        let deadline = now() + DRAIN_NS;
        self.exhausted = true;
        while self.outstanding > 0 && now() < deadline {
            self.turn(100_000_000, false)?;
        }
        self.tally.unfinished = u64::try_from(self.outstanding).expect("usize is 64 bits");
        Ok(())
    }

    fn start_next(&mut self, index: usize, due: u64) {
        match self.work.next(due) {
            Some(operation) => {
                self.outstanding += 1;
                self.send(index, operation);
            }
            None => self.exhausted = true,
        }
    }

    fn compact_if_due(&mut self) -> io::Result<()> {
        let due = self.compact_at.filter(|at| *at <= now() && self.revision > 0);
        if let Some(due) = due {
            self.compact_at = None;
            self.outstanding += 1;
            self.send(0, Operation { kind: Kind::Compact, number: 0, revision: self.revision, due });
            self.connections[0].flush()?;
        }
        Ok(())
    }

    fn send(&mut self, index: usize, operation: Operation) {
        let path_id = self.work.encode(&operation, &mut self.message);
        self.connections[index].call(path_id, &self.message, operation);
    }

    /// Waits for sockets and handles them; `refill`: an operation that ends is followed by another.
    fn turn(&mut self, timeout_ns: u64, refill: bool) -> io::Result<()> {
        let mut ready = std::mem::take(&mut self.ready);
        self.poll.wait(timeout_ns, &mut ready)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        for index in ready.drain(..) {
            self.handle(index, &mut buffer, refill)?;
        }
        self.buffer = buffer;
        self.ready = ready;
        Ok(())
    }

    fn handle(&mut self, index: usize, buffer: &mut [u8], refill: bool) -> io::Result<()> {
        loop {
            let count = match self.connections[index].socket.read(buffer) {
                Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed a connection")),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            };
            let mut answers = std::mem::take(&mut self.answers);
            self.connections[index].feed(&buffer[..count], &mut answers)?;
            let moment = now();
            for answer in answers.drain(..) {
                self.finish(index, answer, moment, refill);
            }
            self.answers = answers;
            if count < buffer.len() {
                break; // edge-triggered: a later arrival wakes again
            }
        }
        self.connections[index].flush()
    }

    fn finish(&mut self, index: usize, answer: Answer<Operation>, moment: u64, refill: bool) {
        let operation = answer.token;
        let verdict = if answer.status == 0 {
            self.work.judge(&operation, answer.length, &answer.head, &answer.tail)
        } else {
            Verdict::Wrong("status")
        };
        if self.compact_at.is_some() {
            self.revision = wire::header_revision(&answer.head).unwrap_or(self.revision);
        }
        self.connections[index].recycle(answer.head);
        let in_window = moment >= self.window.0 && moment < self.window.1;
        if in_window {
            self.tally.answer_bytes += answer.length;
        }
        if let Verdict::Next(next) = verdict {
            self.send(index, next);
            return;
        }
        self.outstanding -= 1;
        if operation.kind == Kind::Compact {
            self.tally.compaction_ns = Some(moment - operation.due);
            if verdict != Verdict::Done {
                self.tally.error(format!("compaction: status {} {:?}", answer.status, answer.message));
            }
            return;
        }
        if matches!(verdict, Verdict::Done | Verdict::Conflict) {
            self.tally.ended += u64::from(in_window);
            let counts = match self.plan.pace {
                Pace::Open { .. } => operation.due >= self.window.0,
                Pace::Closed { .. } => in_window,
            };
            if counts {
                self.tally.count(operation.due, moment, self.window.0);
            }
        }
        match verdict {
            Verdict::Done | Verdict::Next(_) => {}
            Verdict::Conflict => self.tally.conflicts += 1,
            Verdict::Wrong("status") => {
                let text = answer.message.unwrap_or_default();
                self.tally.error(format!("status {}: {text}", answer.status));
            }
            Verdict::Wrong(what) => self.tally.error(format!("{:?}: {what}", operation.kind)),
        }
        if refill && !self.exhausted && moment < self.window.1 {
            self.start_next(index, moment);
        }
    }
}

/// The time to the next arrival: exponential, so that arrivals know nothing of each other.
pub(crate) fn interval(random: &mut Random, rate: f64) -> u64 {
    let unit = (f64::from(u32::try_from(random.next() >> 32).expect("32 bits")) + 0.5) / 4_294_967_296.0;
    let seconds = -unit.ln() / rate;
    std::time::Duration::from_secs_f64(seconds.clamp(1e-9, 3600.0)).as_nanos().try_into().expect("at most an hour")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_keep_their_rate_and_repeat() {
        let draw = || {
            let mut random = Random::new(7);
            (0..100_000).map(|_| interval(&mut random, 20_000.0)).sum::<u64>()
        };
        let seconds = std::time::Duration::from_nanos(draw()).as_secs_f64();
        assert!((4.9..5.1).contains(&seconds), "{seconds}");
        assert_eq!(draw(), draw());
    }
}
