//! What waits to be sent on one stream, and what that costs.
//!
//! Invariants
//! - In the order in which it happened; nothing is dropped or overtaken.
//! - Events that follow each other in the queue and share their bytes are counted once.

use std::collections::VecDeque;

use bytes::Bytes;

use super::message::{Content, Message};
use crate::limits::{WATCH_MESSAGE_BYTES, WATCH_QUEUE_KEPT};

/// A message that waits.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) message: Message,
    /// What it was counted for, bytes.
    pub(super) cost: usize,
    /// The events in it.
    pub(super) events: u64,
}

/// The messages of a stream.
#[derive(Debug, Default)]
pub(super) struct Queue {
    messages: VecDeque<Queued>,
    bytes: usize,
}

fn are_same(one: &Bytes, other: &Bytes) -> bool {
    one.as_ptr() == other.as_ptr() && one.len() == other.len()
}

impl Queue {
    /// Puts a message with so many events at the end; what it costs.
    pub(super) fn push(&mut self, message: Message, events: u64) -> usize {
        let before = self.messages.back().map(|before| &before.message.content);
        let shared = match (&message.content, before) {
            (Content::Events(events, _), Some(Content::Events(before, _))) => are_same(events, before),
            _ => false,
        };
        let cost = WATCH_MESSAGE_BYTES + if shared { 0 } else { message.content.events().len() };
        self.bytes += cost;
        self.messages.push_back(Queued { message, cost, events });
        cost
    }

    /// Takes the first message out.
    pub(super) fn pop(&mut self) -> Option<Queued> {
        let queued = self.messages.pop_front()?;
        self.bytes -= queued.cost;
        if self.messages.is_empty() {
            assert!(self.bytes == 0, "an empty queue costs nothing");
            if self.messages.capacity() > WATCH_QUEUE_KEPT {
                self.messages = VecDeque::new();
            }
        }
        Some(queued)
    }

    /// How many messages it has.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// What all of it costs.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
