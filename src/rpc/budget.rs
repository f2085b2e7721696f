//! How many bytes of requests a connection may have held, and what may be wrong with its messages.
//!
//! Invariants
//! - What was taken of a budget is given back when its holder is dropped.
//! - While all connections of the executor together hold more than their bound, none may go on to hold more than a little:
//!   many can't do what one is kept from, and whoever sends what is usual is not kept from it.

use crate::limits;
use bytes::Bytes;
use std::cell::Cell;
use std::rc::Rc;

/// What is wrong with a stream of messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameError {
    /// The message is longer than the server takes.
    TooLarge {
        /// Its length.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// The flag says that the message is compressed, and the call did not say how, or in a way that is not known.
    Compressed,
    /// A message of gzip that is none.
    Gzip {
        /// Whether its beginning is one.
        begun: bool,
        /// What is wrong.
        why: &'static str,
    },
    /// The message is longer than the server takes, once it is unpacked.
    InflatedTooLarge {
        /// The limit.
        max: usize,
    },
    /// The flag is neither 0 nor 1.
    Flag(u8),
    /// The stream ended inside a message.
    Cut,
    /// This connection, or all together, have too many messages that arrived in part.
    Budget,
}

/// The partial bytes of all connections of an executor, counted.
#[derive(Clone, Debug, Default)]
pub struct Together(Rc<Cell<usize>>);

/// The partial bytes of one connection, counted.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    own: Rc<Cell<usize>>,
    together: Together,
}

impl Budget {
    /// Of one more connection.
    pub fn of(together: &Together) -> Self {
        Self { own: Rc::default(), together: together.clone() }
    }

    pub(super) fn take(&self, count: usize) -> Result<(), FrameError> {
        let (own, together) = (self.own.get() + count, self.together.0.get() + count);
        let is_scarce = together > limits::PARTIAL_BYTES_PER_SHARD_MAX;
        let max = if is_scarce {
            limits::PARTIAL_BYTES_PER_CONNECTION_SCARCE
        } else {
            limits::PARTIAL_BYTES_PER_CONNECTION_MAX
        };
        if own > max {
            return Err(FrameError::Budget);
        }
        self.own.set(own);
        self.together.0.set(together);
        Ok(())
    }

    pub(super) fn give_back(&self, count: usize) {
        for cell in [&self.own, &self.together.0] {
            assert!(count <= cell.get(), "given back {count} of {}", cell.get());
            cell.set(cell.get() - count);
        }
    }

    /// How many bytes are held.
    pub(super) fn taken(&self) -> usize {
        self.own.get()
    }
}

/// A whole message that must wait, counted as the partial ones are.
#[derive(Debug)]
pub(super) struct Held {
    message: Bytes,
    budget: Budget,
}

impl Held {
    /// Keeps a message.
    pub(super) fn new(message: Bytes, budget: &Budget) -> Result<Self, FrameError> {
        budget.take(message.len())?;
        Ok(Self { message, budget: budget.clone() })
    }

    /// The message, whose time has come.
    pub(super) fn message(&self) -> Bytes {
        self.message.clone()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give_back(self.message.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_are_bounded_and_leave_a_little_to_each() {
        let together = Together::default();
        let half = limits::PARTIAL_BYTES_PER_SHARD_MAX / 2;
        assert!(half <= limits::PARTIAL_BYTES_PER_CONNECTION_MAX);
        let greedy = [Budget::of(&together), Budget::of(&together)];
        greedy.iter().for_each(|budget| budget.take(half).unwrap());
        assert_eq!(greedy[0].take(1), Err(FrameError::Budget));
        let modest = Budget::of(&together);
        modest.take(limits::PARTIAL_BYTES_PER_CONNECTION_SCARCE).unwrap();
        assert_eq!(modest.take(1), Err(FrameError::Budget));
        greedy[0].give_back(half);
        modest.take(half - limits::PARTIAL_BYTES_PER_CONNECTION_SCARCE).unwrap();
        assert_eq!(modest.taken(), half);
    }
}
