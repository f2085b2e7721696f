//! The clean end of a replica.
//!
//! Invariants
//! - After `Output::Stopped` everything that was acknowledged is in a durable checkpoint, and the log's mark says all.
//! - It ends even when no other member takes over and when there is no space left to write.

use super::machine::{Phase, Replica};
use super::proposals::Answers;
use super::values::{Output, Refusal};

impl Replica {
    pub(super) fn begin_stop(&mut self) {
        // A store that is new becomes durable first: until then nothing may be written to the log.
        self.stop_due = true;
        if self.phase != Phase::Running {
            return;
        }
        let until = self.now.after(self.config.election_timeout());
        self.phase = if self.driver.hand_over().is_some() { Phase::HandingOver(until) } else { Phase::Draining };
        self.driver.fail_reads();
    }

    /// The stages of a clean stop, each when the one before is done: another leads, everything is durable and applied,
    /// the mark and a last checkpoint say so.
    pub(super) fn end_stop(&mut self) {
        if let Phase::HandingOver(until) = self.phase
            && (!self.driver.is_leader() || self.now >= until)
        {
            self.phase = Phase::Draining;
            self.stirred = true;
        }
        // A group that finds no space was never acknowledged: it may be left.
        let writing = self.driver.has_append() && !self.journal.is_stuck();
        let busy = self.journal.in_flight() > 0 || writing || self.store.is_checkpointing();
        let applying = self.store.has_backlog() && !self.store.is_stalled();
        if self.phase != Phase::Draining || busy || applying || self.driver.has_work() {
            return;
        }
        if let Some(plan) = self.journal.plan_stop() {
            self.out.push_back(Output::Seal(plan));
        }
        if !self.journal.is_at_rest() {
            return;
        }
        while let Some(confirmed) = self.reads.pop_front() {
            self.reads_waiting -= confirmed.tickets.len();
            self.fail_reads(confirmed.tickets);
        }
        let mut unanswered = Answers::default();
        self.physical.drain(..).for_each(|waiting| unanswered.push(waiting.waiter, Err(Refusal::Stopped)));
        for waiter in self.proposals.take_all() {
            unanswered.push(waiter, Err(Refusal::Stopped));
        }
        self.give(unanswered);
        assert_eq!(self.proposals.unanswered(), 0, "everybody has an answer");
        assert_eq!(self.journal.in_flight(), 0, "nothing is being written");
        self.out.push_back(Output::Stopped);
        self.phase = Phase::Over;
    }
}
