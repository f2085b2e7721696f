//! The real binary under load, killed at random moments: every acknowledged write is there afterwards, as it was told.
//!
//! `RINGBOLT_CRASH_SEED` and `RINGBOLT_CRASH_ROUNDS` repeat or lengthen a run; a failing one prints the command.

// Tests panic on purpose and read the clock; the bans are for the product.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

#[path = "../client/mod.rs"]
mod client;

mod check;
mod load;
mod model;
mod rounds;
