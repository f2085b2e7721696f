//! A front shard's side of the member: what its services call, gathered into batches for the replica.
//!
//! Invariants
//! - Everything asked in one turn of the executor leaves in one message.
//! - All reads of a message share one ticket and so one read-index round.
//! - Nothing here knows what a command means.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use bytes::Bytes;

use crate::command::{Kind, Outcome};
use crate::replica::{LeaseAnswer, LeaseAsk, Proposal, Refusal};
use crate::shard::mesh::{ToFront, ToReplica};
use crate::shard::notify::Notify;
use crate::shard::oneshot::{Answer, Promise, oneshot};
use crate::shard::waiting::Waiting;
use crate::types::Revision;

type Reader = Promise<Result<(), Refusal>>;

/// Reads on their way, by the round that will release them.
#[derive(Debug, Default)]
struct Rounds {
    gathering: Vec<Reader>,
    asked: VecDeque<(u64, Vec<Reader>)>,
    last_ticket: u64,
}

/// One shard's gathering place. Shared by its connections and by the task that sends batches.
#[derive(Debug, Default)]
pub(super) struct Front {
    outbox: RefCell<ToReplica>,
    proposals: RefCell<Waiting<Result<Outcome, Refusal>>>,
    rounds: RefCell<Rounds>,
    leases: RefCell<Waiting<LeaseAnswer>>,
    /// What was last told of the watchers here.
    watched: Cell<Option<Revision>>,
    connections: Cell<u64>,
    /// Rung when a connection ends.
    pub(super) connection_closed: Notify,
    /// Rung when there is a newer root, for the watchers here.
    pub(super) changed: Notify,
    /// Rung when the outbox is no longer empty.
    pub(super) outbox_filled: Notify,
}

impl Front {
    /// Sends one command to the replica; resolves when it is durable and applied, or refused.
    pub(super) async fn propose(&self, kind: Kind, payload: Bytes) -> Result<Outcome, Refusal> {
        let (ticket, answer) = self.proposals.borrow_mut().register();
        self.outbox.borrow_mut().proposals.push(Proposal { ticket, kind, payload });
        self.outbox_filled.ring();
        answer.await.unwrap_or(Err(Refusal::Stopped))
    }

    /// Resolves when a pin taken afterwards sees every write that was acknowledged before the call.
    pub(super) async fn read_barrier(&self) -> Result<(), Refusal> {
        let (promise, answer) = oneshot();
        self.rounds.borrow_mut().gathering.push(promise);
        self.outbox_filled.ring();
        answer.await.unwrap_or(Err(Refusal::Stopped))
    }

    /// Asks the replica's leases something, at once; the answer can be waited for.
    pub(super) fn lease(&self, ask: LeaseAsk) -> Answer<LeaseAnswer> {
        let (ticket, answer) = self.leases.borrow_mut().register();
        self.outbox.borrow_mut().leases.push((ticket, ask));
        self.outbox_filled.ring();
        answer
    }

    /// How far the watchers here were told of changes, in a store that is compacted to `compacted`. The replica hears of it
    /// when watchers come or go and when a compaction waits for them.
    pub(super) fn on_watched(&self, watched: Option<Revision>, compacted: Revision) {
        let news = match (self.watched.get(), watched) {
            (None, None) => false,
            (Some(told), Some(_)) => told < compacted,
            (None, Some(_)) | (Some(_), None) => true,
        };
        if news {
            self.watched.set(watched);
            self.outbox.borrow_mut().watched = Some(watched);
            self.outbox_filled.ring();
        }
    }

    /// Everything that gathered since the last call. The readers among it are released by one round.
    pub(super) fn take_outbox(&self) -> ToReplica {
        let mut batch = std::mem::take(&mut *self.outbox.borrow_mut());
        let mut rounds = self.rounds.borrow_mut();
        if !rounds.gathering.is_empty() {
            rounds.last_ticket += 1;
            let (ticket, readers) = (rounds.last_ticket, std::mem::take(&mut rounds.gathering));
            rounds.asked.push_back((ticket, readers));
            batch.read = Some(ticket);
        }
        batch
    }

    /// Hands the replica's answers to their waiters; connections are the caller's.
    pub(super) fn handle(&self, message: &mut ToFront) {
        let mut proposals = self.proposals.borrow_mut();
        for (ticket, answer) in message.answers.drain(..) {
            proposals.answer(ticket, answer);
        }
        drop(proposals);
        let mut leases = self.leases.borrow_mut();
        for (ticket, answer) in message.leases.drain(..) {
            leases.answer(ticket, answer);
        }
        drop(leases);
        if message.changed {
            self.changed.ring();
        }
        for (ticket, outcome) in message.reads.drain(..) {
            self.release(ticket, &outcome);
        }
    }

    fn release(&self, ticket: u64, outcome: &Result<(), Refusal>) {
        let mut rounds = self.rounds.borrow_mut();
        let Some(position) = rounds.asked.iter().position(|(asked, _)| *asked == ticket) else { return };
        let (_, readers) = rounds.asked.remove(position).expect("just found");
        drop(rounds);
        for reader in readers {
            reader.keep(outcome.clone());
        }
    }

    /// Counts a connection that this shard serves until `on_connection_closed`.
    pub(super) fn on_connection_opened(&self) {
        self.connections.set(self.connections.get() + 1);
    }

    /// Tells the shard that hands connections out that there is one fewer here.
    pub(super) fn on_connection_closed(&self) {
        self.connections.set(self.connections.get().checked_sub(1).expect("every connection was opened before"));
        self.connection_closed.ring();
        self.outbox.borrow_mut().connections_closed += 1;
        self.outbox_filled.ring();
    }

    /// Tells the first shard that this one's calls are finished.
    pub(super) fn on_drained(&self) {
        self.outbox.borrow_mut().drained = true;
        self.outbox_filled.ring();
    }

    /// Connections served now.
    pub(super) fn connections(&self) -> u64 {
        self.connections.get()
    }
}
