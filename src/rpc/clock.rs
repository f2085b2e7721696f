//! The shell's clock and its alarms, for deadlines and keepalives.
//!
//! Invariants
//! - An alarm registers once with the executor for each task that waits on it: glommio's timer registers anew at every
//!   poll, which would leave one entry in its wheel for each.
//! - An alarm that is woken up to a tick of that wheel too early, as can be, waits once more.

use glommio::timer::Timer;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Two ticks of glommio's timer wheel, which rounds times down to one.
const WHEEL_TICKS: Duration = Duration::from_millis(2);

/// The time.
pub(super) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the front is shell: deadlines of calls are wall time")]
    Instant::now()
}

/// Goes off once, at its time.
#[derive(Debug)]
pub(super) struct Alarm {
    at: Instant,
    /// The timer, once waited on, and the task it will wake.
    waiting: Option<(Timer, Waker)>,
}

impl Alarm {
    /// An alarm at a time. Costs nothing until it is waited on.
    pub(super) fn at(at: Instant) -> Self {
        Self { at, waiting: None }
    }

    /// An alarm after a duration from now.
    pub(super) fn after(duration: Duration) -> Self {
        Self::at(now() + duration)
    }

    /// Ready once the time has come.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = now();
        if now >= self.at {
            self.waiting = None;
            return Poll::Ready(());
        }
        let left = self.at - now;
        let registered = self.waiting.as_ref().is_some_and(|(_, waker)| waker.will_wake(context.waker()));
        if registered && left > WHEEL_TICKS {
            return Poll::Pending;
        }
        let mut timer = Timer::new(left.max(WHEEL_TICKS / 2));
        let polled = Pin::new(&mut timer).poll(context);
        self.waiting = Some((timer, context.waker().clone()));
        polled.map(|_| ())
    }
}
