//! The proposals of this member's shards: those that wait for a batch, and those that wait for their outcome.
//!
//! Invariants
//! - Sequences rise by one in the order of arrival, over all batches of this run. A sequence is in one place: queued,
//!   pending, or done.
//! - Each ticket is answered once: its slot is emptied with the answer, and an empty slot has nothing more to say.
//! - Deadlines rise along queue and pending, so looking at the fronts is enough.
//! - Count and bytes of everything that is not answered are bounded.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::space::Footprint;
use super::values::{Answer, Proposal, Refusal};
use crate::command::BatchBuilder;
use crate::limits::{REPLICA_BATCH_BYTES_MAX, REPLICA_PROPOSALS_BYTES_MAX, REPLICA_PROPOSALS_MAX};
use crate::raft::wide;
use crate::types::{BootNonce, MemberId, Now, ShardId};

/// Who waits for a proposal, since when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Waiter {
    /// The shard.
    pub(super) origin: ShardId,
    /// Its number for the proposal.
    pub(super) ticket: u64,
    /// When it came.
    pub(super) since: Now,
    /// Whether it is a compaction whose client waits until the rows are gone.
    pub(super) physical: bool,
}

#[derive(Debug)]
struct Queued {
    waiter: Waiter,
    proposal: Proposal,
    footprint: Footprint,
}

#[derive(Debug)]
struct Pending {
    since: Now,
    bytes: usize,
    /// What applying it may take.
    footprint: Footprint,
    /// None once it is answered.
    waiter: Option<Waiter>,
}

/// A batch that was built and waits until consensus takes it.
#[derive(Clone, Debug)]
pub(super) struct ReadyBatch {
    /// The entry's data.
    pub(super) data: Bytes,
    /// Commands in it.
    pub(super) count: u64,
    /// The sequence of the last of them.
    pub(super) last: u64,
}

/// The proposals that are not answered yet.
#[derive(Debug)]
pub(super) struct Proposals {
    member: MemberId,
    nonce: BootNonce,
    queue: VecDeque<Queued>,
    /// The sequence of the first pending one.
    first: u64,
    pending: VecDeque<Pending>,
    unanswered: usize,
    bytes: usize,
    /// What applying the pending ones may take.
    footprint: Footprint,
}

impl Proposals {
    /// None yet, of the run `nonce` of `member`.
    pub(super) fn new(member: MemberId, nonce: BootNonce) -> Self {
        let (queue, pending) = (VecDeque::new(), VecDeque::new());
        Self { member, nonce, queue, first: 1, pending, unanswered: 0, bytes: 0, footprint: Footprint::default() }
    }

    /// Queues a proposal and what applying it may take. `Err` when too many wait.
    pub(super) fn push(&mut self, waiter: Waiter, proposal: Proposal, footprint: Footprint) -> Result<(), Refusal> {
        let bytes = proposal.payload.len();
        if self.unanswered >= REPLICA_PROPOSALS_MAX || self.bytes + bytes > REPLICA_PROPOSALS_BYTES_MAX {
            return Err(Refusal::TooManyRequests);
        }
        assert!(self.queue.back().is_none_or(|last| last.waiter.since <= waiter.since), "time does not go back");
        self.unanswered += 1;
        self.bytes += bytes;
        self.queue.push_back(Queued { waiter, proposal, footprint });
        Ok(())
    }

    /// The proposal that would begin the next batch, and what it may take.
    pub(super) fn front(&self) -> Option<(&Proposal, Footprint)> {
        self.queue.front().map(|queued| (&queued.proposal, queued.footprint))
    }

    /// Takes the front out of the queue, to refuse it.
    pub(super) fn refuse_front(&mut self) -> Option<Waiter> {
        let queued = self.queue.pop_front()?;
        assert!(self.unanswered > 0, "what is queued is counted");
        self.unanswered -= 1;
        self.bytes -= queued.proposal.payload.len();
        Some(queued.waiter)
    }

    /// A batch of what is queued, from the front on, as long as `admit` lets the next in and the batch is not full.
    /// `None` when the first is not let in. `admit` is told what it and all those before it may take.
    pub(super) fn build(&mut self, mut admit: impl FnMut(&Proposal, Footprint) -> bool) -> Option<ReadyBatch> {
        let first = self.first + wide(self.pending.len());
        let mut builder = BatchBuilder::new(self.member, self.nonce, first);
        while let Some(next) = self.queue.front() {
            let large = builder.len_bytes() + next.proposal.payload.len() > REPLICA_BATCH_BYTES_MAX;
            let footprint = self.footprint.plus(next.footprint);
            if builder.is_full() || (large && !builder.is_empty()) || !admit(&next.proposal, footprint) {
                break;
            }
            let Some(Queued { waiter, proposal, footprint }) = self.queue.pop_front() else { break };
            builder.push(proposal.kind, &proposal.payload);
            let bytes = proposal.payload.len();
            self.footprint = self.footprint.plus(footprint);
            self.pending.push_back(Pending { since: waiter.since, bytes, footprint, waiter: Some(waiter) });
        }
        let count = u64::from(builder.count());
        assert_eq!(first + count, self.first + wide(self.pending.len()), "sequences rise by one");
        (count > 0).then(|| ReadyBatch { data: builder.finish(), count, last: first + count - 1 })
    }

    /// Whether somebody waits for this sequence.
    pub(super) fn is_wanted(&self, sequence: u64) -> bool {
        self.place(sequence).is_some_and(|place| self.pending[place].waiter.is_some())
    }

    /// Whoever waits for this sequence: to be answered now, and never again.
    pub(super) fn take(&mut self, sequence: u64) -> Option<Waiter> {
        let place = self.place(sequence)?;
        let waiter = self.answer_pending(place)?;
        self.drop_answered();
        Some(waiter)
    }

    /// Takes out everything that came at least `patience` ago.
    pub(super) fn take_expired(&mut self, now: Now, patience: std::time::Duration) -> Vec<Waiter> {
        let is_late = |since: Now| now.since(since) >= patience;
        let mut expired = Vec::new();
        let late = self.pending.iter().take_while(|pending| is_late(pending.since)).count();
        expired.extend((0..late).filter_map(|place| self.answer_pending(place)));
        while self.queue.front().is_some_and(|queued| is_late(queued.waiter.since)) {
            expired.extend(self.refuse_front());
        }
        self.drop_answered();
        expired
    }

    /// Takes out everything: the member stops.
    pub(super) fn take_all(&mut self) -> Vec<Waiter> {
        let mut all: Vec<_> = (0..self.pending.len()).filter_map(|place| self.answer_pending(place)).collect();
        while let Some(waiter) = self.refuse_front() {
            all.push(waiter);
        }
        self.drop_answered();
        all
    }

    /// What applying the pending ones may take.
    pub(super) fn footprint(&self) -> Footprint {
        self.footprint
    }

    /// How many wait for an answer.
    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Whether some wait for a batch.
    pub(super) fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    fn place(&self, sequence: u64) -> Option<usize> {
        let place = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        (place < self.pending.len()).then_some(place)
    }

    fn answer_pending(&mut self, place: usize) -> Option<Waiter> {
        let pending = &mut self.pending[place];
        let waiter = pending.waiter.take()?;
        self.unanswered -= 1;
        self.bytes -= pending.bytes;
        self.footprint = self.footprint.minus(pending.footprint);
        Some(waiter)
    }

    fn drop_answered(&mut self) {
        while self.pending.front().is_some_and(|pending| pending.waiter.is_none()) {
            self.pending.pop_front();
            self.first += 1;
        }
        assert!(self.unanswered > 0 || self.bytes == 0, "with nothing unanswered nothing is held");
    }

    /// O(n): the counts are right.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        let pending = self.pending.iter().filter(|pending| pending.waiter.is_some());
        let bytes: usize = pending.clone().map(|pending| pending.bytes).sum();
        let queued: usize = self.queue.iter().map(|queued| queued.proposal.payload.len()).sum();
        assert_eq!(self.unanswered, pending.count() + self.queue.len());
        assert_eq!(self.bytes, bytes + queued);
        let waiting = self.pending.iter().filter(|pending| pending.waiter.is_some());
        let footprint = waiting.fold(Footprint::default(), |sum, pending| sum.plus(pending.footprint));
        assert_eq!(self.footprint, footprint);
        assert!(self.pending.front().is_none_or(|pending| pending.waiter.is_some()));
    }
}

/// Gathers answers by the shard that waits for them, in ascending order of shards.
#[derive(Debug, Default)]
pub(super) struct Answers {
    by_origin: BTreeMap<ShardId, Vec<Answer>>,
}

impl Answers {
    /// Adds one.
    pub(super) fn push(&mut self, waiter: Waiter, answer: Result<crate::command::Outcome, Refusal>) {
        self.by_origin.entry(waiter.origin).or_default().push((waiter.ticket, answer));
    }

    /// All of them, by shard.
    pub(super) fn into_outputs(self) -> impl Iterator<Item = (ShardId, Vec<Answer>)> {
        self.by_origin.into_iter()
    }
}

#[cfg(test)]
#[path = "proposals_tests.rs"]
mod tests;
