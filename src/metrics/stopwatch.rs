//! The clocks of measurements: they are shown and decide nothing.

use std::time::{Instant, SystemTime};

/// Measures from the moment it was made.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts one.
    pub fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a measurement of the shell, which decides nothing")]
        Self(Instant::now())
    }

    /// Nanoseconds since.
    pub fn nanos(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The wall clock, in whole seconds since 1970.
pub fn unix_seconds() -> u64 {
    unix_micros() / 1_000_000
}

/// The wall clock, in microseconds since 1970.
pub fn unix_micros() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "shown to people and decides nothing")]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
