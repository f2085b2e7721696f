//! A hierarchical timer wheel: entries by number, each with a tick at which it is due.
//!
//! Seven levels of 64 slots; an entry stands on the level at which its tick first differs from the present one, so that it
//! moves down a level at most six times before it is due. Slots are linked lists through one array.
//!
//! Invariants
//! - Every entry's tick is after the present one; what is due was handed out by `advance`.
//! - A slot's bit in `occupied` is set if and only if its list has an entry.
//! - Setting, removing and handing out an entry cost O(1) each, whatever the number of entries.

/// Slots of a level, as bits of a tick.
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 7;
/// Ticks beyond this do not fit; they are cut to it.
const TICK_MAX: u64 = (1 << 42) - 1;
/// No entry.
const NONE: u32 = u32::MAX;

/// Where an entry stands.
#[derive(Clone, Copy, Debug)]
struct Link {
    tick: u64,
    previous: u32,
    next: u32,
    /// Level and slot; nothing when the entry is not set.
    place: Option<(usize, usize)>,
}

/// The wheel.
#[derive(Debug)]
pub(super) struct Wheel {
    present: u64,
    heads: [[u32; SLOTS]; LEVELS],
    occupied: [u64; LEVELS],
    links: Vec<Link>,
}

fn index(entry: u32) -> usize {
    usize::try_from(entry).expect("32 bits fit")
}

/// A tick's slot on a level.
fn slot(tick: u64, level: usize) -> usize {
    let shifted = tick >> shift(level);
    usize::try_from(shifted % 64).expect("below 64")
}

/// Bits below a level's own.
fn shift(level: usize) -> u32 {
    SLOT_BITS * u32::try_from(level).expect("a level is small")
}

impl Wheel {
    /// A wheel without entries that stands at `present`.
    pub(super) fn new(present: u64) -> Self {
        Self {
            present: present.min(TICK_MAX),
            heads: [[NONE; SLOTS]; LEVELS],
            occupied: [0; LEVELS],
            links: Vec::new(),
        }
    }

    /// Sets `entry` for `tick`, at the earliest the next one. It may have been set before.
    pub(super) fn set(&mut self, entry: u32, tick: u64) {
        assert!(entry != NONE, "that number means none");
        self.remove(entry);
        let unset = Link { tick: 0, previous: NONE, next: NONE, place: None };
        if self.links.len() <= index(entry) {
            self.links.resize(index(entry) + 1, unset);
        }
        let tick = tick.clamp(self.present + 1, TICK_MAX);
        let differing = u64::BITS - 1 - (tick ^ self.present).leading_zeros();
        let level = usize::try_from(differing / SLOT_BITS).expect("a level is small");
        let at = slot(tick, level);
        assert!(at > slot(self.present, level), "what is due later stands in a later slot");
        let next = std::mem::replace(&mut self.heads[level][at], entry);
        if next != NONE {
            self.links[index(next)].previous = entry;
        }
        self.links[index(entry)] = Link { tick, previous: NONE, next, place: Some((level, at)) };
        self.occupied[level] |= 1 << at;
    }

    /// Takes `entry` out, if it was set.
    pub(super) fn remove(&mut self, entry: u32) {
        let Some(link) = self.links.get_mut(index(entry)) else { return };
        let Some((level, at)) = link.place.take() else { return };
        let (previous, next) = (link.previous, link.next);
        match previous {
            NONE => self.heads[level][at] = next,
            previous => self.links[index(previous)].next = next,
        }
        if next != NONE {
            self.links[index(next)].previous = previous;
        }
        if self.heads[level][at] == NONE {
            self.occupied[level] &= !(1 << at);
        }
    }

    /// The first slot with an entry: its level, its number, the tick at which it begins.
    fn first(&self) -> Option<(usize, usize, u64)> {
        let found = (0..LEVELS).find(|level| self.occupied[*level] != 0)?;
        let at = usize::try_from(self.occupied[found].trailing_zeros()).expect("below 64");
        assert!(at > slot(self.present, found), "entries stand in slots to come");
        let above = self.present >> (shift(found) + SLOT_BITS) << (shift(found) + SLOT_BITS);
        let begins = above | (u64::try_from(at).expect("below 64") << shift(found));
        Some((found, at, begins))
    }

    /// A tick at which to advance: no entry is due before it.
    pub(super) fn next_tick(&self) -> Option<u64> {
        self.first().map(|(_, _, begins)| begins)
    }

    /// Moves the present on to `tick` and appends what is due by then to `due`.
    pub(super) fn advance(&mut self, tick: u64, due: &mut Vec<u32>) {
        let tick = tick.min(TICK_MAX - 1);
        while let Some((level, at, begins)) = self.first() {
            if begins > tick {
                break;
            }
            self.present = begins;
            self.occupied[level] &= !(1 << at);
            let mut entry = std::mem::replace(&mut self.heads[level][at], NONE);
            while entry != NONE {
                let link = &mut self.links[index(entry)];
                assert_eq!(link.place, Some((level, at)), "an entry knows its place");
                let (own, next) = (link.tick, link.next);
                link.place = None;
                if own <= self.present {
                    due.push(entry);
                } else {
                    self.set(entry, own);
                }
                entry = next;
            }
        }
        self.present = self.present.max(tick);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::tests::Random;
    use std::collections::BTreeMap;

    #[test]
    fn entries_come_in_their_tick_and_never_before() {
        for seed in 1..=40 {
            let mut random = Random::new(seed);
            let mut present = random.below(1 << 30);
            let mut wheel = Wheel::new(present);
            let mut model = BTreeMap::<u32, u64>::new();
            for _ in 0..400 {
                let entry = u32::try_from(random.below(40)).unwrap();
                match random.below(5) {
                    0 => {
                        model.remove(&entry);
                        wheel.remove(entry);
                    }
                    1 | 2 => {
                        let bits = random.below(34);
                        let tick = (present + random.below(1 << bits)).saturating_sub(3);
                        wheel.set(entry, tick);
                        model.insert(entry, tick.max(present + 1));
                    }
                    _ => {
                        let bits = random.below(34);
                        present += random.below(1 << bits);
                        let mut due = Vec::new();
                        wheel.advance(present, &mut due);
                        due.sort_unstable();
                        let expected: Vec<_> =
                            model.iter().filter(|(_, tick)| **tick <= present).map(|(entry, _)| *entry).collect();
                        assert_eq!(due, expected, "seed {seed}");
                        model.retain(|_, tick| *tick > present);
                    }
                }
                let next = wheel.next_tick();
                assert_eq!(next.is_none(), model.is_empty(), "seed {seed}");
                assert!(next.is_none_or(|next| model.values().all(|tick| *tick >= next)), "seed {seed}");
            }
        }
    }

    #[test]
    fn the_farthest_tick_does_not_come() {
        let mut wheel = Wheel::new(7);
        wheel.set(3, u64::MAX);
        let mut due = Vec::new();
        wheel.advance(u64::MAX, &mut due);
        assert!(due.is_empty());
        wheel.set(4, 0);
        wheel.remove(3);
        assert!(wheel.next_tick().is_some());
    }
}
