//! How many bytes of requests a connection may have held, and what may be wrong with its messages.
//!
//! Invariants
//! - What was taken of a budget is given back when its holder is dropped.

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
    /// This connection has too many messages that arrived in part.
    Budget,
}

/// The partial bytes of one connection, counted.
#[derive(Clone, Debug, Default)]
pub struct Budget(Rc<Cell<usize>>);

impl Budget {
    pub(super) fn take(&self, count: usize) -> Result<(), FrameError> {
        let taken = self.0.get() + count;
        if taken > limits::PARTIAL_BYTES_PER_CONNECTION_MAX {
            return Err(FrameError::Budget);
        }
        self.0.set(taken);
        Ok(())
    }

    pub(super) fn give_back(&self, count: usize) {
        assert!(count <= self.0.get(), "given back {count} of {}", self.0.get());
        self.0.set(self.0.get() - count);
    }

    /// How many bytes are held.
    pub(super) fn taken(&self) -> usize {
        self.0.get()
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
