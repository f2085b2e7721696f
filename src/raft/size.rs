//! Lengths as numbers.
//!
//! Invariants
//! - The one place where a length of memory becomes a number of the formats and limits.

/// A length as a `u64`.
pub fn wide(length: usize) -> u64 {
    u64::try_from(length).expect("a usize has at most 64 bits")
}
