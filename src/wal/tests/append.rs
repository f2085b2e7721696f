//! The appender: when something is durable, when the mark is due, how segments come and go.

use super::simple::{CONFIG, ONE_BLOCK, Simple};
use crate::limits;
use crate::types::{MemberId, Now, RaftIndex, Term};
use crate::wal::{Ending, FileName, HardState, Step};

#[test]
fn a_group_is_durable_with_all_before_it() {
    let mut simple = Simple::new(1, 0);
    let plans: Vec<_> = (0..limits::WAL_GROUPS_IN_FLIGHT_MAX).map(|_| simple.plan(10)).collect();
    assert!(!simple.log.can_append());
    assert_eq!(simple.log.on_append_done(plans[1].sequence), None, "the group before is in flight");
    assert_eq!(simple.log.on_append_done(plans[2].sequence), None);
    let durable = simple.log.on_append_done(plans[0].sequence).expect("three are durable now");
    assert_eq!((durable.index(), durable.sequence()), (RaftIndex(3), plans[2].sequence));
    assert!(simple.log.can_append());
    assert_eq!(simple.log.durable().index, RaftIndex(3));
    assert_eq!(simple.log.appended().index, RaftIndex(4));
}

#[test]
#[should_panic(expected = "is not in flight")]
fn a_group_is_done_once() {
    let mut simple = Simple::new(1, 0);
    let (one, _two) = (simple.plan(10), simple.plan(10));
    simple.log.on_append_done(one.sequence);
    simple.log.on_append_done(one.sequence);
}

#[test]
#[should_panic(expected = "entry 7 after 0")]
fn a_gap_is_our_bug() {
    let mut simple = Simple::new(1, 0);
    let entry = simple.entry(7, 1, 10);
    drop(simple.log.plan_append(&[entry], None));
}

#[test]
fn the_mark_is_due_when_the_log_is_idle() {
    let mut simple = Simple::new(1, 0);
    assert_eq!(simple.log.next_seal(), None);
    assert_eq!(simple.log.poll_seal(Now(0)), None, "the marks of the start say all");
    simple.append(10);
    let start = Now(5_000_000);
    assert!(simple.log.next_seal().is_some_and(|due| due <= start));
    assert_eq!(simple.log.poll_seal(start), None);
    assert_eq!(simple.log.next_seal(), Some(start.after(limits::WAL_SEAL_IDLE)));
    assert_eq!(simple.log.poll_seal(Now(start.0 + 999_999)), None);
    let plan = simple.log.poll_seal(start.after(limits::WAL_SEAL_IDLE)).expect("idle for a moment");
    assert_eq!(plan.write.file, FileName::Mark);
    assert_eq!(simple.log.next_seal(), None, "one mark at a time");
    simple.append(10);
    assert_eq!(simple.log.poll_seal(Now(1 << 40)), None, "one mark at a time");
    simple.log.on_seal_done();
    assert!(!simple.log.is_sealed(), "the second entry came after it");
    assert!(simple.log.next_seal().is_some());
}

#[test]
fn the_mark_lags_only_so_far_under_load() {
    let mut simple = Simple::new(1, 0);
    let mut in_flight = None;
    let mut sealed_at = vec![Now(0)];
    for step in 1..300u64 {
        let now = Now(step * 300_000);
        while simple.log.room() < 20_000 && simple.make_segment() {}
        // One group is always in flight: the log is never idle.
        let next = simple.plan(1);
        if let Some(before) = in_flight.replace(next.sequence) {
            simple.log.on_append_done(before);
        }
        if simple.log.poll_seal(now).is_some() {
            simple.log.on_seal_done();
            sealed_at.push(now);
        }
        simple.log.release_through(simple.log.durable().index);
    }
    assert!(sealed_at.len() >= 3, "{sealed_at:?}");
    let lag = limits::WAL_SEAL_LAG_MAX + limits::WAL_SEAL_IDLE;
    assert!(sealed_at.windows(2).all(|pair| pair[1].since(pair[0]) <= lag), "{sealed_at:?}");
}

#[test]
fn a_group_that_does_not_fit_asks_for_segments() {
    let mut simple = Simple::new(1, 7);
    let entry = simple.entry(1, 1, 150_000);
    let need = simple.log.plan_append(std::slice::from_ref(&entry), None).expect_err("one segment is not enough");
    assert_eq!(need.segments, 2);
    assert_eq!(simple.log.appended().index, RaftIndex(0), "nothing was changed");
    assert!(simple.make_segment() && simple.make_segment());
    assert!(!simple.make_segment(), "what was asked for is there");
    let plan = simple.log.plan_append(std::slice::from_ref(&entry), None).expect("there is room");
    assert_eq!(plan.writes.len(), 3, "a part in each segment");
    simple.write(&plan);
    assert!(simple.log.on_append_done(plan.sequence).is_some());
    assert_eq!(simple.recover().expect("sound").entries, [entry]);
}

#[test]
fn segments_are_bounded_and_recycled() {
    let mut simple = Simple::new(1, 0);
    for round in 0..50u64 {
        for _ in 0..15 {
            if simple.log.room() == 0 {
                while simple.make_segment() {}
            }
            simple.append(ONE_BLOCK);
        }
        simple.log.release_through(RaftIndex((round + 1) * 15 - 3));
        simple.seal();
        while simple.make_segment() {}
        assert!(simple.log.bytes() <= 4 * CONFIG.segment_bytes, "{} bytes", simple.log.bytes());
    }
    let recovered = simple.recover_at(745, 1, 5).expect("sound");
    assert_eq!(recovered.entries.len(), 5);
    assert_eq!(recovered.ending, Ending::Clean);
}

#[test]
fn without_a_checkpoint_space_runs_out_and_comes_back() {
    let mut simple = Simple::new(1, 0);
    let mut count = 0;
    loop {
        while simple.make_segment() {}
        let entry = simple.entry(count + 1, 1, ONE_BLOCK);
        let Ok(plan) = simple.log.plan_append(&[entry], None) else { break };
        simple.write(&plan);
        simple.log.on_append_done(plan.sequence);
        count += 1;
    }
    assert_eq!(count, 60, "four segments of fifteen blocks");
    assert_eq!(simple.log.plan_segment(), None);
    simple.log.release_through(RaftIndex(20));
    assert_eq!(simple.log.plan_segment(), None, "the mark must say so first");
    simple.seal();
    let plan = simple.log.plan_segment().expect("a segment is recycled");
    assert!(matches!(plan.steps[0], Step::Rename { .. }), "{:?}", plan.steps);
    plan.steps.iter().for_each(|step| simple.disk.step(step));
    simple.log.on_segment_ready(plan.segment);
    simple.append(ONE_BLOCK);
}

/// The last durable group ends a segment, and only a group in flight stands in the next: a crash may take that one.
#[test]
fn the_segment_of_the_last_durable_group_stays() {
    let mut simple = Simple::new(1, 0);
    simple.make_segment();
    simple.append_many(15);
    let in_flight = simple.hard_state(15);
    assert_eq!(in_flight.writes[0].offset, 4096, "it begins the second segment");
    simple.log.release_through(RaftIndex(15));
    simple.seal();
    while simple.make_segment() {}
    let recovered = simple.recover_at(15, 1, 5).expect("the first segment is there");
    assert_eq!(recovered.log.durable().index, RaftIndex(15));
}

#[test]
fn the_hard_state_outlives_the_segment_it_was_written_in() {
    let mut simple = Simple::new(1, 0);
    let voted = HardState { term: Term(4), vote: MemberId(9), commit: RaftIndex(0) };
    let plan = simple.log.plan_append(&[], Some(voted)).expect("there is room");
    simple.write(&plan);
    simple.log.on_append_done(plan.sequence);
    for _ in 0..40 {
        while simple.make_segment() {}
        simple.append(ONE_BLOCK);
    }
    simple.log.release_through(RaftIndex(40));
    simple.seal();
    while simple.make_segment() {}
    let recovered = simple.recover_at(40, 1, 5).expect("sound");
    assert_eq!(recovered.hard_state, voted);
}

#[test]
fn after_a_stop_the_mark_says_all() {
    let mut simple = Simple::new(1, 0);
    simple.append(10);
    assert!(!simple.log.is_sealed());
    simple.seal();
    assert!(simple.log.is_sealed());
    assert_eq!(simple.log.plan_stop(), None);
}
