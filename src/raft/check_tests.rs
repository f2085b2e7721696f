use bytes::Bytes;

use super::super::driver::Driver;
use super::super::membership::Membership;
use super::super::start::{Config, Error, Start};
use super::*;
use crate::raft::Random;
use crate::raft::messages::{Ballot, ReadContext};
use crate::types::{BootNonce, Now};
use crate::wal::{Entry, EntryKind, HardState};

fn entry(index: u64, term: u64) -> Entry {
    Entry { index: RaftIndex(index), term: Term(term), kind: EntryKind::Normal, data: Bytes::from_static(b"x") }
}

fn place(index: u64, term: u64) -> Position {
    Position::new(RaftIndex(index), Term(term))
}

/// Member 1 of three, whose log ends at index 6 of term 2, with 5 committed and 4 applied.
fn driver() -> Driver {
    let config = Config { member: MemberId(1), nonce: BootNonce(7), seed: 1, election_ticks: 10, heartbeat_ticks: 1 };
    let start = Start {
        membership: Membership::of_voters(&[MemberId(1), MemberId(2), MemberId(3)]).unwrap(),
        hard_state: HardState { term: Term(2), vote: MemberId(0), commit: RaftIndex(5) },
        applied: place(4, 1),
        base: place(4, 1),
        entries: vec![entry(5, 2), entry(6, 2)],
    };
    Driver::new(&config, start).unwrap()
}

fn message(term: u64, body: Body) -> Message {
    Message { from: MemberId(2), to: MemberId(1), term: Term(term), body }
}

#[test]
fn a_heartbeat_that_knows_more_than_our_log_proves_a_loss() {
    let mut driver = driver();
    let heartbeat = |term, commit| message(term, Body::Heartbeat { commit: RaftIndex(commit), context: None });
    assert_eq!(driver.handle_message(Now(0), heartbeat(2, 6)), Ok(()));
    let lost = driver.handle_message(Now(0), heartbeat(3, 7));
    let expected = Error::LogLost { leader: MemberId(2), commit: RaftIndex(7), last: RaftIndex(6) };
    assert_eq!(lost, Err(expected));
    assert_eq!(driver.handle_message(Now(0), heartbeat(1, 99)), Ok(()), "an old leader proves nothing");
}

#[test]
fn appends_that_no_leader_sends_are_left_out() {
    let append = |term, previous, entries| message(term, Body::Append { previous, commit: RaftIndex(5), entries });
    let impossible = [
        append(2, place(9, 0), vec![]),
        append(2, place(0, 1), vec![]),
        append(2, place(6, 2), vec![entry(8, 2)]),
        append(2, place(6, 2), vec![entry(7, 1)]),
        append(2, place(6, 2), vec![entry(7, 3)]),
        append(2, place(6, 3), vec![]),
        append(2, place(0, 0), vec![entry(1, 0)]),
        append(0, place(6, 2), vec![]),
    ];
    for message in impossible {
        let mut driver = driver();
        let text = format!("{message:?}");
        assert_eq!(driver.handle_message(Now(0), message), Ok(()));
        assert_eq!(driver.counts().messages_dropped, 1, "{text}");
    }
    let mut driver = driver();
    assert_eq!(driver.handle_message(Now(0), append(2, place(6, 2), vec![entry(7, 2)])), Ok(()));
    assert_eq!((driver.counts().messages_dropped, driver.appended()), (0, RaftIndex(7)));
}

#[test]
fn messages_for_others_and_from_nobody_are_left_out() {
    let mut driver = driver();
    let sound = message(2, Body::TimeoutNow);
    for wrong in [
        Message { to: MemberId(3), ..sound.clone() },
        Message { from: MemberId(1), ..sound.clone() },
        Message { from: MemberId(0), ..sound },
    ] {
        assert_eq!(driver.handle_message(Now(0), wrong), Ok(()));
    }
    assert_eq!(driver.counts().messages_dropped, 3);
}

/// A body with indexes and terms around those of the log, sound or not.
fn random_body(random: &mut Random) -> Body {
    let mut index = || RaftIndex(if random.below(20) == 0 { RAFT_INDEX_MAX } else { random.below(12) });
    let (one, two, three) = (index(), index(), index());
    let term = |random: &mut Random| Term(random.below(5));
    let (at, other) = (Position::new(one, term(random)), Position::new(two, term(random)));
    let flag = random.below(2) == 0;
    let ballot = if random.below(2) == 0 { Ballot::Pre } else { Ballot::Real };
    let context = ReadContext { member: MemberId(random.below(4)), nonce: BootNonce(7), counter: random.below(4) };
    match random.below(12) {
        0..=2 => {
            let count = random.below(4);
            let mut term = at.term.0;
            let entries = (1..=count).map(|offset| {
                term += random.below(2);
                entry(at.index.0.min(100) + offset, term)
            });
            Body::Append { previous: at, commit: three, entries: entries.collect() }
        }
        3 => Body::AppendAccepted { matched: one, commit: two },
        4 => Body::AppendRejected { previous: one, hint: other, commit: three },
        5 => Body::Heartbeat { commit: RaftIndex(one.0.min(6)), context: flag.then_some(context) },
        6 => Body::HeartbeatAnswer { commit: one, context: flag.then_some(context) },
        7 => Body::VoteRequest { ballot, last: at, commit: other, forced: flag },
        8 => Body::VoteAnswer { ballot, granted: flag, commit: at },
        9 => Body::TimeoutNow,
        10 => Body::Propose { nonce: BootNonce(1), sequence: random.below(9), data: Bytes::from_static(b"p") },
        _ if flag => Body::ReadRequest { context },
        _ => Body::ReadAnswer { context, index: one },
    }
}

/// Whatever peers say, in whatever role, nothing panics: only the library's own asserts and ours are at stake here.
#[test]
fn no_message_makes_the_library_panic() {
    for seed in 0..4000 {
        let mut random = Random::new(seed);
        let mut driver = driver();
        for _ in 0..60 {
            if random.below(4) == 0 {
                driver.handle_tick(Now(0));
            }
            let mut body = random_body(&mut random);
            // A peer that lies about commits of the right term to the right log is believed: that is what trust is.
            if let Body::Append { commit, .. } | Body::Heartbeat { commit, .. } = &mut body {
                *commit = (*commit).min(driver.committed());
            }
            let term = Term(random.below(3) + driver.leadership().term.0.saturating_sub(1));
            let from = MemberId(random.below(5));
            let message = Message { from, to: MemberId(1), term, body };
            assert_eq!(driver.handle_message(Now(0), message), Ok(()), "seed {seed}");
            driver.turn(Now(0));
            if let Some(append) = driver.poll_append().filter(|_| random.below(2) == 0) {
                driver.on_durable(append.group);
            }
            while driver.poll_message().is_some() || driver.poll_read().is_some() {}
            if let Some(last) = driver.poll_committed().and_then(|entries| entries.last().cloned()) {
                driver.on_applied(last.index);
            }
        }
    }
}
