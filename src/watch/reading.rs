//! History to the watchers that are behind, each at its own pace.
//!
//! Invariants
//! - In turns: a watcher that has a long way to go delays the others by one turn at most.
//! - A watcher reads only while its stream has room, so what it reads need not be thrown away.

use bytes::Bytes;

use super::deliver::count_events;
use super::hub::Hub;
use super::span::Span;
use super::watcher::{Reading, State};
use crate::mvcc::{self, Feed, Place, Progress, Seen, Work};

impl Hub {
    /// Some turns.
    pub(super) fn read(&mut self, feed: &Feed<'_>) -> Result<Progress, mvcc::Error> {
        for _ in 0..(self.config.bounds.step_cells / self.config.bounds.turn_cells).max(1) {
            let Some((at, serial)) = self.behind.pop_front() else { return Ok(Progress::Done) };
            let Some(watcher) = self.watchers.find_mut(at).filter(|watcher| watcher.serial == serial) else { continue };
            match std::mem::replace(&mut watcher.state, State::Stalled(Place::before(watcher.start))) {
                State::Behind(reading) => self.take_turn(at, reading, feed)?,
                other @ (State::Synced(_) | State::Awaiting(_) | State::Stalled(_)) => watcher.state = other,
            }
        }
        Ok(if self.behind.is_empty() { Progress::Done } else { Progress::More })
    }

    fn take_turn(&mut self, at: u32, mut reading: Box<Reading>, feed: &Feed<'_>) -> Result<(), mvcc::Error> {
        let position = feed.position();
        if reading.next.revision() < position.compacted {
            self.cancel_compacted(at, position.compacted);
            return Ok(());
        }
        if !self.has_room_for(at) {
            let next = if reading.events.is_empty() { reading.next } else { Place::before(reading.last) };
            self.stall(at, next);
            return Ok(());
        }
        let caught_up = self.read_on(at, &mut reading, feed)?;
        if reading.whole > 0 {
            let rest = reading.events.split_off(reading.whole);
            let count = count_events(&reading.events);
            let events = Bytes::from(std::mem::replace(&mut reading.events, rest));
            reading.whole = 0;
            self.tell(at, position.current, &events, count);
        }
        if caught_up {
            assert!(reading.events.is_empty(), "the end of history is the end of a revision");
            self.await_or_read(at, position.current.next(), position.current);
            if self.through == position.current && !self.walking {
                self.admit();
            }
            return Ok(());
        }
        let watcher = &mut self.watchers[at];
        watcher.state = State::Behind(reading);
        self.behind.push_back((at, watcher.serial));
        Ok(())
    }

    /// One turn's reading; whether it came to the end.
    fn read_on(&self, at: u32, reading: &mut Reading, feed: &Feed<'_>) -> Result<bool, mvcc::Error> {
        let topic = &self.topics[self.watchers[at].topic];
        let (span, shape) = (&topic.span, topic.shape);
        let (from, batch_bytes) = (reading.next, self.config.bounds.batch_bytes);
        let mut work = Work::cells(self.config.bounds.turn_cells);
        let mut visit = |event: &mvcc::Event<'_>| {
            let revision = event.revision();
            if revision > reading.last {
                reading.whole = reading.events.len();
                if reading.whole >= batch_bytes {
                    return Ok(Seen::Enough);
                }
            }
            if !span.contains(event.key()) || !shape.shows(event) {
                return Ok(Seen::Passed);
            }
            reading.last = revision;
            event.put(shape.previous, &mut reading.events)?;
            Ok(Seen::Taken)
        };
        let next = match span {
            Span::Key(key) => feed.changes_of(key, from, &mut work, &mut visit)?,
            Span::Range(..) => feed.changes(from, &mut work, &mut visit)?,
        };
        if next.is_none_or(|next| next.revision() > reading.last) {
            reading.whole = reading.events.len();
        }
        if let Some(next) = next {
            reading.next = next;
        }
        Ok(next.is_none())
    }
}
