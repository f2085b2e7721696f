//! Single events, scripted.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;

use super::disk::Disk;
use super::world::{CALM, Fate, World, key};
use crate::command::{
    CompactionRequest, DeleteRangeRequest, Kind, Outcome, RequestOp, Response, TxnRequest, request_op,
};
use crate::mvcc;
use crate::raft::Role;
use crate::replica::{Config, Error, Input, Output, Proposal, Refusal, Replica, TimeoutCause};
use crate::tree::TreeId;
use crate::types::{BootNonce, MemberId, Now, RaftIndex, Revision, ShardId};

/// A world that has settled: the leader is elected.
fn settled(members: u64) -> World {
    let mut world = World::new(11, members, CALM);
    world.settle();
    world
}

fn leader(world: &World) -> usize {
    let leads = |member: &super::world::Member| {
        let status = member.replica.as_ref().map(Replica::status);
        status.is_some_and(|status| status.leadership.role == Role::Leader)
    };
    world.members.iter().position(leads).unwrap()
}

fn status(world: &World, at: usize) -> crate::replica::Status {
    world.members[at].replica.as_ref().unwrap().status()
}

fn propose(world: &mut World, at: usize, kind: Kind, payload: Vec<u8>) -> u64 {
    world.tickets += 1;
    let ticket = world.tickets;
    world.proposals.insert(ticket, Fate::Open);
    let proposals = vec![Proposal { ticket, kind, payload: payload.into() }];
    world.input(at, Input::Propose { origin: ShardId(at), proposals });
    ticket
}

fn put(world: &mut World, at: usize, bytes: usize) -> u64 {
    let proposal = world.put_of(bytes);
    let ticket = proposal.ticket;
    world.input(at, Input::Propose { origin: ShardId(at), proposals: vec![proposal] });
    ticket
}

fn read_works(world: &mut World, at: usize) {
    let served = world.reads_served;
    world.read(at);
    world.settle();
    assert_eq!(world.reads_served, served + 1, "reads go on");
}

fn outcome(world: &World, ticket: u64) -> Outcome {
    match &world.proposals[&ticket] {
        Fate::Done(Ok(outcome)) => outcome.clone(),
        other @ (Fate::Open | Fate::Done(Err(_))) => panic!("ticket {ticket}: {other:?}"),
    }
}

fn refusal(world: &World, ticket: u64) -> Option<Refusal> {
    match &world.proposals[&ticket] {
        Fate::Done(Err(refusal)) => Some(refusal.clone()),
        Fate::Done(Ok(_)) | Fate::Open => None,
    }
}

fn rows(world: &World, at: usize) -> usize {
    let pinned = world.members[at].reader.as_ref().unwrap().pin();
    let view = pinned.view();
    let mut cursor = view.cursor(TreeId::Revisions);
    cursor.seek(&[]).unwrap();
    let mut count = 0;
    while cursor.cell().unwrap().is_some() {
        count += 1;
        cursor.next().unwrap();
    }
    count
}

#[test]
fn a_put_is_answered_only_when_its_group_is_durable() {
    let mut world = settled(1);
    let groups = status(&world, 0).stats.groups;
    let ticket = put(&mut world, 0, 10);
    assert_eq!((world.proposals[&ticket].clone(), world.members[0].doing.len()), (Fate::Open, 1));
    world.now = world.now.after(Duration::from_secs(1));
    world.input(0, Input::Tick);
    assert_eq!(world.proposals[&ticket], Fate::Open);
    world.finish_one(0);
    assert_eq!(outcome(&world, ticket).revision, Revision(2));
    assert_eq!(status(&world, 0).stats.groups, groups + 1);
}

#[test]
fn what_queues_while_two_groups_are_written_is_one_group() {
    let mut world = settled(1);
    let groups = status(&world, 0).stats.groups;
    let tickets: Vec<_> = (0..50).map(|_| put(&mut world, 0, 10)).collect();
    assert_eq!(world.members[0].doing.len(), 2);
    while !world.members[0].doing.is_empty() {
        world.finish_one(0);
    }
    assert_eq!(status(&world, 0).stats.groups - groups, 3);
    let revisions: Vec<_> = tickets.iter().map(|ticket| outcome(&world, *ticket).revision.0).collect();
    assert!(revisions.is_sorted_by(|left, right| left + 1 == *right), "in the order of arrival");
}

#[test]
fn a_single_member_leads_at_once_after_a_restart_with_everything() {
    let mut world = settled(1);
    let ticket = put(&mut world, 0, 10);
    world.finish_one(0);
    let revision = outcome(&world, ticket).revision;
    world.members[0].doing.clear();
    world.crash(0);
    world.boot(0);
    let replica = world.members[0].replica.as_ref().unwrap();
    assert_eq!(replica.status().leadership.role, Role::Leader, "without waiting for a timeout");
    world.finish_one(0);
    read_works(&mut world, 0);
    assert_eq!(world.members[0].reader.as_ref().unwrap().latest_stamp().revision, revision);
    world.check_state();
}

#[test]
fn a_full_disk_refuses_puts_and_goes_on_by_itself() {
    let mut world = settled(1);
    world.members[0].disk.tree_pages_max = 3000;
    let mut refused = 0;
    for _ in 0..4000 {
        let ticket = put(&mut world, 0, 6000);
        world.now = world.now.after(Duration::from_millis(2));
        while !world.members[0].doing.is_empty() {
            world.finish_one(0);
        }
        refused += u64::from(refusal(&world, ticket) == Some(Refusal::NoSpace));
    }
    assert!(refused > 100, "{refused} puts were refused");
    assert!(world.acknowledged() > 100, "{} were not", world.acknowledged());
    assert!(status(&world, 0).no_space);
    read_works(&mut world, 0);
    assert_eq!(world.open(), 0);
    // What makes space is still let in.
    let delete = DeleteRangeRequest { key: key(1), ..Default::default() };
    let ticket = propose(&mut world, 0, Kind::DeleteRange, delete.encode_to_vec());
    world.settle();
    assert!(matches!(outcome(&world, ticket).response, Response::DeleteRange(_)));
    world.members[0].disk.tree_pages_max = 20_000;
    world.settle();
    let ticket = put(&mut world, 0, 6000);
    world.settle();
    outcome(&world, ticket);
    assert!(!status(&world, 0).no_space);
}

#[test]
fn a_log_without_space_refuses_puts_and_goes_on_by_itself() {
    let mut world = World::with(3, 1, CALM, |config| config.checkpoint.interval = Duration::from_secs(3600));
    world.settle();
    world.members[0].disk.wal_is_full = true;
    let mut last = 0;
    for _ in 0..400 {
        last = put(&mut world, 0, 3000);
        while !world.members[0].doing.is_empty() {
            world.finish_one(0);
        }
    }
    assert_eq!(refusal(&world, last), Some(Refusal::NoSpace));
    assert!(world.acknowledged() > 50);
    read_works(&mut world, 0);
    world.members[0].disk.wal_is_full = false;
    world.settle();
    let ticket = put(&mut world, 0, 3000);
    world.settle();
    outcome(&world, ticket);
    world.crash(0);
    world.boot(0);
    world.settle();
    let refused = world.proposals.values().filter(|fate| matches!(fate, Fate::Done(Err(_)))).count();
    assert_eq!(refused + world.acknowledged(), world.proposals.len(), "everything is answered");
    assert_eq!(rows(&world, 0), world.acknowledged(), "what was refused left no trace, and nothing else is missing");
}

fn everything() -> DeleteRangeRequest {
    let (first, last) = (Bytes::from_static(b"\0"), Bytes::from_static(b"\0"));
    DeleteRangeRequest { key: first, range_end: last, ..Default::default() }
}

fn everything_by_txn() -> TxnRequest {
    let request = Some(request_op::Request::RequestDeleteRange(everything()));
    TxnRequest { success: vec![RequestOp { request }], ..Default::default() }
}

#[test]
fn when_pages_run_out_while_applying_the_entries_wait_for_them() {
    let mut world = settled(1);
    for _ in 0..40 {
        let proposals = (0..200).map(|_| world.put_of(0)).collect();
        world.input(0, Input::Propose { origin: ShardId(0), proposals });
        world.settle();
    }
    world.members[0].disk.tree_pages_max = 0;
    while !status(&world, 0).no_space || refusal(&world, world.tickets).is_none() {
        put(&mut world, 0, 6000);
        while !world.members[0].doing.is_empty() {
            world.finish_one(0);
        }
    }
    // A deletion writes a tombstone for each key. Alone it is weighed before it is let in ...
    let refused = propose(&mut world, 0, Kind::DeleteRange, everything().encode_to_vec());
    world.settle();
    assert_eq!(refusal(&world, refused), Some(Refusal::NoSpace));
    assert_eq!(status(&world, 0).stats.stalls, 0);
    // ... within a txn nobody counts its keys beforehand.
    let stalled = propose(&mut world, 0, Kind::Txn, everything_by_txn().encode_to_vec());
    world.settle();
    assert_eq!(world.proposals[&stalled], Fate::Open);
    assert!(status(&world, 0).stats.stalls > 0);
    world.members[0].disk.tree_pages_max = 50_000;
    world.settle();
    assert!(matches!(outcome(&world, stalled).response, Response::Txn(_)));
}

#[test]
fn a_physical_compaction_is_answered_when_its_rows_are_gone() {
    let mut world = settled(1);
    let put = |value: usize| crate::command::PutRequest {
        key: Bytes::from_static(b"same"),
        value: Bytes::from(vec![b'x'; value]),
        ..Default::default()
    };
    for _ in 0..500 {
        propose(&mut world, 0, Kind::Put, put(5).encode_to_vec());
    }
    world.settle();
    assert_eq!(rows(&world, 0), 500);
    let request = CompactionRequest { revision: 501, physical: false };
    let at_once = propose(&mut world, 0, Kind::Compact, request.encode_to_vec());
    world.finish_one(0);
    outcome(&world, at_once);
    assert!(rows(&world, 0) > 400, "answered before its rows are gone");
    world.settle();
    assert_eq!((rows(&world, 0), status(&world, 0).compacting), (1, false));
    for _ in 0..500 {
        propose(&mut world, 0, Kind::Put, put(5).encode_to_vec());
    }
    world.settle();
    let request = CompactionRequest { revision: 1001, physical: true };
    let physical = propose(&mut world, 0, Kind::Compact, request.encode_to_vec());
    world.finish_one(0);
    assert_eq!(world.proposals[&physical], Fate::Open);
    assert!(rows(&world, 0) > 400, "one step at a time");
    let mut steps = 0;
    while world.proposals[&physical] == Fate::Open {
        let deadline = world.members[0].replica.as_ref().unwrap().next_deadline().unwrap();
        world.now = world.now.max(deadline);
        world.input(0, Input::Tick);
        steps += 1;
        assert!(steps < 100);
    }
    assert_eq!(rows(&world, 0), 1);
    assert!(steps >= 6, "in {steps} steps");
    assert!(matches!(outcome(&world, physical).response, Response::Compact { physical_wait: true, .. }));
}

/// What HashKV tells of a revision.
fn hash(world: &World, revision: i64) -> mvcc::KvHash {
    let pinned = world.members[0].reader.as_ref().unwrap().pin();
    let mut hash = mvcc::HashKv::new(&pinned.view(), Revision(revision)).unwrap();
    hash.step(&pinned.view(), &mut mvcc::Work::unbounded()).unwrap().unwrap()
}

#[test]
fn a_start_forgets_checksums_and_goes_on_with_a_compaction_that_was_cut_off() {
    for checkpointed in [false, true] {
        let mut world = settled(1);
        let put = |value: usize| crate::command::PutRequest {
            key: Bytes::from_static(b"same"),
            value: Bytes::from(vec![b'x'; value]),
            ..Default::default()
        };
        let compact = |revision| CompactionRequest { revision, physical: false }.encode_to_vec();
        for value in 0..600 {
            propose(&mut world, 0, Kind::Put, put(value % 7).encode_to_vec());
        }
        world.settle();
        propose(&mut world, 0, Kind::Compact, compact(301));
        world.settle();
        assert_eq!((rows(&world, 0), hash(&world, 301).compact_revision), (301, Revision(-1)), "as etcd remembers it");
        propose(&mut world, 0, Kind::Compact, compact(601));
        world.finish_one(0);
        assert!(status(&world, 0).compacting && rows(&world, 0) > 200);
        let fresh = hash(&world, 601).compact_revision;
        assert_eq!(fresh, Revision(301), "from the bound before");
        if checkpointed {
            world.now = world.now.after(Duration::from_secs(1));
            world.input(0, Input::Tick);
            world.finish_one(0);
        }
        world.members[0].doing.clear();
        world.crash(0);
        world.boot(0);
        while !world.members[0].doing.is_empty() {
            world.finish_one(0);
        }
        assert!(status(&world, 0).compacting, "it is resumed, with or without its command in the log");
        assert_eq!(hash(&world, 601).compact_revision, Revision(601), "forgotten, as etcd forgets it");
        world.settle();
        assert_eq!((rows(&world, 0), status(&world, 0).compacting), (1, false));
        assert_eq!(hash(&world, 601).compact_revision, Revision(601));
        // What is compacted from here on is remembered again.
        propose(&mut world, 0, Kind::Put, put(9).encode_to_vec());
        propose(&mut world, 0, Kind::Compact, compact(602));
        world.settle();
        assert_eq!(hash(&world, 602).compact_revision, Revision(601));
    }
}

/// Its revision is what a stamp says that has none yet: a start that applied both at once ended itself.
#[test]
fn a_compaction_to_nothing_is_one_as_any_other() {
    for crashes in [false, true] {
        // Without a checkpoint, so that a start begins with the stamp of an empty store.
        let never = |config: &mut crate::replica::Config| config.checkpoint.interval = Duration::from_secs(3600);
        let mut world = World::with(11, 1, CALM, never);
        world.settle();
        let nothing = CompactionRequest { revision: 0, physical: true };
        let compacted = propose(&mut world, 0, Kind::Compact, nothing.encode_to_vec());
        world.settle();
        assert!(matches!(outcome(&world, compacted).response, Response::Compact { .. }));
        // The log says of what came before that it is committed.
        put(&mut world, 0, 5);
        world.settle();
        if crashes {
            world.members[0].doing.clear();
            world.crash(0);
            world.boot(0);
            world.settle();
        }
        assert!(!status(&world, 0).compacting);
        let pinned = world.members[0].reader.as_ref().unwrap().pin();
        assert!(mvcc::Compaction::of(&pinned.view()).unwrap().covers(Revision(0)), "crashes: {crashes}");
    }
}

#[test]
fn a_wrong_command_is_refused_by_the_store_and_others_go_on() {
    let mut world = settled(1);
    let future = CompactionRequest { revision: 900, physical: false };
    let wrong = propose(&mut world, 0, Kind::Compact, future.encode_to_vec());
    let right = put(&mut world, 0, 3);
    world.settle();
    assert_eq!(refusal(&world, wrong), Some(Refusal::Request(mvcc::Error::FutureRevision)));
    outcome(&world, right);
}

#[test]
fn a_clean_stop_leaves_nothing_to_do() {
    for members in [1, 3] {
        let mut world = settled(members);
        let first = leader(&world);
        let tickets: Vec<_> = (0..30).map(|_| put(&mut world, first, 100)).collect();
        world.settle();
        world.input(first, Input::Stop);
        let late = put(&mut world, first, 1);
        assert!(members == 1 || refusal(&world, late) == Some(Refusal::Stopped));
        world.settle();
        assert!(world.members[first].stopped, "{members} members");
        tickets.iter().for_each(|ticket| assert!(outcome(&world, *ticket).revision > Revision(1)));
        if members > 1 {
            assert_ne!(leader(&world), first, "another leads");
        }
        // A start from its disk has nothing to apply and nothing to cut.
        let applied = world.members[first].reader.as_ref().unwrap().latest_stamp().applied_index;
        let mut disk = world.members[first].disk.clone();
        let tree = disk.open_tree();
        assert_eq!(tree.stamp().applied_index, applied);
        let recovered = disk.recover_log(world.members[first].id, BootNonce(99), &tree);
        assert_eq!(recovered.ending, crate::wal::Ending::Clean);
        world.members[first].replica = None;
        world.calm_down();
        world.settle();
        world.check_state();
    }
}

#[test]
fn a_stop_while_the_store_is_new_ends_too() {
    let mut world = World::new(5, 1, CALM);
    world.input(0, Input::Stop);
    world.settle();
    assert!(world.members[0].stopped);
    world.members[0].replica = None;
    world.boot(0);
    world.settle();
    let ticket = put(&mut world, 0, 10);
    world.settle();
    outcome(&world, ticket);
}

#[test]
fn without_a_majority_requests_time_out_and_say_why() {
    let mut world = settled(3);
    let at = leader(&world);
    let others: Vec<_> = (0..3).filter(|other| *other != at).collect();
    others.iter().for_each(|other| world.crash(*other));
    let ticket = put(&mut world, at, 10);
    world.read(at);
    let (read, _) = world.reads.last_key_value().map(|(ticket, read)| (*ticket, *read)).unwrap();
    for _ in 0..65 {
        world.now = world.now.after(Duration::from_millis(100));
        world.input(at, Input::Tick);
    }
    assert_eq!(world.proposals[&ticket], Fate::Open, "not before seven seconds");
    for _ in 0..20 {
        world.now = world.now.after(Duration::from_millis(100));
        world.input(at, Input::Tick);
    }
    // By then it has stepped down and knows no leader: etcd calls that a plain timeout.
    assert_eq!(refusal(&world, ticket), Some(Refusal::Timeout(TimeoutCause::Plain)));
    assert!(!world.reads[&read].1, "the read has failed");
    world.calm_down();
    world.settle();
    assert!(world.members.iter().all(|member| member.replica.is_some()));
    let ticket = put(&mut world, at, 10);
    world.settle();
    outcome(&world, ticket);
    world.check_state();
}

#[test]
fn a_follower_with_a_full_disk_does_not_stop_the_others() {
    let mut world = settled(3);
    let at = leader(&world);
    let full = (at + 1) % 3;
    world.members[full].disk.wal_is_full = true;
    world.members[full].disk.tree_pages_max = 0;
    for _ in 0..200 {
        let ticket = put(&mut world, at, 4000);
        for _ in 0..4 {
            for member in 0..3 {
                while !world.members[member].doing.is_empty() {
                    world.finish_one(member);
                }
            }
            (0..world.network.len()).for_each(|_| world.deliver());
        }
        outcome(&world, ticket);
    }
    world.members[full].disk.wal_is_full = false;
    world.members[full].disk.tree_pages_max = 50_000;
    world.settle();
    world.check_state();
}

#[test]
fn a_failed_write_is_fatal_once_and_for_good() {
    let mut world = settled(1);
    let ticket = put(&mut world, 0, 10);
    let replica = world.members[0].replica.as_mut().unwrap();
    replica.handle(world.now, Input::WriteFailed("EIO".to_owned()));
    let fatal = replica.poll_output();
    assert!(matches!(fatal, Some(Output::Fatal(Error::Write(what))) if what == "EIO"));
    replica.handle(world.now, Input::Tick);
    replica.handle(world.now, Input::Read { origin: ShardId(0), tickets: vec![1] });
    assert!(replica.poll_output().is_none() && replica.next_deadline().is_none());
    assert_eq!(world.proposals[&ticket], Fate::Open, "nothing is acknowledged any more");
}

#[test]
fn a_lost_store_or_a_lost_log_is_refused_by_name() {
    let mut world = settled(1);
    for _ in 0..20 {
        put(&mut world, 0, 10);
    }
    world.settle();
    let config = || Config::new(MemberId(1), BootNonce(50), 1, vec![MemberId(1)]);
    let mut new = Disk::new();
    let log = new.new_log(MemberId(1), BootNonce(50));
    let tree = world.members[0].disk.open_tree();
    let lost = Replica::create(config(), Now(0), tree, log).err();
    assert!(matches!(lost, Some(Error::LogMissing { applied }) if applied > RaftIndex(1)), "{lost:?}");
    let (mut one, mut two) = (Disk::new(), World::new(1, 1, CALM));
    two.finish_one(0);
    let recovered = two.members[0].disk.recover_log(MemberId(1), BootNonce(50), &one.open_tree());
    assert!(Replica::open(config(), Now(0), one.open_tree(), recovered).is_ok(), "neither was ever used");
    let stranger = Config { voters: vec![MemberId(2)], ..config() };
    let log = new.new_log(MemberId(1), BootNonce(51));
    assert_eq!(Replica::create(stranger, Now(0), one.open_tree(), log).err(), Some(Error::Membership));
}

/// Lets `seconds` pass by deadlines alone; how often the member woke.
fn sleep(world: &mut World, seconds: u64) -> u64 {
    let end = world.now.after(Duration::from_secs(seconds));
    let mut wakes = 0;
    while world.now < end {
        while !world.members[0].doing.is_empty() {
            world.finish_one(0);
        }
        let deadline = world.members[0].replica.as_ref().unwrap().next_deadline().unwrap();
        world.now = world.now.max(deadline);
        world.input(0, Input::Tick);
        wakes += 1;
        assert!(wakes < 1000 * seconds, "it never sleeps");
    }
    wakes
}

#[test]
fn deadlines_are_enough_to_drive_a_member() {
    let mut world = World::new(9, 1, CALM);
    let ticket = put(&mut world, 0, 10);
    let wakes = sleep(&mut world, 30);
    outcome(&world, ticket);
    assert!(wakes < 500, "an idle member woke {wakes} times in 30 s");
    assert!(status(&world, 0).stats.checkpoints >= 2);
}

/// Pages of the file that are not holes.
fn file_pages(world: &World) -> u64 {
    let pages = status(world, 0).pages;
    pages.used + pages.free
}

#[test]
fn the_file_shrinks_by_itself_after_most_is_deleted_and_compacted() {
    for (idle, seed) in [(false, 21), (true, 22)] {
        let mut world = World::new(seed, 1, CALM);
        world.settle();
        let mut revision = 1;
        let mut kept = Vec::new();
        for _ in 0..60 {
            let proposals: Vec<_> = (0..100).map(|at| world.put_of(if at % 3 == 0 { 6000 } else { 900 })).collect();
            kept.extend(proposals.iter().step_by(25).map(|proposal| proposal.ticket));
            world.input(0, Input::Propose { origin: ShardId(0), proposals });
            sleep(&mut world, 1);
            revision += 100;
        }
        let full = file_pages(&world);
        // All but every 25th key goes: what is left lies everywhere in the file.
        for ticket in (1..=world.tickets).filter(|ticket| !kept.contains(ticket)).collect::<Vec<_>>() {
            let delete = DeleteRangeRequest { key: key(ticket), ..Default::default() };
            propose(&mut world, 0, Kind::DeleteRange, delete.encode_to_vec());
            revision += 1;
        }
        sleep(&mut world, 3);
        let compact = CompactionRequest { revision, physical: true };
        let compacted = propose(&mut world, 0, Kind::Compact, compact.encode_to_vec());
        let (mut swept, mut seconds) = (false, 0);
        // It begins with the compaction and ends within seconds of it.
        while seconds < 20 {
            sleep(&mut world, 1);
            seconds += 1;
            swept |= status(&world, 0).sweeping;
            if !idle {
                kept.push(put(&mut world, 0, 900));
            }
        }
        sleep(&mut world, 2);
        outcome(&world, compacted);
        let (used, file) = (status(&world, 0).pages.used, file_pages(&world));
        assert!(full > 6000 && used < full / 6, "{full} pages, {used} are used");
        assert!(file < full / 4 && file < used + 1500, "of {full} pages {file} are left for {used}, swept {swept}");
        for ticket in kept {
            let pinned = world.members[0].reader.as_ref().unwrap().pin();
            let request = crate::command::RangeRequest { key: key(ticket), ..Default::default() };
            assert_eq!(mvcc::range(&pinned.view(), &request).unwrap().kvs.len(), 1, "ticket {ticket}");
        }
        world.crash(0);
        world.boot(0);
        sleep(&mut world, 3);
        assert!(file_pages(&world) <= file + 512, "the file on disk is as short");
        assert!(sleep(&mut world, 30) < 600, "and then it sleeps");
    }
}

#[test]
fn a_member_without_space_sleeps_between_its_tries() {
    let mut world = settled(1);
    world.members[0].disk.wal_is_full = true;
    world.members[0].disk.tree_pages_max = 0;
    for _ in 0..600 {
        put(&mut world, 0, 3000);
        while !world.members[0].doing.is_empty() {
            world.finish_one(0);
        }
    }
    assert!(status(&world, 0).no_space);
    let wakes = sleep(&mut world, 30);
    assert!(wakes < 1000, "it woke {wakes} times in 30 s");
    world.members[0].disk.wal_is_full = false;
    world.members[0].disk.tree_pages_max = 50_000;
    sleep(&mut world, 3);
    let ticket = put(&mut world, 0, 3000);
    sleep(&mut world, 3);
    outcome(&world, ticket);
    let wakes = sleep(&mut world, 30);
    assert!(wakes < 500, "with space again it woke {wakes} times in 30 s");
}

#[test]
fn reads_that_wait_for_a_stalled_store_expire() {
    let mut world = settled(1);
    let many: Vec<_> = (0..4000).map(|_| world.put_of(0)).collect();
    for proposals in many.chunks(200) {
        world.input(0, Input::Propose { origin: ShardId(0), proposals: proposals.to_vec() });
        world.settle();
    }
    world.members[0].disk.tree_pages_max = 0;
    while !status(&world, 0).no_space || refusal(&world, world.tickets).is_none() {
        put(&mut world, 0, 6000);
        while !world.members[0].doing.is_empty() {
            world.finish_one(0);
        }
    }
    propose(&mut world, 0, Kind::Txn, everything_by_txn().encode_to_vec());
    world.settle();
    let current = status(&world, 0);
    assert!(current.applied < current.committed, "the deletion waits for pages");
    world.read(0);
    let read = world.tickets;
    sleep(&mut world, 6);
    assert!(world.reads[&read].1, "it waits");
    sleep(&mut world, 2);
    assert!(!world.reads[&read].1, "and fails in the end");
}
