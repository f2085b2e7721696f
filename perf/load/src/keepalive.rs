//! Leases renewed on streams in a closed loop: a few renewals in flight on each stream, through all of its leases in turn.
//!
//! Invariants
//! - Every answer must name the lease whose renewal was sent first of those in flight, with its whole time to live.
//! - A latency runs from the moment a renewal was sent; what ends inside the window is counted.

use crate::connection::Connection;
use crate::engine::{DRAIN_NS, Meeting, Plan, Tally};
use crate::poll;
use crate::pool::{Arrival, Pool};
use crate::process::now;
use crate::wire::{lease_answer, lease_grant, lease_keep_alive};
use crate::work::{LEASE_GRANT, LEASE_KEEP_ALIVE, LEASE_SECONDS};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;

const GRANT_NS: u64 = 120_000_000_000;
/// Grants in flight on each connection: etcd refuses a few thousand in all.
const GRANTS_AT_ONCE: usize = 5;
const TURN_NS: u64 = 100_000_000;

/// One connection's leases and its stream.
#[derive(Default)]
struct Leases {
    numbers: Vec<u64>,
    next: usize,
    /// Renewals in flight: the lease, and when each was sent.
    sent: VecDeque<(u64, u64)>,
    stream: u32,
}

impl Leases {
    /// Sends the renewal of the next lease.
    fn renew_next(&mut self, connection: &mut Connection<()>, message: &mut Vec<u8>, moment: u64) {
        let number = self.numbers[self.next];
        self.next = (self.next + 1) % self.numbers.len();
        self.sent.push_back((number, moment));
        message.clear();
        lease_keep_alive(message, number);
        connection.give(self.stream, message);
    }
}

/// Renews `each` leases on every connection, so many at a time.
pub(crate) fn run(plan: &Plan, each: usize, at_once: usize, meeting: &Meeting) -> io::Result<Tally> {
    poll::sharpen_timers();
    let granted = grant(plan.target, plan.connections, each);
    let start = meeting.wait();
    let (mut pool, mut leases) = granted?;
    let window = start + plan.warmup_ns..start + plan.warmup_ns + plan.window_ns.unwrap_or(0);
    let mut tally = Tally::new();
    let mut message = Vec::new();
    for (connection, leases) in pool.connections.iter_mut().zip(&mut leases) {
        leases.stream = connection.open_stream(LEASE_KEEP_ALIVE, ())?;
        (0..at_once).for_each(|_| leases.renew_next(connection, &mut message, now()));
        connection.flush()?;
    }
    let mut in_flight = plan.connections * at_once;
    let deadline = window.end + DRAIN_NS;
    while in_flight > 0 && now() < deadline {
        pool.turn(TURN_NS, |connection, index, moment, arrival| {
            let leases = &mut leases[index];
            let sent = leases.sent.pop_front();
            match (arrival, sent) {
                (Arrival::Message(_, answer), Some((number, sent)))
                    if lease_answer(answer) == (number, LEASE_SECONDS) =>
                {
                    if window.contains(&moment) {
                        tally.ended += 1;
                        tally.count(sent, moment, window.start);
                        tally.answer_bytes += u64::try_from(answer.len()).expect("usize is 64 bits");
                    }
                }
                (Arrival::Message(..), _) => tally.error("the answer is not that lease's renewal".to_owned()),
                (Arrival::Answer(answer), _) => {
                    let text = answer.message.unwrap_or_default();
                    tally.error(format!("a stream of renewals ended: status {}: {text}", answer.status));
                    in_flight -= std::mem::take(&mut leases.sent).len() + usize::from(sent.is_some());
                    return;
                }
            }
            if moment < window.end {
                leases.renew_next(connection, &mut message, moment);
            } else {
                in_flight -= usize::from(sent.is_some());
            }
        })?;
    }
    tally.unfinished = u64::try_from(in_flight).expect("usize is 64 bits");
    Ok(tally)
}

/// Connects and makes the leases.
fn grant(target: SocketAddr, connections: usize, each: usize) -> io::Result<(Pool<()>, Vec<Leases>)> {
    let mut pool = Pool::open(target, connections)?;
    let mut leases: Vec<Leases> = (0..connections).map(|_| Leases::default()).collect();
    let mut message = Vec::new();
    lease_grant(&mut message, LEASE_SECONDS);
    for connection in &mut pool.connections {
        (0..each.min(GRANTS_AT_ONCE)).for_each(|_| connection.call(LEASE_GRANT, &message, ()));
        connection.flush()?;
    }
    let deadline = now() + GRANT_NS;
    let mut problem = None;
    while leases.iter().any(|leases| leases.numbers.len() < each) {
        pool.turn(TURN_NS, |connection, index, _, arrival| {
            let Arrival::Answer(answer) = arrival else { return };
            match (answer.status, lease_answer(&answer.head)) {
                (0, (number @ 1.., LEASE_SECONDS)) => {
                    leases[index].numbers.push(number);
                    if leases[index].numbers.len() + GRANTS_AT_ONCE <= each {
                        connection.call(LEASE_GRANT, &message, ());
                    }
                }
                (status, _) => problem = Some(format!("LeaseGrant: status {status}: {:?}", answer.message)),
            }
        })?;
        if let Some(text) = problem {
            return Err(io::Error::new(ErrorKind::InvalidData, text));
        }
        if now() > deadline {
            return Err(io::Error::new(ErrorKind::TimedOut, "not all leases were granted"));
        }
    }
    Ok((pool, leases))
}
