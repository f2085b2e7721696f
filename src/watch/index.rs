//! Which topics a key belongs to.
//!
//! Invariants
//! - Single keys cost one look-up, however many there are; ranges what `Intervals` says.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::intervals::Intervals;
use super::slab::Slab;
use super::span::{Key, Span};

/// Topics by what they span.
#[derive(Debug)]
pub(super) struct Index {
    keys: BTreeMap<Key, Few>,
    /// The topics of keys that have several.
    shared: Slab<Vec<u32>>,
    ranges: Intervals,
}

/// The topics of one key, in four bytes: nearly always it is one.
#[derive(Clone, Copy, Debug)]
struct Few(u32);

/// Set in the number of those that are `shared`.
const SHARED: u32 = 1 << 31;

impl Few {
    fn one(topic: u32) -> Self {
        assert!(topic < SHARED, "fewer than 2^31 topics");
        Self(topic)
    }

    /// Their number among the shared.
    fn shared(self) -> Option<u32> {
        (self.0 & SHARED != 0).then_some(self.0 & !SHARED)
    }
}

impl Index {
    /// None yet; `seed` is for the balance.
    pub(super) fn new(seed: u64) -> Self {
        Self { keys: BTreeMap::new(), shared: Slab::default(), ranges: Intervals::new(seed) }
    }

    fn of_key(&self, key: &[u8]) -> &[u32] {
        match self.keys.get(key) {
            None => &[],
            Some(few) => few.shared().map_or(std::slice::from_ref(&few.0), |at| &self.shared[at]),
        }
    }

    /// The topics with exactly this span.
    pub(super) fn find(&self, span: &Span) -> &[u32] {
        match span {
            Span::Key(key) => self.of_key(key),
            Span::Range(from, end) => self.ranges.find(from, end),
        }
    }

    /// Adds a topic.
    pub(super) fn insert(&mut self, span: &Span, topic: u32) {
        let key = match span {
            Span::Key(key) => key,
            Span::Range(from, end) => return self.ranges.insert(from, end, topic),
        };
        match self.keys.get_mut(key) {
            None => _ = self.keys.insert(Rc::clone(key), Few::one(topic)),
            Some(few) => match few.shared() {
                Some(at) => self.shared[at].push(topic),
                None => *few = Few(SHARED | self.shared.insert(vec![few.0, topic])),
            },
        }
    }

    /// Takes a topic out.
    pub(super) fn remove(&mut self, span: &Span, topic: u32) {
        let key = match span {
            Span::Key(key) => key,
            Span::Range(from, end) => return self.ranges.remove(from, end, topic),
        };
        let Some(few) = self.keys.get_mut(key) else { return };
        let Some(at) = few.shared() else {
            if few.0 == topic {
                self.keys.remove(key);
            }
            return;
        };
        let topics = &mut self.shared[at];
        topics.retain(|other| *other != topic);
        if let [last] = **topics {
            *few = Few::one(last);
            self.shared.remove(at);
        }
    }

    /// Shows every topic that `key` belongs to.
    pub(super) fn matching(&self, key: &[u8], hit: &mut dyn FnMut(u32)) {
        self.of_key(key).iter().for_each(|topic| hit(*topic));
        self.ranges.matching(key, hit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_none_one_or_several_topics() {
        let mut index = Index::new(1);
        let span = Span::new(b"k", b"").unwrap();
        let found = |index: &Index| {
            let mut hits = Vec::new();
            index.matching(b"k", &mut |topic| hits.push(topic));
            assert_eq!(hits, index.find(&span));
            hits.sort_unstable();
            hits
        };
        let mut model = Vec::new();
        for (topic, inserts) in
            [(5, true), (6, true), (7, true), (6, false), (5, false), (8, true), (8, false), (7, false)]
        {
            if inserts {
                index.insert(&span, topic);
                model.push(topic);
            } else {
                index.remove(&span, topic);
                model.retain(|other| *other != topic);
            }
            model.sort_unstable();
            assert_eq!(found(&index), model);
        }
        assert!(index.keys.is_empty() && index.shared.count() == 0);
    }
}
