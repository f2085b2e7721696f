//! Sockets: listeners, accepted connections and the streams that an executor drives, in plain or through TLS. No protocol
//! above that is known here.

mod channel;
mod doorman;
mod entrance;
mod journal;
mod listener;
mod places;
mod secure;
mod site;
mod socket;
mod stream;
#[cfg(test)]
mod tests;

pub use channel::Channel;
pub use doorman::Doorman;
pub use entrance::{Entrance, Security, Traffic};
pub use listener::{Address, Bound, Connection, Listener};
pub use site::Site;
pub use socket::Peer;
pub use stream::Stream;
