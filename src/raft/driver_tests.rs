use super::*;
use crate::raft::change::Step;

const NOW: Now = Now(0);

fn entry(index: u64, term: u64) -> Entry {
    Entry { index: RaftIndex(index), term: Term(term), kind: EntryKind::Normal, data: Bytes::from_static(b"x") }
}

fn place(index: u64, term: u64) -> Position {
    Position::new(RaftIndex(index), Term(term))
}

fn config(member: u64, seed: u64) -> Config {
    Config { member: MemberId(member), nonce: BootNonce(7), seed, election_ticks: 10, heartbeat_ticks: 1 }
}

fn start(voters: u64, applied: Position, mut entries: Vec<Entry>, commit: u64) -> Start {
    let members: Vec<_> = (1..=voters).map(MemberId).collect();
    let term = entries.last().map_or(applied.term, |entry| entry.term);
    let hard_state = HardState { term, vote: MemberId(0), commit: RaftIndex(commit) };
    // The first entry tells where the log begins, if it is not above what is applied.
    let base = match entries.first().map(|first| Position::new(first.index, first.term)) {
        Some(first) if first.index <= applied.index => {
            entries.remove(0);
            first
        }
        Some(first) => Position::new(RaftIndex(first.index.0 - 1), applied.term),
        None => applied,
    };
    Start { membership: Membership::of_voters(&members).unwrap(), hard_state, applied, base, entries }
}

fn single() -> Driver {
    Driver::new(&config(1, 1), start(1, place(1, 1), vec![], 1)).unwrap()
}

fn three() -> Driver {
    Driver::new(&config(1, 1), start(3, place(3, 1), vec![], 3)).unwrap()
}

/// Works off everything, with a disk that is done at once. Returns the committed entries.
fn settle(driver: &mut Driver) -> Vec<Entry> {
    let mut committed = Vec::new();
    for _ in 0..20 {
        driver.turn(NOW);
        if let Some(append) = driver.poll_append() {
            driver.on_durable(append.group);
        }
        if let Some(entries) = driver.poll_committed() {
            driver.on_applied(entries.last().unwrap().index);
            committed.extend(entries);
        }
    }
    assert!(!driver.has_work());
    committed
}

fn from(member: u64, term: u64, body: Body) -> Message {
    Message { from: MemberId(member), to: MemberId(1), term: Term(term), body }
}

/// Makes member 1 of three the leader of term 2, its first entry committed.
fn lead(driver: &mut Driver) {
    driver.campaign();
    settle(driver);
    for ballot in [Ballot::Pre, Ballot::Real] {
        let body = Body::VoteAnswer { ballot, granted: true, commit: Position::default() };
        driver.handle_message(NOW, from(2, 2, body)).unwrap();
        settle(driver);
    }
    assert!(driver.is_leader());
    let body = Body::AppendAccepted { matched: driver.appended(), commit: RaftIndex(3) };
    driver.handle_message(NOW, from(2, 2, body)).unwrap();
    settle(driver);
    assert_eq!(driver.applied(), RaftIndex(4));
    while driver.poll_message().is_some() {}
}

#[test]
fn a_single_voter_leads_at_once_and_commits_only_what_is_durable() {
    let mut driver = single();
    driver.campaign();
    driver.turn(NOW);
    assert_eq!(driver.leadership().role, Role::Leader);
    driver.propose(Bytes::from_static(b"a")).unwrap();
    driver.turn(NOW);
    assert_eq!(driver.poll_committed(), None, "nothing is durable");
    let append = driver.poll_append().unwrap();
    assert_eq!(append.entries.iter().map(|entry| entry.index.0).collect::<Vec<_>>(), [2, 3]);
    assert_eq!(append.hard_state.map(|state| (state.term, state.vote)), Some((Term(2), MemberId(1))));
    driver.propose(Bytes::from_static(b"b")).unwrap();
    driver.turn(NOW);
    let second = driver.poll_append().unwrap();
    assert_eq!(driver.appends_in_flight(), 2, "the next group does not wait for the first");
    driver.on_durable(append.group);
    driver.turn(NOW);
    assert_eq!(driver.poll_committed().unwrap().len(), 2);
    driver.on_durable(second.group);
    driver.turn(NOW);
    assert_eq!(driver.poll_committed().unwrap()[0].data, "b");
    driver.on_applied(RaftIndex(4));
    assert_eq!(driver.window_bytes(), 0, "alone, nobody needs the past");
}

#[test]
fn a_single_voter_confirms_reads_at_once_but_not_before_its_first_entry() {
    let mut driver = single();
    let ticket = |ticket| ReadTicket { origin: crate::types::ShardId(0), ticket };
    driver.campaign();
    assert!(driver.read(NOW, ticket(1)));
    driver.turn(NOW);
    assert_eq!(driver.poll_read(), None, "what earlier terms committed is not known yet");
    settle(&mut driver);
    let done = ReadDone { tickets: vec![ticket(1)], index: Some(RaftIndex(2)) };
    assert_eq!(driver.poll_read(), Some(done));
    driver.propose(Bytes::from_static(b"a")).unwrap();
    driver.read(NOW, ticket(2));
    driver.read(NOW, ticket(3));
    driver.turn(NOW);
    let done = ReadDone { tickets: vec![ticket(2), ticket(3)], index: Some(RaftIndex(2)) };
    assert_eq!(driver.poll_read(), Some(done), "a read does not wait for the write in flight");
}

#[test]
fn a_restart_needs_a_log_that_fits_the_store() {
    let cases: [(&str, Position, Vec<Entry>, u64); 7] = [
        ("missing between", place(4, 1), vec![entry(6, 1)], 4),
        ("ends before", place(9, 1), vec![entry(4, 1), entry(5, 1)], 9),
        ("a gap", place(4, 1), vec![entry(4, 1), entry(6, 1)], 4),
        ("terms fall", place(4, 2), vec![entry(4, 2), entry(5, 1)], 4),
        ("disagree", place(5, 2), vec![entry(4, 1), entry(5, 1), entry(6, 1)], 5),
        ("lacks entries", place(4, 1), vec![entry(4, 1), entry(5, 1)], 6),
        ("disagree", place(4, 2), vec![entry(4, 1)], 4),
    ];
    for (words, applied, entries, commit) in cases {
        let mut start = start(3, applied, entries, commit);
        start.hard_state.term = Term(5);
        match Driver::new(&config(1, 1), start).err() {
            Some(Error::Start { what, .. }) => assert!(what.contains(words), "{what}: {words}"),
            other => panic!("{words}: {other:?}"),
        }
    }
}

#[test]
fn a_restart_applies_the_committed_tail() {
    let entries: Vec<_> = (3..=8).map(|index| entry(index, 1)).collect();
    let mut driver = Driver::new(&config(1, 1), start(3, place(5, 1), entries, 7)).unwrap();
    let committed = settle(&mut driver);
    assert_eq!(committed.iter().map(|entry| entry.index.0).collect::<Vec<_>>(), [6, 7]);
    assert_eq!(driver.window_base().index, RaftIndex(3), "the oldest entry only tells a term");
}

#[test]
fn a_follower_forwards_and_a_leader_takes_each_number_once() {
    let mut driver = three();
    assert_eq!(driver.propose(Bytes::from_static(b"early")), Err(NotProposed::NoLeader));
    lead(&mut driver);
    let propose = |term, nonce, sequence| {
        let data = Bytes::from_static(b"p");
        from(3, term, Body::Propose { nonce: BootNonce(nonce), sequence, data })
    };
    let before = driver.appended();
    for (term, nonce, sequence) in
        [(2, 1, 1), (2, 1, 2), (2, 1, 1), (2, 1, 2), (1, 1, 3), (3, 1, 3), (2, 2, 1), (2, 1, 2)]
    {
        driver.handle_message(NOW, propose(term, nonce, sequence)).unwrap();
    }
    assert_eq!(driver.appended().0 - before.0, 3, "two of the first run, one of the second");
    assert_eq!(driver.counts().proposals_doubled, 3);

    let mut follower = three();
    let heartbeat = Body::Heartbeat { commit: RaftIndex(3), context: None };
    follower.handle_message(NOW, from(2, 4, heartbeat)).unwrap();
    settle(&mut follower);
    while follower.poll_message().is_some() {}
    follower.propose(Bytes::from_static(b"p")).unwrap();
    let message = follower.poll_message().unwrap();
    assert_eq!((message.to, message.term), (MemberId(2), Term(4)));
    assert!(matches!(message.body, Body::Propose { sequence: 1, .. }));
}

#[test]
fn a_vote_is_not_sent_before_it_is_durable() {
    let mut driver = three();
    let request = Body::VoteRequest { ballot: Ballot::Real, last: place(3, 1), commit: place(3, 1), forced: false };
    driver.handle_message(NOW, from(2, 2, request)).unwrap();
    driver.turn(NOW);
    assert_eq!(driver.poll_message(), None);
    let append = driver.poll_append().unwrap();
    assert_eq!(append.hard_state.map(|state| (state.term, state.vote)), Some((Term(2), MemberId(2))));
    driver.turn(NOW);
    assert_eq!(driver.poll_message(), None);
    driver.on_durable(append.group);
    assert!(matches!(driver.poll_message().unwrap().body, Body::VoteAnswer { granted: true, .. }));
}

#[test]
fn election_timeouts_come_from_the_seed_alone() {
    let timeouts = |seed| {
        let mut driver = Driver::new(&config(1, seed), start(3, place(3, 1), vec![], 3)).unwrap();
        let mut ticks = Vec::new();
        for tick in 0..400 {
            let before = driver.leadership();
            driver.handle_tick(NOW);
            settle(&mut driver);
            if driver.leadership() != before {
                ticks.push(tick);
            }
            // A rejection turns it back into a follower, with another timeout.
            if driver.leadership().role == Role::PreCandidate && tick % 3 == 0 {
                for peer in [2, 3] {
                    let body = Body::VoteAnswer { ballot: Ballot::Pre, granted: false, commit: Position::default() };
                    driver.handle_message(NOW, from(peer, driver.leadership().term.0, body)).unwrap();
                }
            }
        }
        ticks
    };
    assert_eq!(timeouts(5), timeouts(5));
    assert_ne!(timeouts(5), timeouts(6));
    assert!(timeouts(5).len() > 10);
}

#[test]
fn a_change_of_the_group_passes_through_the_log() {
    let mut driver = single();
    driver.campaign();
    settle(&mut driver);
    let change = Change { steps: vec![Step::AddLearner(MemberId(2))], ..Change::default() };
    driver.propose_change(&change).unwrap();
    let committed = settle(&mut driver);
    assert_eq!(committed[0].kind, EntryKind::ConfChangeV2);
    let change = Change::decode(&committed[0].data).unwrap();
    let membership = driver.apply_change(&change).unwrap();
    assert_eq!((membership.voters(), membership.learners()), (&[MemberId(1)][..], &[MemberId(2)][..]));
    let impossible = Change { steps: vec![Step::Remove(MemberId(1))], ..Change::default() };
    assert_eq!(driver.apply_change(&impossible), None, "a group without voters");
}

#[test]
fn joint_consensus_leaves_by_itself() {
    let mut driver = single();
    driver.campaign();
    settle(&mut driver);
    let steps = vec![Step::AddLearner(MemberId(2)), Step::AddLearner(MemberId(3))];
    driver.propose_change(&Change { steps, ..Change::default() }).unwrap();
    driver.turn(NOW);
    let mut seen = Vec::new();
    for _ in 0..10 {
        driver.turn(NOW);
        if let Some(append) = driver.poll_append() {
            driver.on_durable(append.group);
        }
        for entry in driver.poll_committed().unwrap_or_default() {
            let change = Change::decode(&entry.data).unwrap();
            seen.push(driver.apply_change(&change).cloned().unwrap());
            driver.on_applied(entry.index);
        }
    }
    assert_eq!(seen.len(), 2, "into the joint state and out of it");
    assert_eq!(seen[1].learners(), [MemberId(2), MemberId(3)]);
    assert_eq!(Membership::decode(&seen[0].encode()).as_ref(), Ok(&seen[0]));
}

#[test]
fn a_leader_hands_over_to_the_one_that_is_nearest() {
    let mut driver = three();
    assert_eq!(driver.hand_over(), None);
    lead(&mut driver);
    assert_eq!(driver.hand_over(), Some(MemberId(2)));
    settle(&mut driver);
    assert!(std::iter::from_fn(|| driver.poll_message()).any(|message| message.body == Body::TimeoutNow));
    assert_eq!(driver.propose(Bytes::from_static(b"p")), Err(NotProposed::Busy));
}

#[test]
fn too_much_behind_the_disk_takes_no_more() {
    let mut driver = three();
    lead(&mut driver);
    let large = Bytes::from(vec![0; RAFT_ENTRY_BYTES_MAX]);
    driver.propose(large.clone()).unwrap();
    driver.turn(NOW);
    driver.propose(large.clone()).unwrap();
    driver.turn(NOW);
    assert_eq!(driver.propose(large.clone()), Err(NotProposed::Busy));
    let append = driver.poll_append().unwrap();
    driver.on_durable(append.group);
    driver.turn(NOW);
    assert_eq!(driver.propose(large), Ok(()));
}
