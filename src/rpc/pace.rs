//! Rests between the steps of long work.
//!
//! An executor runs its tasks for a tenth of a second before it looks at sockets and disk, as long as one of them has
//! something to do; to yield does not change that, to wait does.
//!
//! Invariants
//! - Work that rests as it is told holds up what else happens on its executor for `limits::PACE_WORK` and one step.

use crate::limits::{PACE_REST, PACE_WORK};
use crate::metrics::Stopwatch;
use futures_lite::{FutureExt, ready};
use glommio::timer::Timer;
use std::future::poll_fn;
use std::task::{Context, Poll};

/// When the next rest is due.
#[derive(Debug)]
pub struct Pace {
    work: Stopwatch,
    /// The rest that has begun.
    rest: Option<Timer>,
}

impl Pace {
    /// The work begins.
    pub fn start() -> Self {
        Self { work: Stopwatch::start(), rest: None }
    }

    /// Between two steps.
    pub async fn rest(&mut self) {
        poll_fn(|context| self.poll_rest(context)).await;
    }

    /// The same, for work that is polled.
    pub(super) fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.rest.is_none() && u128::from(self.work.nanos()) < PACE_WORK.as_nanos() {
            return Poll::Ready(());
        }
        ready!(self.rest.get_or_insert_with(|| Timer::new(PACE_REST)).poll(context));
        *self = Self::start();
        Poll::Ready(())
    }
}
