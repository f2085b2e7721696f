use super::*;
use crate::raft::Random;

fn random_position(random: &mut Random) -> Position {
    if random.below(8) == 0 {
        return Position::default();
    }
    Position::new(RaftIndex(1 + random.below(1 << 40)), Term(1 + random.below(1 << 30)))
}

fn random_context(random: &mut Random) -> ReadContext {
    ReadContext { member: MemberId(random.bits()), nonce: BootNonce(random.bits()), counter: random.bits() }
}

fn random_data(random: &mut Random) -> Bytes {
    (0..random.below(300)).map(|_| random.bits().to_le_bytes()[0]).collect()
}

fn random_append(random: &mut Random) -> Body {
    let previous = random_position(random);
    let mut before = previous;
    let mut entries = Vec::new();
    for _ in 0..random.below(5) {
        let kind = [EntryKind::Normal, EntryKind::ConfChange, EntryKind::ConfChangeV2]
            [usize::try_from(random.below(3)).unwrap()];
        let term = Term(before.term.0 + random.below(3));
        let entry = Entry { index: before.index.next(), term, kind, data: random_data(random) };
        before = Position::new(entry.index, entry.term);
        entries.push(entry);
    }
    Body::Append { previous, commit: RaftIndex(random.below(1 << 40)), entries }
}

fn random_body(random: &mut Random) -> Body {
    let index = RaftIndex(random.below(1 << 50));
    let ballot = if random.below(2) == 0 { Ballot::Pre } else { Ballot::Real };
    let flag = random.below(2) == 0;
    let context = flag.then(|| random_context(random));
    match random.below(11) {
        0 => random_append(random),
        1 => Body::AppendAccepted { matched: index, commit: index },
        2 => {
            let hint = Position::new(index, Term(random.below(9)));
            Body::AppendRejected { previous: index, hint, commit: index }
        }
        3 => Body::Heartbeat { commit: index, context },
        4 => Body::HeartbeatAnswer { commit: index, context },
        5 => Body::VoteRequest { ballot, last: random_position(random), commit: random_position(random), forced: flag },
        6 => Body::VoteAnswer { ballot, granted: flag, commit: random_position(random) },
        7 => Body::TimeoutNow,
        8 => Body::Propose { nonce: BootNonce(random.bits()), sequence: random.bits(), data: random_data(random) },
        9 => Body::ReadRequest { context: random_context(random) },
        _ => Body::ReadAnswer { context: random_context(random), index },
    }
}

fn random_message(random: &mut Random) -> Message {
    Message {
        from: MemberId(1 + random.below(1 << 60)),
        to: MemberId(1 + random.below(1 << 60)),
        term: Term(random.below(1 << 40)),
        body: random_body(random),
    }
}

fn encoded(message: &Message) -> Bytes {
    let mut out = Vec::new();
    message.encode(&mut out);
    Bytes::from(out)
}

#[test]
fn every_message_survives_its_encoding() {
    for seed in 0..20_000 {
        let message = random_message(&mut Random::new(seed));
        assert_eq!(Message::decode(&encoded(&message)).as_ref(), Ok(&message), "seed {seed}");
    }
}

#[test]
fn every_prefix_and_every_extension_is_refused() {
    for seed in 0..300 {
        let message = random_message(&mut Random::new(seed));
        let bytes = encoded(&message);
        for end in 0..bytes.len() {
            assert_eq!(Message::decode(&bytes.slice(..end)), Err(Malformed), "seed {seed}, cut at {end}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(Message::decode(&Bytes::from(longer)), Err(Malformed), "seed {seed}, one byte more");
    }
}

#[test]
fn damaged_messages_never_panic() {
    for seed in 0..30_000 {
        let mut random = Random::new(seed);
        let mut bytes = encoded(&random_message(&mut random)).to_vec();
        for _ in 0..=random.below(4) {
            let at = usize::try_from(random.below(u64::try_from(bytes.len()).unwrap())).unwrap();
            bytes[at] = random.bits().to_le_bytes()[0];
        }
        fuzz_message(&bytes);
    }
}

#[test]
fn other_versions_unknown_kinds_and_missing_senders_are_refused() {
    let message = Message { from: MemberId(1), to: MemberId(2), term: Term(3), body: Body::TimeoutNow };
    let sound = encoded(&message).to_vec();
    for (at, value) in [(0, 0), (0, 2), (1, 0), (1, 9), (1, 13), (2, 0), (10, 0)] {
        let mut bytes = sound.clone();
        bytes[at] = value;
        assert_eq!(Message::decode(&Bytes::from(bytes)), Err(Malformed), "byte {at} = {value}");
    }
}

#[test]
fn a_huge_count_does_not_allocate() {
    // version, append, from 1, to 2, term 1, previous (1, 1), commit 0, count 2^63, and nothing after it.
    let mut bytes = vec![1, 1];
    bytes.extend_from_slice(&1u64.to_le_bytes());
    bytes.extend_from_slice(&2u64.to_le_bytes());
    bytes.extend_from_slice(&[1, 1, 1, 0]);
    put_varint(&mut bytes, 1 << 63);
    assert_eq!(Message::decode(&Bytes::from(bytes)), Err(Malformed));
}

#[test]
fn indexes_and_terms_at_the_edge_are_refused() {
    for body in [
        Body::AppendAccepted { matched: RaftIndex(RAFT_INDEX_MAX + 1), commit: RaftIndex(0) },
        Body::Heartbeat { commit: RaftIndex(u64::MAX), context: None },
        Body::AppendRejected {
            previous: RaftIndex(0),
            hint: Position::new(RaftIndex(0), Term(RAFT_TERM_MAX + 1)),
            commit: RaftIndex(0),
        },
    ] {
        let message = Message { from: MemberId(1), to: MemberId(2), term: Term(1), body };
        assert_eq!(Message::decode(&encoded(&message)), Err(Malformed), "{message:?}");
    }
}

#[test]
fn payloads_share_the_memory_of_the_message() {
    let data = Bytes::from(vec![7u8; 4096]);
    let body = Body::Propose { nonce: BootNonce(1), sequence: 1, data };
    let bytes = encoded(&Message { from: MemberId(1), to: MemberId(2), term: Term(1), body });
    let Ok(Message { body: Body::Propose { data, .. }, .. }) = Message::decode(&bytes) else { panic!("a proposal") };
    let range = bytes.as_ptr_range();
    assert!(range.contains(&data.as_ptr()), "no copy is made");
}
