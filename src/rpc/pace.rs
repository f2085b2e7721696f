//! Rests between the steps of long work.
//!
//! An executor runs its tasks for a tenth of a second before it looks at sockets and disk, as long as one of them has
//! something to do; to yield does not change that, to wait does.
//!
//! Invariants
//! - Work that rests as it is told holds up what else happens on its executor for `limits::PACE_WORK` and one step.

use crate::limits::{PACE_REST, PACE_WORK};
use crate::metrics::Stopwatch;

/// When the next rest is due.
#[derive(Debug)]
pub struct Pace(Stopwatch);

impl Pace {
    /// The work begins.
    pub fn start() -> Self {
        Self(Stopwatch::start())
    }

    /// Between two steps.
    pub async fn rest(&mut self) {
        if u128::from(self.0.nanos()) >= PACE_WORK.as_nanos() {
            glommio::timer::sleep(PACE_REST).await;
            self.0 = Stopwatch::start();
        }
    }
}
