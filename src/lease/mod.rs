//! Leases: the rows that say which there are and which keys hang on them, and the leader's clock over them.
//!
//! Must not know keys' versions, requests' tickets, raft or sockets.

mod error;
mod lessor;
mod table;
#[cfg(test)]
mod tests;
mod wheel;

pub use error::Error;
pub use lessor::{Config, Lessor, Remaining, Renewal};
pub use table::{
    Change, Lease, all, attached, attached_count, checkpoint, exists, find, grant, page, reattach, remove, ttl_raised,
    ttl_seconds_min,
};
