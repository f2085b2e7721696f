//! The server's log: JSON lines in the shape that etcd's users parse and grep, written by a thread of its own.

mod console;
mod encode;
mod journal;
mod level;
mod logger;
mod record;
mod rotate;
mod sink;
mod timestamp;

pub use level::{Level, UnknownLevel};
pub use logger::{LogThread, Logger, Options, open};
pub use record::{Field, Format, Record, Value};
pub use rotate::Rotation;
pub use sink::{OpenError, Target};
