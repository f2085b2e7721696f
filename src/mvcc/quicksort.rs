//! Sorting by a number so that equal ones end where etcd leaves them.
//!
//! etcd sorts with Go's `sort.Sort`, which is not stable, and a limit then cuts what it left behind: clients see the order
//! of pairs that compare equal, and which of them they get. So the same decisions are made here as Go (since 1.19) makes:
//! pattern-defeating quicksort with its pivots, its thresholds and its pseudo-random shuffle, which is seeded by the
//! length alone.
//!
//! Invariants
//! - The result depends on the numbers and their first order alone.
//! - One step treats one span: it costs the span's length, and spans shrink. The stack holds at most a span for each
//!   level of the recursion it stands for.

use super::work::{Progress, Work, wide};

/// Spans up to this length are sorted by insertion.
const INSERTION_MAX: usize = 12;
/// From this length on a pivot is the median of three medians.
const NINTHER_MIN: usize = 50;
/// Swaps that choosing a pivot makes when the span runs backwards.
const PIVOT_SWAPS_MAX: u32 = 12;
/// Pairs out of order that are put right before a span is given up as not nearly sorted.
const REPAIRS_MAX: u32 = 5;
/// Shorter spans are not repaired at all.
const REPAIR_LENGTH_MIN: usize = 50;

/// A number and the place it came from.
#[derive(Clone, Copy, Debug)]
struct Item {
    number: i64,
    place: usize,
}

/// `items[start..end]`, still to be sorted.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
    /// Bad pivots left before heap sort takes over.
    bad_left: u32,
    /// Whether the last partition of this span was balanced.
    balanced: bool,
    /// Whether the last partition found everything in place.
    partitioned: bool,
}

/// What choosing a pivot tells of a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hint {
    Unknown,
    Increasing,
    Decreasing,
}

/// A sort in progress.
#[derive(Debug)]
pub(super) struct Quicksort {
    items: Vec<Item>,
    descending: bool,
    spans: Vec<Span>,
}

impl Quicksort {
    /// Sorts `numbers`, which stand in the order of their keys.
    pub(super) fn new(numbers: impl Iterator<Item = i64>, descending: bool) -> Self {
        let items: Vec<Item> = numbers.enumerate().map(|(place, number)| Item { number, place }).collect();
        let bad_left = bits(items.len());
        let whole = Span { start: 0, end: items.len(), bad_left, balanced: true, partitioned: true };
        Self { items, descending, spans: vec![whole] }
    }

    /// Sorts on until it is done or the work is spent.
    pub(super) fn step(&mut self, work: &mut Work) -> Progress {
        while let Some(span) = self.spans.pop() {
            assert!(span.start <= span.end && span.end <= self.items.len(), "a span of the items: {span:?}");
            // Comparing numbers in memory is far cheaper than looking at cells.
            if !work.spend((span.end - span.start) / 16 + 1) {
                self.spans.push(span);
                return Progress::More;
            }
            self.sort(span);
        }
        Progress::Done
    }

    /// The place from which the item at `place` of the sorted order came.
    pub(super) fn place(&self, place: usize) -> usize {
        assert!(self.spans.is_empty(), "the order is known once it is sorted");
        self.items[place].place
    }

    /// One round: sorts a short span, or parts it and leaves the parts on the stack.
    fn sort(&mut self, mut span: Span) {
        let Span { start, end, .. } = span;
        let length = end - start;
        if length <= INSERTION_MAX {
            return self.insertion_sort(start, end);
        }
        if span.bad_left == 0 {
            return self.heap_sort(start, end);
        }
        if !span.balanced {
            self.break_patterns(start, end);
            span.bad_left -= 1;
        }
        let (mut pivot, mut hint) = self.choose_pivot(start, end);
        if hint == Hint::Decreasing {
            self.items[start..end].reverse();
            pivot = (end - 1) - (pivot - start);
            hint = Hint::Increasing;
        }
        assert!((start..end).contains(&pivot), "a pivot is chosen from its span");
        let looks_sorted = span.balanced && span.partitioned && hint == Hint::Increasing;
        if looks_sorted && self.repair(start, end) {
            return;
        }
        // The item before the span is not above any of it: if it equals the pivot, so does everything not above that.
        if start > 0 && !self.less(start - 1, pivot) {
            span.start = self.part_equal(start, end, pivot);
            return self.spans.push(span);
        }
        let (middle, partitioned) = self.part(start, end, pivot);
        span.partitioned = partitioned;
        let (left, right) = (middle - start, end - middle);
        let fresh = Span { balanced: true, partitioned: true, ..span };
        let (rest, first) = if left < right {
            (Span { start: middle + 1, balanced: left >= length / 8, ..span }, Span { end: middle, ..fresh })
        } else {
            (Span { end: middle, balanced: right >= length / 8, ..span }, Span { start: middle + 1, ..fresh })
        };
        self.spans.push(rest);
        self.spans.push(first);
    }

    fn less(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.items[a].number, self.items[b].number);
        if self.descending { b < a } else { a < b }
    }

    fn insertion_sort(&mut self, start: usize, end: usize) {
        for next in start + 1..end {
            self.sink(next, start);
        }
    }

    /// Swaps the item at `at` downwards while it is below its neighbour, at most to `floor`.
    fn sink(&mut self, mut at: usize, floor: usize) {
        while at > floor && self.less(at, at - 1) {
            self.items.swap(at, at - 1);
            at -= 1;
        }
    }

    fn heap_sort(&mut self, start: usize, end: usize) {
        let length = end - start;
        for root in (0..=(length - 1) / 2).rev() {
            self.sift_down(root, length, start);
        }
        for last in (0..length).rev() {
            self.items.swap(start, start + last);
            self.sift_down(0, last, start);
        }
    }

    fn sift_down(&mut self, mut root: usize, length: usize, start: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= length {
                return;
            }
            if child + 1 < length && self.less(start + child, start + child + 1) {
                child += 1;
            }
            if !self.less(start + root, start + child) {
                return;
            }
            self.items.swap(start + root, start + child);
            root = child;
        }
    }

    /// Puts a few pairs out of order right; true if the span is sorted then.
    fn repair(&mut self, start: usize, end: usize) -> bool {
        let mut at = start + 1;
        for _ in 0..REPAIRS_MAX {
            while at < end && !self.less(at, at - 1) {
                at += 1;
            }
            if at == end {
                return true;
            }
            if end - start < REPAIR_LENGTH_MIN {
                return false;
            }
            self.items.swap(at, at - 1);
            if at - start >= 2 {
                self.sink(at - 1, 0);
            }
            if end - at >= 2 {
                self.rise(at + 1, end);
            }
        }
        false
    }

    /// Swaps the item before `at` upwards while its neighbour is below it.
    fn rise(&mut self, mut at: usize, end: usize) {
        while at < end && self.less(at, at - 1) {
            self.items.swap(at, at - 1);
            at += 1;
        }
    }

    /// Scatters three items of the middle.
    fn break_patterns(&mut self, start: usize, end: usize) {
        let length = end - start;
        assert!(length >= 8, "short spans are sorted by insertion");
        let mut state = wide(length);
        let mask = (1u64 << bits(length)) - 1;
        let middle = start + (length / 4) * 2;
        for at in middle - 1..=middle + 1 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let drawn = usize::try_from(state & mask).expect("below twice the length");
            let other = if drawn >= length { drawn - length } else { drawn };
            self.items.swap(at, start + other);
        }
    }

    fn choose_pivot(&self, start: usize, end: usize) -> (usize, Hint) {
        let length = end - start;
        assert!(length >= 8, "short spans are sorted by insertion");
        let mut swaps = 0;
        let mut quarters = [1, 2, 3].map(|quarter| start + length / 4 * quarter);
        if length >= NINTHER_MIN {
            quarters = quarters.map(|at| self.median([at - 1, at, at + 1], &mut swaps));
        }
        let pivot = self.median(quarters, &mut swaps);
        let hint = match swaps {
            0 => Hint::Increasing,
            PIVOT_SWAPS_MAX => Hint::Decreasing,
            _ => Hint::Unknown,
        };
        (pivot, hint)
    }

    fn median(&self, [a, b, c]: [usize; 3], swaps: &mut u32) -> usize {
        let mut order = |low: usize, high: usize| {
            let swapped = self.less(high, low);
            *swaps += u32::from(swapped);
            if swapped { (high, low) } else { (low, high) }
        };
        let (a, b) = order(a, b);
        let (b, _) = order(b, c);
        let (_, b) = order(a, b);
        b
    }

    /// Parts a span into what is below the pivot and what is not; where the pivot ended, and whether nothing moved.
    fn part(&mut self, start: usize, end: usize, pivot: usize) -> (usize, bool) {
        self.items.swap(start, pivot);
        let (mut low, mut high) = (start + 1, end - 1);
        let mut in_place = true;
        loop {
            while low <= high && self.less(low, start) {
                low += 1;
            }
            while low <= high && !self.less(high, start) {
                high -= 1;
            }
            if low > high {
                break;
            }
            self.items.swap(low, high);
            in_place = false;
            low += 1;
            high -= 1;
        }
        self.items.swap(high, start);
        (high, in_place)
    }

    /// Parts a span, none of which is below the pivot, into what equals it and what is above; where the latter begins.
    fn part_equal(&mut self, start: usize, end: usize, pivot: usize) -> usize {
        self.items.swap(start, pivot);
        let (mut low, mut high) = (start + 1, end - 1);
        loop {
            while low <= high && !self.less(start, low) {
                low += 1;
            }
            while low <= high && self.less(start, high) {
                high -= 1;
            }
            if low > high {
                return low;
            }
            self.items.swap(low, high);
            low += 1;
            high -= 1;
        }
    }
}

/// Bits that a number takes.
fn bits(number: usize) -> u32 {
    usize::BITS - number.leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::crc32c;

    const RECORDED: &str = include_str!("tests/order.txt");

    /// The numbers of a recorded case.
    fn numbers(length: usize, pattern: u64) -> Vec<i64> {
        let wide = u64::try_from(length).unwrap();
        let mut state = (wide * 1_000_003 + pattern).wrapping_add(88_172_645_463_325_252);
        let mut next = |bound: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % bound
        };
        (0..wide)
            .map(|at| {
                let number = match pattern {
                    0 => next(3),
                    1 => next(10),
                    2 => next(wide),
                    3 => at / 7,
                    4 => (wide - at) / 7,
                    5 => at % 11,
                    6 => 1,
                    7 => {
                        if next(50) == 0 {
                            next(wide)
                        } else {
                            at
                        }
                    }
                    _ if at % 2 == 0 => at / 4,
                    _ => (wide - at) / 4,
                };
                i64::try_from(number).unwrap()
            })
            .collect()
    }

    fn checksum(sort: &Quicksort) -> u32 {
        let places = (0..sort.items.len()).map(|at| u32::try_from(sort.place(at)).unwrap());
        let bytes: Vec<u8> = places.flat_map(u32::to_le_bytes).collect();
        crc32c(0, &bytes)
    }

    #[test]
    fn equal_items_end_where_go_leaves_them() {
        let mut cases = 0;
        for line in RECORDED.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<u64> = line.split_whitespace().map(|field| field.parse().unwrap()).collect();
            let [length, pattern, way, expected] = fields[..] else { panic!("a case has four fields") };
            let numbers = numbers(usize::try_from(length).unwrap(), pattern);
            let mut sort = Quicksort::new(numbers.into_iter(), way == 1);
            if way == 2 {
                sort.spans.clear();
                if length > 0 {
                    sort.heap_sort(0, sort.items.len());
                }
            }
            while sort.step(&mut Work::cells(7)) == Progress::More {}
            assert_eq!(u64::from(checksum(&sort)), expected, "{line}");
            let sorted = |a: &Item, b: &Item| if way == 1 { a.number >= b.number } else { a.number <= b.number };
            assert!(sort.items.is_sorted_by(sorted), "{line}");
            cases += 1;
        }
        assert_eq!(cases, 14 * 9 * 3, "the recording was read whole");
    }

    #[test]
    fn the_stack_stays_flat() {
        let mut sort = Quicksort::new(numbers(20_000, 2).into_iter(), false);
        let mut deepest = 0;
        while sort.step(&mut Work::cells(1)) == Progress::More {
            deepest = deepest.max(sort.spans.len());
        }
        assert!(deepest < 32, "{deepest} spans wait");
    }
}
