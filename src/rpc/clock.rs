//! The shell's clock and its alarms, for deadlines and keepalives.
//!
//! Every connection has an alarm, and every call with a deadline. glommio looks at all of its timers whenever it polls for
//! completions; so an executor's alarms are kept here, in order, behind one timer of glommio's for the first of them.
//!
//! Invariants
//! - An alarm that waits is in its executor's queue once, with the task that waits on it; one that is dropped is not.
//! - While the queue has an alarm, the bell-ringer's timer goes off no later than the first of them.

use futures_lite::FutureExt;
use glommio::timer::Timer;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The shortest time that the ringer waits: a tick of glommio's timers, which round times down.
const TICK: Duration = Duration::from_millis(1);

/// The time.
pub(super) fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "the front is shell: deadlines of calls are wall time")]
    Instant::now()
}

/// Goes off once, at its time.
#[derive(Debug)]
pub(super) struct Alarm {
    at: Instant,
    /// Its number in the queue, once waited on.
    number: Option<u64>,
}

/// The alarms of one executor.
#[derive(Default)]
struct Queue {
    /// Who is woken when.
    waiting: RefCell<BTreeMap<(Instant, u64), Waker>>,
    numbers: Cell<u64>,
    /// When the ringer's timer goes off, while there is a ringer, and whose it is: tests run one executor after the other on
    /// a thread, and what one leaves behind is not dropped.
    set_to: Cell<Option<(Instant, usize)>>,
    /// The ringer, while it waits.
    ringer: RefCell<Option<Waker>>,
}

thread_local! {
    /// An executor is a thread: what belongs to one belongs to the other.
    static QUEUE: Queue = Queue::default();
}

impl Alarm {
    /// An alarm at a time. Costs nothing until it is waited on.
    pub(super) fn at(at: Instant) -> Self {
        Self { at, number: None }
    }

    /// An alarm after a duration from now.
    pub(super) fn after(duration: Duration) -> Self {
        Self::at(now() + duration)
    }

    /// Ready once the time has come.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if now() >= self.at {
            self.leave();
            return Poll::Ready(());
        }
        QUEUE.with(|queue| {
            let number = *self.number.get_or_insert_with(|| queue.next_number());
            queue.wait((self.at, number), context.waker());
        });
        Poll::Pending
    }

    fn leave(&mut self) {
        let Some(number) = self.number.take() else { return };
        // A thread that ends has nobody to wake.
        let _ = QUEUE.try_with(|queue| queue.waiting.borrow_mut().remove(&(self.at, number)));
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Queue {
    fn next_number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    fn wait(&self, place: (Instant, u64), waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.entry(place).and_modify(|known| known.clone_from(waker)).or_insert_with(|| waker.clone());
        drop(waiting);
        let executor = glommio::executor().id();
        match self.set_to.get().filter(|(_, of)| *of == executor) {
            Some((set_to, _)) if set_to <= place.0 => {}
            Some(_) => {
                let ringer = self.ringer.borrow_mut().take();
                ringer.into_iter().for_each(Waker::wake);
            }
            None => {
                self.set_to.set(Some((place.0, executor)));
                glommio::spawn_local(ring(executor)).detach();
            }
        }
    }

    /// Wakes whoever's time has come; when the next one's comes.
    fn wake(&self, now: Instant) -> Option<Instant> {
        let mut waiting = self.waiting.borrow_mut();
        let later = waiting.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut *waiting, later);
        let next = waiting.first_key_value().map(|((at, _), _)| *at);
        drop(waiting);
        due.into_values().for_each(Waker::wake);
        next
    }

    /// Ready once an alarm came in that is earlier than the timer.
    fn poll_overtaken(&self, set_to: Instant, context: &mut Context<'_>) -> Poll<()> {
        let first = self.waiting.borrow().first_key_value().map(|((at, _), _)| *at);
        if first.is_some_and(|first| first < set_to) {
            return Poll::Ready(());
        }
        *self.ringer.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }
}

/// Wakes alarms at their times; there is one as long as there are any.
async fn ring(executor: usize) {
    loop {
        let Some(next) = QUEUE.with(|queue| {
            let next = queue.wake(now());
            queue.set_to.set(next.map(|next| (next, executor)));
            next
        }) else {
            return;
        };
        let timer = async {
            Timer::new(next.saturating_duration_since(now()).max(TICK)).await;
        };
        timer.or(poll_fn(|context| QUEUE.with(|queue| queue.poll_overtaken(next, context)))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use glommio::{LocalExecutorBuilder, Placement};
    use std::rc::Rc;

    async fn gone_off(mut alarm: Alarm) {
        poll_fn(|context| alarm.poll(context)).await;
    }

    fn waiting() -> usize {
        QUEUE.with(|queue| queue.waiting.borrow().len())
    }

    /// On one thread one executor after the other, as tests of the whole may do.
    #[test]
    fn alarms_go_off_in_the_order_of_their_times() {
        for _ in 0..2 {
            let executor = LocalExecutorBuilder::new(Placement::Unbound).make().unwrap();
            executor.run(async {
                let seen = Rc::new(RefCell::new(Vec::new()));
                let start = now();
                // The last to come is the first to go off, so that it overtakes the timer.
                let tasks = [40u64, 30, 60, 20, 50, 10].map(|milliseconds| {
                    let seen = Rc::clone(&seen);
                    glommio::spawn_local(async move {
                        gone_off(Alarm::at(start + Duration::from_millis(milliseconds))).await;
                        assert!(now() >= start + Duration::from_millis(milliseconds), "never early");
                        seen.borrow_mut().push(milliseconds);
                    })
                });
                let hours = glommio::spawn_local(gone_off(Alarm::after(Duration::from_hours(2))));
                for task in tasks {
                    task.await;
                }
                assert_eq!(*seen.borrow(), [10, 20, 30, 40, 50, 60]);
                assert_eq!(waiting(), 1);
                hours.cancel().await;
                assert_eq!(waiting(), 0, "who does not wait any more is not in the queue");
            });
        }
    }

    #[test]
    fn an_alarm_that_is_polled_again_waits_once() {
        let executor = LocalExecutorBuilder::new(Placement::Unbound).make().unwrap();
        executor.run(async {
            let mut alarm = Alarm::after(Duration::from_millis(5));
            for _ in 0..3 {
                assert!(poll_fn(|context| Poll::Ready(alarm.poll(context))).await.is_pending());
                assert_eq!(waiting(), 1);
            }
            poll_fn(|context| alarm.poll(context)).await;
            assert_eq!(waiting(), 0);
            assert!(poll_fn(|context| Poll::Ready(alarm.poll(context))).await.is_ready(), "once past, always past");
        });
    }
}
