//! Carries out the plans of `wal` and `tree` on real files. Decides nothing: which bytes go where was settled by the pure
//! core, and what a failure means is settled by the replica.

pub mod bus_error;
pub mod checkpoint;
pub mod damage;
pub mod error;
pub mod log;
pub mod map;
pub mod open;
pub mod open_files;
pub mod read;
