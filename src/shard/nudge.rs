//! Wakes that no executor may miss for long.
//!
//! The runtime parks an executor when its preemption timer ran out before the first task of a turn could start: a thread
//! that the kernel sets aside between the two (a container at its CPU limit, a loaded machine) sleeps with tasks that could
//! run (glommio `run_task_queues`, which then says that nothing ran). The next completion heals that, whatever it is for.
//! On an executor that waits for nothing else these timers are that completion.
//!
//! Invariants
//! - There are several, out of step: one that is itself set aside is woken with all others by the next.

use std::time::Duration;

use glommio::Task;
use glommio::timer::Timer;

use crate::limits;

/// Wakes this executor now and then, for as long as the tasks are held.
pub(super) fn keep_nudging() -> Vec<Task<()>> {
    limits::NUDGE_INTERVALS.map(|interval| glommio::spawn_local(nudge(interval))).into()
}

async fn nudge(interval: Duration) {
    loop {
        Timer::new(interval).await;
    }
}
