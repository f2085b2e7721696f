//! ringbolt: an etcd v3 server on a thread-per-core io_uring engine.
//!
//! The modules stand in layer order; `tools/layers.txt` says which may use which, and `tests/tidy.rs` keeps it so.

pub mod apply;
pub mod codec;
pub mod command;
pub mod limits;
pub mod mvcc;
pub mod proto;
pub mod raft;
pub mod replica;
pub mod tree;
pub mod types;
pub mod wal;
