//! One member of the cluster: consensus, log, store and the proposals and reads of its shards, as one state machine.
//!
//! ```text
//!  Propose ─► queue ─► batch ─► consensus ─┬─► Send (peers, at the same time)
//!                                          └─► Append ─► AppendDone ─► durable ─► committed ─► applied ─► Answers
//!  Read ────► round ─► confirmed at index ─► applied ≥ index ─► ReadReady
//! ```
//!
//! `handle` takes one input; `poll_output` gives what is to be carried out, until `None`; `next_deadline` says when to hand
//! in `Input::Tick` if nothing comes before. Several inputs may be handled before polling: they share one turn, so what
//! queued while a group was written becomes the next group.
//!
//! Invariants
//! - Every ticket is answered exactly once, after its entry is durable here, committed and applied, or refused.
//! - `now` never goes back. Nothing here reads a clock, draws a number that the seed does not give, or does I/O.
//! - A fatal error is reported once, as the last output; from then on everything is ignored.
//!
//! Simulation: tests/sim.

use std::collections::VecDeque;

use super::config::Config;
use super::contacts::Contacts;
use super::journal::Journal;
use super::proposals::{Answers, Proposals, ReadyBatch, Waiter};
use super::space::{Facts, Space, judge};
use super::start::{self, Parts};
use super::store::{AppliedStep, Store};
use super::values::{Error, Failure, Input, Output, Proposal, Refusal, Shared, Stats, Status, TimeoutCause};
use crate::apply;
use crate::command::{Batch, Outcome, Response};
use crate::limits::{REPLICA_APPLY_GAP_MAX, REPLICA_BATCHES_PER_TURN_MAX, REPLICA_GROUPS_IN_FLIGHT_MAX};
use crate::raft::{Body, Driver, Leadership, Message, ReadTicket};
use crate::tree::{CheckpointPlan, Tree};
use crate::types::{Now, RaftIndex, Revision, ShardId};
use crate::wal::{Log, Recovered};

/// Where a replica is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The store is new and not durable yet: nothing is written to the log.
    New,
    /// As usual.
    Running,
    /// It was told to stop and hands the leadership over, until then at most.
    HandingOver(Now),
    /// It takes nothing more and waits until everything is durable and marked.
    Draining,
    /// It gave its last output.
    Over,
}

/// A client that waits until the rows of a compaction are gone.
#[derive(Debug)]
struct Physical {
    waiter: Waiter,
    outcome: Outcome,
    revision: Revision,
}

/// One member.
pub struct Replica {
    config: Config,
    now: Now,
    phase: Phase,
    driver: Driver,
    journal: Journal,
    store: Store,
    proposals: Proposals,
    /// A batch that consensus did not take yet.
    unsent: Option<ReadyBatch>,
    /// Confirmed reads that wait for their index to be applied.
    reads: VecDeque<(RaftIndex, Vec<ReadTicket>)>,
    physical: Vec<Physical>,
    contacts: Contacts,
    /// As reported last.
    leadership: Leadership,
    next_tick: Now,
    /// A single voter that has not stood for election since the start.
    campaign_due: bool,
    /// Inputs came since the last turn, or the last turn left something to do.
    stirred: bool,
    out: VecDeque<Output>,
    stats: Stats,
}

impl Replica {
    /// A member that never ran: a new tree, and the log of `Log::create` whose steps were carried out.
    pub fn create(config: Config, now: Now, tree: Tree, log: Log) -> Result<Self, Error> {
        let parts = start::create(&config, tree, log)?;
        Self::assemble(config, now, parts)
    }

    /// A member that ran before: its tree, and its recovered log whose repairs were carried out. The recovery was told the
    /// tree's applied index and term and `installed_index`.
    pub fn open(config: Config, now: Now, tree: Tree, recovered: Recovered) -> Result<Self, Error> {
        let parts = start::open(&config, tree, recovered)?;
        Self::assemble(config, now, parts)
    }

    fn assemble(config: Config, now: Now, parts: Parts) -> Result<Self, Error> {
        let Parts { driver, log, snapshot_due, tree, is_new } = parts;
        let store = Store::new(now, tree, config.member, config.nonce, config.checkpoint)?;
        let alone = driver.membership().voters() == [config.member];
        Ok(Self {
            now,
            phase: if is_new { Phase::New } else { Phase::Running },
            journal: Journal::new(log, snapshot_due),
            store,
            proposals: Proposals::new(config.member, config.nonce),
            unsent: None,
            reads: VecDeque::new(),
            physical: Vec::new(),
            contacts: Contacts::new(config.member, config.election_timeout()),
            leadership: driver.leadership(),
            next_tick: now.after(config.tick),
            campaign_due: alone,
            stirred: true,
            out: VecDeque::new(),
            stats: Stats::default(),
            driver,
            config,
        })
    }

    // ---- inputs ----

    /// Takes one input. `now` is not before that of the input before.
    pub fn handle(&mut self, now: Now, input: Input) {
        if self.phase == Phase::Over {
            return;
        }
        self.now = self.now.max(now);
        self.stirred = true;
        self.pass_time();
        if let Err(error) = self.take(input) {
            self.fail(error);
        }
    }

    fn take(&mut self, input: Input) -> Result<(), Error> {
        let now = self.now;
        match input {
            Input::Propose { origin, proposals } => self.take_proposals(origin, proposals),
            Input::Read { origin, tickets } => self.take_reads(origin, tickets),
            Input::Peer(message) => self.take_message(message)?,
            Input::PeerUnreachable(member) => self.driver.handle_unreachable(member),
            Input::Tick => {}
            Input::AppendDone(sequence) => {
                if let Some(group) = self.journal.on_append_done(sequence) {
                    self.driver.on_durable(group);
                }
            }
            Input::SealDone => self.journal.on_seal_done(),
            Input::SegmentReady(segment) => self.journal.on_segment_ready(segment),
            Input::SegmentFailed(segment, Failure::NoSpace) => self.journal.on_segment_failed(now, segment),
            Input::SegmentFailed(_, Failure::Other(what)) => return Err(Error::Write(what)),
            Input::GrowDone(plan) => self.store.on_grow_done(&plan),
            Input::GrowFailed(plan, failure) => self.store.on_grow_failed(now, &plan, failure)?,
            Input::CheckpointDone(plan) => self.take_checkpoint(plan),
            Input::WriteFailed(what) => return Err(Error::Write(what)),
            Input::Stop => self.begin_stop(),
        }
        Ok(())
    }

    fn take_proposals(&mut self, origin: ShardId, proposals: Vec<Proposal>) {
        let gap = self.driver.committed().0 - self.driver.applied().0;
        let mut refused = Answers::default();
        for proposal in proposals {
            let waiter = Waiter { origin, ticket: proposal.ticket, since: self.now };
            let refusal = match self.phase {
                Phase::New | Phase::Running if gap > REPLICA_APPLY_GAP_MAX => Some(Refusal::TooManyRequests),
                Phase::New | Phase::Running => self.proposals.push(waiter, proposal).err(),
                Phase::HandingOver(_) | Phase::Draining | Phase::Over => Some(Refusal::Stopped),
            };
            if let Some(refusal) = refusal {
                refused.push(waiter, Err(refusal));
            }
        }
        self.give(refused);
    }

    fn take_reads(&mut self, origin: ShardId, tickets: Vec<u64>) {
        let open = matches!(self.phase, Phase::New | Phase::Running);
        let (now, driver) = (self.now, &mut self.driver);
        let (_, refused): (Vec<_>, Vec<_>) =
            tickets.into_iter().partition(|ticket| open && driver.read(now, ReadTicket { origin, ticket: *ticket }));
        if !refused.is_empty() {
            let refusal = if open { Refusal::TooManyRequests } else { Refusal::Stopped };
            self.out.push_back(Output::ReadFailed { origin, tickets: refused, refusal });
        }
    }

    fn take_message(&mut self, message: Message) -> Result<(), Error> {
        if self.phase == Phase::Draining {
            return Ok(());
        }
        self.contacts.on_heard(self.now, message.from, self.driver.membership());
        if let Body::Propose { data, .. } = &message.body
            && !self.may_forward(&message, data)
        {
            self.stats.batches_refused += 1;
            return Ok(());
        }
        Ok(self.driver.handle_message(self.now, message)?)
    }

    /// Whether a batch of another member may be appended: what is in the log must be applied by everybody, so it is read
    /// to its end here, and there must be space for it.
    fn may_forward(&self, message: &Message, data: &bytes::Bytes) -> bool {
        let Ok(batch) = Batch::parse(data.slice(..)) else { return false };
        let bytes = u64::try_from(data.len()).expect("a usize fits");
        let full = self.store.is_without_space() || self.journal.lacks_space_for(bytes);
        batch.proposer == message.from && !full && batch.iter().all(|command| command.is_ok())
    }

    fn take_checkpoint(&mut self, plan: CheckpointPlan) {
        let done = self.store.on_checkpoint_done(self.now, plan);
        if self.phase == Phase::New {
            self.phase = Phase::Running;
        }
        self.stats.checkpoints += 1;
        // Followers that lag may still want what the checkpoint covers, unless the log has grown too long for that.
        let alone = self.driver.membership().is_alone();
        let long = self.journal.bytes() >= self.config.checkpoint.wal_bytes_max;
        let kept = if alone || long { 0 } else { self.config.catch_up_entries };
        self.journal.release_through(RaftIndex(done.stamp.applied_index.0.saturating_sub(kept)));
        if !done.give_back.is_empty() {
            self.out.push_back(Output::GiveBack(done.give_back));
        }
    }

    /// Ticks, and whatever has waited too long. A tick that was missed is not made up for: after a pause of the whole
    /// process that would depose leaders in a row.
    fn pass_time(&mut self) {
        if self.now < self.next_tick {
            return;
        }
        self.next_tick = self.next_tick.after(self.config.tick);
        if self.next_tick <= self.now {
            self.next_tick = self.now.after(self.config.tick);
        }
        let (now, patience) = (self.now, self.config.request_timeout());
        if self.phase != Phase::Draining {
            self.driver.handle_tick(now);
        }
        self.driver.expire_reads(now, patience);
        let mut late = Answers::default();
        for waiter in self.proposals.take_expired(now, patience) {
            late.push(waiter, Err(Refusal::Timeout(self.timeout_cause(waiter.since))));
        }
        self.give(late);
    }

    fn timeout_cause(&self, since: Now) -> TimeoutCause {
        self.contacts.cause(self.now, since, self.leadership, self.driver.membership())
    }

    // ---- outputs ----

    /// The next thing to carry out. `None`: nothing until the next input.
    pub fn poll_output(&mut self) -> Option<Output> {
        loop {
            if let Some(output) = self.out.pop_front() {
                return Some(output);
            }
            if !std::mem::take(&mut self.stirred) || self.phase == Phase::Over {
                return None;
            }
            match self.turn() {
                Ok(more) => self.stirred = more,
                Err(error) => self.fail(error),
            }
        }
    }

    /// When to hand in `Input::Tick`, if no other input comes before. A time in the past means now.
    pub fn next_deadline(&self) -> Option<Now> {
        if self.phase == Phase::Over {
            return None;
        }
        let others = [self.journal.next_deadline(), self.store.next_deadline()];
        others.into_iter().flatten().chain([self.next_tick]).min()
    }

    /// One turn, from the queue to the answers. Whether another would find work at once.
    fn turn(&mut self) -> Result<bool, Error> {
        self.campaign();
        self.propose();
        self.driver.turn(self.now);
        self.report_leadership();
        self.send();
        self.write();
        self.apply()?;
        self.serve_reads()?;
        self.compact()?;
        self.look_after_space();
        self.end_stop();
        Ok(self.driver.has_work() || (self.store.has_backlog() && !self.store.is_stalled()))
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
        let (journal, store) = (&self.journal, &self.store);
        let mut bytes = self.driver.unpersisted_bytes();
        let pages_free = store.pages_free();
        let tree_is_full = store.is_without_space();
        self.proposals.build(|proposal, pages_promised| {
            bytes += u64::try_from(proposal.payload.len()).expect("a usize fits");
            let log_is_full = journal.lacks_space_for(bytes);
            judge(Facts { pages_free, pages_promised, tree_is_full, log_is_full }, proposal) == Space::Enough
        })
    }

    /// Refuses what stands at the front of the queue as long as there is no space for it and none is to be had.
    fn refuse_without_space(&mut self) {
        let mut refused = Answers::default();
        while let Some(proposal) = self.proposals.front() {
            let bytes = self.driver.unpersisted_bytes() + u64::try_from(proposal.payload.len()).expect("a usize fits");
            let facts = Facts {
                pages_free: self.store.pages_free(),
                pages_promised: self.proposals.pages_promised(),
                tree_is_full: self.store.is_without_space(),
                log_is_full: self.journal.lacks_space_for(bytes),
            };
            if judge(facts, proposal) != Space::Lacking {
                break;
            }
            if let Some(waiter) = self.proposals.refuse_front() {
                refused.push(waiter, Err(Refusal::NoSpace));
            }
        }
        self.give(refused);
    }

    fn report_leadership(&mut self) {
        let leadership = self.driver.leadership();
        if leadership == self.leadership {
            return;
        }
        if leadership.leader.is_some() && leadership.leader != self.leadership.leader {
            self.contacts.on_elected(self.now);
        }
        self.leadership = leadership;
        // What queued for a leader can go now.
        self.stirred |= leadership.leader.is_some() && self.proposals.has_queued();
        self.out.push_back(Output::LeaderChanged(leadership));
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
                        self.physical.push(Physical { waiter, outcome, revision });
                    }
                    Some(_) | None => answers.push(waiter, Ok(outcome)),
                },
                Err(error) => answers.push(waiter, Err(Refusal::Request(error))),
            }
        }
        self.give(answers);
        Ok(())
    }

    fn serve_reads(&mut self) -> Result<(), Error> {
        while let Some(done) = self.driver.poll_read() {
            match done.index {
                Some(index) => self.reads.push_back((index, done.tickets)),
                None => self.fail_reads(done.tickets),
            }
        }
        let applied = self.store.stamp().applied_index;
        let waiting = std::mem::take(&mut self.reads);
        for (index, tickets) in waiting {
            if index > applied {
                self.reads.push_back((index, tickets));
                continue;
            }
            for (origin, tickets) in by_origin(tickets) {
                self.out.push_back(Output::ReadReady { origin, tickets, index });
            }
        }
        Ok(())
    }

    fn fail_reads(&mut self, tickets: Vec<ReadTicket>) {
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
                answers.push(waiting.waiter, Ok(waiting.outcome));
            } else {
                self.physical.push(waiting);
            }
        }
        self.give(answers);
        Ok(())
    }

    fn look_after_space(&mut self) {
        if let Some(plan) = self.store.poll_grow(self.now, self.proposals.pages_promised()) {
            self.out.push_back(Output::Grow(plan));
        }
        let must = self.phase == Phase::New || (self.phase == Phase::Draining && self.journal.in_flight() == 0);
        if let Some(plan) = self.store.poll_checkpoint(self.now, self.journal.bytes(), must) {
            self.out.push_back(Output::Checkpoint(plan));
        }
    }

    fn give(&mut self, answers: Answers) {
        for (origin, answers) in answers.into_outputs() {
            assert!(!answers.is_empty(), "a shard without answers gets none");
            self.out.push_back(Output::Answers { origin, answers });
        }
    }

    // ---- the end ----

    fn begin_stop(&mut self) {
        if !matches!(self.phase, Phase::New | Phase::Running) {
            return;
        }
        let until = self.now.after(self.config.election_timeout());
        self.phase = if self.driver.hand_over().is_some() { Phase::HandingOver(until) } else { Phase::Draining };
        self.driver.fail_reads();
    }

    /// The stages of a clean stop, each when the one before is done: another leads, everything is durable and applied,
    /// the mark and a last checkpoint say so.
    fn end_stop(&mut self) {
        if let Phase::HandingOver(until) = self.phase
            && (!self.driver.is_leader() || self.now >= until)
        {
            self.phase = Phase::Draining;
            self.stirred = true;
        }
        let busy = self.journal.in_flight() > 0 || self.driver.has_append() || self.store.is_checkpointing();
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
        let mut unanswered = Answers::default();
        self.physical.drain(..).for_each(|waiting| unanswered.push(waiting.waiter, Err(Refusal::Stopped)));
        for waiter in self.proposals.take_all() {
            unanswered.push(waiter, Err(Refusal::Stopped));
        }
        self.give(unanswered);
        self.out.push_back(Output::Stopped);
        self.phase = Phase::Over;
    }

    fn fail(&mut self, error: Error) {
        if self.phase != Phase::Over {
            self.phase = Phase::Over;
            self.out.push_back(Output::Fatal(error));
        }
    }

    // ---- questions ----

    /// What readers on other shards need.
    pub fn shared(&self) -> Shared {
        self.store.tree().shared()
    }

    /// The store, to look at.
    pub fn tree(&self) -> &Tree {
        self.store.tree()
    }

    /// The state, for status answers and metrics.
    pub fn status(&self) -> Status {
        let stamp = self.store.stamp();
        let (stalls, entries_applied, applies) = self.store.counts();
        let groups = self.journal.groups_written();
        Status {
            leadership: self.driver.leadership(),
            committed: self.driver.committed(),
            applied: stamp.applied_index,
            appended: self.driver.appended(),
            applied_term: stamp.applied_term,
            voters: self.driver.membership().voters().to_vec(),
            learners: self.driver.membership().learners().to_vec(),
            wal_bytes: self.journal.bytes(),
            pages: self.store.pages(),
            proposals_pending: self.proposals.unanswered(),
            no_space: self.store.is_without_space() || self.journal.is_without_space(),
            compacting: self.store.is_compacting(),
            counts: self.driver.counts(),
            stats: Stats { stalls, entries_applied, applies, groups, ..self.stats },
            tree: self.store.tree().stats(),
        }
    }
}

/// The revision up to which rows must be gone before this outcome may be told.
fn physical_revision(outcome: &Outcome) -> Option<Revision> {
    match outcome.response {
        Response::Compact { compacted, physical_wait: true } => Some(compacted),
        Response::Compact { .. } | Response::Put(_) | Response::DeleteRange(_) | Response::Txn(_) | Response::Noop => {
            None
        }
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
