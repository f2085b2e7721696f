//! Requests of one shard that wait for the replica, found again by ticket.
//!
//! Invariants
//! - Tickets rise by one and are never used twice in the life of a shard, so a late answer finds nobody rather than
//!   somebody else.
//! - Answers come nearly in order; a deque indexed by `ticket - first` finds each in O(1) and gives its front back as
//!   soon as the oldest is answered.

use std::collections::VecDeque;

use crate::shard::oneshot::{Answer, Promise, oneshot};

/// The waiting requests of one kind.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    first: u64,
    promises: VecDeque<Option<Promise<T>>>,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { first: 1, promises: VecDeque::new() }
    }
}

impl<T> Waiting<T> {
    /// A new ticket, and the answer that it will bring.
    pub(super) fn register(&mut self) -> (u64, Answer<T>) {
        let ticket = self.first + u64::try_from(self.promises.len()).expect("usize fits u64 on amd64");
        let (promise, answer) = oneshot();
        self.promises.push_back(Some(promise));
        (ticket, answer)
    }

    /// Hands `value` to whoever waits for `ticket`; nobody does when it was answered or cancelled before.
    pub(super) fn answer(&mut self, ticket: u64, value: T) {
        let index = ticket.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        if let Some(promise) = index.and_then(|index| self.promises.get_mut(index)).and_then(Option::take) {
            promise.keep(value);
        }
        while let Some(None) = self.promises.front() {
            self.promises.pop_front();
            self.first += 1;
        }
    }

    /// How many tickets are between the oldest unanswered one and the newest.
    #[cfg(test)]
    pub(super) fn span(&self) -> usize {
        self.promises.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_lite::future::{block_on, poll_once};

    #[test]
    fn answers_find_their_tickets_in_any_order() {
        let mut waiting = Waiting::default();
        let mut answers: Vec<_> = (0..5).map(|_| waiting.register()).collect();
        for index in [3usize, 0, 4, 1, 2] {
            waiting.answer(answers[index].0, index);
            waiting.answer(answers[index].0, 99);
        }
        assert_eq!(waiting.span(), 0);
        for (index, (_, answer)) in answers.iter_mut().enumerate() {
            assert_eq!(block_on(poll_once(answer)), Some(Some(index)));
        }
        assert_eq!(waiting.register().0, 6);
    }

    #[test]
    fn a_ticket_of_the_past_or_future_finds_nobody() {
        let mut waiting = Waiting::default();
        waiting.answer(7, ());
        let (ticket, mut answer) = waiting.register();
        waiting.answer(ticket + 1, ());
        waiting.answer(0, ());
        assert_eq!(block_on(poll_once(&mut answer)), None);
        drop(waiting);
        assert_eq!(block_on(answer), None);
    }
}
