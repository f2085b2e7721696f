//! Leases on a member: what its shards ask of them, and what a leader proposes because time has passed.
//!
//! Invariants
//! - Every call is answered once: at once, or when the lease that it waits for has changed, or when this member leads no more.
//! - What a leader decides by itself is proposed like any other command; nobody waits for it. If it is lost, the lessor asks
//!   again.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::config::Config;
use super::values::{LeaseAnswer, LeaseAsk, Proposal};
use crate::command::{LeaseCheckpoint, LeaseCheckpointRequest, LeaseCommand, LeaseExpiry};
use crate::lease::{self, Change, Lease, Lessor, Renewal};
use crate::limits::LEASE_WAITING_MAX;
use crate::types::{LeaseId, Now, ShardId, Term};

/// The origin of what a replica proposes by itself.
pub(super) const OWN: ShardId = ShardId(usize::MAX);

/// Calls that wait for a lease to change.
type Waiting = BTreeMap<LeaseId, Vec<(ShardId, u64)>>;

/// The lessor and who waits for it.
#[derive(Debug)]
pub(super) struct Leases {
    lessor: Lessor,
    waiting: Waiting,
    waiting_count: usize,
    answers: BTreeMap<ShardId, Vec<(u64, LeaseAnswer)>>,
}

impl Leases {
    /// With the leases that the tree holds.
    pub(super) fn new(config: &Config, leases: Vec<Lease>) -> Self {
        let lessor_config =
            lease::Config { election_timeout: config.election_timeout(), checkpoints: config.lease_checkpoints };
        Self {
            lessor: Lessor::new(lessor_config, leases),
            waiting: Waiting::new(),
            waiting_count: 0,
            answers: BTreeMap::new(),
        }
    }

    /// A shard asks.
    pub(super) fn ask(&mut self, now: Now, origin: ShardId, ticket: u64, ask: LeaseAsk) {
        let answer = match ask {
            LeaseAsk::Renew(id) => match self.lessor.renew(now, id) {
                Renewal::Renewed(seconds) => LeaseAnswer::Renewed(seconds),
                Renewal::NotFound => LeaseAnswer::NotFound,
                Renewal::NotLeader => LeaseAnswer::NotLeader,
                Renewal::Wait if self.waiting_count >= LEASE_WAITING_MAX => LeaseAnswer::TooMany,
                Renewal::Wait => {
                    self.waiting_count += 1;
                    return self.waiting.entry(id).or_default().push((origin, ticket));
                }
            },
            LeaseAsk::Remaining(id) => {
                self.lessor.remaining(now, id).map_or(LeaseAnswer::NotFound, LeaseAnswer::Remaining)
            }
            LeaseAsk::List => LeaseAnswer::Listed(self.lessor.list()),
        };
        self.answers.entry(origin).or_default().push((ticket, answer));
    }

    /// Something was applied.
    pub(super) fn on_changes(&mut self, now: Now, changes: Vec<Change>) {
        for change in &changes {
            self.lessor.on_change(now, change);
            match change {
                Change::Granted(_) => {}
                Change::Revoked(id) | Change::Checkpointed(id, _) => self.ask_again(now, *id),
            }
        }
    }

    /// This member begins or ceases to lead.
    pub(super) fn on_leadership(&mut self, now: Now, leads: bool) {
        if leads {
            self.lessor.promote(now);
        } else {
            self.lessor.demote();
        }
        self.ask_all_again(now);
    }

    /// This member leads and has applied everything of the terms before.
    pub(super) fn on_settled(&mut self, now: Now) {
        if self.lessor.settle() {
            self.ask_all_again(now);
        }
    }

    fn ask_all_again(&mut self, now: Now) {
        for id in self.waiting.keys().copied().collect::<Vec<_>>() {
            self.ask_again(now, id);
        }
    }

    fn ask_again(&mut self, now: Now, id: LeaseId) {
        let waiting = self.waiting.remove(&id).unwrap_or_default();
        self.waiting_count -= waiting.len();
        for (origin, ticket) in waiting {
            self.ask(now, origin, ticket, LeaseAsk::Renew(id));
        }
    }

    /// What the leader of `term` has to propose by now.
    pub(super) fn poll_proposals(&mut self, now: Now, term: Term) -> Vec<Proposal> {
        let mut commands: Vec<_> = self
            .lessor
            .poll_expired(now)
            .into_iter()
            .map(|id| LeaseCommand::Expire(LeaseExpiry { term, id }))
            .collect();
        let noted = self.lessor.poll_checkpoints(now);
        if !noted.is_empty() {
            let checkpoints = noted.into_iter().map(|(id, remaining_ttl)| LeaseCheckpoint { id: id.0, remaining_ttl });
            commands.push(LeaseCommand::Checkpoint(LeaseCheckpointRequest { checkpoints: checkpoints.collect() }));
        }
        let proposal = |command: LeaseCommand| {
            let (kind, payload) = command.encode();
            Proposal { ticket: 0, kind, payload: Bytes::from(payload) }
        };
        commands.into_iter().map(proposal).collect()
    }

    /// The answers that are ready, by shard.
    pub(super) fn take_answers(&mut self) -> BTreeMap<ShardId, Vec<(u64, LeaseAnswer)>> {
        std::mem::take(&mut self.answers)
    }

    /// When to look again, if nothing comes before.
    pub(super) fn next_deadline(&self) -> Option<Now> {
        self.lessor.next_deadline()
    }

    /// How many leases there are.
    pub(super) fn count(&self) -> usize {
        self.lessor.count()
    }
}
