//! The consensus library, driven through its asynchronous ready path and put behind values of our own.
//!
//! Methods: `handle_*`, `propose*`, `read`, `campaign` take input; `on_durable` and `on_applied` report that something the
//! driver asked for is done; `turn` lets the library work off what came in; then the `poll_*` give what is to be carried
//! out, in any order: groups to write, messages to send, entries to apply, reads that are answered.
//!
//! Invariants
//! - A ready of the library is advanced in the turn that took it; its number is reported only when its writes are durable
//!   (`unpersisted`), its entries as applied only when they are.
//! - Every change of term or role draws a new election timeout from our own generator: the library draws its own from the
//!   thread's, and no simulation would repeat.
//! - What a peer sends passes `check` first. A forwarded proposal is taken once per sender's sequence number and only in
//!   the term it was meant for, so a doubled or delayed message never appends a batch twice.
//! - Nothing here reads a clock or does I/O.
//!
//! Simulation: tests/sim. Own harness: `tests`.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use raft::eraftpb::{self, EntryType, MessageType};
use raft::{RawNode, StateRole};

use super::change::Change;
use super::check::{Verdict, check};
use super::convert::{entry_from_library, hard_state_from_library, message_from_library, message_to_library};
use super::membership::Membership;
use super::messages::{Ballot, Body, Message, Position, ReadContext};
use super::random::Random;
use super::read::{Asker, ReadTicket, Reads, Waiting};
use super::size::wide;
use super::start::{Config, Error, Start, library_config, window};
use super::storage::Window;
use super::unpersisted::{Append, Group, ReadyParts, Unpersisted};
use crate::limits::{
    RAFT_ENTRY_BYTES_MAX, RAFT_FORWARDERS_MAX, RAFT_MEMBERS_MAX, RAFT_READ_RETRY, RAFT_READIES_PER_TURN_MAX,
    RAFT_UNAPPLIED_BYTES_MAX, RAFT_UNPERSISTED_BYTES_MAX, RAFT_WINDOW_BYTES_MAX,
};
use crate::types::{BootNonce, MemberId, Now, RaftIndex, Term};
use crate::wal::{Entry, EntryKind, HardState};

/// Why a proposal was not taken. It certainly left no trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotProposed {
    /// No leader is known.
    NoLeader,
    /// The leader is handing over, or too much is uncommitted or waits for the disk.
    Busy,
}

/// What this member is in its term.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Role {
    /// It follows, or waits to hear from a leader.
    Follower,
    /// It asks whether it would win an election.
    PreCandidate,
    /// It stands for election.
    Candidate,
    /// It leads.
    Leader,
}

/// Who leads, as this member knows it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Leadership {
    /// The term.
    pub term: Term,
    /// This member's role in it.
    pub role: Role,
    /// The leader, when known.
    pub leader: Option<MemberId>,
}

/// A read's end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReadDone {
    /// The reads.
    pub tickets: Vec<ReadTicket>,
    /// They may be served once this is applied. `None`: they waited too long.
    pub index: Option<RaftIndex>,
}

/// Counts of what was left out, for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Messages of peers that were not for us, impossible, or useless.
    pub messages_dropped: u64,
    /// Forwarded proposals that had been taken before.
    pub proposals_doubled: u64,
    /// Read rounds begun.
    pub read_rounds: u64,
    /// Changes of the leader.
    pub leader_changes: u64,
}

/// The driver of one member's consensus.
pub struct Driver {
    node: RawNode<Window>,
    random: Random,
    leadership: Leadership,
    timeout_ticks: usize,
    membership: Membership,
    reads: Reads,
    unpersisted: Unpersisted,
    outbox: VecDeque<Message>,
    committed: Vec<Entry>,
    reads_done: VecDeque<ReadDone>,
    nonce: BootNonce,
    /// The number of the last proposal that was forwarded to a leader.
    forwarded: u64,
    /// As leader: the last number taken from each run of each member, in this term.
    taken: BTreeMap<(MemberId, BootNonce), u64>,
    counts: Counts,
}

impl Driver {
    /// A driver that goes on where the log and the store stand.
    pub fn new(config: &Config, start: Start) -> Result<Self, Error> {
        let membership = start.membership.clone();
        let applied = start.applied;
        let hard_state = HardState { commit: start.hard_state.commit.max(applied.index), ..start.hard_state };
        let window = window(start, hard_state)?;
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&library_config(config, applied.index), window, &logger)
            .map_err(|error| Error::Config { what: error.to_string() })?;
        let mut driver = Self {
            random: Random::new(config.seed ^ config.nonce.0.rotate_left(32) ^ config.member.0),
            leadership: leadership(&node),
            timeout_ticks: 0,
            membership,
            reads: Reads::new(config.member, config.nonce),
            unpersisted: Unpersisted::new(hard_state, RaftIndex(node.raft.raft_log.last_index())),
            outbox: VecDeque::new(),
            committed: Vec::new(),
            reads_done: VecDeque::new(),
            nonce: config.nonce,
            forwarded: 0,
            taken: BTreeMap::new(),
            counts: Counts::default(),
            node,
        };
        driver.draw_timeout();
        Ok(driver)
    }

    // ---- inputs ----

    /// One tick of the clock has passed.
    pub fn handle_tick(&mut self, now: Now) {
        self.reads.give_up_rounds(now, RAFT_READ_RETRY);
        if self.may_campaign() || self.is_leader() {
            self.node.tick();
            self.note_change();
        }
    }

    /// A message of a peer. An error is final: the member must stop.
    pub fn handle_message(&mut self, now: Now, message: Message) -> Result<(), Error> {
        let leader = message.from;
        match check(&self.node, &message) {
            Verdict::Pass => self.step(now, message),
            Verdict::Drop => self.counts.messages_dropped += 1,
            Verdict::LogLost { commit, last } => return Err(Error::LogLost { leader, commit, last }),
        }
        Ok(())
    }

    /// Appends a batch of commands as leader, or sends it to the leader.
    pub fn propose(&mut self, data: Bytes) -> Result<(), NotProposed> {
        assert!(data.len() <= RAFT_ENTRY_BYTES_MAX, "a batch of {} bytes", data.len());
        if self.is_leader() {
            return self.append(EntryType::EntryNormal, data);
        }
        let to = self.leadership.leader.ok_or(NotProposed::NoLeader)?;
        self.forwarded += 1;
        let body = Body::Propose { nonce: self.nonce, sequence: self.forwarded, data };
        self.send(to, body);
        Ok(())
    }

    /// Appends a change of the group; only the leader can.
    pub fn propose_change(&mut self, change: &Change) -> Result<(), NotProposed> {
        if !self.is_leader() {
            return Err(NotProposed::NoLeader);
        }
        self.append(EntryType::EntryConfChangeV2, change.encode())
    }

    /// Takes a linearizable read. False when too many wait.
    pub fn read(&mut self, now: Now, ticket: ReadTicket) -> bool {
        self.reads.request(now, Asker::Local(ticket))
    }

    /// Stands for election at once, without waiting for the timeout.
    pub fn campaign(&mut self) {
        if self.may_campaign() {
            // An error says only that there is nothing to campaign for.
            let _ = self.node.campaign();
            self.note_change();
        }
    }

    /// Hands the leadership to the voter whose log is nearest to ours, if there is one. Returns who that is.
    pub fn hand_over(&mut self) -> Option<MemberId> {
        if !self.is_leader() {
            return None;
        }
        let own = self.node.raft.id;
        let voters = self.membership.voters().iter().filter(|member| member.0 != own);
        let candidates = voters.filter_map(|member| {
            let progress = self.node.raft.prs().get(member.0).filter(|progress| progress.recent_active)?;
            Some((progress.matched, *member))
        });
        let (_, target) = candidates.max()?;
        self.node.transfer_leader(target.0);
        Some(target)
    }

    /// A peer cannot be reached: appends to it go one at a time until it answers.
    pub fn handle_unreachable(&mut self, member: MemberId) {
        self.node.report_unreachable(member.0);
    }

    /// `group` and all older ones are durable.
    pub fn on_durable(&mut self, group: Group) {
        if let Some(number) = self.unpersisted.on_durable(group, &mut self.outbox) {
            self.node.on_persist_ready(number);
            self.note_change();
        }
    }

    /// The entries up to `index` are applied.
    pub fn on_applied(&mut self, index: RaftIndex) {
        let log = &self.node.raft.raft_log;
        assert!(index.0 <= log.committed.min(log.persisted), "applied {index} before it was committed and durable");
        assert!(index.0 >= log.applied, "applied {index} again, after {}", log.applied);
        self.node.advance_apply_to(index.0);
        self.node.mut_store().trim(index, !self.membership.is_alone());
    }

    /// A change of the group comes out of the log: returns the members from now on, or `None` when the change is
    /// impossible, and so without effect on every member.
    pub fn apply_change(&mut self, change: &Change) -> Option<&Membership> {
        let many = self.membership.voters().len() + self.membership.learners().len() + change.steps.len();
        if many > RAFT_MEMBERS_MAX {
            return None;
        }
        let state = self.node.apply_conf_change(&change.to_library()).ok()?;
        self.membership = Membership::from_library(&state);
        self.note_change();
        Some(&self.membership)
    }

    /// Fails the reads that were asked `patience` ago.
    pub fn expire_reads(&mut self, now: Now, patience: std::time::Duration) {
        let expired = self.reads.take_expired(now, patience);
        self.finish_reads(expired, None);
    }

    /// Fails all reads of this member: it stops.
    pub fn fail_reads(&mut self) {
        let all = self.reads.take_all();
        self.finish_reads(all, None);
    }

    /// Works off what came in. Call it before the `poll_*`, once for as many inputs as there were.
    pub fn turn(&mut self, now: Now) {
        for _ in 0..RAFT_READIES_PER_TURN_MAX {
            self.begin_reads(now);
            if !self.node.has_ready() {
                break;
            }
            self.take_ready();
        }
        self.assert_invariants();
    }

    /// O(1): after every turn.
    fn assert_invariants(&self) {
        let (log, raft) = (&self.node.raft.raft_log, &self.node.raft);
        assert_eq!(self.leadership, leadership(&self.node), "each change of term or role is noted where it happens");
        assert!(log.applied <= log.committed, "applied {} of {} committed", log.applied, log.committed);
        assert!(log.applied <= log.persisted, "applied {} of {} durable", log.applied, log.persisted);
        assert!(log.persisted <= log.last_index(), "durable beyond the log's end");
        assert!(!self.is_leader() || raft.leader_id == raft.id, "a leader knows that it leads");
        assert!(self.is_leader() || self.taken.is_empty(), "only a leader takes proposals of others");
        assert!(self.taken.len() <= RAFT_FORWARDERS_MAX, "{} forwarders", self.taken.len());
        let nothing_in_flight = self.unpersisted.is_empty() && !self.node.has_ready();
        assert!(!nothing_in_flight || log.persisted == log.last_index(), "with nothing in flight all is durable");
    }

    // ---- outputs ----

    /// The next group to write, with everything that queued since the last. Ask when there is room for one.
    pub fn poll_append(&mut self) -> Option<Append> {
        self.unpersisted.poll_append()
    }

    /// The next message to send.
    pub fn poll_message(&mut self) -> Option<Message> {
        self.outbox.pop_front()
    }

    /// Committed and durable entries to apply, in order.
    pub fn poll_committed(&mut self) -> Option<Vec<Entry>> {
        (!self.committed.is_empty()).then(|| std::mem::take(&mut self.committed))
    }

    /// Reads that are answered.
    pub fn poll_read(&mut self) -> Option<ReadDone> {
        self.reads_done.pop_front()
    }

    /// The follower that needs a snapshot, since the last call.
    pub fn poll_snapshot_wanted(&mut self) -> Option<MemberId> {
        self.node.store().take_snapshot_wanted()
    }

    // ---- questions ----

    /// Who leads.
    pub fn leadership(&self) -> Leadership {
        self.leadership
    }

    /// Whether this member leads.
    pub fn is_leader(&self) -> bool {
        self.leadership.role == Role::Leader
    }

    /// The members, as far as applied.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The commit index.
    pub fn committed(&self) -> RaftIndex {
        RaftIndex(self.node.raft.raft_log.committed)
    }

    /// The applied index, as reported.
    pub fn applied(&self) -> RaftIndex {
        RaftIndex(self.node.raft.raft_log.applied)
    }

    /// The last index of the log in memory, durable or not.
    pub fn appended(&self) -> RaftIndex {
        RaftIndex(self.node.raft.raft_log.last_index())
    }

    /// Whether another `turn` would find work.
    pub fn has_work(&self) -> bool {
        self.node.has_ready()
    }

    /// Bytes of the entries that are not durable.
    pub fn unpersisted_bytes(&self) -> u64 {
        self.unpersisted.bytes()
    }

    /// Whether a group waits to be polled.
    pub fn has_append(&self) -> bool {
        self.unpersisted.has_staged()
    }

    /// Groups that were polled and are not durable.
    pub fn appends_in_flight(&self) -> usize {
        self.unpersisted.in_flight()
    }

    /// Bytes of the window over the log.
    pub fn window_bytes(&self) -> u64 {
        self.node.store().bytes()
    }

    /// The place below which a follower needs a snapshot.
    pub fn window_base(&self) -> Position {
        self.node.store().base()
    }

    /// Counts for metrics.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    // ---- inside ----

    fn step(&mut self, now: Now, message: Message) {
        match message.body {
            Body::Propose { nonce, sequence, data } => self.take_forwarded(message.from, nonce, sequence, data),
            Body::ReadRequest { context } => {
                let asker = Asker::Remote { member: message.from, context };
                if !self.reads.request(now, asker) {
                    self.counts.messages_dropped += 1;
                }
            }
            Body::ReadAnswer { context, index } => self.confirm_reads(context, index),
            Body::TimeoutNow if !self.may_campaign() => self.counts.messages_dropped += 1,
            // Our request for votes leaves only when everything is durable, so this answers something we never asked;
            // and the library panics if it wins with a log that is not durable.
            Body::VoteAnswer { ballot: Ballot::Real, .. } if !self.unpersisted.is_empty() => {
                self.counts.messages_dropped += 1;
            }
            // The leader sends them again, once the disk has caught up.
            Body::Append { .. } if self.is_behind() => self.counts.messages_dropped += 1,
            Body::TimeoutNow
            | Body::Append { .. }
            | Body::AppendAccepted { .. }
            | Body::AppendRejected { .. }
            | Body::Heartbeat { .. }
            | Body::HeartbeatAnswer { .. }
            | Body::VoteRequest { .. }
            | Body::VoteAnswer { .. } => self.step_library(message),
        }
    }

    fn step_library(&mut self, message: Message) {
        let Some(message) = message_to_library(message) else { return };
        // The library refuses answers from members that it does not know: nothing to do about them.
        if self.node.step(message).is_err() {
            self.counts.messages_dropped += 1;
        }
        self.note_change();
    }

    fn take_forwarded(&mut self, from: MemberId, nonce: BootNonce, sequence: u64, data: Bytes) {
        assert!(self.is_leader(), "only a leader's check lets proposals pass");
        let last = self.taken.get(&(from, nonce)).copied().unwrap_or(0);
        if sequence <= last {
            self.counts.proposals_doubled += 1;
            return;
        }
        let known = last > 0 || self.taken.len() < RAFT_FORWARDERS_MAX;
        if !known || data.len() > RAFT_ENTRY_BYTES_MAX || self.append(EntryType::EntryNormal, data).is_err() {
            self.counts.messages_dropped += 1;
            return;
        }
        self.taken.insert((from, nonce), sequence);
    }

    fn append(&mut self, kind: EntryType, data: Bytes) -> Result<(), NotProposed> {
        if self.is_behind() {
            return Err(NotProposed::Busy);
        }
        let mut message = eraftpb::Message { from: self.node.raft.id, ..Default::default() };
        message.msg_type = MessageType::MsgPropose;
        message.mut_entries().push(eraftpb::Entry { entry_type: kind, data, ..Default::default() });
        self.node.step(message).map_err(|_| NotProposed::Busy)
    }

    fn send(&mut self, to: MemberId, body: Body) {
        let from = MemberId(self.node.raft.id);
        assert!(to != from, "nobody sends to themselves");
        self.outbox.push_back(Message { from, to, term: self.leadership.term, body });
    }

    /// A single voter wins at once, and the library demands that its log is durable by then; others ask first, and their
    /// requests wait for their writes.
    fn may_campaign(&self) -> bool {
        !self.node.raft.prs().is_singleton() || self.unpersisted.is_empty()
    }

    /// Whether so much waits for the disk, or to be applied, that no more entries are taken.
    fn is_behind(&self) -> bool {
        // Beyond its bound the window holds only what is not applied.
        let unapplied = self.node.store().bytes().saturating_sub(RAFT_WINDOW_BYTES_MAX);
        self.unpersisted.bytes() >= RAFT_UNPERSISTED_BYTES_MAX || unapplied >= RAFT_UNAPPLIED_BYTES_MAX
    }

    fn begin_reads(&mut self, now: Now) {
        let leader = self.leadership.leader;
        // A new leader knows what is committed only once an entry of its own term is.
        let can_ask = if self.is_leader() { self.node.raft.commit_to_current_term() } else { leader.is_some() };
        if !can_ask || !self.reads.has_waiting() {
            return;
        }
        let Some(context) = self.reads.begin_round(now) else { return };
        self.counts.read_rounds += 1;
        match leader {
            Some(leader) if !self.is_leader() => self.send(leader, Body::ReadRequest { context }),
            Some(_) | None => self.node.read_index(context.to_bytes().to_vec()),
        }
    }

    fn take_ready(&mut self) {
        let mut ready = self.node.ready();
        assert!(ready.snapshot().is_empty(), "no snapshot comes through the library");
        let entries = ready.take_entries();
        self.node.mut_store().append(&entries);
        let at_once = ready.take_messages();
        let messages_at_once = !at_once.is_empty();
        let library = if messages_at_once { at_once } else { ready.take_persisted_messages() };
        let parts = ReadyParts {
            number: ready.number(),
            entries: entries.into_iter().map(entry_from_library).collect(),
            hard_state: ready.hs().map(hard_state_from_library),
            messages: library.into_iter().filter_map(message_from_library).collect(),
            messages_at_once,
        };
        let committed = ready.take_committed_entries();
        let read_states = ready.take_read_states();
        self.node.advance_append_async(ready);
        if let Some(number) = self.unpersisted.handle_ready(parts, &mut self.outbox) {
            self.node.on_persist_ready(number);
        }
        self.committed.extend(committed.into_iter().map(entry_from_library));
        for state in read_states {
            let context = ReadContext::from_bytes(&state.request_ctx);
            self.confirm_reads(context.expect("only our contexts are asked with"), RaftIndex(state.index));
        }
    }

    fn confirm_reads(&mut self, context: ReadContext, index: RaftIndex) {
        let reads = self.reads.confirm(context);
        self.finish_reads(reads, Some(index));
    }

    fn finish_reads(&mut self, reads: Vec<Waiting>, index: Option<RaftIndex>) {
        let mut tickets = Vec::new();
        for read in reads {
            match (read.asker, index) {
                (Asker::Local(ticket), _) => tickets.push(ticket),
                (Asker::Remote { member, context }, Some(index)) => {
                    self.send(member, Body::ReadAnswer { context, index });
                }
                (Asker::Remote { .. }, None) => {}
            }
        }
        if !tickets.is_empty() {
            self.reads_done.push_back(ReadDone { tickets, index });
        }
    }

    /// After anything that may have changed the term or the role: our timeout in place of the library's, and what belonged
    /// to the old leadership is void.
    fn note_change(&mut self) {
        let leadership = leadership(&self.node);
        let before = self.leadership;
        assert!(leadership.term >= before.term, "terms never fall");
        if (leadership.term, leadership.role) == (before.term, before.role) {
            let ticks = self.node.raft.randomized_election_timeout();
            assert_eq!(ticks, self.timeout_ticks, "the library drew a timeout without a change of term or role");
        } else {
            self.draw_timeout();
            self.taken.clear();
        }
        if leadership == before {
            return;
        }
        self.leadership = leadership;
        self.counts.leader_changes += u64::from(leadership.leader.is_some());
        self.reads.abandon_rounds();
    }

    fn draw_timeout(&mut self) {
        let base = self.node.raft.election_timeout();
        let spread = wide(base);
        let extra = usize::try_from(self.random.below(spread)).expect("less than a usize");
        self.timeout_ticks = base + extra;
        self.node.raft.set_randomized_election_timeout(self.timeout_ticks);
    }
}

fn leadership(node: &RawNode<Window>) -> Leadership {
    let raft = &node.raft;
    Leadership {
        term: Term(raft.term),
        role: match raft.state {
            StateRole::Follower => Role::Follower,
            StateRole::PreCandidate => Role::PreCandidate,
            StateRole::Candidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        },
        leader: (raft.leader_id != raft::INVALID_ID).then_some(MemberId(raft.leader_id)),
    }
}

/// Entries without commands: the library appends one when it takes the lead.
pub fn is_empty_entry(entry: &Entry) -> bool {
    entry.kind == EntryKind::Normal && entry.data.is_empty()
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
