//! Seeded randomness: the same seed gives the same choices on every machine.
//!
//! **Invariants**: the stream depends on nothing but the seed and the calls made.

/// A xorshift64* generator.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// Starts from a seed; neighbouring seeds give unrelated streams.
    pub(crate) fn new(seed: u64) -> Self {
        // One round of splitmix64, so that small seeds do not start with small numbers. Never zero.
        let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Self { state: (z ^ (z >> 31)) | 1 }
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "an empty range has no number");
        self.next() % bound
    }

    /// A number of `low..=high`.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        assert!(low <= high, "{low}..={high} is empty");
        let span = u64::try_from(high.wrapping_sub(low)).expect("high is not below low");
        low.wrapping_add(i64::try_from(self.below(span.saturating_add(1))).expect("within the span"))
    }

    /// An index of a list of `length` things.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        let bound = u64::try_from(length).expect("a length fits 64 bits");
        usize::try_from(self.below(bound)).expect("below a length")
    }

    /// One of the list.
    pub(crate) fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.index(list.len())]
    }

    /// True `parts` times out of `whole`.
    pub(crate) fn chance(&mut self, parts: u64, whole: u64) -> bool {
        self.below(whole) < parts
    }
}

/// The seed that the environment asks for, or one that differs from run to run.
pub(crate) fn seed_from_env(variable: &str) -> u64 {
    if let Ok(text) = std::env::var(variable) {
        return text.parse().unwrap_or_else(|error| panic!("{variable}={text}: {error}"));
    }
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("the clock is past 1970");
    u64::from(since.subsec_nanos()) ^ (since.as_secs() << 20)
}
