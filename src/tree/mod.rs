//! One file of copy-on-write B+trees: the state machine's store.
//!
//! A single writer changes trees in transactions and publishes each at once; readers on every shard pin what is published
//! and read it where it lies, without locks. Checkpoints write behind. The file's format is in `src/FORMAT.md`.

mod bitmap;
mod check;
mod checkpoint;
mod cursor;
mod edit;
mod error;
mod freemap;
mod fuzz;
mod holds;
mod key;
mod meta;
mod mutate;
mod node;
mod page;
mod readers;
mod restructure;
mod snapshot;
mod space;
mod store;
mod sweep;
mod txn;
mod view;

#[cfg(test)]
mod tests;

pub use check::CheckReport;
pub use checkpoint::{CheckpointDone, CheckpointPlan};
pub use cursor::Cursor;
pub use error::Error;
pub use fuzz::{fuzz_meta, fuzz_page};
pub use holds::PageRange;
pub use key::TreeId;
pub use page::{Arena, Page};
pub use readers::{Pinned, Reader, Shared};
pub use snapshot::Stamp;
pub use space::GiveBack;
pub use store::{Config, GrowPlan, Stats, Tree};
pub use sweep::Sweep;
pub use txn::Txn;
pub use view::{Cell, Lend, View};
