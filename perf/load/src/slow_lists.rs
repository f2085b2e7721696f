//! Several clients that each list everything at once and read slowly: what does it cost the server in memory?
//!
//! Invariants
//! - The windows are HTTP/2's defaults, and bytes are taken from the socket only as the pace allows.
//! - Each answer must be complete: its length is the one promised and its count the one put in.

use crate::connection::{Answer, Connection, Windows};
use crate::process::{self, now};
use crate::wire::{Range, prefix_end, range_tail};
use crate::work::PATHS;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const WINDOWS: Windows = Windows { connection: 65_535, stream: 65_535 };
const READ_BYTES: usize = 64 * 1024;
const TURN: Duration = Duration::from_millis(2);
const SAMPLE_EVERY_NS: u64 = 10_000_000;

/// What to do.
pub(crate) struct Plan {
    pub(crate) target: SocketAddr,
    pub(crate) pid: u32,
    pub(crate) clients: usize,
    pub(crate) prefix: String,
    pub(crate) keys: u64,
    /// Bytes a second that each client takes.
    pub(crate) pace: u64,
    pub(crate) deadline_ns: u64,
}

/// What was seen.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) complete: u64,
    pub(crate) answer_bytes: u64,
    pub(crate) errors: Vec<String>,
    pub(crate) before: BTreeMap<&'static str, u64>,
    /// The largest value of each amount while the lists ran.
    pub(crate) peak: BTreeMap<&'static str, u64>,
    /// Peak of anonymous memory in each tenth of a second.
    pub(crate) rss_anon_series: Vec<u64>,
}

struct Client {
    connection: Connection<()>,
    taken: u64,
    done: bool,
}

/// Runs the lists to their end.
pub(crate) fn run(plan: &Plan) -> io::Result<Outcome> {
    let mut outcome = Outcome { before: process::memory(plan.pid), ..Outcome::default() };
    let mut message = Vec::new();
    let end = prefix_end(plan.prefix.as_bytes());
    Range { key: plan.prefix.as_bytes(), range_end: &end, ..Range::default() }.encode(&mut message);
    let mut clients = Vec::new();
    for _ in 0..plan.clients {
        let socket = TcpStream::connect(plan.target)?;
        let mut connection = Connection::open(socket, &plan.target.to_string(), PATHS, WINDOWS)?;
        connection.call(0, &message, ());
        connection.flush()?;
        clients.push(Client { connection, taken: 0, done: false });
    }
    let start = now();
    let mut next_sample = start;
    let mut buffer = vec![0; READ_BYTES];
    let mut answers = Vec::new();
    while clients.iter().any(|client| !client.done) && now() < start + plan.deadline_ns {
        let elapsed = now() - start;
        let allowed = u64::try_from(u128::from(plan.pace) * u128::from(elapsed) / 1_000_000_000).expect("bytes fit");
        for client in clients.iter_mut().filter(|client| !client.done) {
            if let Err(error) = client.read(allowed, &mut buffer, &mut answers) {
                outcome.errors.push(error.to_string());
                client.done = true;
            }
            for answer in answers.drain(..) {
                client.done = true;
                outcome.take(&answer, plan.keys);
            }
        }
        if now() >= next_sample {
            next_sample += SAMPLE_EVERY_NS;
            outcome.sample(plan.pid, elapsed);
        }
        std::thread::sleep(TURN);
    }
    Ok(outcome)
}

impl Client {
    fn read(&mut self, allowed: u64, buffer: &mut [u8], answers: &mut Vec<Answer<()>>) -> io::Result<()> {
        while self.taken < allowed && answers.is_empty() {
            let wanted = usize::try_from(allowed - self.taken).expect("usize is 64 bits").min(buffer.len());
            match self.connection.socket.read(&mut buffer[..wanted]) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.taken += u64::try_from(count).expect("usize is 64 bits");
                    self.connection.feed(&buffer[..count], answers)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.taken = self.taken.max(allowed.saturating_sub(1 << 20)); // no saving up while the server thinks
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        self.connection.flush()
    }
}

impl Outcome {
    fn take(&mut self, answer: &Answer<()>, keys: u64) {
        self.answer_bytes += answer.length;
        if answer.status != 0 {
            let text = answer.message.clone().unwrap_or_default();
            self.errors.push(format!("status {}: {text}", answer.status));
        } else if !answer.tail.ends_with(&range_tail(false, keys)) {
            self.errors.push("the count is not what was put in".to_owned());
        } else {
            self.complete += 1;
        }
    }

    fn sample(&mut self, pid: u32, elapsed: u64) {
        let amounts = process::memory(pid);
        let tenth = usize::try_from(elapsed / 100_000_000).expect("tenths of seconds fit");
        if self.rss_anon_series.len() <= tenth {
            self.rss_anon_series.resize(tenth + 1, 0);
        }
        for (name, value) in amounts {
            let peak = self.peak.entry(name).or_default();
            *peak = (*peak).max(value);
            if name == "rss_anon" {
                self.rss_anon_series[tenth] = self.rss_anon_series[tenth].max(value);
            }
        }
    }
}
