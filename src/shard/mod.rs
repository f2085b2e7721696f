//! The executors, what crosses between them, and the replica's task on the first.

mod clock;
mod compactor;
mod engine;
mod front;
mod link;
mod member;
mod mesh;
mod meter;
mod notify;
mod nudge;
mod oneshot;
mod report;
mod retention;
mod server;
mod signals;
mod supervisor;
mod telling;
mod waiting;

pub use member::Common;
pub use mesh::Board;
pub use report::end_of_replica;
pub use server::{Plan, run};
pub use signals::StopSignals;
