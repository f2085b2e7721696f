//! A client that judges what it is sent by the list of everything that was ever written.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message;

use crate::mvcc::tests::model::{Model, ModelRow};
use crate::proto::etcdserverpb::WatchResponse;
use crate::proto::mvccpb::{Event, KeyValue};
use crate::types::{ClusterId, MemberId, Now, Revision, Term};
use crate::watch::{Bounds, Config, Create, Hub, StreamId};

pub(super) const TERM: Term = Term(3);

pub(super) fn frame_prefix(length: usize) -> [u8; 5] {
    let [a, b, c, d] = u32::try_from(length).unwrap().to_be_bytes();
    [0, a, b, c, d]
}

pub(super) fn config(seed: u64, bounds: Bounds) -> Config {
    Config {
        cluster: ClusterId(u64::MAX),
        member: MemberId(7),
        frame_prefix,
        fragment_bytes: 400,
        message_bytes_max: 1 << 24,
        progress_interval: std::time::Duration::from_secs(10),
        bounds,
        seed,
    }
}

/// What a watcher's requests made of it.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) request: Create,
    /// The first revision that it is due; known once it was created.
    first: i64,
    received: Vec<Event>,
    /// The last message was a fragment.
    open: bool,
}

/// One stream's client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: StreamId,
    pub(super) watchers: BTreeMap<i64, Watched>,
    /// Requests whose answer is due, in order: the id that is expected if it was chosen.
    pub(super) asked: Vec<Create>,
    /// Ids whose cancelling was asked for.
    pub(super) canceling: Vec<i64>,
    bytes: Vec<u8>,
    /// Ids that were compacted away and not canceled.
    gone: std::collections::BTreeSet<i64>,
    pub(super) compacted: u64,
    pub(super) progress: u64,
}

/// The events that a watcher is due, from the list of all rows.
pub(super) fn due(model: &Model, request: &Create, first: i64) -> Vec<Event> {
    let rows = model.rows.iter().filter(|row| row.main >= first && is_wanted(request, row));
    rows.map(|row| {
        let deleted = KeyValue { key: row.key.clone(), mod_revision: row.main, ..Default::default() };
        let created = row.pair.as_ref().is_some_and(|pair| pair.create_revision == row.main);
        Event {
            r#type: i32::from(row.pair.is_none()),
            kv: Some(row.pair.clone().unwrap_or(deleted)),
            prev_kv: if request.previous && !created { before(model, row) } else { None },
        }
    })
    .collect()
}

fn is_wanted(request: &Create, row: &ModelRow) -> bool {
    let from: &[u8] = if request.key.is_empty() { b"\0" } else { &request.key };
    let inside = match &request.range_end[..] {
        [] => row.key == from,
        [0] => row.key >= from,
        end => row.key >= from && row.key < end,
    };
    inside && if row.pair.is_none() { !request.no_deletions } else { !request.no_puts }
}

fn before(model: &Model, row: &ModelRow) -> Option<KeyValue> {
    let earlier = model.rows.iter().filter(|other| other.key == row.key && other.main < row.main);
    earlier.last().and_then(|other| other.pair.clone())
}

impl Client {
    pub(super) fn open(hub: &mut Hub, now: Now) -> Self {
        Self {
            stream: hub.open(now),
            watchers: BTreeMap::new(),
            asked: Vec::new(),
            canceling: Vec::new(),
            bytes: Vec::new(),
            gone: std::collections::BTreeSet::new(),
            compacted: 0,
            progress: 0,
        }
    }

    /// Takes up to `chunks` chunks and judges the messages in them. Whether there was one.
    pub(super) fn read(&mut self, hub: &mut Hub, model: &Model, chunks: u64) -> bool {
        let mut any = false;
        for _ in 0..chunks {
            let Some(chunk) = hub.next_chunk(self.stream, TERM) else { break };
            any = true;
            self.bytes.extend_from_slice(&chunk);
        }
        while let Some((prefix, rest)) = self.bytes.split_first_chunk::<5>() {
            let length = usize::try_from(u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]])).unwrap();
            assert_eq!(prefix[0], 0);
            if rest.len() < length {
                break;
            }
            let message = Bytes::copy_from_slice(&rest[..length]);
            self.bytes.drain(..5 + length);
            let response = WatchResponse::decode(message.clone()).expect("the encoding is protobuf");
            assert_eq!(response.encode_to_vec(), message, "fields in order, zeros left out: {response:?}");
            self.judge(response, model);
        }
        any
    }

    fn judge(&mut self, response: WatchResponse, model: &Model) {
        let header = response.header.unwrap();
        assert_eq!((header.cluster_id, header.member_id, header.raft_term), (u64::MAX, 7, TERM.0));
        assert!(header.revision <= model.current, "a revision to come: {response:?}");
        if response.created {
            self.created(&response, header.revision);
        } else if response.canceled {
            self.canceled(&response, model);
        } else if response.events.is_empty() {
            self.progress(&response, header.revision, model);
        } else {
            self.events(&response, header.revision, model);
        }
    }

    fn created(&mut self, response: &WatchResponse, revision: i64) {
        let request = self.asked.remove(0);
        let from = request.key.clone().max(Bytes::from_static(b"\0"));
        let range_is_empty = !matches!(request.range_end[..], [] | [0]) && from >= request.range_end;
        let taken = request.id != 0 && (self.watchers.contains_key(&request.id) || self.gone.contains(&request.id));
        let reason = match (request.start.0 < 0, range_is_empty, taken) {
            (true, _, _) => "etcdserver: mvcc: required revision has been compacted",
            (_, true, _) => "mvcc: watcher range is empty",
            (_, _, true) => "mvcc: duplicate watch ID provided on the WatchStream",
            (false, false, false) => "",
        };
        assert_eq!(response.cancel_reason, reason);
        assert_eq!(response.canceled, !reason.is_empty());
        if response.canceled {
            assert_eq!(response.watch_id, -1);
            return;
        }
        assert!(request.id == 0 || request.id == response.watch_id);
        let first = if request.start.0 == 0 { revision + 1 } else { request.start.0 };
        let watched = Watched { request, first, received: Vec::new(), open: false };
        assert!(self.watchers.insert(response.watch_id, watched).is_none(), "an id is used twice");
    }

    fn canceled(&mut self, response: &WatchResponse, model: &Model) {
        if self.gone.remove(&response.watch_id) {
            assert!(self.canceling.contains(&response.watch_id) && response.compact_revision == 0);
            return;
        }
        let watched = self.watchers.remove(&response.watch_id).expect("a watcher is canceled once");
        assert!(!watched.open);
        if response.compact_revision == 0 {
            assert!(self.canceling.contains(&response.watch_id), "it was asked for");
            return;
        }
        self.compacted += 1;
        self.gone.insert(response.watch_id);
        assert!(response.compact_revision <= model.compacted);
        let due = due(model, &watched.request, watched.first);
        let next =
            due.get(watched.received.len()).map_or(watched.first, |event| event.kv.as_ref().unwrap().mod_revision);
        let missing = watched.first < response.compact_revision || next < response.compact_revision;
        assert!(missing, "it missed nothing: {watched:?}");
    }

    fn progress(&mut self, response: &WatchResponse, revision: i64, model: &Model) {
        self.progress += 1;
        for (id, watched) in &self.watchers {
            if response.watch_id == *id || response.watch_id == -1 {
                assert!(watched.request.start.0 <= revision);
                let due = due(model, &watched.request, watched.first);
                let told = due.iter().filter(|event| event.kv.as_ref().unwrap().mod_revision <= revision).count();
                assert!(watched.received.len() >= told, "progress to {revision} before its events: {watched:?}");
            }
        }
    }

    fn events(&mut self, response: &WatchResponse, revision: i64, model: &Model) {
        let watched = self.watchers.get_mut(&response.watch_id).expect("events are for watchers");
        let of = |event: &Event| event.kv.as_ref().unwrap().mod_revision;
        let (first, last) = (of(&response.events[0]), of(response.events.last().unwrap()));
        if let Some(before) = watched.received.last() {
            assert!(of(before) < first || watched.open, "a revision is split: {response:?}");
        }
        assert!(last <= revision, "the header is not behind its events");
        assert!(watched.request.fragment || !response.fragment);
        if watched.request.fragment {
            let size = response.encoded_len();
            assert!(size < 400 || response.events.len() == 1, "a fragment of {size}");
        }
        watched.open = response.fragment;
        watched.received.extend(response.events.iter().cloned());
        watched.check(model, false);
    }

    /// Everybody has everything.
    pub(super) fn check(&self, model: &Model) {
        assert!(self.asked.is_empty() && self.bytes.is_empty(), "every request was answered");
        for watched in self.watchers.values() {
            watched.check(model, true);
        }
    }
}

impl Watched {
    /// What it has received is the beginning of what it is due, or all of it.
    fn check(&self, model: &Model, all: bool) {
        let due = due(model, &self.request, self.first);
        assert!(due.len() >= self.received.len(), "more than there is: {self:?}");
        assert!(!all || due.len() == self.received.len(), "{} of {} events: {self:?}", self.received.len(), due.len());
        for (event, due) in self.received.iter().zip(due) {
            let revision = event.kv.as_ref().unwrap().mod_revision;
            // The pair before may be compacted by the time that the event is encoded.
            let prev_kv = due.prev_kv.clone().filter(|_| event.prev_kv.is_some() || revision > model.compacted);
            assert_eq!(*event, Event { prev_kv, ..due }, "{self:?}");
        }
    }
}

/// A revision, for requests.
pub(super) fn at(revision: i64) -> Revision {
    Revision(revision)
}
