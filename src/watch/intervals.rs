//! Ranges of keys, and which of them hold a given key: a search tree over their beginnings, each node with the farthest end
//! below it, kept level by random priorities.
//!
//! Invariants
//! - In order of (from, end); a node's priority is not below its children's; `farthest` is the greatest end in its subtree.
//! - Each range stands once, with at least one topic.
//! - A look-up visits O(log n + hits) nodes on average, whatever the order of insertion.

use std::cmp::Ordering;
use std::rc::Rc;

use super::slab::Slab;
use super::span::Key;

/// No node.
const NONE: u32 = u32::MAX;

/// An end: `None` is behind every key.
type End = Option<Key>;

#[derive(Debug)]
struct Node {
    from: Key,
    end: End,
    farthest: End,
    priority: u64,
    left: u32,
    right: u32,
    topics: Vec<u32>,
}

/// The ranges.
#[derive(Debug)]
pub(super) struct Intervals {
    nodes: Slab<Node>,
    root: u32,
    random: u64,
}

fn compare_ends(one: &End, other: &End) -> Ordering {
    match (one, other) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(one), Some(other)) => one.cmp(other),
    }
}

/// Whether `key` stands before an end.
fn before(key: &[u8], end: &End) -> bool {
    end.as_ref().is_none_or(|end| key < end.as_ref())
}

impl Intervals {
    /// None yet; `seed` makes the priorities.
    pub(super) fn new(seed: u64) -> Self {
        Self { nodes: Slab::default(), root: NONE, random: seed | 1 }
    }

    fn compare(&self, at: u32, from: &Key, end: &End) -> Ordering {
        let node = &self.nodes[at];
        node.from.cmp(from).then_with(|| compare_ends(&node.end, end))
    }

    /// The topics of exactly this range.
    pub(super) fn find(&self, from: &Key, end: &End) -> &[u32] {
        let mut at = self.root;
        while at != NONE {
            match self.compare(at, from, end) {
                Ordering::Equal => return &self.nodes[at].topics,
                Ordering::Greater => at = self.nodes[at].left,
                Ordering::Less => at = self.nodes[at].right,
            }
        }
        &[]
    }

    /// Adds a topic to a range.
    pub(super) fn insert(&mut self, from: &Key, end: &End, topic: u32) {
        let (left, mut found, right) = self.take_apart(from, end);
        if found == NONE {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let (from, end) = (Rc::clone(from), end.as_ref().map(Rc::clone));
            let farthest = end.as_ref().map(Rc::clone);
            let priority = self.random;
            let topics = Vec::with_capacity(1);
            found = self.nodes.insert(Node { from, end, farthest, priority, left: NONE, right: NONE, topics });
        }
        self.nodes[found].topics.push(topic);
        let rest = self.merge(found, right);
        self.root = self.merge(left, rest);
    }

    /// Takes a topic from a range.
    pub(super) fn remove(&mut self, from: &Key, end: &End, topic: u32) {
        let (left, found, right) = self.take_apart(from, end);
        assert!(found != NONE, "a topic is removed from a range that has it");
        self.nodes[found].topics.retain(|other| *other != topic);
        let mut rest = right;
        if self.nodes[found].topics.is_empty() {
            self.nodes.remove(found);
        } else {
            rest = self.merge(found, right);
        }
        self.root = self.merge(left, rest);
    }

    /// Shows the topics of every range that holds `key`.
    pub(super) fn matching(&self, key: &[u8], hit: &mut dyn FnMut(u32)) {
        self.visit(self.root, key, hit);
    }

    fn visit(&self, at: u32, key: &[u8], hit: &mut dyn FnMut(u32)) {
        let Some(node) = self.nodes.find(at).filter(|node| before(key, &node.farthest)) else { return };
        self.visit(node.left, key, hit);
        if node.from.as_ref() > key {
            return;
        }
        if before(key, &node.end) {
            node.topics.iter().for_each(|topic| hit(*topic));
        }
        self.visit(node.right, key, hit);
    }

    /// The ranges before one, the one if it is there, and those behind it.
    fn take_apart(&mut self, from: &Key, end: &End) -> (u32, u32, u32) {
        let (left, rest) = self.split(self.root, from, end, Ordering::Less);
        let (found, right) = self.split(rest, from, end, Ordering::Equal);
        assert!(found == NONE || self.compare(found, from, end).is_eq(), "each range stands once");
        (left, found, right)
    }

    /// Splits a subtree: left of the cut are the ranges that compare to (from, end) with at most `last`.
    fn split(&mut self, at: u32, from: &Key, end: &End, last: Ordering) -> (u32, u32) {
        if at == NONE {
            return (NONE, NONE);
        }
        if self.compare(at, from, end) <= last {
            let (left, right) = self.split(self.nodes[at].right, from, end, last);
            self.nodes[at].right = left;
            self.update(at);
            (at, right)
        } else {
            let (left, right) = self.split(self.nodes[at].left, from, end, last);
            self.nodes[at].left = right;
            self.update(at);
            (left, at)
        }
    }

    /// Joins two subtrees, everything in the first before everything in the second.
    fn merge(&mut self, left: u32, right: u32) -> u32 {
        if left == NONE || right == NONE {
            return if left == NONE { right } else { left };
        }
        if self.nodes[left].priority >= self.nodes[right].priority {
            let merged = self.merge(self.nodes[left].right, right);
            self.nodes[left].right = merged;
            self.update(left);
            left
        } else {
            let merged = self.merge(left, self.nodes[right].left);
            self.nodes[right].left = merged;
            self.update(right);
            right
        }
    }

    fn update(&mut self, at: u32) {
        let node = &self.nodes[at];
        let below = [node.left, node.right].map(|child| self.nodes.find(child).map(|child| &child.farthest));
        let ends = below.into_iter().flatten().chain([&node.end]);
        let farthest = ends.max_by(|one, other| compare_ends(one, other)).and_then(|end| end.as_ref());
        self.nodes[at].farthest = farthest.map(Rc::clone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mvcc::tests::random::Random;
    use std::collections::BTreeMap;

    #[test]
    fn hits_are_those_of_a_list() {
        for seed in 1..=30 {
            let mut random = Random::new(seed);
            let mut intervals = Intervals::new(seed);
            let mut model = BTreeMap::<u32, (Key, End)>::new();
            for number in 0..300 {
                let mut key = || Key::from(&random.key()[..]);
                let (from, end) = (key(), Some(key()));
                let end = end.filter(|_| !random.one_in(5));
                if end.as_ref().is_none_or(|end| from < *end) {
                    intervals.insert(&from, &end, number);
                    assert!(intervals.find(&from, &end).contains(&number));
                    model.insert(number, (from, end));
                }
                let victim = u32::try_from(random.below(300)).unwrap();
                if let Some((from, end)) = model.remove(&victim) {
                    intervals.remove(&from, &end, victim);
                    assert!(!intervals.find(&from, &end).contains(&victim));
                }
                let key = random.key();
                let mut found = Vec::new();
                intervals.matching(&key, &mut |topic| found.push(topic));
                found.sort_unstable();
                let hits = |(from, end): &(Key, End)| key >= **from && before(&key, end);
                let expected: Vec<_> = model.iter().filter(|(_, span)| hits(span)).map(|(number, _)| *number).collect();
                assert_eq!(found, expected, "seed {seed}");
            }
        }
    }

    #[test]
    fn a_lookup_among_many_ranges_visits_few() {
        let mut intervals = Intervals::new(9);
        let key = |number: u32| Key::from(format!("{number:08}").as_bytes());
        for number in 0..50_000 {
            intervals.insert(&key(number), &Some(key(number + 1)), number);
        }
        let mut depth = 0;
        let mut level = vec![intervals.root];
        while !level.is_empty() {
            depth += 1;
            let below = level.iter().flat_map(|at| [intervals.nodes[*at].left, intervals.nodes[*at].right]);
            level = below.filter(|at| *at != NONE).collect();
        }
        assert!(depth < 64, "{depth} levels");
        let mut found = Vec::new();
        intervals.matching(b"00031337", &mut |topic| found.push(topic));
        assert_eq!(found, [31_337]);
    }
}
