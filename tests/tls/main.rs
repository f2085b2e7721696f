//! TLS, Unix sockets and the several listeners, on the real binary; where behaviours are compared, beside real etcd.
//!
//! **Invariants**: certificates are made by each test; nothing waits by sleeping.

// Tests panic on purpose and read the clock; the bans are for the product.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

#[path = "../client/mod.rs"]
mod client;

mod abuse;
mod auto;
mod clients;
mod listeners;
mod pki;
mod refusals;
mod reload;
mod run;
mod sockets;
mod start;
mod wire;
