//! The library's stale read, reproduced, and the same schedule against the driver.
//!
//! Three members. Member 1 leads; a read round is confirmed by 3 while the acknowledgement of 2 is delayed. Then 1 is cut
//! off, 2 and 3 elect another leader, which commits a write. A second read arrives at 1, and then the old acknowledgement.

use raft::eraftpb::{self, MessageType};
use raft::storage::MemStorage;
use raft::{RawNode, StateRole};

use super::*;
use crate::types::{BootNonce, MemberId, Now, RaftIndex, ShardId, Term};
use crate::wal::HardState;

const NOW: Now = Now(0);

/// One member of a group that uses the library plainly.
fn library_node(id: u64) -> RawNode<MemStorage> {
    let config = raft::Config { id, check_quorum: false, ..raft::Config::default() };
    let storage = MemStorage::new_with_conf_state((vec![1, 2, 3], vec![]));
    RawNode::new(&config, storage, &slog::Logger::root(slog::Discard, slog::o!())).unwrap()
}

/// Works off a node; returns its messages and the indexes of its confirmed reads, with their contexts.
fn library_settle(node: &mut RawNode<MemStorage>) -> (Vec<eraftpb::Message>, Vec<(Vec<u8>, u64)>) {
    let (mut messages, mut reads) = (Vec::new(), Vec::new());
    while node.has_ready() {
        let mut ready = node.ready();
        messages.extend(ready.take_messages());
        reads.extend(ready.take_read_states().into_iter().map(|state| (state.request_ctx, state.index)));
        node.store().wl().append(ready.entries()).unwrap();
        if let Some(state) = ready.hs() {
            node.store().wl().set_hardstate(state.clone());
        }
        messages.extend(ready.take_persisted_messages());
        let mut light = node.advance(ready);
        messages.extend(light.take_messages());
    }
    (messages, reads)
}

/// Delivers everything among the nodes named by `up` until nothing moves; what `keep` wants is left out and returned.
fn library_exchange(
    nodes: &mut [RawNode<MemStorage>; 3],
    up: &[u64],
    keep: impl Fn(&eraftpb::Message) -> bool,
) -> (Vec<eraftpb::Message>, Vec<(Vec<u8>, u64)>) {
    let (mut kept, mut reads) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        let mut moving = Vec::new();
        for id in up {
            let (messages, done) = library_settle(&mut nodes[usize::try_from(*id - 1).unwrap()]);
            moving.extend(messages);
            reads.extend(done);
        }
        for message in moving {
            if keep(&message) {
                kept.push(message);
            } else if up.contains(&message.to) && up.contains(&message.from) {
                // An old term's message may be refused.
                let _ = nodes[usize::try_from(message.to - 1).unwrap()].step(message);
            }
        }
    }
    (kept, reads)
}

/// Runs the schedule; the second read at member 1 uses `second`. Returns what it was answered, and the new leader's
/// commit index.
fn library_schedule(second: &[u8]) -> (Vec<(Vec<u8>, u64)>, u64) {
    let mut nodes = [library_node(1), library_node(2), library_node(3)];
    nodes[0].campaign().unwrap();
    library_exchange(&mut nodes, &[1, 2, 3], |_| false);
    assert_eq!(nodes[0].raft.state, StateRole::Leader);
    nodes[0].read_index(b"first".to_vec());
    let late = |message: &eraftpb::Message| {
        message.msg_type == MessageType::MsgHeartbeatResponse && message.from == 2 && !message.context.is_empty()
    };
    let (delayed, reads) = library_exchange(&mut nodes, &[1, 2, 3], late);
    assert_eq!((delayed.len(), reads.len()), (1, 1), "confirmed by 3, the answer of 2 is on its way");
    // 1 is cut off; 3 is elected and commits a write.
    nodes[2].campaign().unwrap();
    library_exchange(&mut nodes, &[2, 3], |_| false);
    assert_eq!((nodes[2].raft.state, nodes[0].raft.state), (StateRole::Leader, StateRole::Leader));
    nodes[2].propose(vec![], b"the write".to_vec()).unwrap();
    library_exchange(&mut nodes, &[2, 3], |_| false);
    let committed = nodes[2].raft.raft_log.committed;
    nodes[0].read_index(second.to_vec());
    library_settle(&mut nodes[0]);
    for message in delayed {
        nodes[0].step(message).unwrap();
    }
    (library_settle(&mut nodes[0]).1, committed)
}

#[test]
fn the_library_answers_a_reused_context_with_a_stale_read() {
    let (answers, committed) = library_schedule(b"first");
    assert_eq!(answers.len(), 1, "the delayed acknowledgement of the first round confirms the second");
    assert!(answers[0].1 < committed, "and its index lacks the write: this is the bug that fresh contexts avoid");
}

#[test]
fn the_library_does_not_answer_a_fresh_context_so() {
    assert_eq!(library_schedule(b"second").0, []);
}

fn driver(id: u64) -> Driver {
    let config =
        Config { member: MemberId(id), nonce: BootNonce(40 + id), seed: id, election_ticks: 10, heartbeat_ticks: 1 };
    let start = Start {
        membership: Membership::of_voters(&[MemberId(1), MemberId(2), MemberId(3)]).unwrap(),
        hard_state: HardState { term: Term(1), vote: MemberId(0), commit: RaftIndex(3) },
        applied: Position::new(RaftIndex(3), Term(1)),
        base: Position::new(RaftIndex(3), Term(1)),
        entries: Vec::new(),
    };
    Driver::new(&config, start).unwrap()
}

fn settle(driver: &mut Driver) -> (Vec<Message>, Vec<ReadDone>) {
    let (mut messages, mut reads) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        driver.turn(NOW);
        if let Some(append) = driver.poll_append() {
            driver.on_durable(append.group);
        }
        if let Some(last) = driver.poll_committed().and_then(|entries| entries.last().cloned()) {
            driver.on_applied(last.index);
        }
        messages.extend(std::iter::from_fn(|| driver.poll_message()));
        reads.extend(std::iter::from_fn(|| driver.poll_read()));
    }
    (messages, reads)
}

fn exchange(drivers: &mut [Driver; 3], up: &[u64], keep: impl Fn(&Message) -> bool) -> (Vec<Message>, Vec<ReadDone>) {
    let (mut kept, mut reads) = (Vec::new(), Vec::new());
    for _ in 0..30 {
        let mut moving = Vec::new();
        for id in up {
            let (messages, done) = settle(&mut drivers[usize::try_from(*id - 1).unwrap()]);
            moving.extend(messages);
            reads.extend(done);
        }
        for message in moving {
            if keep(&message) {
                kept.push(message);
            } else if up.contains(&message.to.0) && up.contains(&message.from.0) {
                drivers[usize::try_from(message.to.0 - 1).unwrap()].handle_message(NOW, message).unwrap();
            }
        }
    }
    (kept, reads)
}

/// The same schedule against the driver. The second read comes from member 1 itself, or is the first one's request of
/// member 2 once more, doubled by the network: the two ways in which a context could be used again.
#[test]
fn the_driver_never_answers_a_read_with_an_older_rounds_acknowledgement() {
    for doubled in [false, true] {
        let mut drivers = [driver(1), driver(2), driver(3)];
        drivers[0].campaign();
        exchange(&mut drivers, &[1, 2, 3], |_| false);
        assert!(drivers[0].is_leader());
        let ticket = |ticket| ReadTicket { origin: ShardId(0), ticket };
        let asker = if doubled { 1 } else { 0 };
        drivers[asker].read(NOW, ticket(1));
        let request = |message: &Message| matches!(message.body, Body::ReadRequest { .. });
        let (requests, _) = exchange(&mut drivers, &[2], request);
        for message in &requests {
            drivers[0].handle_message(NOW, message.clone()).unwrap();
        }
        let late = |message: &Message| {
            matches!(message.body, Body::HeartbeatAnswer { context: Some(_), .. }) && message.from == MemberId(2)
        };
        let (delayed, reads) = exchange(&mut drivers, &[1, 2, 3], late);
        assert_eq!((delayed.len(), reads.len()), (1, 1), "confirmed by 3, the answer of 2 is on its way");
        for _ in 0..60 {
            drivers[1].handle_tick(NOW);
            drivers[2].handle_tick(NOW);
            exchange(&mut drivers, &[2, 3], |_| false);
        }
        assert!(drivers[0].is_leader(), "cut off, it does not know better yet");
        assert!(drivers[1].leadership().term > drivers[0].leadership().term);
        let write = if drivers[1].is_leader() { 1 } else { 2 };
        drivers[write].propose(bytes::Bytes::from_static(b"the write")).unwrap();
        exchange(&mut drivers, &[2, 3], |_| false);
        assert!(drivers[write].committed() > drivers[0].committed());
        drivers[0].read(NOW, ticket(2));
        for message in requests {
            drivers[0].handle_message(NOW, message).unwrap();
        }
        settle(&mut drivers[0]);
        for message in delayed {
            drivers[0].handle_message(NOW, message).unwrap();
        }
        let (messages, reads) = settle(&mut drivers[0]);
        assert_eq!(reads, [], "no quorum has confirmed anything since the read was asked");
        assert!(!messages.iter().any(|message| matches!(message.body, Body::ReadAnswer { .. })));
    }
}
