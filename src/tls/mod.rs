//! TLS of the listeners: certificates and rules from files, kept up to date, and the TLS machine of one connection as a
//! value. No socket and no executor is known here.

mod auto;
mod failure;
mod files;
mod keeper;
mod machine;
mod notes;
mod pem;
mod session;
#[cfg(test)]
mod tests;
mod verify;

pub use auto::self_signed;
pub use failure::Failure;
pub use files::Paths;
pub use keeper::Keeper;
pub use session::{Session, Step};
