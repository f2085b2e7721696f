//! ringbolt: an etcd v3 server on a thread-per-core io_uring engine.
//!
//! The modules stand in layer order; `tools/layers.txt` says which may use which, and `tests/tidy.rs` keeps it so.

pub mod codec;
pub mod limits;
pub mod proto;
pub mod types;

pub mod command;
pub mod tree;

pub mod mvcc;

pub mod apply;

pub mod net;
pub mod rpc;
pub mod service;
