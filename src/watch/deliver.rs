//! New events to the watchers that are up to date.
//!
//! Invariants
//! - A walk over new changes may end anywhere; what was gathered is queued only at the end of a revision.
//! - Watchers join and leave a topic's members only while nothing is gathered for it, or lose what is.

use bytes::Bytes;

use super::hub::{End, Hub};
use super::message::{Content, HEAD_BYTES_MAX, Message, head_length};
use super::topic::{Gathered, NOWHERE};
use super::watcher::{Reading, State};
use crate::codec::Reader;
use crate::mvcc::{self, Event, Feed, Place, Progress, Seen, Work};
use crate::types::Revision;

impl Hub {
    /// Goes on in the changes that synced watchers were not told of.
    pub(super) fn advance(&mut self, feed: &Feed<'_>, work: &mut Work) -> Result<Progress, mvcc::Error> {
        let position = feed.position();
        if self.synced == 0 && self.awaiting.is_empty() {
            self.rest_at(position.current);
        }
        if self.through >= position.current {
            return Ok(Progress::Done);
        }
        if feed.whole_from()? > self.next.revision() {
            self.lose(feed)?;
            return Ok(Progress::Done);
        }
        let next = self.next;
        match feed.changes(next, work, &mut |event| self.gather(event))? {
            Some(next) => {
                (self.next, self.walking) = (next, true);
                Ok(Progress::More)
            }
            None => {
                self.complete = position.current;
                self.flush();
                self.skip_to(position.current);
                self.admit();
                Ok(Progress::Done)
            }
        }
    }

    /// Everything up to `revision` is behind the synced watchers.
    pub(super) fn skip_to(&mut self, revision: Revision) {
        if revision < self.through {
            return;
        }
        assert!(self.touched.is_empty(), "nothing is gathered");
        (self.through, self.complete, self.gathering) = (revision, revision, revision);
        (self.next, self.walking) = (Place::before(revision.next()), false);
    }

    /// Nobody is up to date: what is new concerns nobody.
    pub(super) fn rest_at(&mut self, revision: Revision) {
        assert!(self.synced == 0, "somebody would miss what is left out");
        self.touched.clear();
        self.gathered_bytes = 0;
        self.skip_to(revision);
    }

    /// One new event for the topics that it belongs to.
    fn gather(&mut self, event: &Event<'_>) -> Result<Seen, mvcc::Error> {
        let revision = event.revision();
        if revision > self.gathering {
            self.begin_revision(revision);
        }
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        self.index.matching(event.key(), &mut |topic| hits.push(topic));
        let mut encoded = [false; 2];
        for at in &hits {
            let topic = &mut self.topics[*at];
            if topic.members.is_empty() || !topic.shape.shows(event) {
                continue;
            }
            let shape = usize::from(topic.shape.previous);
            if !std::mem::replace(&mut encoded[shape], true) {
                self.encoded[shape].clear();
                event.put(topic.shape.previous, &mut self.encoded[shape])?;
            }
            if topic.gathering == NOWHERE {
                topic.gathering = u32::try_from(self.touched.len()).expect("fewer than 2^32 topics");
                self.touched.push(Gathered { topic: *at, first: revision, events: Vec::new(), count: 0 });
            }
            let gathered = &mut self.touched[index(topic.gathering)];
            gathered.events.extend_from_slice(&self.encoded[shape]);
            gathered.count += 1;
            self.gathered_bytes += self.encoded[shape].len();
        }
        self.hits = hits;
        Ok(if encoded == [false; 2] { Seen::Passed } else { Seen::Taken })
    }

    /// The revisions before `revision` are gathered whole.
    fn begin_revision(&mut self, revision: Revision) {
        (self.complete, self.gathering) = (Revision(revision.0 - 1), revision);
        let awaited = self.awaiting.first().is_some_and(|(start, _)| *start <= revision);
        if awaited || self.gathered_bytes >= self.config.bounds.batch_bytes {
            self.flush();
            self.admit();
        }
    }

    /// Queues what is gathered, for every member.
    fn flush(&mut self) {
        let revision = self.complete;
        for (place, gathered) in std::mem::take(&mut self.touched).into_iter().enumerate() {
            let Gathered { topic: at, first, events, count } = gathered;
            let named = self.topics.find_mut(at).filter(|topic| index(topic.gathering) == place);
            let Some(topic) = named else { continue };
            topic.gathering = NOWHERE;
            let events = Bytes::from(events);
            // From the last on: one that stalls gives its place to one that was told already.
            for member in (0..topic.members.len()).rev() {
                let watcher = self.topics[at].members[member];
                if self.has_room_for(watcher) {
                    self.tell(watcher, revision, &events, count);
                } else {
                    self.stall(watcher, Place::before(first));
                }
            }
        }
        self.gathered_bytes = 0;
        self.through = self.through.max(revision);
    }

    pub(super) fn has_room_for(&self, watcher: u32) -> bool {
        let stream = &self.streams[self.watchers[watcher].stream];
        stream.queue.bytes() < self.room() && stream.end.is_none()
    }

    /// Queues events for one watcher.
    pub(super) fn tell(&mut self, at: u32, revision: Revision, events: &Bytes, count: u64) {
        assert!(count > 0, "a watcher is told of something");
        let watcher = &mut self.watchers[at];
        watcher.quiet = false;
        let (slot, id, fragment) = (watcher.stream, watcher.id, watcher.fragment);
        let whole = Message { watch_id: id, revision, content: Content::Events(events.slice(..), false) };
        let bounds = self.config.fragment_bytes.min(self.config.message_bytes_max);
        if events.len() + HEAD_BYTES_MAX < bounds {
            return self.push_events(slot, whole, count);
        }
        let length = head_length(&self.config, self.term, &whole) + events.len();
        if fragment && length >= self.config.fragment_bytes {
            self.tell_in_fragments(slot, &whole, events);
        } else if length > self.config.message_bytes_max {
            self.streams[slot].end.get_or_insert(End::TooLarge(length));
        } else {
            self.push_events(slot, whole, count);
        }
    }

    /// etcd's rule: as many events as stay below the size, at least one.
    fn tell_in_fragments(&mut self, slot: u32, whole: &Message, events: &Bytes) {
        let head = head_length(&self.config, self.term, whole);
        // The mark that more follows, two bytes.
        let room = self.config.fragment_bytes.saturating_sub(head + 2);
        let (mut start, mut end) = (0, 0);
        while end < events.len() {
            let length = event_length(&events[end..]);
            if end > start && end - start + length >= room {
                self.push_fragment(slot, whole, events.slice(start..end), true);
                start = end;
            }
            end += length;
        }
        self.push_fragment(slot, whole, events.slice(start..), false);
    }

    fn push_fragment(&mut self, slot: u32, whole: &Message, events: Bytes, more: bool) {
        let count = count_events(&events);
        let (watch_id, revision) = (whole.watch_id, whole.revision);
        self.push_events(slot, Message { watch_id, revision, content: Content::Events(events, more) }, count);
    }

    // ---- who is up to date ----

    /// Makes watchers members whose revision comes next. Only while nothing is gathered.
    pub(super) fn admit(&mut self) {
        assert!(self.touched.is_empty(), "nothing is gathered");
        while let Some((start, at)) = self.awaiting.first().copied() {
            if start > self.complete.next() {
                break;
            }
            self.awaiting.pop_first();
            let topic_at = self.watchers[at].topic;
            let topic = &mut self.topics[topic_at];
            topic.members.push(at);
            self.watchers[at].state = State::Synced(topic.members.len() - 1);
            self.synced += 1;
            self.streams[self.watchers[at].stream].unsynced -= 1;
        }
    }

    /// Takes a watcher out of the members of its topic.
    fn leave(&mut self, at: u32, place: usize) {
        let topic_at = self.watchers[at].topic;
        let topic = &mut self.topics[topic_at];
        let left = topic.members.swap_remove(place);
        assert_eq!(left, at, "a member knows its place");
        if let Some(moved) = topic.members.get(place) {
            self.watchers[*moved].state = State::Synced(place);
        }
        if topic.members.is_empty() {
            // What is gathered concerns nobody any more.
            topic.gathering = NOWHERE;
        }
        self.synced -= 1;
        self.streams[self.watchers[at].stream].unsynced += 1;
    }

    /// A watcher whose stream has no room waits until it has.
    pub(super) fn stall(&mut self, at: u32, next: Place) {
        if let State::Synced(place) = self.watchers[at].state {
            self.leave(at, place);
        }
        let watcher = &mut self.watchers[at];
        watcher.state = State::Stalled(next);
        self.streams[watcher.stream].stalled.push((at, watcher.serial));
    }

    /// A stream has room: what stalled on it reads history.
    pub(super) fn resume_stalled(&mut self, slot: u32) {
        for (at, serial) in std::mem::take(&mut self.streams[slot].stalled) {
            let Some(watcher) = self.watchers.find_mut(at).filter(|watcher| watcher.serial == serial) else { continue };
            let State::Stalled(next) = watcher.state else { continue };
            watcher.state = State::Behind(Reading::new(next));
            self.behind.push_back((at, serial));
        }
    }

    /// Takes a watcher out of everything.
    pub(super) fn remove(&mut self, at: u32) {
        match self.watchers[at].state {
            State::Synced(place) => self.leave(at, place),
            State::Awaiting(start) => _ = self.awaiting.remove(&(start, at)),
            // What still names it finds another serial, or nobody.
            State::Behind(_) | State::Stalled(_) => {}
        }
        let Some(watcher) = self.watchers.remove(at) else { return };
        let stream = &mut self.streams[watcher.stream];
        stream.unsynced -= 1;
        stream.watchers.remove(&watcher.id);
        if stream.watchers.is_empty() {
            stream.latest_start = Revision(0);
        }
        let topic = &mut self.topics[watcher.topic];
        topic.watchers -= 1;
        if topic.watchers == 0 {
            assert!(topic.members.is_empty(), "members are watchers");
            self.index.remove(&topic.span, watcher.topic);
            self.topics.remove(watcher.topic);
        }
    }

    /// Ends a watcher that would see next what is compacted.
    pub(super) fn cancel_compacted(&mut self, at: u32, compacted: Revision) {
        let (slot, id) = (self.watchers[at].stream, self.watchers[at].id);
        self.remove(at);
        self.streams[slot].compacted.insert(id);
        // etcd's header has no revision here.
        self.push(slot, id, Revision(0), Content::Compacted(compacted));
    }

    /// History went faster than this shard looked: what its watchers were not told of is partly gone.
    fn lose(&mut self, feed: &Feed<'_>) -> Result<(), mvcc::Error> {
        let (position, whole) = (feed.position(), feed.whole_from()?);
        for gathered in std::mem::take(&mut self.touched) {
            if let Some(topic) = self.topics.find_mut(gathered.topic) {
                topic.gathering = NOWHERE;
            }
        }
        self.gathered_bytes = 0;
        for at in 0..self.watchers.slots() {
            let lost = match self.watchers.find(at).map(|watcher| &watcher.state) {
                Some(State::Synced(_)) => true,
                Some(State::Awaiting(start)) => *start < whole,
                Some(State::Behind(_) | State::Stalled(_)) | None => false,
            };
            if lost {
                self.cancel_compacted(at, position.compacted);
            }
        }
        let awaiting = std::mem::take(&mut self.awaiting);
        self.skip_to(position.current);
        for (start, at) in awaiting {
            self.await_or_read(at, start, position.current);
        }
        self.admit();
        Ok(())
    }

    /// Where a watcher goes on that was told of everything before `start`.
    pub(super) fn await_or_read(&mut self, at: u32, start: Revision, current: Revision) {
        let watcher = &mut self.watchers[at];
        if start > current {
            watcher.state = State::Awaiting(start);
            self.awaiting.insert((start, at));
        } else {
            watcher.state = State::Behind(Reading::new(Place::before(start)));
            self.behind.push_back((at, watcher.serial));
        }
    }
}

/// A place as a number of an element.
fn index(place: u32) -> usize {
    usize::try_from(place).expect("32 bits fit")
}

/// How many events are encoded here.
pub(super) fn count_events(events: &[u8]) -> u64 {
    let (mut rest, mut count) = (events, 0);
    while !rest.is_empty() {
        rest = &rest[event_length(rest)..];
        count += 1;
    }
    count
}

/// The length of the first of some encoded events.
fn event_length(events: &[u8]) -> usize {
    let mut reader = Reader::new(events);
    let read = reader.u8().and_then(|_| reader.varint()).ok().and_then(|length| usize::try_from(length).ok());
    let length = read.and_then(|length| reader.bytes(length).ok()).map(|_| events.len() - reader.rest().len());
    length.expect("these bytes were encoded here")
}
