//! A set of page numbers as bits, with a summary, so that the next member is found without walking empty stretches.
//!
//! Invariants
//! - A summary bit is set exactly when its word is not zero; `count` is the number of members.

/// Bits in a word.
const BITS: u64 = 64;

/// A set of numbers below a bound that can grow.
#[derive(Clone, Debug, Default)]
pub(super) struct Bitmap {
    words: Vec<u64>,
    summary: Vec<u64>,
    count: u64,
}

/// Word and mask of a member.
fn place(at: u64) -> (usize, u64) {
    (super::page::index(at / BITS), 1 << (at % BITS))
}

impl Bitmap {
    /// Makes room for members below `bound`.
    pub(super) fn grow(&mut self, bound: u64) {
        let words = super::page::index(bound.div_ceil(BITS));
        if words > self.words.len() {
            self.words.resize(words, 0);
            self.summary.resize(words.div_ceil(64), 0);
        }
    }

    /// Members.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Whether `at` is a member.
    pub(super) fn contains(&self, at: u64) -> bool {
        let (word, mask) = place(at);
        self.words.get(word).is_some_and(|bits| bits & mask != 0)
    }

    /// Adds `at`; whether it was absent.
    pub(super) fn insert(&mut self, at: u64) -> bool {
        let (word, mask) = place(at);
        let absent = self.words[word] & mask == 0;
        self.words[word] |= mask;
        self.count += u64::from(absent);
        let (up, up_mask) = (word / 64, 1 << (word % 64));
        self.summary[up] |= up_mask;
        absent
    }

    /// Removes `at`; whether it was a member.
    pub(super) fn remove(&mut self, at: u64) -> bool {
        let (word, mask) = place(at);
        let present = self.words[word] & mask != 0;
        self.words[word] &= !mask;
        self.count -= u64::from(present);
        if self.words[word] == 0 {
            self.summary[word / 64] &= !(1 << (word % 64));
        }
        present
    }

    /// The word of members `at * 64` and following.
    pub(super) fn word(&self, at: u64) -> u64 {
        self.words.get(super::page::index(at)).copied().unwrap_or(0)
    }

    /// Sets the word of members `at * 64` and following.
    pub(super) fn set_word(&mut self, at: u64, bits: u64) {
        let at = super::page::index(at);
        let old = std::mem::replace(&mut self.words[at], bits);
        self.count = self.count - u64::from(old.count_ones()) + u64::from(bits.count_ones());
        let mask = 1 << (at % 64);
        if bits == 0 {
            self.summary[at / 64] &= !mask;
        } else {
            self.summary[at / 64] |= mask;
        }
    }

    /// The first member not below `from`.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        let (word, _) = place(from);
        let here = self.words.get(word)? & (u64::MAX << (from % BITS));
        if here != 0 {
            return Some(from / BITS * BITS + u64::from(here.trailing_zeros()));
        }
        let word = self.next_word(word + 1)?;
        Some(super::page::wide(word) * BITS + u64::from(self.words[word].trailing_zeros()))
    }

    /// The first word with members, not before `from`.
    fn next_word(&self, from: usize) -> Option<usize> {
        let mut up = from / 64;
        let mut bits = self.summary.get(up)? & (u64::MAX << (from % 64));
        while bits == 0 {
            up += 1;
            bits = *self.summary.get(up)?;
        }
        let low = super::page::index(u64::from(bits.trailing_zeros()));
        Some(up * 64 + low)
    }

    /// The first number not below `from` that is not a member.
    fn next_absent(&self, from: u64) -> u64 {
        let mut at = from;
        loop {
            let bits = !self.word(at / BITS) & (u64::MAX << (at % BITS));
            if bits != 0 {
                return at / BITS * BITS + u64::from(bits.trailing_zeros());
            }
            at = (at / BITS + 1) * BITS;
        }
    }

    /// The next stretch of members at or after `from`: its first and its length.
    pub(super) fn next_stretch(&self, from: u64) -> Option<(u64, u64)> {
        let first = self.next(from)?;
        Some((first, self.next_absent(first) - first))
    }

    /// The first `count` neighbouring members that start in `from..to`.
    pub(super) fn find_run(&self, from: u64, to: u64, count: u64) -> Option<u64> {
        let mut at = from;
        while let Some((first, length)) = self.next_stretch(at) {
            if first >= to {
                return None;
            }
            if length >= count {
                return Some(first);
            }
            at = first + length;
        }
        None
    }

    /// The last member.
    pub(super) fn last(&self) -> Option<u64> {
        let word = self.words.iter().rposition(|bits| *bits != 0)?;
        Some(super::page::wide(word) * BITS + 63 - u64::from(self.words[word].leading_zeros()))
    }

    /// Removes every member.
    pub(super) fn clear(&mut self) {
        let mut at = 0;
        while let Some(word) = self.next_word(at) {
            self.words[word] = 0;
            self.summary[word / 64] &= !(1 << (word % 64));
            at = word + 1;
        }
        self.count = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn agrees_with_an_ordinary_set() {
        for seed in 1..20u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut next = |bound: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % bound
            };
            let bound = 1 + next(9000);
            let (mut bitmap, mut model) = (Bitmap::default(), BTreeSet::new());
            bitmap.grow(bound);
            for _ in 0..3000 {
                let at = next(bound);
                if next(3) == 0 {
                    assert_eq!(bitmap.remove(at), model.remove(&at), "seed {seed}");
                } else {
                    assert_eq!(bitmap.insert(at), model.insert(at), "seed {seed}");
                }
                let probe = next(bound);
                assert_eq!(bitmap.next(probe), model.range(probe..).next().copied(), "seed {seed}");
                assert_eq!(bitmap.contains(probe), model.contains(&probe), "seed {seed}");
            }
            assert_eq!(bitmap.count(), u64::try_from(model.len()).unwrap());
            assert_eq!(bitmap.last(), model.last().copied());
            let run = (0..bound).find(|first| (0..3).all(|step| model.contains(&(first + step))));
            assert_eq!(bitmap.find_run(0, bound, 3), run, "seed {seed}");
            bitmap.clear();
            assert_eq!((bitmap.count(), bitmap.next(0)), (0, None));
        }
    }
}
