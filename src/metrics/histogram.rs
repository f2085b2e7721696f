//! Distributions in buckets.
//!
//! Invariants
//! - A value is in the first bucket whose bound is not below it; what is above all bounds is in one more.
//! - One writer, as for every cell.

use super::cell::Counter;

/// Buckets of the largest scale, and one for what is above.
const CELLS: usize = 25;

/// The bounds of a histogram's buckets, in the unit that is observed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Scale {
    bounds: Bounds,
    /// Observed units in one that is shown: nanoseconds in a second.
    pub unit: f64,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Bounds {
    /// The first, doubled so many times.
    Doubling(u64, usize),
    /// These, ascending.
    Listed(&'static [u64]),
}

impl Scale {
    /// Seconds, observed in nanoseconds: `buckets` bounds from `first_nanos`, each twice the one before.
    pub const fn seconds(first_nanos: u64, buckets: usize) -> Self {
        assert!(first_nanos > 0 && buckets < CELLS, "a scale fits its cells");
        Self { bounds: Bounds::Doubling(first_nanos, buckets), unit: 1e9 }
    }

    /// Milliseconds, observed in nanoseconds.
    pub const fn millis(first_nanos: u64, buckets: usize) -> Self {
        Self { unit: 1e6, ..Self::seconds(first_nanos, buckets) }
    }

    /// Plain numbers.
    pub const fn numbers(first: u64, buckets: usize) -> Self {
        Self { unit: 1.0, ..Self::seconds(first, buckets) }
    }

    /// Seconds with bounds of their own, in nanoseconds.
    pub const fn listed(bounds: &'static [u64]) -> Self {
        assert!(bounds.len() < CELLS, "a scale fits its cells");
        Self { bounds: Bounds::Listed(bounds), unit: 1e9 }
    }

    /// How many bounds there are.
    pub fn len(&self) -> usize {
        match self.bounds {
            Bounds::Doubling(_, buckets) => buckets,
            Bounds::Listed(bounds) => bounds.len(),
        }
    }

    /// Whether there is no bound.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bound of a bucket.
    pub fn bound(&self, place: usize) -> u64 {
        match self.bounds {
            Bounds::Doubling(first, _) => first << place,
            Bounds::Listed(bounds) => bounds[place],
        }
    }

    /// The bucket of a value; `len()` for what is above all bounds.
    fn place(&self, value: u64) -> usize {
        match self.bounds {
            Bounds::Doubling(first, buckets) => {
                let steps = value.div_ceil(first).max(1) - 1;
                let place = usize::try_from(u64::BITS - steps.leading_zeros()).unwrap_or(buckets);
                place.min(buckets)
            }
            Bounds::Listed(bounds) => bounds.iter().position(|bound| value <= *bound).unwrap_or(bounds.len()),
        }
    }
}

/// One distribution of one shard.
#[derive(Debug)]
pub struct Histogram {
    scale: Scale,
    cells: [Counter; CELLS],
    sum: Counter,
}

impl Histogram {
    /// Nothing was observed yet.
    pub fn new(scale: Scale) -> Self {
        Self { scale, cells: std::array::from_fn(|_| Counter::default()), sum: Counter::default() }
    }

    /// Its buckets.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// Notes a value.
    pub fn observe(&self, value: u64) {
        self.observe_many(value, 1);
    }

    /// Notes a value that was met so often.
    pub fn observe_many(&self, value: u64, times: u64) {
        self.cells[self.scale.place(value)].add(times);
        self.sum.add(value.saturating_mul(times));
    }
}

/// The same distribution of several shards, added up.
#[derive(Clone, PartialEq, Debug)]
pub struct Sum {
    /// Its buckets.
    pub scale: Scale,
    /// Values in each bucket; the last is for what is above all bounds.
    pub buckets: Vec<u64>,
    /// All values together, in the unit observed.
    pub sum: u64,
}

impl Sum {
    /// Of nothing.
    pub fn new(scale: Scale) -> Self {
        Self { scale, buckets: vec![0; scale.len() + 1], sum: 0 }
    }

    /// Of these.
    pub fn of<'a>(scale: Scale, histograms: impl IntoIterator<Item = &'a Histogram>) -> Self {
        let mut sum = Self::new(scale);
        for histogram in histograms {
            assert_eq!(histogram.scale, scale, "only like is added up");
            sum.buckets.iter_mut().zip(&histogram.cells).for_each(|(total, cell)| *total += cell.get());
            sum.sum = sum.sum.wrapping_add(histogram.sum.get());
        }
        sum
    }

    /// Values observed.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}
