//! The write-ahead log: a pure state machine that plans writes, and a pure recovery that decides what files hold.

mod append;
mod entry;
mod error;
mod format;
mod fuzz;
mod input;
mod lineup;
mod mark;
mod name;
mod record;
mod recover;
mod replay;
mod scan;
mod segment;
mod size;
mod spill;
mod verdict;

pub use append::{AppendPlan, Created, Durable, Log, SealPlan};
pub use entry::{Config, Entry, EntryId, EntryKind, HardState, Identity, IndexRange, Sequence, SnapshotMark};
pub use error::{Error, What};
pub use fuzz::fuzz_recover;
pub use input::{RecoverInput, logged_identity};
pub use name::{FileName, SegmentId, Step, Write};
pub use recover::{Ending, Recovered, recover};
pub use segment::{NeedSegment, SegmentPlan};

#[cfg(test)]
mod tests;
