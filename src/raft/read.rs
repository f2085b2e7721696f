//! Linearizable reads: who waits, in which round, and which answer sets them free.
//!
//! A read asks "how far must I have applied to see everything that was committed when I was asked?". The leader knows, once
//! a majority has confirmed, after the question, that it still leads. One round of heartbeats answers for all reads that
//! were waiting when it left.
//!
//! Invariants
//! - A round's context is fresh: the counter never repeats within a run and the nonce tells runs apart. So no answer to
//!   an older round, however late or doubled, can match a younger one.
//! - A read is in exactly one place: waiting, or in one round; it leaves once, answered, failed or dropped.
//! - Rounds stand in the order in which they began. An answer to one also answers the older ones: their reads were asked
//!   even earlier.
//!
//! The library underneath releases the reads of round *n* on any acknowledgement that carries the context of *n*, and has
//! no idea how old that acknowledgement is:
//!  1. member 1 leads term 2 and confirms context `a` with 3; the acknowledgement of 2 is delayed;
//!  2. 1 is cut off, 2 and 3 elect another leader, which commits a write;
//!  3. a read arrives at 1 and (re)uses context `a`; the delayed acknowledgement of 2 arrives and "confirms" it;
//!  4. 1 answers without the write: stale.
//!
//! With a fresh context in step 3 the delayed acknowledgement matches nothing.

use std::collections::VecDeque;
use std::time::Duration;

use super::messages::ReadContext;
use crate::limits::{RAFT_READ_ROUNDS_MAX, RAFT_READS_WAITING_MAX};
use crate::types::{BootNonce, MemberId, Now, ShardId};

/// A local read: the shard that asked and its own number for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ReadTicket {
    /// The shard that asked.
    pub origin: ShardId,
    /// The shard's number for the read.
    pub ticket: u64,
}

/// Who waits for the answer of a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asker {
    /// A shard of this member.
    Local(ReadTicket),
    /// Another member, which asked this one as the leader; its own context goes back with the answer.
    Remote {
        /// That member.
        member: MemberId,
        /// Its context.
        context: ReadContext,
    },
}

/// One read, since when it waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// Who waits.
    pub(super) asker: Asker,
    /// Since when.
    pub(super) since: Now,
}

#[derive(Debug)]
struct Round {
    context: ReadContext,
    began: Now,
    reads: Vec<Waiting>,
}

/// All reads that are not answered yet.
#[derive(Debug)]
pub(super) struct Reads {
    member: MemberId,
    nonce: BootNonce,
    counter: u64,
    waiting: VecDeque<Waiting>,
    rounds: VecDeque<Round>,
    count: usize,
}

impl Reads {
    /// No reads yet, of `member` in the run `nonce`.
    pub(super) fn new(member: MemberId, nonce: BootNonce) -> Self {
        Self { member, nonce, counter: 0, waiting: VecDeque::new(), rounds: VecDeque::new(), count: 0 }
    }

    /// Takes a read. False when too many wait already.
    pub(super) fn request(&mut self, now: Now, asker: Asker) -> bool {
        if self.count >= RAFT_READS_WAITING_MAX {
            return false;
        }
        self.count += 1;
        self.waiting.push_back(Waiting { asker, since: now });
        true
    }

    /// Begins a round with all the reads that wait, if there are any and not too many rounds are under way. The caller
    /// sends the context out at once.
    pub(super) fn begin_round(&mut self, now: Now) -> Option<ReadContext> {
        if self.waiting.is_empty() || self.rounds.len() >= RAFT_READ_ROUNDS_MAX {
            return None;
        }
        self.counter += 1;
        let context = ReadContext { member: self.member, nonce: self.nonce, counter: self.counter };
        let older = self.rounds.back().map_or(0, |round| round.context.counter);
        assert!(older < context.counter, "a context is never used twice");
        self.rounds.push_back(Round { context, began: now, reads: self.waiting.drain(..).collect() });
        Some(context)
    }

    /// The round of `context` is confirmed: its reads and those of older rounds leave. Nothing leaves for a context that
    /// is not under way.
    pub(super) fn confirm(&mut self, context: ReadContext) -> Vec<Waiting> {
        let Some(place) = self.rounds.iter().position(|round| round.context == context) else {
            return Vec::new();
        };
        let reads: Vec<_> = self.rounds.drain(..=place).flat_map(|round| round.reads).collect();
        assert!(reads.len() <= self.count, "a read leaves once");
        self.count -= reads.len();
        reads
    }

    /// The rounds under way are void (the leader or the term changed): their local reads wait again, before the others.
    /// Reads of other members are dropped: those ask the new leader.
    pub(super) fn abandon_rounds(&mut self) {
        while let Some(round) = self.rounds.pop_back() {
            round.reads.into_iter().rev().for_each(|read| self.waiting.push_front(read));
        }
        self.waiting.retain(|read| matches!(read.asker, Asker::Local(_)));
        assert!(self.waiting.len() <= self.count, "reads do not multiply");
        self.count = self.waiting.len();
    }

    /// Rounds that have had no answer for `patience` are given up: their reads wait again, for a fresh context.
    pub(super) fn give_up_rounds(&mut self, now: Now, patience: Duration) {
        let late = self.rounds.iter().rposition(|round| now.since(round.began) >= patience);
        let Some(late) = late else { return };
        for round in self.rounds.drain(..=late).rev().collect::<Vec<_>>() {
            round.reads.into_iter().rev().for_each(|read| self.waiting.push_front(read));
        }
        assert_eq!(self.count, self.reads_held(), "no read is lost between rounds");
    }

    /// Takes out the waiting reads that were asked at least `patience` ago. Those in a round come up when it is given up.
    pub(super) fn take_expired(&mut self, now: Now, patience: Duration) -> Vec<Waiting> {
        let expired = self.waiting.iter().take_while(|read| now.since(read.since) >= patience).count();
        assert!(expired <= self.count, "a read leaves once");
        self.count -= expired;
        self.waiting.drain(..expired).collect()
    }

    /// Takes out every local read, to fail it.
    pub(super) fn take_all(&mut self) -> Vec<Waiting> {
        self.abandon_rounds();
        self.count = 0;
        self.waiting.drain(..).collect()
    }

    /// Whether reads wait for a round to begin.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn reads_held(&self) -> usize {
        self.waiting.len() + self.rounds.iter().map(|round| round.reads.len()).sum::<usize>()
    }

    /// O(n): counts agree, contexts rise.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        assert_eq!(self.count, self.reads_held());
        assert!(self.rounds.len() <= RAFT_READ_ROUNDS_MAX);
        let counters: Vec<_> = self.rounds.iter().map(|round| round.context.counter).collect();
        assert!(counters.is_sorted_by(|left, right| left < right));
        assert!(counters.last().is_none_or(|last| *last <= self.counter));
    }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
