//! How the versions of a key hang together: the index holds the newest alone, and each version links to earlier ones.
//!
//! The versions of a key are numbered from 1. The row of number *n* in the history links to the numbers n - 1, n - 2,
//! n - 4 … n - 2^z, where z is the number of zeros at the end of *n* in binary; so a reader in the past halves the way
//! that is left with each link. The index holds the newest version's links and those that its successors will need: the
//! numbers that are left when the lowest one of *n* is cleared again and again. Worked example:
//!
//! ```text
//! number         1   2   3      4      5   6      7
//! row's links    -   1   2      3 2    4   5 4    6
//! index's links  -   1   2      3 2    4   5 4    6 4
//! ```
//! In general the index of n + 1 links to *n* and to the index's links of *n* without the first z of them; its row to the
//! first of these, one more than n + 1 has zeros.
//!
//! Numbers end at `MVCC_VERSION_NUMBER_MAX`, so that links fit into a head: behind it comes half of it and one, as if the last
//! one had been the half, whose links beyond itself are none either. A way further back leads over those.
//!
//! Each link is coded by the distance of its revision from the one before it in the list, and its sub revision. How many
//! there are follows from the number.
//!
//! Invariants
//! - Links go back in time, strictly; so every search ends.
//! - A link to a version that a compaction removed is followed by nobody who may read: the way leads over versions that are
//!   newer than what is looked for.

use super::Error;
use super::at::At;
use super::work::wide;
use crate::codec::{Reader, put_varint};
use crate::limits::MVCC_VERSION_NUMBER_MAX;
use crate::types::Revision;

/// The links of one version, as they stand in its cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain<'a> {
    /// Its number among the versions of its key.
    number: u64,
    /// When it was written.
    at: At,
    links: &'a [u8],
}

/// The links that a new version gets.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct NewChain {
    number: u64,
    links: Vec<At>,
}

impl<'a> Chain<'a> {
    /// Reads the end of a head.
    pub(super) fn parse(at: At, mut reader: Reader<'a>) -> Result<Self, Error> {
        let number = reader.varint().map_err(|_| Error::Damaged("number of a version"))?;
        if number == 0 || number > MVCC_VERSION_NUMBER_MAX {
            return Err(Error::Damaged("number of a version"));
        }
        Ok(Self { number, at, links: reader.rest() })
    }

    /// Its links, the newest first.
    pub(super) fn links(&self) -> Links<'a> {
        Links { from: self.at, reader: Reader::new(self.links) }
    }

    /// The version before it; `None` if it is the first.
    pub(super) fn previous(&self) -> Result<Option<At>, Error> {
        match self.links().next().transpose()? {
            None if self.number > 1 => Err(Error::Damaged("a version without its links")),
            previous => Ok(previous),
        }
    }

    /// The link to the oldest version that is not older than `at`.
    pub(super) fn oldest_from(&self, at: At) -> Result<Option<At>, Error> {
        let mut found = None;
        for link in self.links() {
            let link = link?;
            if link < at {
                break;
            }
            found = Some(link);
        }
        Ok(found)
    }
}

/// Walks along links.
pub(super) struct Links<'a> {
    from: At,
    reader: Reader<'a>,
}

impl Links<'_> {
    fn read(&mut self) -> Option<At> {
        let distance = i64::try_from(self.reader.varint().ok()?).ok()?;
        let sub = u32::try_from(self.reader.varint().ok()?).ok()?;
        let link = At { main: Revision(self.from.main.0.checked_sub(distance)?), sub };
        (link.main.0 >= 1 && link < self.from).then_some(link)
    }
}

impl Iterator for Links<'_> {
    type Item = Result<At, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let Some(link) = self.read() else {
            self.reader = Reader::new(&[]);
            return Some(Err(Error::Damaged("links of a version")));
        };
        self.from = link;
        Some(Ok(link))
    }
}

impl NewChain {
    /// That of the version after the newest one, whose chain the index has; of a key's first version without one.
    pub(super) fn after(newest: Option<&Chain<'_>>) -> Result<Self, Error> {
        let Some(newest) = newest else { return Ok(Self { number: 1, links: Vec::new() }) };
        let is_last = newest.number == MVCC_VERSION_NUMBER_MAX;
        let number = 1 + if is_last { newest.number / 2 } else { newest.number };
        let (mut links, mut known) = (vec![newest.at], 0);
        for link in newest.links() {
            let link = link?;
            if known >= zeros(newest.number) {
                links.push(link);
            }
            known += 1;
        }
        // The index links once for each zero at the end, and once for each one but the last.
        if wide(known + 1) != wide(zeros(newest.number)) + u64::from(newest.number.count_ones()) {
            return Err(Error::Damaged("links of a version"));
        }
        Ok(Self { number, links })
    }

    /// Appends the links that the index holds.
    pub(super) fn put_in_index(&self, at: At, out: &mut Vec<u8>) {
        self.put(at, self.links.len(), out);
    }

    /// Appends the links that the row holds.
    pub(super) fn put_in_row(&self, at: At, out: &mut Vec<u8>) {
        self.put(at, self.links.len().min(zeros(self.number) + 1), out);
    }

    fn put(&self, at: At, count: usize, out: &mut Vec<u8>) {
        put_varint(out, self.number);
        let mut from = at;
        for link in &self.links[..count] {
            assert!(*link < from, "links go back in time");
            put_varint(out, (from.main.0 - link.main.0).cast_unsigned());
            put_varint(out, u64::from(link.sub));
            from = *link;
        }
    }
}

/// Zeros at the end of a number in binary.
fn zeros(number: u64) -> usize {
    usize::try_from(number.trailing_zeros()).expect("at most 64")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When the version at a place, from 1, was written: some of them in one txn.
    fn at(place: u64) -> At {
        At { main: Revision((place / 2 + 10).cast_signed()), sub: u32::try_from(place % 2).unwrap() }
    }

    fn place_of(at: At) -> u64 {
        (at.main.0.cast_unsigned() - 10) * 2 + u64::from(at.sub)
    }

    fn places(chain: &Chain<'_>) -> Vec<u64> {
        chain.links().map(|link| place_of(link.unwrap())).collect()
    }

    /// The encoded chains of one version after the other, index's and row's.
    struct Versions(Vec<[Vec<u8>; 2]>);

    impl Versions {
        fn new(count: u64) -> Self {
            let mut found = Self(Vec::new());
            for place in 1..=count {
                let newest = (place > 1).then(|| found.index(place - 1));
                let chain = NewChain::after(newest.as_ref()).unwrap();
                let mut encoded = [Vec::new(), Vec::new()];
                chain.put_in_index(at(place), &mut encoded[0]);
                chain.put_in_row(at(place), &mut encoded[1]);
                found.0.push(encoded);
            }
            found
        }

        fn parse(&self, place: u64, which: usize) -> Chain<'_> {
            Chain::parse(at(place), Reader::new(&self.0[usize::try_from(place - 1).unwrap()][which])).unwrap()
        }

        fn index(&self, place: u64) -> Chain<'_> {
            self.parse(place, 0)
        }

        fn row(&self, place: u64) -> Chain<'_> {
            self.parse(place, 1)
        }

        /// Searches that lead from the newest to `wanted`.
        fn steps(&self, newest: u64, wanted: u64) -> usize {
            let (mut place, mut chain, mut steps) = (newest, self.index(newest), 0);
            while let Some(link) = chain.oldest_from(at(wanted)).unwrap() {
                place = place_of(link);
                (chain, steps) = (self.row(place), steps + 1);
            }
            assert_eq!(place, wanted);
            steps
        }
    }

    #[test]
    fn rows_link_by_powers_of_two() {
        let versions = Versions::new(2000);
        for place in 1..=2000u64 {
            let powers = (0..=place.trailing_zeros()).map(|power| 1 << power).filter(|power| *power < place);
            assert_eq!(places(&versions.row(place)), powers.map(|power| place - power).collect::<Vec<_>>());
        }
        let links = [5, 6, 7, 8].map(|place| places(&versions.index(place)));
        assert_eq!(links, [vec![4], vec![5, 4], vec![6, 4], vec![7, 6, 4]]);
        assert_eq!(versions.row(1).previous(), Ok(None));
        assert_eq!(versions.row(7).previous(), Ok(Some(at(6))));
    }

    #[test]
    fn every_version_is_found_in_few_steps() {
        let versions = Versions::new(1500);
        for newest in [1u64, 2, 3, 700, 1023, 1024, 1500] {
            for wanted in 1..=newest {
                let steps = versions.steps(newest, wanted);
                assert!(steps <= 20, "{steps} steps from {newest} to {wanted}");
            }
        }
    }

    #[test]
    fn numbers_that_begin_again_lose_nobody() {
        let last = MVCC_VERSION_NUMBER_MAX;
        let count = 5 * last;
        let versions = Versions::new(count);
        for place in 1..=count {
            let previous = versions.row(place).previous().unwrap();
            assert_eq!(previous.map(place_of), (place > 1).then(|| place - 1));
            let links = versions.index(place).links().count();
            assert!(links <= 14, "{links} links at {place}");
        }
        for newest in [last, last + 1, 2 * last - 1, count - 77, count] {
            for wanted in (1..=newest).step_by(997) {
                let steps = versions.steps(newest, wanted);
                assert!(steps <= 40, "{steps} steps from {newest} to {wanted}");
            }
        }
    }

    #[test]
    fn damaged_links_are_errors() {
        let here = At { main: Revision(9), sub: 0 };
        for bytes in [&[][..], &[0], &[0x80]] {
            assert!(Chain::parse(here, Reader::new(bytes)).is_err());
        }
        // Cut, not back in time, before the first revision; and too few for the number.
        for bytes in [&[2, 1][..], &[2, 0, 0], &[2, 9, 0], &[4]] {
            let chain = Chain::parse(here, Reader::new(bytes)).unwrap();
            assert!(chain.previous().is_err() || chain.oldest_from(At::FIRST).is_err(), "{bytes:?}");
            assert!(NewChain::after(Some(&chain)).is_err(), "{bytes:?}");
        }
    }
}
