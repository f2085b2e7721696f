//! What a member holds, as etcd keeps it: the buckets of etcd's store over one root, as a file or as a checksum.
//!
//! Must not know: who asks, how bytes travel.

mod contents;
mod error;
mod file;
mod hash;
mod rows;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use file::{Measuring, Writing};
pub use hash::Hashing;
pub use rows::Member;
