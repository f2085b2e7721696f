//! One turn of a replica, stage by stage: from what queued to what is answered.
//!
//! Invariants
//! - The stages stand in the order in which work passes through them, so that one turn carries it as far as it can go
//!   without the disk or a peer.
//! - Each stage takes all that is there, within a bound; what is left makes the turn ask for another.

use std::time::Duration;

use super::leases::OWN;
use super::machine::{Confirmed, Phase, Physical, Replica};
use super::proposals::{Answers, ReadyBatch, Waiter};
use super::space::{Facts, Footprint, Space, judge, pages_wanted};
use super::store::AppliedStep;
use super::values::{Error, Output, Refusal};
use crate::apply;
use crate::command::{Outcome, Response};
use crate::limits::{
    REPLICA_BATCHES_PER_TURN_MAX, REPLICA_FREE_PAGES_RESERVED_PART, REPLICA_GROUPS_IN_FLIGHT_MAX,
    REPLICA_PROPOSALS_MAX, REPLICA_USED_PAGES_RESERVED_PART, WAL_GROUPS_IN_FLIGHT_MAX,
};
use crate::mvcc;
use crate::raft::{ReadTicket, Role, wide};
use crate::types::{Now, Revision, ShardId};

impl Replica {
    /// One turn, from the queue to the answers. Whether another would find work at once.
    pub(super) fn turn(&mut self) -> Result<bool, Error> {
        self.campaign();
        self.propose_about_leases();
        self.propose();
        self.driver.turn(self.now);
        self.report_leadership();
        self.send();
        self.write();
        self.apply()?;
        self.answer_about_leases();
        self.store.resume_compaction(self.now, self.driver.appended())?;
        self.serve_reads();
        self.compact()?;
        if self.phase == Phase::Running {
            self.store.sweep_step(self.now)?;
        }
        self.look_after_space();
        self.end_stop();
        self.assert_invariants();
        Ok(self.driver.has_work() || (self.store.has_backlog() && !self.store.is_stalled()))
    }

    /// O(1) but for the reads: after every turn.
    fn assert_invariants(&self) {
        let stamp = self.store.stamp();
        assert_eq!(stamp.applied_index, self.driver.applied(), "store and consensus agree on what is applied");
        assert!(stamp.applied_index <= self.driver.committed(), "applied before it was committed");
        assert!(self.reads.iter().all(|read| read.index > stamp.applied_index), "what can be served is served");
        let waiting: usize = self.reads.iter().map(|read| read.tickets.len()).sum();
        assert_eq!(self.reads_waiting, waiting, "waiting reads are counted");
        assert!(self.journal.in_flight() <= WAL_GROUPS_IN_FLIGHT_MAX, "{} groups", self.journal.in_flight());
        assert!(self.phase != Phase::New || self.journal.in_flight() == 0, "the store is durable before the log");
        assert!(self.proposals.unanswered() <= REPLICA_PROPOSALS_MAX, "proposals are bounded");
        assert!(self.physical.is_empty() || self.store.is_compacting(), "nobody waits for a compaction that is over");
        assert_eq!(self.leadership, self.driver.leadership(), "what was reported is what holds");
    }

    /// A single voter need not wait for a timeout: nobody else can lead. It stands once everything known to be committed is
    /// applied, as the members may change until then.
    fn campaign(&mut self) {
        let applied = self.driver.applied() == self.driver.committed();
        if self.campaign_due && self.phase == Phase::Running && applied {
            self.campaign_due = false;
            self.driver.campaign();
        }
    }

    /// Batches of what queued, while groups have room: the rest gathers for the next group.
    fn propose(&mut self) {
        if !matches!(self.phase, Phase::Running | Phase::HandingOver(_)) || self.leadership.leader.is_none() {
            return;
        }
        for _ in 0..REPLICA_BATCHES_PER_TURN_MAX {
            // Nobody waits for it any more: it would only surprise.
            self.unsent = self.unsent.take().filter(|batch| self.proposals.is_wanted(batch.last));
            if self.unsent.is_none() {
                if !self.has_room_for_batch() {
                    return;
                }
                self.refuse_without_space();
                self.unsent = self.build_batch();
            }
            let Some(batch) = self.unsent.take() else { return };
            if self.driver.propose(batch.data.slice(..)).is_err() {
                self.unsent = Some(batch);
                return;
            }
            self.stats.batches += 1;
            self.stats.proposals += batch.count;
        }
    }

    fn has_room_for_batch(&self) -> bool {
        let writing = self.journal.in_flight() + usize::from(self.driver.has_append() || self.journal.is_stuck());
        self.proposals.has_queued() && (!self.driver.is_leader() || writing < REPLICA_GROUPS_IN_FLIGHT_MAX)
    }

    fn build_batch(&mut self) -> Option<ReadyBatch> {
        let mut bytes = self.driver.unpersisted_bytes();
        let facts = self.space_facts();
        let journal = &self.journal;
        self.proposals.build(|proposal, footprint| {
            bytes += wide(proposal.payload.len());
            let log_is_full = journal.lacks_space_for(bytes);
            judge(Facts { log_is_full, ..facts }, footprint, proposal.kind) == Space::Enough
        })
    }

    /// Refuses what stands at the front of the queue as long as there is no space for it and none is to be had, and notes
    /// what the first that is not refused needs.
    fn refuse_without_space(&mut self) {
        let mut refused = Answers::default();
        self.pages_wanted = 0;
        while let Some((proposal, own)) = self.proposals.front() {
            let bytes = self.driver.unpersisted_bytes() + wide(proposal.payload.len());
            let facts = Facts { log_is_full: self.journal.lacks_space_for(bytes), ..self.space_facts() };
            let footprint = self.proposals.footprint().plus(own);
            if judge(facts, footprint, proposal.kind) != Space::Lacking {
                self.pages_wanted = pages_wanted(facts, footprint, proposal.kind);
                break;
            }
            if let Some(waiter) = self.proposals.refuse_front() {
                refused.push(waiter, Err(Refusal::NoSpace));
            }
        }
        self.give(refused);
    }

    /// The figures of the moment, but for the log's.
    fn space_facts(&self) -> Facts {
        let pages = self.store.pages();
        let least = self.config.free_pages_low / REPLICA_FREE_PAGES_RESERVED_PART;
        Facts {
            pages_free: pages.free,
            pages_used: pages.used,
            pages_reserved: least.max(pages.used / REPLICA_USED_PAGES_RESERVED_PART),
            tree_is_full: self.store.is_without_space(),
            log_is_full: false,
        }
    }

    fn report_leadership(&mut self) {
        let leadership = self.driver.leadership();
        if leadership == self.leadership {
            return;
        }
        if leadership.leader.is_some() && leadership.leader != self.leadership.leader {
            self.contacts.on_elected(self.now);
        }
        self.leases.on_leadership(self.now, leadership.role == Role::Leader);
        self.leadership = leadership;
        // What queued for a leader can go now.
        self.stirred |= leadership.leader.is_some() && self.proposals.has_queued();
        self.out.push_back(Output::LeaderChanged(leadership));
    }

    /// What time alone brings about: expiries and checkpoints, while this member leads.
    fn propose_about_leases(&mut self) {
        if self.phase != Phase::Running || self.leadership.role != Role::Leader {
            return;
        }
        for proposal in self.leases.poll_proposals(self.now, self.leadership.term) {
            let waiter = Waiter { origin: OWN, ticket: 0, since: self.now, physical: false };
            // Too much is waiting: the lessor asks again later.
            let footprint = Footprint::of(&proposal, self.store.keys_deleted(&proposal));
            let _ = self.proposals.push(waiter, proposal, footprint);
        }
    }

    fn answer_about_leases(&mut self) {
        let changes = self.store.take_lease_changes();
        self.leases.on_changes(self.now, changes);
        if self.leadership.role == Role::Leader && self.store.stamp().applied_term == self.leadership.term {
            self.leases.on_settled(self.now);
        }
        for (origin, answers) in self.leases.take_answers() {
            self.out.push_back(Output::LeaseAnswers { origin, answers });
        }
    }

    fn send(&mut self) {
        while let Some(message) = self.driver.poll_message() {
            assert_eq!(message.from, self.config.member, "a member speaks for itself");
            self.out.push_back(Output::Send(message));
        }
        if let Some(to) = self.driver.poll_snapshot_wanted() {
            self.out.push_back(Output::SnapshotNeeded { to });
        }
    }

    fn write(&mut self) {
        if self.phase != Phase::New {
            while let Some(plan) = self.journal.poll_append(&mut self.driver) {
                self.out.push_back(Output::Append(plan));
            }
        }
        if let Some(plan) = self.journal.poll_segment(self.now) {
            self.out.push_back(Output::Segment(plan));
        }
        if let Some(plan) = self.journal.poll_seal(self.now) {
            self.out.push_back(Output::Seal(plan));
        }
    }

    fn apply(&mut self) -> Result<(), Error> {
        if let Some(entries) = self.driver.poll_committed() {
            self.store.push(entries);
        }
        let mut outcomes = Vec::new();
        let proposals = &self.proposals;
        let wanted = |sequence| proposals.is_wanted(sequence);
        let step = self.store.apply_next(self.now, &mut self.driver, wanted, &mut outcomes)?;
        if let AppliedStep::Through(index) = step {
            self.driver.on_applied(index);
            assert_eq!(self.store.stamp().applied_index, index, "what is reported applied is published");
        }
        self.answer(outcomes)
    }

    fn answer(&mut self, outcomes: Vec<apply::Answer>) -> Result<(), Error> {
        let mut answers = Answers::default();
        for (sequence, outcome) in outcomes {
            let Some(waiter) = self.proposals.take(sequence) else { continue };
            match outcome {
                Ok(outcome) => match physical_revision(&outcome) {
                    Some(revision) if !self.store.is_compacted(revision)? => {
                        self.physical.push(Physical { waiter, outcome: Ok(outcome), revision });
                    }
                    Some(_) | None => answers.push(waiter, Ok(outcome)),
                },
                // etcd lets such a client wait for the compaction that came first, too.
                Err(error @ mvcc::Error::Compacted) if waiter.physical && self.store.is_compacting() => {
                    let revision = self.store.stamp().compacted;
                    self.physical.push(Physical { waiter, outcome: Err(Refusal::Request(error)), revision });
                }
                Err(error) => answers.push(waiter, Err(Refusal::Request(error))),
            }
        }
        self.give(answers);
        Ok(())
    }

    fn serve_reads(&mut self) {
        while let Some(done) = self.driver.poll_read() {
            let Some(index) = done.index else {
                self.fail_reads(done.tickets);
                continue;
            };
            self.reads_waiting += done.tickets.len();
            self.reads.push_back(Confirmed { index, since: self.now, tickets: done.tickets });
        }
        let applied = self.store.stamp().applied_index;
        for confirmed in std::mem::take(&mut self.reads) {
            if confirmed.index > applied {
                self.reads.push_back(confirmed);
                continue;
            }
            self.reads_waiting -= confirmed.tickets.len();
            for (origin, tickets) in by_origin(confirmed.tickets) {
                self.out.push_back(Output::ReadReady { origin, tickets, index: confirmed.index });
            }
        }
    }

    /// Confirmed reads whose index is not applied for so long: the store waits for space.
    pub(super) fn take_late_read(&mut self, now: Now, patience: Duration) -> Option<Confirmed> {
        let late = now.since(self.reads.front()?.since) >= patience;
        late.then(|| self.reads.pop_front()).flatten()
    }

    pub(super) fn fail_reads(&mut self, tickets: Vec<ReadTicket>) {
        let stopping = !matches!(self.phase, Phase::New | Phase::Running);
        let cause = self.timeout_cause(self.now);
        for (origin, tickets) in by_origin(tickets) {
            let refusal = if stopping { Refusal::Stopped } else { Refusal::Timeout(cause) };
            self.out.push_back(Output::ReadFailed { origin, tickets, refusal });
        }
    }

    fn compact(&mut self) -> Result<(), Error> {
        if !self.store.compact_step(self.now)? || self.physical.is_empty() {
            return Ok(());
        }
        let mut answers = Answers::default();
        for waiting in std::mem::take(&mut self.physical) {
            if self.store.is_compacted(waiting.revision)? {
                answers.push(waiting.waiter, waiting.outcome);
            } else {
                self.physical.push(waiting);
            }
        }
        self.give(answers);
        Ok(())
    }

    fn look_after_space(&mut self) {
        let facts = self.space_facts();
        let ahead = self.proposals.footprint().pages(facts.pages_used).saturating_add(facts.pages_reserved);
        if let Some(plan) = self.store.poll_grow(self.now, ahead, self.pages_wanted) {
            self.out.push_back(Output::Grow(plan));
        }
        let ending = self.phase == Phase::Draining && self.journal.in_flight() == 0;
        // Only a checkpoint makes room in a log that has all the files it may have.
        let must = self.phase == Phase::New || ending || self.journal.is_stuck();
        let long = self.journal.bytes() >= self.config.checkpoint.wal_bytes_max;
        if let Some(plan) = self.store.poll_checkpoint(self.now, long, must) {
            self.out.push_back(Output::Checkpoint(plan));
        }
    }

    pub(super) fn give(&mut self, answers: Answers) {
        for (origin, answers) in answers.into_outputs().filter(|(origin, _)| *origin != OWN) {
            assert!(!answers.is_empty(), "a shard without answers gets none");
            self.out.push_back(Output::Answers { origin, answers });
        }
    }
}

/// The revision up to which rows must be gone before this outcome may be told.
fn physical_revision(outcome: &Outcome) -> Option<Revision> {
    match outcome.response {
        Response::Compact { compacted, physical_wait: true } => Some(compacted),
        Response::Compact { .. }
        | Response::Put(_)
        | Response::DeleteRange(_)
        | Response::Txn(_)
        | Response::Noop
        | Response::Lease(_)
        | Response::Alarm(_)
        | Response::Downgrade => None,
    }
}

/// Tickets by the shard that they belong to.
fn by_origin(tickets: Vec<ReadTicket>) -> impl Iterator<Item = (ShardId, Vec<u64>)> {
    let mut origins = std::collections::BTreeMap::<_, Vec<_>>::new();
    for ticket in tickets {
        origins.entry(ticket.origin).or_default().push(ticket.ticket);
    }
    origins.into_iter()
}
