//! Alarms: what members have raised, and what that forbids to everybody.
//!
//! Invariants
//! - Alarms are replicated state: they are raised and disarmed by commands alone, so every member refuses the same.
//! - An alarm stays until it is disarmed, whatever becomes of its cause.
//!
//! Must not know: keys and revisions, why an alarm is raised, how a refusal is told.

mod standing;
mod table;
#[cfg(test)]
mod tests;

pub use standing::{Effect, Refusal, Standing};
pub use table::{Change, change, is_raised, list};
