//! Attacks on the client port of the real binary, each beside a good client whose calls must all succeed meanwhile, with
//! the server's memory held against the bound that `limits.rs` states for the attack.
//!
//! **Invariants**: attackers speak through raw sockets; nothing waits by sleeping; times are judged by nothing but the
//! patience after which something counts as hung; randomness is seeded and its seed printed.

// Tests panic on purpose and read the clock; the bans are for the product.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

#[path = "../client/mod.rs"]
mod client;

mod arena;
mod bounds;
mod connections;
mod control;
mod descriptors;
mod handshakes;
mod headers;
mod messages;
mod raw;
mod readers;
