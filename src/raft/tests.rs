//! Several drivers in one world: a disk that keeps what was reported durable, a network that delays, drops and doubles,
//! crashes between any two steps. One seed determines everything. Applying means remembering the entries.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::*;
use crate::types::{BootNonce, MemberId, Now, RaftIndex, ShardId, Term};
use crate::wal::{Entry, HardState};

/// How rough the world is.
#[derive(Clone, Copy, Debug)]
struct Weather {
    drop_percent: u64,
    double_percent: u64,
    delay_percent: u64,
    crash_permille: u64,
}

const CALM: Weather = Weather { drop_percent: 0, double_percent: 0, delay_percent: 10, crash_permille: 0 };
const ROUGH: Weather = Weather { drop_percent: 5, double_percent: 10, delay_percent: 40, crash_permille: 4 };

/// One member: what is on its disk, and its driver while it runs.
struct Member {
    id: MemberId,
    boots: u64,
    durable: Vec<Entry>,
    hard_state: HardState,
    /// The applied state: durable at each step, as if every apply were a checkpoint.
    applied: Position,
    driver: Option<Driver>,
    in_flight: VecDeque<Append>,
}

struct World {
    random: Random,
    weather: Weather,
    now: Now,
    members: Vec<Member>,
    network: Vec<Message>,
    /// What was applied where, by index: the same everywhere.
    log: BTreeMap<RaftIndex, Entry>,
    leaders: BTreeMap<Term, MemberId>,
    proposed: u64,
    applied_data: BTreeSet<Bytes>,
    /// The highest index that anybody applied, when each read was asked.
    reads: BTreeMap<ReadTicket, RaftIndex>,
    reads_done: u64,
    /// A hash of everything that happened.
    trace: u64,
}

impl World {
    fn new(seed: u64, count: u64, weather: Weather) -> Self {
        let ids: Vec<_> = (1..=count).map(MemberId).collect();
        let first = Position::new(RaftIndex(count), Term(1));
        let members = ids.iter().map(|id| Member {
            id: *id,
            boots: 0,
            durable: Vec::new(),
            hard_state: HardState { term: Term(1), vote: MemberId(0), commit: first.index },
            applied: first,
            driver: None,
            in_flight: VecDeque::new(),
        });
        let mut world = Self {
            random: Random::new(seed),
            weather,
            now: Now(0),
            members: members.collect(),
            network: Vec::new(),
            log: BTreeMap::new(),
            leaders: BTreeMap::new(),
            proposed: 0,
            applied_data: BTreeSet::new(),
            reads: BTreeMap::new(),
            reads_done: 0,
            trace: seed,
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

    fn boot(&mut self, at: usize) {
        let voters: Vec<_> = self.members.iter().map(|member| member.id).collect();
        let member = &mut self.members[at];
        member.boots += 1;
        let config = Config {
            member: member.id,
            nonce: BootNonce(member.boots),
            seed: 77,
            election_ticks: 10,
            heartbeat_ticks: 1,
        };
        let start = Start {
            membership: Membership::of_voters(&voters).unwrap(),
            hard_state: member.hard_state,
            applied: member.applied,
            base: Position::new(RaftIndex(u64::try_from(voters.len()).unwrap()), Term(1)),
            entries: member.durable.clone(),
        };
        member.in_flight.clear();
        member.driver = Some(Driver::new(&config, start).unwrap());
    }

    /// Loses what is in flight, except for a prefix of the groups that the disk had finished.
    fn crash(&mut self, at: usize) {
        let finished = self.random.below(3);
        let member = &mut self.members[at];
        for _ in 0..finished {
            member.write_one();
        }
        member.driver = None;
        member.in_flight.clear();
        self.note("crash");
    }

    fn step(&mut self) {
        let at = usize::try_from(self.random.below(u64::try_from(self.members.len()).unwrap())).unwrap();
        if self.members[at].driver.is_none() {
            if self.percent(10) {
                self.boot(at);
            }
            return;
        }
        if self.random.below(1000) < self.weather.crash_permille {
            return self.crash(at);
        }
        self.now = self.now.after(std::time::Duration::from_millis(self.random.below(4)));
        match self.random.below(10) {
            0 | 1 => {
                let now = self.now;
                self.driver(at).handle_tick(now);
            }
            2..=5 => (0..6).for_each(|_| self.deliver()),
            6 | 7 => self.finish_write(at),
            8 => self.propose(at),
            _ => self.read(at),
        }
        if self.members[at].driver.is_some() {
            self.turn(at);
        }
    }

    fn driver(&mut self, at: usize) -> &mut Driver {
        self.members[at].driver.as_mut().unwrap()
    }

    fn deliver(&mut self) {
        if self.network.is_empty() {
            return;
        }
        let delayed = self.percent(self.weather.delay_percent);
        let length = u64::try_from(self.network.len()).unwrap();
        let place = if delayed { usize::try_from(self.random.below(length)).unwrap() } else { 0 };
        let message = self.network.remove(place);
        if self.percent(self.weather.double_percent) {
            self.network.push(message.clone());
        }
        if self.percent(self.weather.drop_percent) {
            return;
        }
        let at = usize::try_from(message.to.0 - 1).unwrap();
        self.note(&format!("{message:?}"));
        let now = self.now;
        if let Some(driver) = self.members[at].driver.as_mut() {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            let message = Message::decode(&Bytes::from(bytes)).unwrap();
            driver.handle_message(now, message).unwrap();
            self.turn(at);
        }
    }

    fn finish_write(&mut self, at: usize) {
        if let Some(group) = self.members[at].write_one() {
            self.driver(at).on_durable(group);
        }
    }

    fn propose(&mut self, at: usize) {
        let data = Bytes::from(format!("p{}", self.proposed));
        if self.driver(at).propose(data).is_ok() {
            self.proposed += 1;
        }
    }

    fn read(&mut self, at: usize) {
        let ticket = ReadTicket { origin: ShardId(at), ticket: u64::try_from(self.reads.len()).unwrap() };
        let now = self.now;
        assert!(self.driver(at).read(now, ticket));
        let floor = self.log.keys().next_back().copied().unwrap_or_default();
        self.reads.insert(ticket, floor);
    }

    fn turn(&mut self, at: usize) {
        let now = self.now;
        self.driver(at).turn(now);
        let leadership = self.driver(at).leadership();
        if leadership.role == Role::Leader {
            let id = self.members[at].id;
            let known = *self.leaders.entry(leadership.term).or_insert(id);
            assert_eq!(known, id, "two leaders in term {}", leadership.term);
        }
        let room = self.driver(at).appends_in_flight() < 3;
        if let Some(append) = room.then(|| self.driver(at).poll_append()).flatten() {
            self.members[at].in_flight.push_back(append);
        }
        while let Some(message) = self.driver(at).poll_message() {
            self.network.push(message);
        }
        self.apply(at);
        while let Some(done) = self.driver(at).poll_read() {
            self.finish_reads(&done);
        }
    }

    fn apply(&mut self, at: usize) {
        for entry in self.driver(at).poll_committed().unwrap_or_default() {
            let place = Position::new(entry.index, entry.term);
            assert_eq!(place.index, self.members[at].applied.index.next(), "applied without a gap");
            self.members[at].applied = place;
            self.driver(at).on_applied(place.index);
            match self.log.get(&entry.index) {
                Some(known) => assert_eq!(known, &entry, "two members applied different entries"),
                None => {
                    if !is_empty_entry(&entry) {
                        assert!(self.applied_data.insert(entry.data.clone()), "{:?} was applied twice", entry.data);
                    }
                    self.note(&format!("{entry:?}"));
                    self.log.insert(entry.index, entry);
                }
            }
        }
    }

    fn finish_reads(&mut self, done: &ReadDone) {
        let Some(index) = done.index else { return };
        for ticket in &done.tickets {
            let floor = self.reads[ticket];
            assert!(index >= floor, "stale: {index} answers a read that was asked when {floor} had been applied");
            self.reads_done += 1;
        }
        self.note(&format!("{done:?}"));
    }

    /// No more faults: everybody is up and everything arrives.
    fn calm_down(&mut self) {
        self.weather = Weather { delay_percent: 0, ..CALM };
        for at in 0..self.members.len() {
            if self.members[at].driver.is_none() {
                self.boot(at);
            }
        }
    }
}

impl Member {
    /// The disk finishes the oldest group.
    fn write_one(&mut self) -> Option<Group> {
        let append = self.in_flight.pop_front()?;
        if let Some(first) = append.entries.first() {
            self.durable.retain(|entry| entry.index < first.index);
            self.durable.extend(append.entries);
        }
        self.hard_state = append.hard_state.unwrap_or(self.hard_state);
        Some(append.group)
    }
}

fn run(seed: u64, count: u64, weather: Weather, steps: usize) -> World {
    let mut world = World::new(seed, count, weather);
    for _ in 0..steps {
        world.step();
    }
    world.calm_down();
    let (applied, reads) = (world.log.len(), world.reads_done);
    for _ in 0..6000 {
        world.step();
    }
    assert!(world.log.len() > applied + 20, "seed {seed}, {count} members: nothing is applied any more");
    assert!(world.reads_done > reads + 20, "seed {seed}, {count} members: no read is answered any more");
    world
}

#[test]
fn calm_worlds_elect_one_leader_and_apply_everything() {
    for count in [1, 3, 5] {
        let world = run(u64::MAX, count, CALM, 4000);
        let applied = u64::try_from(world.applied_data.len()).unwrap();
        assert!(applied * 10 > world.proposed * 8, "{count}: {applied} of {}", world.proposed);
    }
}

#[test]
fn rough_worlds_stay_consistent_and_come_back() {
    for seed in 0..60 {
        let count = [1, 3, 3, 5][usize::try_from(seed % 4).unwrap()];
        run(seed, count, ROUGH, 4000);
    }
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in [3, 17, 2024] {
        let (one, two) = (run(seed, 3, ROUGH, 5000), run(seed, 3, ROUGH, 5000));
        assert_eq!((one.trace, one.log.len(), one.now), (two.trace, two.log.len(), two.now), "seed {seed}");
    }
    assert_ne!(run(3, 3, ROUGH, 1000).trace, run(4, 3, ROUGH, 1000).trace);
}
