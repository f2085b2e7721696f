use bytes::Bytes;

use super::*;
use crate::types::{MemberId, RaftIndex, Term};
use crate::wal::EntryKind;

fn entry(index: u64, term: u64) -> Entry {
    Entry { index: RaftIndex(index), term: Term(term), kind: EntryKind::Normal, data: Bytes::new() }
}

fn state(term: u64, vote: u64, commit: u64) -> HardState {
    HardState { term: Term(term), vote: MemberId(vote), commit: RaftIndex(commit) }
}

fn message(body: Body) -> Message {
    Message { from: MemberId(1), to: MemberId(2), term: Term(1), body }
}

fn accepted(index: u64) -> Message {
    message(Body::AppendAccepted { matched: RaftIndex(index), commit: RaftIndex(0) })
}

fn heard() -> Message {
    message(Body::HeartbeatAnswer { commit: RaftIndex(0), context: None })
}

fn ready(number: u64, entries: Vec<Entry>, messages: Vec<Message>) -> ReadyParts {
    ReadyParts { number, entries, hard_state: None, messages, messages_at_once: false }
}

#[test]
fn an_acknowledgement_waits_for_its_entries_even_when_it_is_repeated() {
    let mut unpersisted = Unpersisted::new(state(1, 0, 0), RaftIndex(0));
    let mut outbox = VecDeque::new();
    assert_eq!(unpersisted.handle_ready(ready(1, vec![entry(1, 1)], vec![accepted(1)]), &mut outbox), None);
    let append = unpersisted.poll_append().unwrap();
    // The same append came twice: the second ready has nothing to write, and yet its answer must wait.
    assert_eq!(unpersisted.handle_ready(ready(2, vec![], vec![accepted(1)]), &mut outbox), None);
    assert!(outbox.is_empty(), "nothing is acknowledged before it is durable");
    assert_eq!(unpersisted.on_durable(append.group, &mut outbox), Some(2));
    assert_eq!(outbox, [accepted(1), accepted(1)]);
    assert!(unpersisted.is_empty());
}

#[test]
fn with_nothing_to_write_everything_leaves_at_once() {
    let mut unpersisted = Unpersisted::new(state(1, 0, 0), RaftIndex(0));
    let mut outbox = VecDeque::new();
    assert_eq!(unpersisted.handle_ready(ready(1, vec![], vec![accepted(4)]), &mut outbox), Some(1));
    assert_eq!(outbox, [accepted(4)]);
    assert_eq!(unpersisted.poll_append(), None);
}

#[test]
fn a_new_commit_index_alone_is_not_written_and_rides_with_the_next_group() {
    let mut unpersisted = Unpersisted::new(state(1, 0, 0), RaftIndex(0));
    let mut outbox = VecDeque::new();
    let commit = ReadyParts { hard_state: Some(state(1, 0, 9)), ..ready(1, vec![], vec![]) };
    assert_eq!(unpersisted.handle_ready(commit, &mut outbox), Some(1));
    assert_eq!(unpersisted.poll_append(), None);
    unpersisted.handle_ready(ready(2, vec![entry(10, 1)], vec![]), &mut outbox);
    assert_eq!(unpersisted.poll_append().unwrap().hard_state, Some(state(1, 0, 9)));
}

#[test]
fn heartbeats_are_answered_before_the_write_but_not_before_the_vote() {
    let mut unpersisted = Unpersisted::new(state(1, 0, 0), RaftIndex(0));
    let mut outbox = VecDeque::new();
    unpersisted.handle_ready(ready(1, vec![entry(1, 1)], vec![heard(), accepted(1)]), &mut outbox);
    assert_eq!(outbox.drain(..).collect::<Vec<_>>(), [heard()]);
    let vote = ReadyParts { hard_state: Some(state(2, 3, 0)), ..ready(2, vec![], vec![]) };
    unpersisted.handle_ready(vote, &mut outbox);
    unpersisted.handle_ready(ready(3, vec![], vec![heard()]), &mut outbox);
    assert!(outbox.is_empty(), "the new term is not durable");
    let append = unpersisted.poll_append().unwrap();
    assert_eq!(append.hard_state, Some(state(2, 3, 0)));
    assert_eq!(unpersisted.on_durable(append.group, &mut outbox), Some(3));
    assert_eq!(outbox, [accepted(1), heard()]);
}

#[test]
fn a_leader_whose_term_is_not_durable_stays_silent() {
    let mut unpersisted = Unpersisted::new(state(4, 0, 9), RaftIndex(0));
    let mut outbox = VecDeque::new();
    let append = || message(Body::Append { previous: Default::default(), commit: RaftIndex(9), entries: vec![] });
    let won = ReadyParts {
        number: 1,
        entries: vec![entry(10, 5)],
        hard_state: Some(state(5, 1, 9)),
        messages: vec![append()],
        messages_at_once: true,
    };
    unpersisted.handle_ready(won, &mut outbox);
    let group = unpersisted.poll_append().unwrap().group;
    let more = ReadyParts { messages_at_once: true, ..ready(2, vec![entry(11, 5)], vec![append()]) };
    unpersisted.handle_ready(more, &mut outbox);
    assert!(outbox.is_empty());
    assert_eq!(unpersisted.on_durable(group, &mut outbox), Some(1));
    assert_eq!(outbox.len(), 1, "the second ready's message waits in its own group");
    let later = ReadyParts { messages_at_once: true, ..ready(3, vec![entry(12, 5)], vec![append()]) };
    unpersisted.handle_ready(later, &mut outbox);
    assert_eq!(outbox.len(), 2, "from now on it speaks while it writes");
}

#[test]
fn what_queues_meanwhile_is_one_group_and_conflicts_are_merged() {
    let mut unpersisted = Unpersisted::new(state(1, 0, 0), RaftIndex(0));
    let mut outbox = VecDeque::new();
    unpersisted.handle_ready(ready(1, vec![entry(1, 1)], vec![]), &mut outbox);
    let first = unpersisted.poll_append().unwrap();
    unpersisted.handle_ready(ready(2, vec![entry(2, 1), entry(3, 1)], vec![accepted(3)]), &mut outbox);
    unpersisted.handle_ready(ready(3, vec![entry(3, 2)], vec![accepted(3)]), &mut outbox);
    let second = unpersisted.poll_append().unwrap();
    assert_eq!(second.entries, [entry(2, 1), entry(3, 2)]);
    assert_eq!(unpersisted.in_flight(), 2);
    assert_eq!(unpersisted.on_durable(second.group, &mut outbox), Some(3), "a later group proves the earlier ones");
    assert_eq!(outbox.len(), 2);
    assert_eq!(unpersisted.on_durable(first.group, &mut outbox), None, "and is not reported again");
}

#[test]
fn an_older_write_does_not_pass_for_a_newer_one_of_the_same_entry() {
    let mut unpersisted = Unpersisted::new(state(4, 0, 0), RaftIndex(5));
    let mut outbox = VecDeque::new();
    let mut groups = Vec::new();
    let entries =
        [vec![entry(6, 2), entry(7, 2), entry(8, 2)], vec![entry(6, 3)], vec![entry(6, 2), entry(7, 2), entry(8, 2)]];
    for (number, entries) in (1..).zip(entries) {
        unpersisted.handle_ready(ready(number, entries, vec![accepted(number)]), &mut outbox);
        groups.push(unpersisted.poll_append().unwrap().group);
    }
    assert_eq!(unpersisted.on_durable(groups[0], &mut outbox), None, "8 of term 2 is not durable for good");
    assert_eq!(unpersisted.on_durable(groups[1], &mut outbox), None);
    assert_eq!(unpersisted.on_durable(groups[2], &mut outbox), Some(3));
    assert_eq!(outbox, [accepted(1), accepted(2), accepted(3)], "what each group says was true when it was durable");
    unpersisted.handle_ready(ready(4, vec![entry(9, 4)], vec![]), &mut outbox);
    let group = unpersisted.poll_append().unwrap().group;
    assert_eq!(unpersisted.on_durable(group, &mut outbox), Some(4));
}

#[test]
fn a_conflict_may_reach_below_everything_staged() {
    let mut entries = vec![entry(8, 2), entry(9, 2)];
    merge_entries(&mut entries, vec![entry(6, 3), entry(7, 3)]);
    assert_eq!(entries, [entry(6, 3), entry(7, 3)]);
}
