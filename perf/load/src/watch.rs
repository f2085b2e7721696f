//! Watchers of one prefix while keys are put at a fixed rate: each event reaches all of them.
//!
//! Invariants
//! - Arrivals of puts are drawn from the seed and wait for nobody; a delivery's latency runs from the moment its put was due.
//! - Each watcher must see every revision once and in order: nothing else writes while this runs.
//! - What is counted is deliveries: events times the watchers that they reach.

use crate::connection::Connection;
use crate::engine::{DRAIN_NS, Meeting, Pace, Plan, Tally, interval};
use crate::idle::Outcome;
use crate::poll;
use crate::pool::{Arrival, Pool};
use crate::process::{self, now};
use crate::wire::{self, watch_answer, watch_create, watch_events};
use crate::work::{PUT, Random, Space, WATCH};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

/// How long the server may take to create all watches.
const CREATE_NS: u64 = 120_000_000_000;
const TURN_NS: u64 = 100_000_000;
/// A value begins with the moment that its put was due.
const STAMP_BYTES: usize = 8;

/// How many watchers, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watchers {
    pub(crate) connections: usize,
    /// Streams of each connection.
    pub(crate) streams: usize,
    /// Watches of each stream.
    pub(crate) each: usize,
}

impl Watchers {
    pub(crate) fn count(self) -> usize {
        self.connections * self.streams * self.each
    }
}

/// What each watcher watches.
#[derive(Clone, Copy)]
enum Aim {
    /// All keys.
    Prefix,
    /// A key that no other watches.
    OwnKey,
}

/// One stream's watches: the last revision that each has seen.
#[derive(Default)]
struct Seen {
    stream: u32,
    revisions: Vec<u64>,
    created: usize,
}

/// The watchers and, last of the connections, the one that puts.
struct Watched {
    pool: Pool<()>,
    streams: Vec<Seen>,
    per_connection: usize,
    book: Book,
}

/// What has been counted so far.
struct Book {
    tally: Tally,
    window: (u64, u64),
    puts: u64,
    /// Puts that succeeded.
    acknowledged: u64,
    answered: u64,
    delivered: u64,
}

/// Measures deliveries.
pub(crate) fn run(plan: &Plan, watchers: Watchers, space: &Space, meeting: &Meeting) -> io::Result<Tally> {
    poll::sharpen_timers();
    let opened = open(plan.target, watchers, space, Aim::Prefix);
    let start = meeting.wait();
    let mut watched = opened?;
    let window_start = start + plan.warmup_ns;
    watched.book.window = (window_start, plan.window_ns.map_or(u64::MAX, |length| window_start + length));
    let Pace::Open { rate } = plan.pace else { unreachable!("the options demand a rate") };
    watched.put_and_watch(space, plan.seed, start, rate)?;
    watched.drain(u64::try_from(watchers.count()).expect("usize is 64 bits"))?;
    Ok(watched.book.tally)
}

/// Holds watchers of keys that nobody writes, and reads what they cost in memory.
pub(crate) fn hold(
    target: SocketAddr,
    pid: u32,
    watchers: Watchers,
    space: &Space,
    rest: Duration,
) -> io::Result<Outcome> {
    let before = process::memory(pid);
    let mut watched = open(target, watchers, space, Aim::OwnKey)?;
    let opened = process::memory(pid);
    let until = now() + u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX);
    while now() < until {
        watched.turn(until.saturating_sub(now()).min(TURN_NS))?;
    }
    let after = process::memory(pid);
    match watched.book.tally.errors.keys().next() {
        Some(text) => Err(io::Error::new(ErrorKind::InvalidData, text.clone())),
        None => Ok(Outcome { before, opened, after }),
    }
}

/// Connects, and returns when the server has created every watch.
fn open(target: SocketAddr, watchers: Watchers, space: &Space, aim: Aim) -> io::Result<Watched> {
    let pool = Pool::open(target, watchers.connections + 1)?;
    let book = Book { tally: Tally::new(), window: (u64::MAX, 0), puts: 0, acknowledged: 0, answered: 0, delivered: 0 };
    let mut watched = Watched { pool, streams: Vec::new(), per_connection: watchers.streams, book };
    let end = wire::prefix_end(space.prefix.as_bytes());
    let (mut key, mut message) = (Vec::new(), Vec::new());
    let mut number = 0;
    for connection in &mut watched.pool.connections[..watchers.connections] {
        for _ in 0..watchers.streams {
            let stream = connection.open_stream(WATCH, ())?;
            for _ in 0..watchers.each {
                message.clear();
                match aim {
                    Aim::Prefix => watch_create(&mut message, space.prefix.as_bytes(), &end),
                    Aim::OwnKey => {
                        space.key(number, &mut key);
                        watch_create(&mut message, &key, &[]);
                    }
                }
                number += 1;
                connection.give(stream, &message);
            }
            watched.streams.push(Seen { stream, ..Seen::default() });
        }
        connection.flush()?;
    }
    let deadline = now() + CREATE_NS;
    while watched.streams.iter().any(|stream| stream.created < watchers.each) {
        watched.turn(TURN_NS)?;
        let problem = watched.book.tally.errors.keys().next();
        if let Some(text) = problem {
            return Err(io::Error::new(ErrorKind::InvalidData, text.clone()));
        }
        if now() > deadline {
            return Err(io::Error::new(ErrorKind::TimedOut, "not all watches were created"));
        }
    }
    Ok(watched)
}

impl Watched {
    fn put_and_watch(&mut self, space: &Space, seed: u64, start: u64, rate: f64) -> io::Result<()> {
        let mut random = Random::new(seed);
        let mut value: Vec<u8> =
            (0..space.value_bytes.max(STAMP_BYTES)).map(|_| u8::try_from(random.below(256)).expect("a byte")).collect();
        let (mut key, mut message) = (Vec::new(), Vec::new());
        let mut due = start + interval(&mut random, rate);
        while due < self.book.window.1 {
            let mut moment = now();
            while due <= moment && due < self.book.window.1 {
                space.key(random.below(space.keys), &mut key);
                value[..STAMP_BYTES].copy_from_slice(&due.to_le_bytes());
                message.clear();
                wire::put(&mut message, &key, &value);
                self.putter().call(PUT, &message, ());
                self.book.puts += 1;
                if due >= self.book.window.0 {
                    self.book.tally.lateness.saturating_record(moment - due);
                }
                due += interval(&mut random, rate);
                moment = now();
            }
            self.putter().flush()?;
            self.turn(due.saturating_sub(now()))?;
        }
        Ok(())
    }

    fn putter(&mut self) -> &mut Connection<()> {
        self.pool.connections.last_mut().expect("opened with one more than the watchers need")
    }

    /// Waits for what is still on its way, and counts what never came.
    fn drain(&mut self, watchers: u64) -> io::Result<()> {
        let deadline = now() + DRAIN_NS;
        let missing =
            |book: &Book| book.puts - book.answered + (book.acknowledged * watchers).saturating_sub(book.delivered);
        while missing(&self.book) > 0 && now() < deadline {
            self.turn(TURN_NS)?;
        }
        self.book.tally.unfinished = missing(&self.book);
        Ok(())
    }

    fn turn(&mut self, timeout_ns: u64) -> io::Result<()> {
        let (streams, book, per_connection) = (&mut self.streams, &mut self.book, self.per_connection);
        self.pool.turn(timeout_ns, |connection, index, moment, arrival| match arrival {
            Arrival::Message(id, message) => {
                let stream = &mut streams[index * per_connection..][..per_connection];
                match stream.iter_mut().find(|each| each.stream == id) {
                    Some(seen) => book.on_message(seen, message, moment),
                    None => book.tally.error("a message on a stream that is not there".to_owned()),
                }
            }
            Arrival::Answer(answer) => {
                let put = index * per_connection >= streams.len();
                if !put || answer.status != 0 {
                    let what = if put { "put" } else { "a watch stream ended" };
                    let text = answer.message.unwrap_or_default();
                    book.tally.error(format!("{what}: status {}: {text}", answer.status));
                }
                book.answered += u64::from(put);
                book.acknowledged += u64::from(put && answer.status == 0);
                connection.recycle(answer.head);
            }
        })
    }
}

impl Book {
    fn on_message(&mut self, seen: &mut Seen, message: &[u8], moment: u64) {
        let answer = watch_answer(message);
        let id = usize::try_from(answer.watch_id).unwrap_or(usize::MAX);
        if answer.canceled || answer.fragment {
            self.tally.error("a watch was cancelled, or sent a fragment nobody asked for".to_owned());
        } else if answer.created {
            seen.created += 1;
            if id != seen.revisions.len() {
                self.tally.error(format!("watch {id} was created where {} was due", seen.revisions.len()));
            }
            seen.revisions.push(answer.revision);
        } else if let Some(last) = seen.revisions.get_mut(id) {
            watch_events(message, |revision, value| self.on_event(last, revision, value, moment));
            if moment >= self.window.0 && moment < self.window.1 {
                self.tally.answer_bytes += u64::try_from(message.len()).expect("usize is 64 bits");
            }
        } else {
            self.tally.error("events for a watch that is not there".to_owned());
        }
    }

    fn on_event(&mut self, last: &mut u64, revision: u64, value: &[u8], moment: u64) {
        if revision != *last + 1 {
            self.tally.error("an event was lost, doubled or out of order".to_owned());
        }
        *last = revision;
        self.delivered += 1;
        let Some(Ok(stamp)) = value.get(..STAMP_BYTES).map(<[u8; STAMP_BYTES]>::try_from) else {
            return self.tally.error("an event without the value that was put".to_owned());
        };
        let due = u64::from_le_bytes(stamp);
        self.tally.ended += u64::from(moment >= self.window.0 && moment < self.window.1);
        if due >= self.window.0 {
            self.tally.count(due, moment, self.window.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(revision: u8, due: u64) -> Vec<u8> {
        let mut pair = vec![0x0a, 1, b'k', 0x18, revision, 0x2a, 8];
        pair.extend_from_slice(&due.to_le_bytes());
        let mut message = vec![0x0a, 2, 0x18, revision, 0x5a, u8::try_from(pair.len() + 2).unwrap(), 0x12];
        message.push(u8::try_from(pair.len()).unwrap());
        message.extend_from_slice(&pair);
        message
    }

    #[test]
    fn each_event_is_counted_once_and_gaps_are_seen() {
        let mut book =
            Book { tally: Tally::new(), window: (100, 1000), puts: 0, acknowledged: 0, answered: 0, delivered: 0 };
        let mut seen = Seen::default();
        book.on_message(&mut seen, &[0x0a, 2, 0x18, 5, 0x18, 1], 10);
        book.on_message(&mut seen, &event(6, 90), 150);
        book.on_message(&mut seen, &event(7, 200), 1200);
        let tally = &book.tally;
        assert_eq!((seen.created, tally.ended, tally.operations, book.delivered), (1, 1, 1, 2));
        assert_eq!((tally.error_count, tally.latency.max() / 100), (0, 10)); // three digits
        book.on_message(&mut seen, &event(7, 200), 300);
        book.on_message(&mut seen, &event(9, 200), 300);
        assert_eq!(book.tally.error_count, 2);
    }
}
