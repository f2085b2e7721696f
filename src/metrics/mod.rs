//! What the process counts of itself, and how `/metrics` shows it.
//!
//! Each shard writes cells of its own, with plain loads and stores; whoever is scraped sums the cells of all.
//!
//! Invariants
//! - Counting allocates nothing, locks nothing and never contends for a cache line.
//! - Names, types, helps, labels and buckets of etcd's families are etcd's; families of our own begin with `ringbolt_`.
//!
//! Must not know: who counts what for which reason.

mod cell;
mod clients;
mod families;
mod front;
mod histogram;
mod method;
mod process;
mod registry;
mod replica;
mod stopwatch;
#[cfg(test)]
mod tests;
mod text;
mod zeros;

pub use cell::Counter;
pub use clients::{Clients, Shape};
pub use front::{Check, Front, RequestKind};
pub use histogram::{Histogram, Scale, Sum};
pub use method::{CODES, Method};
pub use process::Process;
pub use registry::Registry;
pub use replica::{Operation, Replica};
pub use stopwatch::{Stopwatch, unix_micros, unix_seconds};
pub use text::{Page, Type};
