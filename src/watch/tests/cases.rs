//! One rule each.

use bytes::Bytes;
use prost::Message;

use super::client::{TERM, at, config};
use crate::command::request_op::Request;
use crate::command::{Command, CompactionRequest, DeleteRangeRequest, PutRequest, RequestOp, TxnRequest};
use crate::limits::{WATCH_BATCH_BYTES, WATCH_MESSAGE_BYTES, WATCH_STREAM_BYTES_MAX};
use crate::mvcc::tests::support::{new_tree, pin, run};
use crate::mvcc::{Feed, Position, Progress, Want, compact_step};
use crate::proto::etcdserverpb::WatchResponse;
use crate::tree::Tree;
use crate::types::Now;
use crate::watch::{Bounds, Create, End, Hub, StreamId};

struct Setup {
    tree: Tree,
    hub: Hub,
}

impl Setup {
    fn new() -> Self {
        Self { tree: new_tree(), hub: Hub::new(config(1, Bounds::default())) }
    }

    fn write(&mut self, command: Command) {
        run(&mut self.tree, &command, Want::Effect).unwrap();
    }

    fn put(&mut self, key: &str, value: Vec<u8>) {
        self.write(Command::Put(put(key, value)));
    }

    fn work(&mut self) {
        let pinned = pin(&self.tree);
        while self.hub.work(&Feed::new(&pinned.view()), TERM).unwrap() == Progress::More {}
    }

    fn create(&mut self, stream: StreamId, request: Create) {
        self.hub.create(Now(0), stream, request, Position::of(&pin(&self.tree).stamp()));
    }

    fn read(&mut self, stream: StreamId) -> Vec<WatchResponse> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.hub.next_chunk(stream, TERM) {
            bytes.extend_from_slice(&chunk);
        }
        let mut responses = Vec::new();
        let mut rest = &bytes[..];
        while let Some((prefix, after)) = rest.split_first_chunk::<5>() {
            let length = usize::try_from(u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]])).unwrap();
            responses.push(WatchResponse::decode(&after[..length]).unwrap());
            rest = &after[length..];
        }
        responses
    }
}

fn put(key: &str, value: Vec<u8>) -> PutRequest {
    PutRequest { key: Bytes::copy_from_slice(key.as_bytes()), value: value.into(), ..Default::default() }
}

fn all() -> Create {
    Create { key: Bytes::from_static(b"\0"), range_end: Bytes::from_static(b"\0"), ..Create::default() }
}

fn revisions(responses: &[WatchResponse]) -> Vec<i64> {
    let events = responses.iter().flat_map(|response| &response.events);
    events.map(|event| event.kv.as_ref().unwrap().mod_revision).collect()
}

#[test]
fn a_client_that_does_not_read_costs_its_bound_and_gets_everything_later() {
    let mut setup = Setup::new();
    let (slow, quick) = (setup.hub.open(Now(0)), setup.hub.open(Now(0)));
    setup.create(slow, all());
    setup.create(quick, all());
    let mut seen = Vec::new();
    for number in 0..400 {
        setup.put(&format!("{}", number % 7), vec![b'x'; 20_000]);
        setup.work();
        seen.extend(revisions(&setup.read(quick)));
        let most = WATCH_STREAM_BYTES_MAX + WATCH_BATCH_BYTES + 2 * 20_100;
        assert!(setup.hub.queued_bytes() <= most, "{} bytes at {number}", setup.hub.queued_bytes());
    }
    assert_eq!(seen, (2..402).collect::<Vec<_>>(), "the other one is not held up");
    assert_eq!(setup.hub.counts(), (2, 1));
    let mut late = Vec::new();
    while late.len() < 400 {
        let read = setup.read(slow);
        assert!(!read.is_empty(), "{} of 400", late.len());
        late.extend(revisions(&read));
        setup.work();
    }
    assert_eq!(late, seen);
    assert_eq!((setup.hub.counts(), setup.hub.has_work()), ((2, 0), false));
}

#[test]
fn watchers_of_one_stream_share_the_bytes_of_an_event() {
    let mut setup = Setup::new();
    let stream = setup.hub.open(Now(0));
    (0..1000).for_each(|_| setup.create(stream, all()));
    setup.read(stream);
    setup.put("a", vec![b'x'; 5000]);
    setup.work();
    assert!(setup.hub.queued_bytes() < 1000 * WATCH_MESSAGE_BYTES + 5100, "{}", setup.hub.queued_bytes());
    let responses = setup.read(stream);
    let mut ids: Vec<_> = responses.iter().map(|response| response.watch_id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (0..1000).collect::<Vec<_>>());
}

#[test]
fn ids_are_chosen_from_zero_on_and_skip_those_in_use() {
    let mut setup = Setup::new();
    let stream = setup.hub.open(Now(0));
    for id in [2, 0, 0, 0, 2, 0, -7] {
        setup.create(stream, Create { id, ..all() });
    }
    let ids: Vec<_> = setup.read(stream).iter().map(|response| (response.watch_id, response.canceled)).collect();
    assert_eq!(ids, [(2, false), (0, false), (1, false), (3, false), (-1, true), (4, false), (-7, false)]);
    let position = Position::of(&pin(&setup.tree).stamp());
    setup.hub.cancel(stream, 1, position);
    setup.hub.cancel(stream, 1, position);
    setup.create(stream, all());
    let ids: Vec<_> = setup.read(stream).iter().map(|response| (response.watch_id, response.canceled)).collect();
    assert_eq!(ids, [(1, true), (5, false)], "the counter goes on");
}

#[test]
fn a_revision_is_one_message_and_a_start_in_the_future_waits() {
    let mut setup = Setup::new();
    let (plain, pieces, future) = (setup.hub.open(Now(0)), setup.hub.open(Now(0)), setup.hub.open(Now(0)));
    setup.create(plain, all());
    setup.create(pieces, Create { fragment: true, ..all() });
    setup.create(future, Create { start: at(4), ..all() });
    let ops = (0..9)
        .map(|number| RequestOp { request: Some(Request::RequestPut(put(&format!("{number}"), vec![b'x'; 80]))) });
    setup.write(Command::Txn(TxnRequest { success: ops.collect(), ..Default::default() }));
    setup.write(Command::DeleteRange(DeleteRangeRequest { key: Bytes::from_static(b"3"), ..Default::default() }));
    setup.work();
    setup.hub.progress(future);
    let responses = setup.read(plain);
    assert_eq!(revisions(&responses), [2, 2, 2, 2, 2, 2, 2, 2, 2, 3]);
    assert_eq!(responses.len(), 2, "the created one, and both revisions together");
    let responses = setup.read(pieces);
    let marks: Vec<_> = responses.iter().map(|response| (response.events.len(), response.fragment)).collect();
    assert_eq!(marks, [(0, false), (3, true), (3, true), (4, false)]);
    assert_eq!(setup.read(future).len(), 1, "no progress before its start");
    setup.put("a", Vec::new());
    setup.work();
    setup.hub.progress(future);
    let responses = setup.read(future);
    assert_eq!(revisions(&responses), [4]);
    assert_eq!((responses[1].watch_id, responses[1].header.as_ref().unwrap().revision), (-1, 4));
}

#[test]
fn a_compacted_start_is_created_and_canceled() {
    let mut setup = Setup::new();
    (0..5).for_each(|_| setup.put("a", Vec::new()));
    setup.write(Command::Compact(CompactionRequest { revision: 5, physical: false }));
    while compact_step(&mut setup.tree, 10).unwrap() == Progress::More {}
    let stream = setup.hub.open(Now(0));
    setup.create(stream, Create { start: at(4), ..all() });
    setup.create(stream, Create { start: at(5), previous: true, ..all() });
    setup.work();
    let responses = setup.read(stream);
    let canceled: Vec<_> = responses.iter().filter(|response| response.canceled).collect();
    assert_eq!(canceled.len(), 1);
    assert_eq!((canceled[0].watch_id, canceled[0].compact_revision, canceled[0].created), (0, 5, false));
    assert_eq!((canceled[0].cancel_reason.as_str(), canceled[0].header.as_ref().unwrap().revision), ("", 0));
    assert_eq!(revisions(&responses), [5, 6]);
    let previous: Vec<_> =
        responses.iter().flat_map(|response| &response.events).map(|event| event.prev_kv.is_some()).collect();
    assert_eq!(previous, [false, true], "what is compacted is not shown");
}

#[test]
fn a_shard_that_looked_too_late_says_so_instead_of_leaving_events_out() {
    let mut setup = Setup::new();
    let stream = setup.hub.open(Now(0));
    setup.create(stream, all());
    setup.create(stream, Create { start: at(9), ..all() });
    setup.put("a", Vec::new());
    setup.work();
    (0..4).for_each(|_| setup.put("a", Vec::new()));
    setup.write(Command::Compact(CompactionRequest { revision: 6, physical: false }));
    while compact_step(&mut setup.tree, 10).unwrap() == Progress::More {}
    (0..3).for_each(|_| setup.put("a", Vec::new()));
    setup.work();
    let responses = setup.read(stream);
    let canceled: Vec<_> = responses.iter().filter(|response| response.canceled).collect();
    assert_eq!(canceled.len(), 1, "{responses:?}");
    assert_eq!((canceled[0].watch_id, canceled[0].compact_revision), (0, 6));
    assert_eq!(revisions(&responses), [2, 9], "the other one begins behind what is gone");
}

#[test]
fn quiet_watchers_are_told_how_far_they_are_and_others_are_not() {
    let mut setup = Setup::new();
    let stream = setup.hub.open(Now(0));
    let key = |key: &'static str| Create { key: Bytes::from_static(key.as_bytes()), notify: true, ..Create::default() };
    setup.create(stream, key("a"));
    setup.create(stream, key("b"));
    setup.create(stream, Create { notify: false, ..key("c") });
    let due = setup.hub.next_deadline().unwrap();
    assert!((10_000_000_000..11_000_000_000).contains(&due.0), "the interval and up to a tenth: {due:?}");
    setup.put("a", Vec::new());
    setup.work();
    setup.read(stream);
    setup.hub.tick(due);
    let told: Vec<_> = setup.read(stream).iter().map(|response| response.watch_id).collect();
    assert_eq!(told, [1], "the first had an event");
    let next = setup.hub.next_deadline().unwrap();
    setup.hub.tick(next);
    let told: Vec<_> = setup.read(stream).iter().map(|response| (response.watch_id, response.events.len())).collect();
    assert_eq!(told, [(0, 0), (1, 0)]);
    setup.hub.close(stream);
    assert_eq!(setup.hub.next_deadline(), None);
}

#[test]
fn a_message_that_nobody_may_send_ends_its_stream() {
    let mut setup = Setup::new();
    setup.hub = Hub::new(crate::watch::Config { message_bytes_max: 1000, ..config(1, Bounds::default()) });
    let stream = setup.hub.open(Now(0));
    setup.create(stream, all());
    setup.put("a", vec![b'x'; 1000]);
    setup.work();
    assert!(matches!(setup.hub.end(stream), Some(End::TooLarge(1000..1100))));
    setup.create(stream, all());
    assert_eq!(setup.read(stream).len(), 1);
}
