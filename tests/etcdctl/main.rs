//! The stock etcdctl, curl's requests and the habits of supervisors: what they see of the server under test is what they
//! see of etcd.

// Tests panic on purpose and read the clock; the bans are for the product.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

#[path = "../client/mod.rs"]
mod client;

mod alarms;
mod commands;
mod figures;
mod http;
mod metrics;
mod operations;
mod process;
mod run;
mod text;
mod watch_lease;
