//! The same operations sent to the server under test and to real etcd: every answer is compared field by field.
//!
//! `RINGBOLT_DIFF_SEED` and `RINGBOLT_DIFF_OPS` repeat or lengthen a run; a failing one prints the command.

// Tests panic on purpose and read the clock; the bans are for the product.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

#[path = "../client/mod.rs"]
mod client;

mod bad_input;
mod floods;
mod generate;
mod gzip;
mod known;
mod leases;
mod op;
mod pair;
mod quota;
mod random;
mod requests;
mod shrink;
mod streams;
mod ties;
mod watches;
