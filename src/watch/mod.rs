//! The watchers of one shard: who is told of which changes, and what waits to be sent to whom.
//!
//! Must not know sockets, gRPC, raft or other shards.

mod deliver;
mod hub;
mod index;
mod intervals;
mod message;
mod queue;
mod reading;
mod requests;
mod slab;
mod span;
#[cfg(test)]
mod tests;
mod topic;
mod watcher;

pub use hub::{Bounds, Config, End, Hub, StreamId};
pub use requests::Create;
