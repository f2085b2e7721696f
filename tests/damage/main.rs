//! Damaged files under the data directory: served exactly, or refused with the file named; never a panic, a hang, wrong
//! or less data.
//!
//! `RINGBOLT_DAMAGE_SEED` and `RINGBOLT_DAMAGE_TRIALS` repeat or lengthen a run, `RINGBOLT_DAMAGE_ONLY` runs one trial.

// Tests panic on purpose and read the clock; the bans are for the product.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

#[path = "../client/mod.rs"]
mod client;

mod damage;
mod prepare;
mod trial;
mod trials;
