//! Which topics a key belongs to.
//!
//! Invariants
//! - Single keys cost one look-up, however many there are; ranges what `Intervals` says.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::intervals::Intervals;
use super::span::Span;

/// Topics by what they span.
#[derive(Debug)]
pub(super) struct Index {
    keys: BTreeMap<Bytes, Vec<u32>>,
    ranges: Intervals,
}

impl Index {
    /// None yet; `seed` is for the balance.
    pub(super) fn new(seed: u64) -> Self {
        Self { keys: BTreeMap::new(), ranges: Intervals::new(seed) }
    }

    /// The topics with exactly this span.
    pub(super) fn find(&self, span: &Span) -> &[u32] {
        match span {
            Span::Key(key) => self.keys.get(key).map_or(&[], Vec::as_slice),
            Span::Range(from, end) => self.ranges.find(from, end),
        }
    }

    /// Adds a topic.
    pub(super) fn insert(&mut self, span: &Span, topic: u32) {
        match span {
            Span::Key(key) => self.keys.entry(key.slice(..)).or_insert_with(|| Vec::with_capacity(1)).push(topic),
            Span::Range(from, end) => self.ranges.insert(from, end, topic),
        }
    }

    /// Takes a topic out.
    pub(super) fn remove(&mut self, span: &Span, topic: u32) {
        match span {
            Span::Key(key) => {
                let Some(topics) = self.keys.get_mut(key) else { return };
                topics.retain(|other| *other != topic);
                if topics.is_empty() {
                    self.keys.remove(key);
                }
            }
            Span::Range(from, end) => self.ranges.remove(from, end, topic),
        }
    }

    /// Shows every topic that `key` belongs to.
    pub(super) fn matching(&self, key: &[u8], hit: &mut dyn FnMut(u32)) {
        if let Some(topics) = self.keys.get(key) {
            topics.iter().for_each(|topic| hit(*topic));
        }
        self.ranges.matching(key, hit);
    }
}
