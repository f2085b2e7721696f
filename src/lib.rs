//! ringbolt: an etcd v3 server on a thread-per-core io_uring engine. The modules stand in layer order; `tools/layers.txt` says
//! which may use which, and `tests/tidy` keeps it so.

#![doc = include_str!("ARCHITECTURE.md")]

// Leaves.
pub mod limits;
pub mod types;
pub mod codec;
pub mod gotext;
pub mod identity;
pub mod x509;
pub mod proto;
pub mod command;

// Pure core: no I/O, clock, randomness, async or locks.
pub mod bbolt;
pub mod tree;
pub mod wal;
pub mod lease;
pub mod mvcc;
pub mod watch;
pub mod alarm;
pub mod cluster;
pub mod backup;
pub mod apply;
pub mod raft;
pub mod replica;

// Shell.
pub mod log;
pub mod config;
pub mod tls;
pub mod metrics;
pub mod preflight;
pub mod disk;
pub mod net;
pub mod rpc;
pub mod service;
pub mod shard;
pub mod start;
