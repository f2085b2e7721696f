//! What every black-box test shares: a small gRPC client that can also send bad input, server processes with their
//! ports, directories and logs, the oracle's binaries, and seeded randomness.
//!
//! **Invariants**: no test waits by sleeping where an event can be awaited; a process is ended by its own handle only;
//! what a failing test needs for a second look (log, data directory) is kept and named.
//!
//! Must not know which server it talks to: every test takes a `Program`.

// Each test target uses its own part of this module.
#![allow(dead_code, unused_imports)]

mod duplex;
mod grpc;
mod http;
mod kv;
mod oracle;
mod process;
mod random;
mod scratch;

pub(crate) use duplex::{Duplex, Received};
pub(crate) use grpc::{Answer, Call, Connection, Frame, InFlight, Lost, frame};
pub(crate) use http::{HttpAnswer, http_get};
pub(crate) use kv::{CallError, Client, Status, code};
pub(crate) use oracle::{oracle, oracle_is_old, oracle_version, server_under_test, tool};
pub(crate) use process::{Failed, PATIENCE, Program, READY, Server, free_address, member_flags};
pub(crate) use random::{Random, seed_from_env};
pub(crate) use scratch::Scratch;
