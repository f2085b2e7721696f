//! What watchers may want to see alike: the same keys, the same kinds of events, with or without the pair before.
//!
//! Invariants
//! - An event is encoded once for all watchers of a topic, and once for all topics that show it alike.
//! - What is gathered is whole revisions, but for the one that is being read.

use smallvec::SmallVec;

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
    pub(super) watchers: u32,
    /// Those of them that are told of new events.
    pub(super) members: SmallVec<[u32; 4]>,
    /// The place of what is gathered for it, or `NOWHERE`.
    pub(super) gathering: u32,
}

/// The place of what is not gathered.
pub(super) const NOWHERE: u32 = u32::MAX;

/// What the members of a topic have not been told of yet.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The topic; it is no more the same one if that does not name this place.
    pub(super) topic: u32,
    /// The revision of the first event.
    pub(super) first: Revision,
    /// The events, encoded.
    pub(super) events: Vec<u8>,
    /// How many they are.
    pub(super) count: u64,
}

/// All topics that have watchers, by number.
pub(super) type Topics = Slab<Topic>;

impl Topic {
    /// One without watchers.
    pub(super) fn new(span: Span, shape: Shape) -> Self {
        Self { span, shape, watchers: 0, members: SmallVec::new(), gathering: NOWHERE }
    }
}

// There may be hundreds of thousands, most of a single watcher.
const _: () = assert!(size_of::<Topic>() <= 80 && size_of::<super::watcher::Watcher>() <= 72);
