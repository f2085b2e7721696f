//! Files of bbolt, the store that etcd keeps its data in and makes its snapshots of: written from front to back.
//!
//! Rows come in order, pages go out in order: leaves as they fill up, a branch when the last of its children is out, the
//! root at the very end. What stands in memory is one open page of each level. But the first two pages name the root,
//! and whoever gets the file wants its length first, so a file is made in two passes over the same rows: the first one is
//! told lengths only and finds the layout, the second writes.
//!
//! Invariants
//! - The layout follows from the keys and the lengths of the values alone, so both passes agree; a file that came out
//!   otherwise is an error.
//! - What is open is bounded by the levels and the largest value, not by the file.
//!
//! Must not know: what is stored in buckets.

mod format;
#[cfg(test)]
pub(crate) mod naive;
#[cfg(test)]
mod tests;
mod writer;

pub use writer::{Error, Layout, Writer};
