//! etcd's services, one file each: decode, check, call the member, encode.

mod access;
mod alarm;
mod cluster;
mod downgrade;
mod entry;
#[cfg(test)]
mod fake;
mod header;
mod health;
mod http;
mod kv;
mod lease;
mod maintenance;
mod member;
mod metrics;
mod observed;
mod quota;
mod range;
mod router;
mod server;
mod slow;
mod snapshot;
mod status;
#[cfg(test)]
mod tests;
mod vars;
mod watch;
mod watches;

pub use access::Access;
pub use entry::Entry;
pub use member::{Identity, Member, MemberRecord, MemberStatus, ProposeError, ReadError, Timeout};
pub use router::{serve_connection, serve_entered};
pub use server::{Service, Settings};
pub use status::text_of;
pub use watches::Watches;
