//! One file of copy-on-write B+trees: the state machine's store.
//!
//! A single writer changes trees in transactions and publishes each at once; readers on every shard pin what is published
//! and read it where it lies, without locks. Checkpoints write behind. The file's format is in `src/FORMAT.md`.
//!
//! What the shell does for it, each step in the order given and all on one queue:
//! 1. `plan_grow`: allocate the range in the file, map it, then `on_grow_done`, or `on_grow_failed`.
//! 2. `plan_checkpoint`: write `ranges` and `map_blocks`; barrier; write `meta`; barrier; drop its own copies of the written
//!    pages and call `Shared::forget_verified` for them, if it keeps such; then `on_checkpoint_done`. A failure of any of
//!    these stops the member.
//! 3. What `on_checkpoint_done` gives back: truncate, punch; before any grow plan made later.
//!
//! A store that is nearly full still needs a few pages to delete from: keep some dozens free when refusing writes.

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
pub(crate) mod tests;

pub use check::CheckReport;
pub use checkpoint::{CheckpointDone, CheckpointPlan};
pub use cursor::Cursor;
pub use error::{Error, RowError};
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
pub use view::{Cell, Lend, Outline, View};
