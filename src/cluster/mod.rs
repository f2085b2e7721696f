//! What the members have agreed on about themselves: so far, the version whose format and rules they keep to.
//!
//! Must not know: keys and revisions, who asks for a change, how a refusal is told.

#[cfg(test)]
mod tests;
mod versions;

pub use versions::{Versions, set_downgrade};
