//! What watchers may want to see alike: the same keys, the same kinds of events, with or without the pair before.
//!
//! Invariants
//! - An event is encoded once for all watchers of a topic, and once for all topics that show it alike.
//! - What is gathered is whole revisions, but for the one that is being read.

use super::slab::Slab;
use super::span::Span;
use crate::mvcc::Event;
use crate::types::Revision;

/// How events are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Shape {
    /// Puts are left out.
    pub(super) no_puts: bool,
    /// Deletions are left out.
    pub(super) no_deletions: bool,
    /// With the pair before.
    pub(super) previous: bool,
}

impl Shape {
    /// Whether an event is shown.
    pub(super) fn shows(self, event: &Event<'_>) -> bool {
        if event.is_deletion() { !self.no_deletions } else { !self.no_puts }
    }
}

/// One topic.
#[derive(Debug)]
pub(super) struct Topic {
    /// Its keys.
    pub(super) span: Span,
    /// How their events are shown.
    pub(super) shape: Shape,
    /// Watchers that refer to it.
    pub(super) watchers: usize,
    /// Those of them that are told of new events.
    pub(super) members: Vec<u32>,
    /// Encoded events that the members have not been told of yet.
    pub(super) gathered: Vec<u8>,
    /// The revision of the first of them.
    pub(super) first: Revision,
}

/// All topics that have watchers, by number.
pub(super) type Topics = Slab<Topic>;

impl Topic {
    /// One without watchers.
    pub(super) fn new(span: Span, shape: Shape) -> Self {
        Self { span, shape, watchers: 0, members: Vec::new(), gathered: Vec::new(), first: Revision(0) }
    }
}
