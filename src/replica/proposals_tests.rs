use std::time::Duration;

use super::*;
use crate::command::{Batch, Kind};
use crate::limits::BATCH_COMMANDS_MAX;
use crate::raft::Random;

fn proposals() -> Proposals {
    Proposals::new(MemberId(1), BootNonce(2))
}

fn waiter(ticket: u64, since: u64) -> Waiter {
    Waiter { origin: ShardId(0), ticket, since: Now(since), physical: false }
}

fn try_push(proposals: &mut Proposals, waiter: Waiter, proposal: Proposal) -> Result<(), Refusal> {
    let footprint = Footprint::of(&proposal, 0);
    proposals.push(waiter, proposal, footprint)
}

fn proposal(ticket: u64, bytes: usize) -> Proposal {
    Proposal { ticket, kind: Kind::Put, payload: Bytes::from(vec![0; bytes]) }
}

fn push(proposals: &mut Proposals, ticket: u64, since: u64, bytes: usize) {
    try_push(proposals, waiter(ticket, since), proposal(ticket, bytes)).unwrap();
}

#[test]
fn a_batch_takes_what_queued_and_its_sequences_find_the_waiters() {
    let mut proposals = proposals();
    (10..15).for_each(|ticket| push(&mut proposals, ticket, ticket, 3));
    let batch = proposals.build(|next, _| next.ticket < 14).unwrap();
    assert_eq!((batch.count, batch.last), (4, 4));
    let parsed = Batch::parse(batch.data).unwrap();
    assert_eq!((parsed.proposer, parsed.nonce), (MemberId(1), BootNonce(2)));
    let second = proposals.build(|_, _| true).unwrap();
    assert_eq!((second.count, second.last), (1, 5));
    assert_eq!(proposals.take(3), Some(waiter(12, 12)));
    assert_eq!(proposals.take(3), None, "once");
    assert_eq!(proposals.take(6), None);
    assert_eq!(proposals.take(0), None);
    assert!(proposals.is_wanted(5) && !proposals.is_wanted(3));
    proposals.assert_invariants();
}

#[test]
fn large_commands_travel_alone_and_full_batches_end() {
    let mut proposals = proposals();
    push(&mut proposals, 1, 0, 10);
    push(&mut proposals, 2, 0, 2 * REPLICA_BATCH_BYTES_MAX);
    push(&mut proposals, 3, 0, 10);
    let counts: Vec<_> = std::iter::from_fn(|| proposals.build(|_, _| true)).map(|batch| batch.count).collect();
    assert_eq!(counts, [1, 1, 1]);
    (0..u64::from(BATCH_COMMANDS_MAX) + 5).for_each(|ticket| push(&mut proposals, ticket, 1, 0));
    assert_eq!(proposals.build(|_, _| true).unwrap().count, u64::from(BATCH_COMMANDS_MAX));
    assert_eq!(proposals.build(|_, _| true).unwrap().count, 5);
    proposals.assert_invariants();
}

#[test]
fn count_and_bytes_are_bounded_and_answers_make_room() {
    let mut proposals = proposals();
    let half = REPLICA_PROPOSALS_BYTES_MAX / 2;
    push(&mut proposals, 1, 0, half);
    push(&mut proposals, 2, 0, half);
    assert_eq!(try_push(&mut proposals, waiter(3, 0), proposal(3, 1)), Err(Refusal::TooManyRequests));
    proposals.build(|_, _| true).unwrap();
    proposals.take(1).unwrap();
    push(&mut proposals, 3, 0, 1);
    assert_eq!(proposals.take_all().len(), 2);
    for ticket in 0..u64::try_from(REPLICA_PROPOSALS_MAX).unwrap() {
        push(&mut proposals, ticket, 0, 0);
    }
    assert_eq!(try_push(&mut proposals, waiter(1, 0), proposal(1, 0)), Err(Refusal::TooManyRequests));
    proposals.assert_invariants();
}

#[test]
fn what_waits_too_long_leaves_in_order_of_arrival() {
    let mut proposals = proposals();
    (1..=6).for_each(|ticket| push(&mut proposals, ticket, ticket * 10, 1));
    proposals.build(|next, _| next.ticket <= 3).unwrap();
    proposals.take(2).unwrap();
    let expired = proposals.take_expired(Now(150), Duration::from_nanos(100));
    assert_eq!(expired.iter().map(|waiter| waiter.ticket).collect::<Vec<_>>(), [1, 3, 4, 5]);
    assert_eq!((proposals.unanswered(), proposals.is_wanted(1)), (1, false));
    proposals.assert_invariants();
}

#[test]
fn random_histories_answer_each_ticket_once() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let mut proposals = proposals();
        let (mut asked, mut proposed) = (0, 0);
        let mut answered = Vec::new();
        for step in 0..400 {
            match random.below(6) {
                0..=2 => {
                    asked += 1;
                    push(&mut proposals, asked, step, usize::try_from(random.below(50)).unwrap());
                }
                3 => {
                    let batch = proposals.build(|_, _| random.below(5) > 0);
                    proposed = batch.map_or(proposed, |batch| batch.last);
                }
                4 => answered.extend(proposals.take(1 + random.below(proposed + 2))),
                _ => answered.extend(proposals.take_expired(Now(step), Duration::from_nanos(60))),
            }
            proposals.assert_invariants();
        }
        answered.extend(proposals.take_all());
        assert_eq!((proposals.unanswered(), proposals.footprint()), (0, Footprint::default()));
        let mut tickets: Vec<_> = answered.iter().map(|waiter| waiter.ticket).collect();
        tickets.sort_unstable();
        assert!(tickets.iter().copied().eq(1..=asked), "seed {seed}");
    }
}
