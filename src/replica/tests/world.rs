//! Several replicas in one world: disks that finish what they are asked in their own time, a network that drops, doubles
//! and delays, crashes between any two steps. One seed determines everything, and everything is hashed into a trace.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;

use super::disk::Disk;
use crate::command::{Kind, Outcome, PutRequest, RangeRequest, Response};
use crate::mvcc;
use crate::raft::{Message, Random};
use crate::replica::{Config, Failure, Input, Output, Proposal, Refusal, Replica};
use crate::tree::{CheckpointPlan, GrowPlan, Reader, TreeId};
use crate::types::{BootNonce, MemberId, Now, RaftIndex, Revision, ShardId};
use crate::wal::{AppendPlan, SealPlan, SegmentPlan};

/// How rough the world is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) drop_percent: u64,
    pub(super) double_percent: u64,
    pub(super) delay_percent: u64,
    pub(super) crash_permille: u64,
}

pub(super) const CALM: Weather = Weather { drop_percent: 0, double_percent: 0, delay_percent: 10, crash_permille: 0 };
pub(super) const ROUGH: Weather = Weather { drop_percent: 4, double_percent: 8, delay_percent: 30, crash_permille: 3 };

/// What a member's disk was asked to do.
pub(super) enum Doing {
    Append(AppendPlan),
    Seal(SealPlan),
    Segment(SegmentPlan),
    Checkpoint(CheckpointPlan),
    Grow(GrowPlan),
}

pub(super) struct Member {
    pub(super) id: MemberId,
    pub(super) boots: u64,
    pub(super) disk: Disk,
    pub(super) replica: Option<Replica>,
    pub(super) reader: Option<Reader>,
    pub(super) doing: VecDeque<Doing>,
    pub(super) stopped: bool,
}

/// What became of a ticket.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Fate {
    Open,
    Done(Result<Outcome, Refusal>),
}

pub(super) struct World {
    pub(super) random: Random,
    pub(super) weather: Weather,
    pub(super) now: Now,
    pub(super) members: Vec<Member>,
    pub(super) network: Vec<Message>,
    pub(super) proposals: BTreeMap<u64, Fate>,
    /// The revision that some client had seen when each open read was asked, and whether it is open.
    pub(super) reads: BTreeMap<u64, (Revision, bool)>,
    pub(super) reads_served: u64,
    pub(super) snapshots_needed: u64,
    /// The highest revision that any client has seen.
    pub(super) seen: Revision,
    pub(super) by_revision: BTreeMap<Revision, u64>,
    pub(super) tickets: u64,
    pub(super) trace: u64,
    pub(super) change: fn(&mut Config),
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap()
}

impl World {
    pub(super) fn new(seed: u64, members: u64, weather: Weather) -> Self {
        Self::with(seed, members, weather, |_| {})
    }

    pub(super) fn with(seed: u64, members: u64, weather: Weather, change: fn(&mut Config)) -> Self {
        let member = |id| Member {
            id: MemberId(id),
            boots: 0,
            disk: Disk::new(),
            replica: None,
            reader: None,
            doing: VecDeque::new(),
            stopped: false,
        };
        let mut world = Self {
            random: Random::new(seed),
            weather,
            now: Now(0),
            members: (1..=members).map(member).collect(),
            network: Vec::new(),
            proposals: BTreeMap::new(),
            reads: BTreeMap::new(),
            reads_served: 0,
            snapshots_needed: 0,
            seen: Revision(1),
            by_revision: BTreeMap::new(),
            tickets: 0,
            trace: seed,
            change,
        };
        (0..world.members.len()).for_each(|at| world.boot(at));
        world
    }

    fn note(&mut self, what: &str) {
        for byte in what.bytes() {
            self.trace = (self.trace ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    pub(super) fn boot(&mut self, at: usize) {
        let voters = self.members.iter().map(|member| member.id).collect();
        let (now, change) = (self.now, self.change);
        let member = &mut self.members[at];
        member.boots += 1;
        let nonce = BootNonce(member.boots);
        let mut config = Config::new(member.id, nonce, 99, voters);
        config.checkpoint.interval = Duration::from_millis(700);
        config.checkpoint.wal_bytes_max = 3 * 1024 * 1024;
        config.catch_up_entries = 1000;
        config.free_pages_low = 512;
        change(&mut config);
        let tree = member.disk.open_tree();
        let replica = if member.disk.is_new() {
            let log = member.disk.new_log(member.id, nonce);
            Replica::create(config, now, tree, log)
        } else {
            let recovered = member.disk.recover_log(member.id, nonce, &tree);
            Replica::open(config, now, tree, recovered)
        };
        let replica = replica.unwrap();
        member.reader = Some(replica.shared().reader(ShardId(at)));
        member.replica = Some(replica);
        member.stopped = false;
        self.pump(at);
    }

    /// Everything in memory is gone. Some of what the disk was asked is done, in any order.
    pub(super) fn crash(&mut self, at: usize) {
        while !self.members[at].doing.is_empty() && self.percent(50) {
            let place = index(self.random.below(count(self.members[at].doing.len())));
            let Some(doing) = self.members[at].doing.remove(place) else { break };
            self.members[at].carry_out(&doing);
        }
        let member = &mut self.members[at];
        member.doing.clear();
        member.replica = None;
        member.reader = None;
        // Clients of this member never hear of what they asked there.
        self.note("crash");
    }

    pub(super) fn step(&mut self) {
        let at = index(self.random.below(count(self.members.len())));
        self.now = self.now.after(Duration::from_micros(self.random.below(3000)));
        if self.members[at].replica.is_none() {
            if self.percent(10) {
                self.boot(at);
            }
            return;
        }
        if self.random.below(1000) < self.weather.crash_permille {
            return self.crash(at);
        }
        match self.random.below(12) {
            0 => self.input(at, Input::Tick),
            1..=4 => (0..6).for_each(|_| self.deliver()),
            5..=8 => self.finish_one(at),
            9 | 10 => self.propose_some(at),
            _ => self.read(at),
        }
    }

    pub(super) fn input(&mut self, at: usize, input: Input) {
        let now = self.now;
        if let Some(replica) = self.members[at].replica.as_mut() {
            replica.handle(now, input);
            self.pump(at);
        }
    }

    pub(super) fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let delayed = self.percent(self.weather.delay_percent);
        let place = if delayed { index(self.random.below(count(self.network.len()))) } else { 0 };
        let message = self.network.remove(place);
        if self.percent(self.weather.double_percent) {
            self.network.push(message.clone());
        }
        if self.percent(self.weather.drop_percent) {
            return;
        }
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let at = index(message.to.0 - 1);
        self.input(at, Input::Peer(Message::decode(&Bytes::from(bytes)).unwrap()));
    }

    /// The disk finishes something; mostly the oldest.
    pub(super) fn finish_one(&mut self, at: usize) {
        let length = count(self.members[at].doing.len());
        if length == 0 {
            return;
        }
        let place = if self.percent(70) { 0 } else { index(self.random.below(length)) };
        let Some(doing) = self.members[at].doing.remove(place) else { return };
        let done = self.members[at].carry_out(&doing);
        let input = match doing {
            Doing::Append(plan) => Input::AppendDone(plan.sequence),
            Doing::Seal(_) => Input::SealDone,
            Doing::Segment(plan) if done => Input::SegmentReady(plan.segment),
            Doing::Segment(plan) => Input::SegmentFailed(plan.segment, Failure::NoSpace),
            Doing::Checkpoint(plan) => Input::CheckpointDone(plan),
            Doing::Grow(plan) if done => Input::GrowDone(plan),
            Doing::Grow(plan) => Input::GrowFailed(plan, Failure::NoSpace),
        };
        self.input(at, input);
    }

    fn propose_some(&mut self, at: usize) {
        let many = 1 + self.random.below(4);
        let proposals = (0..many).map(|_| self.next_put()).collect();
        self.input(at, Input::Propose { origin: ShardId(at), proposals });
    }

    /// A put of a key that nobody else writes: were it applied twice, its version would tell.
    pub(super) fn next_put(&mut self) -> Proposal {
        let bytes = if self.percent(10) { self.random.below(6000) } else { self.random.below(100) };
        self.put_of(index(bytes))
    }

    pub(super) fn put_of(&mut self, bytes: usize) -> Proposal {
        self.tickets += 1;
        let ticket = self.tickets;
        self.proposals.insert(ticket, Fate::Open);
        let value = Bytes::from(vec![b'v'; bytes]);
        let put = PutRequest { key: key(ticket), value, ..Default::default() };
        Proposal { ticket, kind: Kind::Put, payload: put.encode_to_vec().into() }
    }

    pub(super) fn read(&mut self, at: usize) {
        self.tickets += 1;
        let ticket = self.tickets;
        self.reads.insert(ticket, (self.seen, true));
        self.input(at, Input::Read { origin: ShardId(at), tickets: vec![ticket] });
    }

    /// Takes the outputs of a member.
    pub(super) fn pump(&mut self, at: usize) {
        while let Some(output) = self.members[at].replica.as_mut().and_then(Replica::poll_output) {
            self.take(at, output);
        }
    }

    fn take(&mut self, at: usize, output: Output) {
        let doing = &mut self.members[at].doing;
        match output {
            Output::Append(plan) => doing.push_back(Doing::Append(plan)),
            Output::Seal(plan) => doing.push_back(Doing::Seal(plan)),
            Output::Segment(plan) => doing.push_back(Doing::Segment(plan)),
            Output::Checkpoint(plan) => doing.push_back(Doing::Checkpoint(plan)),
            Output::Grow(plan) => doing.push_back(Doing::Grow(plan)),
            Output::GiveBack(give_back) => self.members[at].disk.give_back(&give_back),
            Output::Send(message) => {
                self.note(&format!("{message:?}"));
                self.network.push(message);
            }
            Output::Answers { origin, answers } => {
                assert_eq!(origin, ShardId(at));
                self.note(&format!("{answers:?}"));
                answers.into_iter().for_each(|(ticket, answer)| self.answered(ticket, answer));
            }
            // Nobody in this world asks about leases.
            Output::LeaseAnswers { .. } => {}
            Output::ReadReady { origin, tickets, index } => {
                assert_eq!(origin, ShardId(at));
                self.serve(at, &tickets, index);
            }
            Output::ReadFailed { tickets, .. } => {
                for ticket in tickets {
                    self.close_read(ticket);
                }
            }
            Output::LeaderChanged(leadership) => self.note(&format!("{leadership:?}")),
            Output::SnapshotNeeded { .. } => self.snapshots_needed += 1,
            Output::Stopped => self.members[at].stopped = true,
            Output::Fatal(error) => panic!("member {}: {error}", at + 1),
        }
    }

    fn answered(&mut self, ticket: u64, answer: Result<Outcome, Refusal>) {
        if let Ok(Outcome { revision, response: Response::Put(_) }) = &answer {
            assert_eq!(self.by_revision.insert(*revision, ticket), None, "two puts at revision {revision}");
            self.seen = self.seen.max(*revision);
        }
        let before = self.proposals.insert(ticket, Fate::Done(answer));
        assert_eq!(before, Some(Fate::Open), "ticket {ticket} is answered once");
    }

    fn close_read(&mut self, ticket: u64) -> Revision {
        let (floor, open) = self.reads.get_mut(&ticket).unwrap();
        assert!(std::mem::take(open), "read {ticket} is answered once");
        *floor
    }

    fn serve(&mut self, at: usize, tickets: &[u64], index: RaftIndex) {
        let stamp = self.members[at].reader.as_ref().unwrap().latest_stamp();
        assert!(stamp.applied_index >= index, "ready means published");
        for ticket in tickets {
            let floor = self.close_read(*ticket);
            let revision = stamp.revision.max(Revision(1));
            assert!(revision >= floor, "stale read: {revision} after {floor} had been seen");
            self.reads_served += 1;
        }
        // What one client reads, the next may not miss.
        self.seen = self.seen.max(stamp.revision);
        self.note(&format!("{tickets:?} {index} {stamp:?}"));
    }

    /// No more faults: everybody is up and everything arrives.
    pub(super) fn calm_down(&mut self) {
        self.weather = Weather { delay_percent: 0, ..CALM };
        for at in 0..self.members.len() {
            if self.members[at].replica.is_none() {
                self.boot(at);
            }
        }
    }

    /// Until nothing moves but heartbeats.
    pub(super) fn settle(&mut self) {
        for _ in 0..200 {
            self.now = self.now.after(Duration::from_millis(10));
            for at in 0..self.members.len() {
                self.input(at, Input::Tick);
                while !self.members[at].doing.is_empty() {
                    self.finish_one(at);
                }
            }
            for _ in 0..self.network.len() * 2 {
                self.deliver();
            }
        }
    }

    /// Every acknowledged put is where it was acknowledged, once, on every member; all members are equal.
    pub(super) fn check_state(&mut self) {
        let first = self.dump(0);
        for at in 1..self.members.len() {
            assert!(first == self.dump(at), "members 1 and {} differ", at + 1);
        }
        let acknowledged = self.proposals.iter().filter_map(|(ticket, fate)| match fate {
            Fate::Done(Ok(Outcome { revision, response: Response::Put(_) })) => Some((*ticket, *revision)),
            Fate::Done(_) | Fate::Open => None,
        });
        let acknowledged: Vec<_> = acknowledged.collect();
        for (ticket, revision) in acknowledged {
            let pinned = self.members[0].reader.as_ref().unwrap().pin();
            let request = RangeRequest { key: key(ticket), ..Default::default() };
            let answer = mvcc::range(&pinned.view(), &request).unwrap();
            assert_eq!(answer.kvs.len(), 1, "the put of ticket {ticket} is lost");
            assert_eq!((answer.kvs[0].mod_revision, answer.kvs[0].version), (revision.0, 1), "ticket {ticket}");
        }
    }

    /// All versions, and what they stand for.
    fn dump(&self, at: usize) -> Vec<Vec<u8>> {
        let pinned = self.members[at].reader.as_ref().unwrap().pin();
        let view = pinned.view();
        let stamp = view.stamp();
        let mut out = vec![format!("{} {}", stamp.applied_index, stamp.revision).into_bytes()];
        let mut cursor = view.cursor(TreeId::Keys);
        cursor.seek(&[]).unwrap();
        while let Some(cell) = cursor.cell().unwrap() {
            out.push([cell.key, cell.head].concat());
            cursor.next().unwrap();
        }
        let mut cursor = view.cursor(TreeId::Revisions);
        cursor.seek(&[]).unwrap();
        while let Some(cell) = cursor.cell().unwrap() {
            out.push([cell.key, cell.head, cell.body].concat());
            cursor.next().unwrap();
        }
        out
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.proposals.values().filter(|fate| matches!(fate, Fate::Done(Ok(_)))).count()
    }

    pub(super) fn open(&self) -> usize {
        self.proposals.values().filter(|fate| **fate == Fate::Open).count()
    }
}

pub(super) fn key(ticket: u64) -> Bytes {
    Bytes::from(format!("k{ticket:08}"))
}

impl Member {
    /// Whether there was space.
    fn carry_out(&mut self, doing: &Doing) -> bool {
        match doing {
            Doing::Append(plan) => plan.writes.iter().for_each(|write| self.disk.write(write)),
            Doing::Seal(plan) => self.disk.write(&plan.write),
            Doing::Segment(_) if self.disk.wal_is_full => return false,
            Doing::Segment(plan) => plan.steps.iter().for_each(|step| self.disk.step(step)),
            Doing::Checkpoint(plan) => self.disk.checkpoint(plan),
            Doing::Grow(plan) => return self.disk.grow(plan),
        }
        true
    }
}
