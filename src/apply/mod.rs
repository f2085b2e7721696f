//! Applying what raft committed: entries in, a new root of the tree and the answers that local clients wait for out.
//!
//! Invariants
//! - Deterministic: the state after an entry depends on the state before it and the entry, on nothing else; not on how
//!   entries are grouped into calls, nor on whether somebody waits for an answer.
//! - The applied index is in the stamp of the root that holds the effect: one object, never two.
//!
//! Must not know sockets, clients, raft's messages or the log's files.

mod applier;
mod error;
mod lease;
#[cfg(test)]
mod lease_tests;
mod machine;
#[cfg(test)]
mod tests;

pub use applier::{Answer, Applied, Applier, CommittedEntry, Counts, Payload};
pub use error::Error;
