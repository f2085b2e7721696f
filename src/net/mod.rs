//! Sockets: listeners, accepted connections and the streams that an executor drives. No protocol is known here.

mod files;
mod listener;
mod stream;

pub use files::raise_open_files_max;
pub use listener::{Address, Bound, Connection, Listener, Peer};
pub use stream::Stream;
