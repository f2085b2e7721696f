//! Sockets: listeners, accepted connections and the streams that an executor drives. No protocol is known here.

mod listener;
mod socket;
mod stream;
#[cfg(test)]
mod tests;

pub use listener::{Address, Bound, Connection, Listener};
pub use socket::Peer;
pub use stream::Stream;
