//! Consensus: the driver around the raft library, the messages between members, and linearizable reads.

mod change;
mod check;
mod convert;
mod driver;
mod membership;
mod messages;
mod random;
mod read;
mod size;
mod start;
mod storage;
mod unpersisted;
mod wire;

pub use change::{Change, Step, Transition};
pub use driver::{Counts, Driver, Leadership, NotProposed, ReadDone, Role, is_empty_entry};
pub use membership::Membership;
pub use messages::{Ballot, Body, Message, Position, ReadContext};
pub use random::Random;
pub use read::ReadTicket;
pub use size::wide;
pub use start::{Config, Error, Start};
pub use unpersisted::{Append, Group};
pub use wire::fuzz_message;

#[cfg(test)]
mod stale_tests;
#[cfg(test)]
mod tests;
