//! A number that one shard writes and everybody may read.
//!
//! Invariants
//! - One writer: an addition is a load and a store, not an atomic operation on a shared line.
//! - A reader sees some value that was there lately; two cells may be of different moments.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts up, or holds the newest of a quantity.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub fn count(&self) {
        self.add(1);
    }

    /// Counts `more`.
    pub fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    /// Puts a new value up.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// What stands there.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
