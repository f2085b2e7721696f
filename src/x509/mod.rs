//! What is read of certificates and revocation lists beside what the TLS library verifies: serial numbers and names.
//! Pure: bytes in, values out.

mod certificate;
mod der;
mod revoked;
#[cfg(test)]
mod tests;

pub use certificate::{Facts, serial_text};
pub use der::Malformed;
pub use revoked::Revoked;
