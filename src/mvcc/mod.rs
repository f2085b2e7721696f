//! The multi-version store: keys, their versions and revisions over the tree.
//!
//! Invariants
//! - Every rule of etcd's about ranges, puts, deletes, txns, compaction and HashKV is here and nowhere else.
//! - Reads need a view of one root and nothing more; they run on any shard.
//!
//! Must not know raft, requests' tickets, sessions or sockets.

mod at;
mod bounds;
mod chain;
pub mod check;
mod compact;
mod compare;
mod count;
mod error;
mod feed;
mod hash;
mod history;
mod intervals;
mod lease;
mod plan;
mod position;
mod quicksort;
mod range;
mod ranking;
mod remembered;
mod row;
mod row_key;
mod rows;
mod scan;
mod sort;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod txn;
mod walk;
mod wire;
mod work;
mod write;

pub use compact::{Compaction, compact_step, resume_compaction};
pub use count::keys_deleted;
pub use error::Error;
pub use feed::{Event, Feed, Place, Seen, Visit};
pub use hash::{HashKv, KvHash};
pub use position::Position;
pub use range::range;
pub use row_key::RowKey;
pub use rows::{Row, Rows, Walk, compaction_marks};
pub use scan::Scan;
pub use stream::{SortedChunks, StreamEnd};
pub use txn::read_only_txn;
pub use wire::Tail;
pub use work::{Progress, Work};
pub use write::{Counts, Want, Writer};
