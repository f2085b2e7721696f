//! Snapshots with the stock tools: etcdctl saves them, etcdutl reads and restores them, and real etcd started on what was
//! restored serves the same; and what else Maintenance does about versions and leadership, beside etcd.

// Tests panic on purpose and read the clock; the bans are for the product.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

#[path = "../client/mod.rs"]
mod client;
#[path = "../../src/bbolt/naive.rs"]
mod naive;

mod downgrade;
mod meanwhile;
mod round;
mod stores;
mod stream;
