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

use prost::Message as _;

use super::config::Config;
use super::contacts::Contacts;
use super::journal::Journal;
use super::leases::Leases;
use super::proposals::{Answers, Proposals, ReadyBatch, Waiter};
use super::space::Footprint;
use super::start::{self, Parts};
use super::store::Store;
use super::values::{Error, Failure, Input, Output, Proposal, Refusal, Stats, TimeoutCause};
use crate::command::{Batch, CompactionRequest, Kind, Outcome};
use crate::limits::{RAFT_READS_WAITING_MAX, REPLICA_APPLY_GAP_MAX};
use crate::raft::{Body, Driver, Leadership, Message, ReadTicket, Role, wide};
use crate::tree::{CheckpointPlan, Tree};
use crate::types::{Now, RaftIndex, Revision, ShardId};
use crate::wal::{Log, Recovered};

/// Where a replica is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
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

/// Reads that a round has confirmed.
#[derive(Debug)]
pub(super) struct Confirmed {
    /// Served once this is applied.
    pub(super) index: RaftIndex,
    /// When they were confirmed.
    pub(super) since: Now,
    /// The reads.
    pub(super) tickets: Vec<ReadTicket>,
}

/// A client that waits until the rows of a compaction are gone.
#[derive(Debug)]
pub(super) struct Physical {
    /// Who waits.
    pub(super) waiter: Waiter,
    /// The answer.
    pub(super) outcome: Result<Outcome, Refusal>,
    /// Up to which revision rows must be gone.
    pub(super) revision: Revision,
}

/// One member.
pub struct Replica {
    pub(super) config: Config,
    pub(super) now: Now,
    pub(super) phase: Phase,
    pub(super) driver: Driver,
    pub(super) journal: Journal,
    pub(super) store: Store,
    pub(super) proposals: Proposals,
    /// A batch that consensus did not take yet.
    pub(super) unsent: Option<ReadyBatch>,
    /// Free pages without which the front of the queue is not let in.
    pub(super) pages_wanted: u64,
    /// Confirmed reads that wait for their index to be applied, the oldest first.
    pub(super) reads: VecDeque<Confirmed>,
    /// How many they are.
    pub(super) reads_waiting: usize,
    pub(super) physical: Vec<Physical>,
    pub(super) contacts: Contacts,
    pub(super) leases: Leases,
    /// As reported last.
    pub(super) leadership: Leadership,
    pub(super) next_tick: Now,
    /// A single voter that has not stood for election since the start.
    pub(super) campaign_due: bool,
    /// It was told to stop while it was new.
    pub(super) stop_due: bool,
    /// Inputs came since the last turn, or the last turn left something to do.
    pub(super) stirred: bool,
    pub(super) out: VecDeque<Output>,
    pub(super) stats: Stats,
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
        let mut replica = Self::assemble(config, now, parts)?;
        // The run before may have crashed between a checkpoint and this. If the log is full and the tree has everything in it,
        // no other checkpoint would come to make room.
        replica.release_log(replica.store.stamp().applied_index);
        Ok(replica)
    }

    fn assemble(config: Config, now: Now, parts: Parts) -> Result<Self, Error> {
        let Parts { driver, log, snapshot_due, tree, is_new } = parts;
        let mut store = Store::new(now, tree, driver.appended(), &config)?;
        let leases = Leases::new(&config, store.leases()?);
        let alone = driver.membership().voters() == [config.member];
        Ok(Self {
            now,
            phase: if is_new { Phase::New } else { Phase::Running },
            journal: Journal::new(log, snapshot_due),
            store,
            proposals: Proposals::new(config.member, config.nonce),
            unsent: None,
            pages_wanted: 0,
            reads: VecDeque::new(),
            reads_waiting: 0,
            physical: Vec::new(),
            contacts: Contacts::new(config.member, config.election_timeout()),
            leases,
            leadership: driver.leadership(),
            next_tick: now.after(config.tick),
            campaign_due: alone,
            stop_due: false,
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
            Input::Lease { origin, asks } => {
                for (ticket, ask) in asks {
                    self.leases.ask(now, origin, ticket, ask);
                }
            }
            Input::Watched(through) => self.store.set_watched(through),
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
            let physical = is_physical(&proposal);
            let waiter = Waiter { origin, ticket: proposal.ticket, since: self.now, physical };
            let refusal = match self.phase {
                Phase::New | Phase::Running if gap > REPLICA_APPLY_GAP_MAX => Some(Refusal::TooManyRequests),
                Phase::New | Phase::Running => {
                    let footprint = Footprint::of(&proposal, self.store.keys_deleted(&proposal));
                    self.proposals.push(waiter, proposal, footprint).err()
                }
                Phase::HandingOver(_) | Phase::Draining | Phase::Over => Some(Refusal::Stopped),
            };
            if let Some(refusal) = refusal {
                refused.push(waiter, Err(refusal));
            }
        }
        self.give(refused);
    }

    fn take_reads(&mut self, origin: ShardId, tickets: Vec<u64>) {
        let running = matches!(self.phase, Phase::New | Phase::Running);
        let open = running && self.reads_waiting < RAFT_READS_WAITING_MAX;
        let (now, driver) = (self.now, &mut self.driver);
        let (_, refused): (Vec<_>, Vec<_>) =
            tickets.into_iter().partition(|ticket| open && driver.read(now, ReadTicket { origin, ticket: *ticket }));
        if !refused.is_empty() {
            let refusal = if running { Refusal::TooManyRequests } else { Refusal::Stopped };
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
        let bytes = wide(data.len());
        let full = self.store.is_without_space() || self.journal.lacks_space_for(bytes);
        batch.proposer == message.from && !full && batch.iter().all(|command| command.is_ok())
    }

    fn take_checkpoint(&mut self, plan: CheckpointPlan) {
        let done = self.store.on_checkpoint_done(self.now, plan);
        self.stats.checkpoints += 1;
        if self.phase == Phase::Running {
            self.store.settle(!done.give_back.is_empty());
        }
        if self.phase == Phase::New {
            self.phase = Phase::Running;
            if self.stop_due {
                self.begin_stop();
            }
        }
        self.release_log(done.stamp.applied_index);
        if !done.give_back.is_empty() {
            self.out.push_back(Output::GiveBack(done.give_back));
        }
    }

    /// The tree file has everything up to `index`. Followers that lag may still want that, unless the log has grown too long.
    fn release_log(&mut self, index: RaftIndex) {
        let alone = self.driver.membership().is_alone();
        let long = self.journal.is_stuck() || self.journal.bytes() >= self.config.checkpoint.wal_bytes_max;
        let kept = if alone || long { 0 } else { self.config.catch_up_entries };
        self.journal.release_through(RaftIndex(index.0.saturating_sub(kept)));
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
        while let Some(late) = self.take_late_read(now, patience) {
            self.reads_waiting -= late.tickets.len();
            self.fail_reads(late.tickets);
        }
        let mut late = Answers::default();
        for waiter in self.proposals.take_expired(now, patience) {
            late.push(waiter, Err(Refusal::Timeout(self.timeout_cause(waiter.since))));
        }
        self.give(late);
    }

    pub(super) fn timeout_cause(&self, since: Now) -> TimeoutCause {
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
                Ok(more) => self.stirred |= more,
                Err(error) => self.fail(error),
            }
        }
    }

    /// When to hand in `Input::Tick`, if no other input comes before. A time in the past means now.
    pub fn next_deadline(&self) -> Option<Now> {
        if self.phase == Phase::Over {
            return None;
        }
        let leads = self.phase == Phase::Running && self.leadership.role == Role::Leader;
        let leases = self.leases.next_deadline().filter(|_| leads);
        let others = [self.journal.next_deadline(), self.store.next_deadline(), leases];
        others.into_iter().flatten().chain([self.next_tick]).min()
    }

    fn fail(&mut self, error: Error) {
        if self.phase != Phase::Over {
            self.phase = Phase::Over;
            self.out.push_back(Output::Fatal(error));
        }
    }
}

/// Whether this is a compaction whose client waits until the rows are gone.
fn is_physical(proposal: &Proposal) -> bool {
    let request = (proposal.kind == Kind::Compact).then(|| CompactionRequest::decode(proposal.payload.slice(..)));
    matches!(request, Some(Ok(CompactionRequest { physical: true, .. })))
}
