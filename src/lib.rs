//! ringbolt: an etcd v3 server on a thread-per-core io_uring engine.
//!
//! The modules stand in layer order; `tools/layers.txt` says which may use which, and `tests/tidy.rs` keeps it so.

pub mod codec;
pub mod config;
pub mod gotext;
pub mod identity;
pub mod limits;
pub mod log;
pub mod preflight;
pub mod proto;
pub mod types;
