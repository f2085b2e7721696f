//! The process's monotonic clock, as the pure core wants it.

use std::time::Instant;

use crate::types::Now;

/// Counts from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    /// A clock that stands at zero.
    #[expect(clippy::disallowed_methods, reason = "this is where the shell reads the clock")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time.
    pub(super) fn now(&self) -> Now {
        Now(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
