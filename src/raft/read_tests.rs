use super::*;
use crate::raft::Random;

const PATIENCE: Duration = Duration::from_millis(500);

fn reads() -> Reads {
    Reads::new(MemberId(1), BootNonce(9))
}

fn local(ticket: u64) -> Asker {
    Asker::Local(ReadTicket { origin: ShardId(0), ticket })
}

fn remote(counter: u64) -> Asker {
    let context = ReadContext { member: MemberId(2), nonce: BootNonce(3), counter };
    Asker::Remote { member: MemberId(2), context }
}

fn askers(reads: Vec<Waiting>) -> Vec<Asker> {
    reads.into_iter().map(|read| read.asker).collect()
}

fn later(milliseconds: u64) -> Now {
    Now(milliseconds * 1_000_000)
}

#[test]
fn reads_that_wait_together_share_a_round() {
    let mut reads = reads();
    reads.request(Now(0), local(1));
    reads.request(Now(0), remote(8));
    let context = reads.begin_round(Now(0)).unwrap();
    reads.request(Now(1), local(2));
    assert_eq!(askers(reads.confirm(context)), [local(1), remote(8)]);
    assert_eq!(reads.confirm(context).len(), 0, "an answer counts once");
    assert!(reads.has_waiting(), "the later one needs a later round");
    reads.assert_invariants();
}

#[test]
fn a_younger_round_answers_the_older_ones_but_not_the_other_way_round() {
    let mut reads = reads();
    reads.request(Now(0), local(1));
    let older = reads.begin_round(Now(0)).unwrap();
    reads.request(Now(1), local(2));
    let younger = reads.begin_round(Now(1)).unwrap();
    assert_eq!(reads.begin_round(Now(1)), None, "nobody waits");
    reads.request(Now(2), local(3));
    assert_eq!(reads.begin_round(Now(2)), None, "two rounds are enough at a time");
    assert_eq!(askers(reads.confirm(younger)), [local(1), local(2)]);
    assert!(reads.confirm(older).is_empty());
    reads.assert_invariants();
}

#[test]
fn a_retried_read_has_a_fresh_context_and_the_old_answer_is_nothing_to_it() {
    let mut reads = reads();
    reads.request(Now(0), local(1));
    let first = reads.begin_round(later(0)).unwrap();
    reads.give_up_rounds(later(499), PATIENCE);
    assert!(!reads.has_waiting());
    reads.give_up_rounds(later(500), PATIENCE);
    let second = reads.begin_round(later(500)).unwrap();
    assert_ne!(first, second);
    assert!(reads.confirm(first).is_empty(), "the delayed answer to the first attempt");
    assert_eq!(askers(reads.confirm(second)), [local(1)]);
}

#[test]
fn a_new_leader_voids_rounds_and_drops_the_reads_of_others() {
    let mut reads = reads();
    reads.request(Now(0), local(1));
    reads.request(Now(0), remote(5));
    let void = reads.begin_round(Now(0)).unwrap();
    reads.request(Now(0), local(2));
    reads.abandon_rounds();
    assert!(reads.confirm(void).is_empty());
    let context = reads.begin_round(Now(1)).unwrap();
    assert_eq!(askers(reads.confirm(context)), [local(1), local(2)], "in the order in which they came");
    reads.assert_invariants();
}

#[test]
fn old_reads_expire_in_order_and_the_bound_holds() {
    let mut reads = reads();
    for ticket in 0..u64::try_from(RAFT_READS_WAITING_MAX).unwrap() {
        assert!(reads.request(later(ticket / 100), local(ticket)));
    }
    assert!(!reads.request(later(700), local(0)), "full");
    assert_eq!(reads.take_expired(later(501), PATIENCE).len(), 200);
    assert!(reads.request(later(701), local(0)));
    reads.assert_invariants();
}

#[test]
fn random_histories_lose_and_double_nothing() {
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let mut reads = reads();
        let mut asked = 0;
        let mut answered = Vec::new();
        let mut contexts = Vec::new();
        for step in 0..300 {
            match random.below(6) {
                0 | 1 => {
                    asked += 1;
                    assert!(reads.request(later(step), local(asked)));
                }
                2 => contexts.extend(reads.begin_round(later(step))),
                3 if !contexts.is_empty() => {
                    let count = u64::try_from(contexts.len()).unwrap();
                    let context = contexts[usize::try_from(random.below(count)).unwrap()];
                    answered.extend(askers(reads.confirm(context)));
                }
                4 => reads.give_up_rounds(later(step), Duration::from_millis(20)),
                _ if random.below(10) == 0 => reads.abandon_rounds(),
                _ => {}
            }
            reads.assert_invariants();
        }
        answered.extend(askers(reads.take_all()));
        let mut tickets: Vec<_> = answered.iter().map(|asker| format!("{asker:?}")).collect();
        let mut expected: Vec<_> = (1..=asked).map(|ticket| format!("{:?}", local(ticket))).collect();
        tickets.sort();
        expected.sort();
        assert!(tickets == expected, "seed {seed}: each once");
        contexts.dedup();
        assert!(contexts.is_sorted_by(|left, right| left < right), "seed {seed}: contexts are fresh");
    }
}
