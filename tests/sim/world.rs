//! The world of a simulation: members, network, clients and time, all from one seed and on one thread.
//!
//! Two phases, as TigerBeetle's VOPR has them: in the first anything may fail and nothing may go wrong; then every fault
//! stops, and within a bound everything must be well again: requests answered, members equal.

mod leasing;
mod watching;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use bytes::Bytes;
use prost::Message as _;
use ringbolt::alarm;
use ringbolt::command::{AlarmMember, Kind, Outcome};
use ringbolt::mvcc;
use ringbolt::proto::etcdserverpb as pb;
use ringbolt::proto::etcdserverpb::RangeRequest;
use ringbolt::raft::{Message, Role};
use ringbolt::replica::{Input, Output, Proposal, Refusal};
use ringbolt::tree::{Pinned, TreeId, View};
use ringbolt::types::{MemberId, ShardId};
use ringbolt::wal::AppendPlan;

use crate::chronicle::{Change, Chronicle, Shown, Violation};
use crate::disk::{Disk, LieRates};
use crate::jobs::{Job, Operation, Progress, of_steps};
use crate::leases::Ledger;
use crate::net::{Net, NetFaults};
use crate::node::{Done, Node, checkpoint_operations, input_of};
use crate::planted::Bug;
use crate::rng::Rng;
use crate::viewers::Viewer;
use crate::workload::{Duty, Operation as Asked, Workload, duty};

use self::leasing::Question;
pub(crate) use self::watching::{Audience, Shard};

const MS: u64 = 1_000_000;

/// Events of one run at most: ten times what the longest good one takes.
const EVENTS_MAX: u64 = 2_000_000;

/// What a run is like: drawn from its seed, or set by a test.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Determines everything.
    pub(crate) seed: u64,
    /// 1, 3 or 5.
    pub(crate) members: u64,
    /// Simulated time with faults.
    pub(crate) chaos_ns: u64,
    /// Mean time between crashes of some member.
    pub(crate) crash_every_ns: u64,
    /// Mean time between partitions; 0 for none.
    pub(crate) partition_every_ns: u64,
    /// Time between leaders that are cut off while answers to them are held back; 0 for none.
    pub(crate) hold_every_ns: u64,
    /// What the network does.
    pub(crate) net: NetFaults,
    /// What the tree file's disk does, on members that may lie.
    pub(crate) lies: LieRates,
    /// Members whose disks may lie: a minority, or the only one.
    pub(crate) liars: u64,
    /// Bytes of each disk.
    pub(crate) capacity_bytes: usize,
    /// Clients.
    pub(crate) clients: usize,
    /// Largest value.
    pub(crate) value_bytes_max: u64,
    /// Compactions per thousand operations.
    pub(crate) compactions_per_mille: u64,
    /// Alarms raised per thousand operations; ten times as many are disarmed.
    pub(crate) alarms_per_mille: u64,
    /// Clients that watch.
    pub(crate) viewers: usize,
    /// How often a shard with watchers is busy with other things for long, per thousand of its turns.
    pub(crate) busy_per_mille: u64,
    /// Whether leases come and go.
    pub(crate) leases: bool,
    /// Mean time between leaps of every clock, minutes ahead; 0 for none. Leases are long then, and what is left of them is
    /// noted.
    pub(crate) leap_every_ns: u64,
    /// A bug to plant in the shell.
    pub(crate) bug: Option<Bug>,
}

impl Options {
    /// Draws a run from a seed: each seed has another mix of faults (swarm testing), many have few.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let members = [1, 1, 3, 3, 3, 5][rng.index(6)];
        let lies = rng.chance(300);
        let rate = |rng: &mut Rng| if lies && rng.chance(500) { rng.below(3000) } else { 0 };
        let mut odds = |on: u64, most: u64| if rng.chance(on) { rng.below(most) } else { 0 };
        let net = NetFaults {
            drop_per_mille: odds(500, 100),
            double_per_mille: odds(500, 100),
            delay_ns: (MS / 10, MS / 5 + odds(700, 20 * MS)),
            straggler_per_mille: odds(300, 20),
        };
        let mut options = Self {
            seed,
            members,
            chaos_ns: 6_000 * MS,
            crash_every_ns: rng.between(200, 3000) * MS,
            partition_every_ns: if rng.chance(500) { rng.between(500, 3000) * MS } else { 0 },
            hold_every_ns: 0,
            net,
            lies: LieRates { lost_per_million: rate(&mut rng), misdirected_per_million: rate(&mut rng) },
            liars: if lies { (members / 2).max(1) } else { 0 },
            capacity_bytes: if rng.chance(150) { 6 << 20 } else { 1 << 30 },
            clients: usize::try_from(rng.between(1, 12)).expect("small"),
            value_bytes_max: [50, 50, 3000, 20_000][rng.index(4)],
            compactions_per_mille: [0, 5, 30][rng.index(3)],
            alarms_per_mille: 0,
            viewers: 0,
            busy_per_mille: 0,
            leases: false,
            leap_every_ns: 0,
            bug: None,
        };
        if rng.chance(250) {
            // Nothing else disturbs these much: the leader that was cut off must live until the answers come. Clients that ask
            // it wait; so there are enough of them for some to go on and come to it later.
            options.hold_every_ns = rng.between(4000, 6000) * MS;
            options.chaos_ns = 12_000 * MS;
            options.crash_every_ns = 8000 * MS;
            options.partition_every_ns = 0;
            options.clients = usize::try_from(rng.between(20, 40)).expect("small");
        }
        options
    }

    /// The same with watchers and leases.
    pub(crate) fn with_watchers_and_leases(self) -> Self {
        let mut rng = Rng::new(self.seed ^ 0x1ea5e);
        let leap_every_ns = if rng.chance(300) { rng.between(400, 1200) * MS } else { 0 };
        let (viewers, busy) = (1 + rng.index(5), rng.index(3));
        // Checkpoints of leases matter when a leader is lost shortly behind them.
        let crash_every_ns = if leap_every_ns > 0 { rng.between(100, 500) * MS } else { self.crash_every_ns };
        Self {
            viewers,
            busy_per_mille: [5, 20, 200][busy],
            crash_every_ns,
            leases: true,
            leap_every_ns,
            clients: self.clients.min(12),
            compactions_per_mille: self.compactions_per_mille.max(5),
            ..self
        }
    }
}

#[derive(Debug)]
enum Event {
    Tick(usize, u64),
    Deliver(usize, Vec<u8>),
    Job(usize, u64, u64),
    Client(usize),
    Crash,
    Boot(usize),
    Partition,
    Hold,
    CutOff,
    Heal,
    Rot,
    Pin,
    View(usize),
    Step(usize, u64, usize),
    ShardAlarm(usize, u64, usize),
    Changed(usize, u64, usize),
    Told(usize, u64, usize),
    Keep(i64),
    Leap,
}

struct Ask {
    node: usize,
    asked: Asked,
    floor: i64,
}

/// How a run ended well.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Report {
    /// Writes acknowledged.
    pub(crate) writes: u64,
    /// Reads checked.
    pub(crate) reads: u64,
    /// Crashes.
    pub(crate) crashes: u64,
    /// Members that refused to start after their disk had lied.
    pub(crate) refusals: u64,
    /// Writes refused because of an alarm.
    pub(crate) alarmed: u64,
    /// Sweeps of tree files.
    pub(crate) sweeps: u64,
    /// Events that watchers saw.
    pub(crate) events: u64,
    /// Progress messages that they saw.
    pub(crate) progress: u64,
    /// Watchers that were compacted away.
    pub(crate) compacted: u64,
    /// Watchers that went on elsewhere.
    pub(crate) resumed: u64,
    /// Leases that expired.
    pub(crate) expired: u64,
    /// Renewals of leases.
    pub(crate) renewed: u64,
    /// Times that what is left of a lease was noted or taken back.
    pub(crate) checkpointed: u64,
    /// A hash of all that happened: the same seed gives the same.
    pub(crate) trace: u64,
}

/// See the module's words.
pub(crate) struct World {
    options: Options,
    rng: Rng,
    now: u64,
    sequence: u64,
    events: BinaryHeap<Reverse<(u64, u64, usize)>>,
    bodies: BTreeMap<usize, Event>,
    nodes: Vec<Node>,
    net: Net,
    workload: Workload,
    chronicle: Chronicle,
    asks: BTreeMap<u64, (usize, Ask)>,
    next_ticket: u64,
    next_job: u64,
    calm: bool,
    /// Clients ask nothing more.
    winding: bool,
    handled: u64,
    report: Report,
    /// Chance for what came to this world later, so that seeds without it stay what they were.
    extra: Rng,
    viewers: Vec<Viewer>,
    /// Roots that a planted bug keeps, by client.
    kept: BTreeMap<usize, Pinned>,
    ledger: Ledger,
    questions: BTreeMap<u64, Question>,
}

impl World {
    /// A world before its first event.
    pub(crate) fn new(options: Options) -> Self {
        let mut rng = Rng::new(options.seed ^ 0x5eed);
        let nodes = (1..=options.members).map(|id| {
            let mut disk = Disk::new(rng.fork(), options.capacity_bytes);
            if id <= options.liars {
                disk.lies = options.lies;
            }
            Node::new(MemberId(id), disk, rng.between(700, 1400))
        });
        let mut nodes: Vec<Node> = nodes.collect();
        let mut extra = Rng::new(options.seed ^ 0xe17a);
        let long = options.leap_every_ns > 0;
        nodes.iter_mut().for_each(|node| node.lease_checkpoints = long);
        let fastest = nodes.iter().map(|node| node.clock_per_mille).max().expect("there are members");
        let net = Net::new(rng.fork(), options.net);
        let workload =
            Workload::new(rng.fork(), options.value_bytes_max, options.compactions_per_mille, options.alarms_per_mille);
        Self {
            rng,
            now: 0,
            sequence: 0,
            events: BinaryHeap::new(),
            bodies: BTreeMap::new(),
            nodes,
            net,
            workload,
            chronicle: Chronicle::default(),
            asks: BTreeMap::new(),
            next_ticket: 0,
            next_job: 0,
            calm: false,
            winding: false,
            handled: 0,
            report: Report { trace: options.seed, ..Report::default() },
            viewers: (0..options.viewers).map(|_| Viewer::new(extra.fork())).collect(),
            kept: BTreeMap::new(),
            ledger: Ledger::new(extra.fork(), long, fastest),
            questions: BTreeMap::new(),
            extra,
            options,
        }
    }

    /// Runs both phases.
    pub(crate) fn run(mut self) -> Result<Report, Violation> {
        for at in 0..self.nodes.len() {
            self.boot(at)?;
        }
        for client in 0..self.options.clients {
            self.schedule(self.rng.clone().below(10 * MS), Event::Client(client));
        }
        let options = self.options.clone();
        self.schedule_about(options.crash_every_ns, Event::Crash);
        if options.partition_every_ns > 0 && options.members > 1 {
            self.schedule_about(options.partition_every_ns, Event::Partition);
        }
        if options.hold_every_ns > 0 && options.members > 1 {
            self.schedule(options.hold_every_ns / 4, Event::Hold);
        }
        if options.liars > 0 || options.bug == Some(Bug::MarkNeverWritten) {
            self.schedule_about(options.chaos_ns / 4, Event::Rot);
        }
        self.schedule(50 * MS, Event::Pin);
        for viewer in 0..options.viewers {
            self.schedule(MS, Event::View(viewer));
        }
        if options.leap_every_ns > 0 {
            self.schedule_about(options.leap_every_ns, Event::Leap);
        }
        self.run_until(options.chaos_ns)?;
        self.calm_down()?;
        let goal = self.report.writes + 20;
        let deadline = self.now + 40_000 * MS;
        while self.now < deadline && !(self.report.writes >= goal && self.is_settled()) {
            let until = self.now + 100 * MS;
            self.run_until(until)?;
        }
        if self.has_majority() && !(self.report.writes >= goal && self.is_settled()) {
            return Err(format!("liveness: 40 s after the last fault {}", self.describe()));
        }
        self.wind_down()?;
        self.check_equal()?;
        self.report.trace ^= self.chronicle.revision().cast_unsigned();
        (0..self.nodes.len()).for_each(|at| self.count_sweeps(at));
        Ok(self.report)
    }

    /// Clients ask nothing more: soon watchers have been told of everything, and leases that nobody keeps alive are gone.
    fn wind_down(&mut self) -> Result<(), Violation> {
        if self.options.viewers == 0 && !self.options.leases {
            return Ok(());
        }
        self.winding = true;
        let deadline = self.now + 30_000 * MS;
        let is_over = |world: &Self| world.is_settled() && world.is_watched() && !world.waits_for_expiry();
        while self.has_majority() && !is_over(self) {
            if self.now >= deadline {
                let viewers: Vec<_> =
                    self.viewers.iter().filter(|viewer| !viewer.is_complete(&self.chronicle)).collect();
                let told = format!("{viewers:?}; {:?}; {}", self.ledger, self.describe());
                return Err(format!("liveness: 30 s after the last request somebody waits: {told}"));
            }
            self.run_until(self.now + 100 * MS)?;
        }
        if self.has_majority() {
            self.check_progress()?;
            self.check_leases_at_end()?;
        }
        self.count_viewers();
        Ok(())
    }

    fn count_sweeps(&mut self, at: usize) {
        self.report.sweeps += self.nodes[at].run.as_ref().map_or(0, |run| run.replica.status().stats.sweeps);
    }

    fn has_majority(&self) -> bool {
        let up = self.nodes.iter().filter(|node| node.refused.is_none()).count();
        up * 2 > self.nodes.len()
    }

    fn describe(&self) -> String {
        let members = self.nodes.iter().map(|node| match &node.run {
            Some(run) => {
                let status = run.replica.status();
                format!(
                    "{}: {:?} applied {} committed {} appended {} no_space {} jobs {}; {:?}",
                    node.id,
                    status.leadership,
                    status.applied,
                    status.committed,
                    status.appended,
                    status.no_space,
                    run.jobs.len(),
                    status
                )
            }
            None => format!("{}: down {:?}", node.id, node.refused),
        });
        format!("{} writes; {}", self.report.writes, members.collect::<Vec<_>>().join("; "))
    }

    // ---- time ----

    fn schedule(&mut self, after: u64, event: Event) {
        self.sequence += 1;
        let key = usize::try_from(self.sequence).expect("small");
        self.events.push(Reverse((self.now + after, self.sequence, key)));
        self.bodies.insert(key, event);
    }

    fn schedule_about(&mut self, mean: u64, event: Event) {
        let after = self.rng.between(1, 2 * mean);
        self.schedule(after, event);
    }

    fn run_until(&mut self, until: u64) -> Result<(), Violation> {
        while let Some(Reverse((at, _, key))) = self.events.peek().copied() {
            if at > until {
                break;
            }
            self.events.pop();
            self.handled += 1;
            if self.handled > EVENTS_MAX {
                return Err(format!("livelock: {EVENTS_MAX} events and no end; {}", self.describe()));
            }
            self.now = at;
            let event = self.bodies.remove(&key).expect("every entry has its event");
            self.handle(event)?;
        }
        self.now = until;
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Tick(at, boot) => {
                if self.nodes[at].boots != boot || self.nodes[at].alarm != Some(self.now) {
                    return Ok(());
                }
                self.nodes[at].alarm = None;
                self.input(at, Input::Tick)
            }
            Event::Deliver(at, bytes) => {
                let message = Message::decode(&Bytes::from(bytes)).expect("our own encoding");
                self.input(at, Input::Peer(message))
            }
            Event::Job(at, boot, job) if self.nodes[at].boots == boot => self.step_job(at, job),
            Event::Job(..) => Ok(()),
            Event::Client(_) if self.winding => Ok(()),
            Event::Client(client) => self.ask(client),
            Event::Crash => {
                let at = self.rng.index(self.nodes.len());
                self.crash(at);
                if !self.calm {
                    self.schedule_about(self.options.crash_every_ns, Event::Crash);
                }
                Ok(())
            }
            Event::Boot(at) => self.boot(at),
            Event::Partition => {
                if !self.calm {
                    self.net.partition(self.nodes.len());
                    self.schedule_about(400 * MS, Event::Heal);
                    self.schedule_about(self.options.partition_every_ns, Event::Partition);
                }
                Ok(())
            }
            Event::Hold => {
                if !self.calm {
                    self.hold();
                    self.schedule(self.options.hold_every_ns, Event::Hold);
                }
                Ok(())
            }
            Event::CutOff => {
                if !self.calm {
                    self.net.cut_off_held(self.nodes.len());
                    self.schedule(3_000 * MS, Event::Heal);
                }
                Ok(())
            }
            Event::Heal => {
                self.net.heal();
                Ok(())
            }
            Event::Rot => self.rot(),
            Event::Pin => self.hold_and_check_pins(),
            Event::View(viewer) => self.view(viewer),
            Event::Keep(id) => self.keep(id),
            Event::Leap => self.leap(),
            Event::Step(at, boots, _)
            | Event::ShardAlarm(at, boots, _)
            | Event::Changed(at, boots, _)
            | Event::Told(at, boots, _)
                if self.nodes[at].boots != boots || self.nodes[at].run.is_none() =>
            {
                Ok(())
            }
            Event::Step(at, _, shard) => self.step_shard(at, shard),
            Event::ShardAlarm(at, _, shard) => {
                self.shard_alarm(at, shard);
                Ok(())
            }
            Event::Changed(at, _, shard) => {
                self.ring(at, shard);
                Ok(())
            }
            Event::Told(at, _, shard) => self.told(at, shard),
        }
    }

    /// Answers to the leader are held back for a moment; then it is cut off.
    fn hold(&mut self) {
        if let Some(leader) = self.nodes.iter().position(Node::is_leader) {
            self.net.hold(leader);
            self.schedule(150 * MS, Event::CutOff);
        }
    }

    // ---- members ----

    fn voters(&self) -> Vec<MemberId> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    fn boot(&mut self, at: usize) -> Result<(), Violation> {
        if self.nodes[at].run.is_some() || self.nodes[at].refused.is_some() {
            return Ok(());
        }
        let (voters, now, seed, bug) = (self.voters(), self.now, self.rng.bits(), self.options.bug);
        let node = &mut self.nodes[at];
        if let Err(why) = node.boot(now, seed, voters, bug) {
            return self.refuse(at, why);
        }
        if self.options.viewers > 0
            && let Some(run) = node.run.as_mut()
        {
            run.shards = watching::shards(run, node.id, &mut self.extra);
        }
        if self.options.leases {
            self.look_at_start(at)?;
        }
        self.pump(at)
    }

    /// A member that cannot go on: only a disk that lied, or one with no room for a new member, excuses it.
    fn refuse(&mut self, at: usize, why: String) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        node.run = None;
        if node.disk.lies_told == 0 {
            return Err(format!("bounded recovery: member {} stopped without a fault of its disk: {why}", node.id));
        }
        node.refused = Some(why);
        self.report.refusals += 1;
        self.forget_asks(at);
        Ok(())
    }

    fn crash(&mut self, at: usize) {
        if self.nodes[at].run.is_none() {
            return;
        }
        self.report.crashes += 1;
        // What no mark speaks of at a crash never gets one: rot there is a torn write to everybody who looks.
        let (now, age) = (self.now, self.marked_after());
        self.nodes[at].written.retain(|(.., time)| time + age < now);
        self.count_sweeps(at);
        self.nodes[at].crash();
        self.forget_asks(at);
        let after = if self.rng.chance(300) { self.rng.below(5 * MS) } else { self.rng.below(800 * MS) };
        self.schedule(after, Event::Boot(at));
    }

    fn forget_asks(&mut self, at: usize) {
        let gone: Vec<u64> =
            self.asks.iter().filter(|(_, (_, ask))| ask.node == at).map(|(ticket, _)| *ticket).collect();
        for ticket in gone {
            let (client, _) = self.asks.remove(&ticket).expect("just listed");
            self.schedule(self.options.seed % MS + MS, Event::Client(client));
        }
        self.drop_questions(at);
    }

    fn input(&mut self, at: usize, input: Input) -> Result<(), Violation> {
        let mut now = self.nodes[at].local(self.now);
        let led = self.leads(at);
        let Some(run) = self.nodes[at].run.as_mut() else { return Ok(()) };
        if self.options.bug == Some(Bug::WallClock) {
            // The host's clock is set ahead once a second.
            now.0 += now.0 / 1_000_000_000 * 700_000_000;
        }
        run.led = led;
        run.replica.handle(now, input);
        self.pump(at)
    }

    /// Carries out everything the replica of `at` wants, then looks at what it shows.
    fn pump(&mut self, at: usize) -> Result<(), Violation> {
        loop {
            let output = self.nodes[at].run.as_mut().and_then(|run| run.replica.poll_output());
            let Some(output) = output else { break };
            self.harvest(at)?;
            // A look at its pages may have stopped it.
            if self.nodes[at].run.is_some() {
                self.carry_out(at, output)?;
            }
        }
        self.harvest(at)?;
        self.look_at_leases(at)?;
        self.tell_of_changes(at);
        let boots = self.nodes[at].boots;
        let rate = self.nodes[at].clock_per_mille;
        let deadline = self.nodes[at].run.as_ref().and_then(|run| run.replica.next_deadline());
        if let Some(deadline) = deadline {
            let local = self.nodes[at].local(self.now).0;
            self.notice_circles(at, deadline.0 <= local)?;
            let after = deadline.0.saturating_sub(local) / rate * 1000 + 1000;
            // One alarm a member: a later one is pointless, an earlier one takes its place.
            let due = self.now + after;
            if self.nodes[at].alarm.is_none_or(|set| set > due || set <= self.now) {
                self.nodes[at].alarm = Some(due);
                self.schedule(after, Event::Tick(at, boots));
            }
        }
        Ok(())
    }

    /// A deadline that stays due although nothing changes has the executor turn in circles, and everybody waits.
    fn notice_circles(&mut self, at: usize, due: bool) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        let Some(run) = node.run.as_mut() else { return Ok(()) };
        let txn = run.reader.pin().txn();
        let stands = due && txn == run.seen_txn;
        (run.circles, run.seen_txn) = (if stands { run.circles + 1 } else { 0 }, txn);
        if run.circles < 1000 { Ok(()) } else { Err(format!("liveness: member {} turns in circles", node.id)) }
    }

    fn carry_out(&mut self, at: usize, output: Output) -> Result<(), Violation> {
        let bug = self.options.bug;
        match output {
            Output::Append(plan) => return self.append(at, plan),
            Output::Seal(_) if bug == Some(Bug::MarkNeverWritten) => self.start(at, Vec::new(), Done::Seal),
            Output::Seal(plan) => self.start(at, vec![Operation::Begin(plan.write)], Done::Seal),
            Output::Segment(mut plan) => {
                if bug == Some(Bug::RecycledWithoutHeader)
                    && !plan.steps.iter().any(|step| matches!(step, ringbolt::wal::Step::Create { .. }))
                {
                    plan.steps.retain(|step| !matches!(step, ringbolt::wal::Step::Write(_)));
                }
                self.start(at, of_steps(plan.steps), Done::Segment(plan.segment));
            }
            Output::Checkpoint(plan) => {
                let operations = checkpoint_operations(&plan, bug);
                if bug == Some(Bug::SegmentsReleasedEarly) {
                    let names = self.nodes[at].disk.names();
                    let segments: Vec<_> = names.iter().filter(|name| name.ends_with(".wal")).collect();
                    if segments.len() > 4 {
                        self.nodes[at].disk.remove(segments[0]);
                    }
                }
                if bug == Some(Bug::CheckpointDoneEarly) {
                    self.start(at, operations, Done::Checkpoint(None));
                    return self.input(at, Input::CheckpointDone(plan));
                }
                self.start(at, operations, Done::Checkpoint(Some(Box::new(plan))));
            }
            Output::Grow(plan) => {
                let bytes = usize::try_from((plan.first_page.0 + plan.page_count) * 4096).expect("small");
                self.start(at, vec![Operation::Grow(bytes)], Done::Grow(plan));
            }
            // Pages in holes read as zeros or as they were: nobody may look at them.
            Output::GiveBack(_) => {}
            // Snapshots between members come with the cluster; until then one that fell behind the others' logs stays behind.
            Output::SnapshotNeeded { to } => {
                let to = usize::try_from(to.0 - 1).expect("small");
                self.nodes[to].run = None;
                self.nodes[to].refused = Some("it fell behind the others' logs".to_owned());
                self.forget_asks(to);
            }
            Output::Send(message) => self.send(at, &message),
            Output::Answers { answers, .. } => {
                let mut answers = answers;
                if bug == Some(Bug::AnswersSwapped) && answers.len() > 1 {
                    let first = answers[0].0;
                    answers[0].0 = answers[1].0;
                    answers[1].0 = first;
                }
                for (ticket, answer) in answers {
                    self.answered(ticket, answer)?;
                }
            }
            Output::LeaseAnswers { answers, .. } => {
                for (ticket, answer) in answers {
                    self.lease_answered(at, ticket, answer)?;
                }
            }
            Output::ReadReady { tickets, .. } => {
                for ticket in tickets {
                    if !self.lease_read_ready(ticket)? {
                        self.serve_read(ticket)?;
                    }
                }
            }
            Output::ReadFailed { tickets, .. } => tickets.iter().for_each(|ticket| {
                self.close(*ticket);
                self.drop_question(*ticket);
            }),
            Output::LeaderChanged(leadership) => {
                self.note(leadership.term.0 * 31 + self.nodes[at].id.0);
                if leadership.role == Role::Leader && self.options.leases {
                    return self.begin_to_lead(at, leadership.term.0);
                }
            }
            Output::Stopped => return Err("a replica stopped that nobody asked to".to_owned()),
            Output::Fatal(error) => return self.refuse(at, error.to_string()),
        }
        Ok(())
    }

    fn append(&mut self, at: usize, plan: AppendPlan) -> Result<(), Violation> {
        let AppendPlan { sequence, mut writes } = plan;
        let now = self.now;
        if self.options.leases
            && let Some(term) = self.leads(at)
        {
            let local = self.nodes[at].local(now);
            writes.iter().try_for_each(|write| self.ledger.on_append(term, local, &write.bytes))?;
        }
        let node = &mut self.nodes[at];
        let run = node.run.as_mut().expect("it asked");
        let leads = run.replica.status().leadership.role == Role::Leader;
        run.groups.push_back(sequence);
        let early = match self.options.bug {
            Some(Bug::AnswerBeforeDurable) => true,
            Some(Bug::FollowerAcknowledgesEarly) => !leads,
            Some(Bug::VoteNotPersisted) => {
                let small = writes.iter().all(|write| write.bytes.len() == 4096);
                if small && !leads {
                    writes.clear();
                }
                false
            }
            Some(Bug::ShortWriteTaken) => {
                for write in &mut writes {
                    let length = write.bytes.len();
                    write.bytes.truncate(length.max(8192) - 4096);
                }
                false
            }
            _ => false,
        };
        for write in &writes {
            let offset = usize::try_from(write.offset).expect("small");
            node.written.push_back((write.file.to_string(), offset, write.bytes.len(), now));
            if node.written.len() > 200 {
                node.written.pop_front();
            }
        }
        let operations = if writes.is_empty() { vec![] } else { vec![Operation::BeginAll(writes)] };
        if early {
            self.start(at, operations, Done::Nothing);
            return self.input(at, Input::AppendDone(sequence));
        }
        self.start(at, operations, Done::Append(sequence));
        Ok(())
    }

    fn start(&mut self, at: usize, operations: impl Into<std::collections::VecDeque<Operation>>, done: Done) {
        self.next_job += 1;
        let job = self.next_job;
        let run = self.nodes[at].run.as_mut().expect("it asked");
        run.jobs.insert(job, Job::new(operations, done));
        self.schedule_job(at, job);
    }

    fn schedule_job(&mut self, at: usize, job: u64) {
        let at_barrier = self.nodes[at].run.as_ref().is_some_and(|run| run.jobs[&job].is_at_barrier());
        let slow = if self.rng.chance(20) || at_barrier { 100 } else { 1 };
        let after = self.rng.between(20_000, 400_000) * slow;
        let boots = self.nodes[at].boots;
        self.schedule(after, Event::Job(at, boots, job));
    }

    fn step_job(&mut self, at: usize, job: u64) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        let Some(run) = node.run.as_mut() else { return Ok(()) };
        let Some(mut work) = run.jobs.remove(&job) else { return Ok(()) };
        let (done, full) = match work.step(&mut node.disk) {
            Progress::Goes => {
                run.jobs.insert(job, work);
                self.schedule_job(at, job);
                return Ok(());
            }
            Progress::Done(done) => (done, false),
            Progress::Full(done) => (done, true),
        };
        let mut reported = Vec::new();
        match (&done, self.options.bug) {
            (Done::Append(sequence), Some(Bug::LaterGroupCoversEarlier)) => {
                while run.groups.front().is_some_and(|group| group <= sequence) {
                    reported.extend(run.groups.pop_front().map(Input::AppendDone));
                }
            }
            (Done::Append(sequence), _) => {
                run.groups.retain(|group| group != sequence);
                reported.extend(input_of(done, full));
            }
            _ => reported.extend(input_of(done, full)),
        }
        for input in reported {
            self.input(at, input)?;
        }
        Ok(())
    }

    fn send(&mut self, at: usize, message: &Message) {
        let to = usize::try_from(message.to.0 - 1).expect("small");
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        for delay in self.net.delays(at, to) {
            self.schedule(delay, Event::Deliver(to, bytes.clone()));
        }
    }

    // ---- what members show ----

    fn harvest(&mut self, at: usize) -> Result<(), Violation> {
        let node = &mut self.nodes[at];
        let Some(run) = node.run.as_mut() else { return Ok(()) };
        let stamp = run.reader.latest_stamp();
        if stamp.revision.0 <= run.harvested.max(1) {
            return Ok(());
        }
        let pinned = run.reader.pin();
        let who = format!("member {}", node.id);
        match changes_after(&pinned.view(), run.harvested.max(1)) {
            Ok(revisions) => {
                run.harvested = stamp.revision.0;
                for (revision, changes) in revisions {
                    self.chronicle.observe(&who, revision, changes)?;
                }
                Ok(())
            }
            Err(error) => {
                drop(pinned);
                self.refuse(at, format!("a read found {error:?}"))
            }
        }
    }

    fn hold_and_check_pins(&mut self) -> Result<(), Violation> {
        let at = self.rng.index(self.nodes.len());
        let drop_it = self.rng.chance(400);
        if let Some(run) = self.nodes[at].run.as_mut() {
            for (pinned, revision) in &run.pins {
                let shown = match all_of(&pinned.view(), b"key/", b"key0") {
                    Ok(shown) => shown,
                    Err(error) => {
                        let why = format!("a pinned read found {error:?}");
                        return self.refuse(at, why);
                    }
                };
                self.chronicle.check_read(0, *revision, (b"key/", b"key0"), &shown)?;
            }
            if drop_it || run.pins.len() > 5 {
                run.pins.clear();
            }
            let pinned = run.reader.pin();
            let revision = pinned.stamp().revision.0.max(1);
            run.pins.push((pinned, revision));
        }
        self.harvest(at)?;
        self.schedule(self.options.chaos_ns / 100, Event::Pin);
        Ok(())
    }

    // ---- clients ----

    fn ask(&mut self, client: usize) -> Result<(), Violation> {
        let at = self.rng.index(self.nodes.len());
        let world = self.now + self.nodes[0].leapt_ns;
        let leased = if self.options.leases { self.ledger.draw(&mut self.workload, world) } else { None };
        let asked = leased.unwrap_or_else(|| self.workload.draw(self.chronicle.revision()));
        if self.nodes[at].run.is_none() {
            self.schedule(5 * MS, Event::Client(client));
            return Ok(());
        }
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        let floor = self.chronicle.acknowledged;
        let origin = ShardId(0);
        match &asked {
            Asked::TimeToLive(id) => self.ask_time_to_live(at, client, *id),
            Asked::Write { kind, payload } => {
                let proposal = Proposal { ticket, kind: *kind, payload: payload.clone() };
                self.asks.insert(ticket, (client, Ask { node: at, asked, floor }));
                self.input(at, Input::Propose { origin, proposals: vec![proposal] })
            }
            Asked::Read { serializable, .. } => {
                let serializable = *serializable;
                let floor = if serializable { 0 } else { floor };
                self.asks.insert(ticket, (client, Ask { node: at, asked, floor }));
                if serializable || self.options.bug == Some(Bug::ReadWithoutIndex) {
                    return self.serve_read(ticket);
                }
                self.input(at, Input::Read { origin, tickets: vec![ticket] })
            }
        }
    }

    fn close(&mut self, ticket: u64) {
        if let Some((client, _)) = self.asks.remove(&ticket) {
            let after = self.rng.below(4 * MS);
            self.schedule(after, Event::Client(client));
        }
    }

    fn answered(&mut self, ticket: u64, answer: Result<Outcome, Refusal>) -> Result<(), Violation> {
        let Some((_, ask)) = self.asks.get(&ticket) else { return Ok(()) };
        let Asked::Write { kind, payload } = &ask.asked else {
            return Err(format!("ticket {ticket} is a read and was answered as a write"));
        };
        if let Err(Refusal::Request(mvcc::Error::NoSpace | mvcc::Error::Corrupt)) = &answer {
            self.report.alarmed += 1;
        }
        let (kind, payload, at, floor) = (*kind, payload.clone(), ask.node, ask.floor);
        if self.options.leases {
            self.check_lease_answer(at, (kind, &payload), &answer, floor)?;
        }
        if let Ok(outcome) = &answer {
            self.report.writes += u64::from(!matches!(kind, Kind::Compact | Kind::Alarm));
            if let Duty::Changes(revision, changes) = duty(kind, &payload, outcome) {
                self.note(revision.cast_unsigned());
                self.chronicle.check_write(floor, revision, &changes)?;
            }
        }
        self.close(ticket);
        Ok(())
    }

    /// What an answer says of leases.
    fn check_lease_answer(
        &mut self,
        at: usize,
        (kind, payload): (Kind, &Bytes),
        answer: &Result<Outcome, Refusal>,
        floor: i64,
    ) -> Result<(), Violation> {
        let payload = payload.slice(..);
        let missing = matches!(answer, Err(Refusal::Request(mvcc::Error::LeaseNotFound)));
        let ours = "our own request";
        match (kind, answer) {
            (Kind::LeaseGrant, Ok(_)) => self.granted(at, pb::LeaseGrantRequest::decode(payload).expect(ours).id),
            (Kind::LeaseRevoke, Ok(outcome)) => {
                let id = pb::LeaseRevokeRequest::decode(payload).expect(ours).id;
                self.revoked(at, id, outcome.revision.0, floor)
            }
            (Kind::LeaseRevoke, Err(_)) if missing => {
                self.lease_not_found(at, pb::LeaseRevokeRequest::decode(payload).expect(ours).id)
            }
            (Kind::Put, Err(_)) if missing => {
                self.lease_not_found(at, pb::PutRequest::decode(payload).expect(ours).lease)
            }
            (_, Ok(_) | Err(_)) => Ok(()),
        }
    }

    fn serve_read(&mut self, ticket: u64) -> Result<(), Violation> {
        let Some((_, ask)) = self.asks.get(&ticket) else { return Ok(()) };
        let (at, floor) = (ask.node, ask.floor);
        let Asked::Read { from, to, .. } = ask.asked.clone() else {
            return Err(format!("ticket {ticket} is a write and was answered as a read"));
        };
        self.harvest(at)?;
        let back = self.rng.below(40);
        let Some(run) = self.nodes[at].run.as_ref() else { return Ok(()) };
        let pinned = run.reader.pin();
        let revision = pinned.stamp().revision.0.max(1);
        // A look at the past with each read: what a compaction must have left is not in the newest revision only.
        let past = (revision - i64::try_from(back).expect("small")).max(pinned.stamp().compacted.0).max(1);
        match all_of(&pinned.view(), &from, &to).and_then(|shown| {
            let before = all_of_revision(&pinned.view(), past, &from, &to)?;
            Ok((shown, before))
        }) {
            Ok((shown, before)) => {
                self.report.reads += 1;
                self.chronicle.check_read(0, past, (&from, &to), &before)?;
                self.note(revision.cast_unsigned());
                self.chronicle.check_read(floor, revision, (&from, &to), &shown)?;
                self.close(ticket);
                Ok(())
            }
            Err(error) => {
                drop(pinned);
                self.refuse(at, format!("a read found {error:?}"))
            }
        }
    }

    fn note(&mut self, value: u64) {
        self.report.trace = (self.report.trace.rotate_left(5) ^ value).wrapping_mul(0x0100_0000_01b3);
    }

    // ---- faults and their end ----

    /// Bits flip on a disk that may lie: in the tree file anywhere, in the log where the bytes have been durable for long
    /// enough that the mark covers them, which takes a slow write of each.
    fn rot(&mut self) -> Result<(), Violation> {
        let liars = usize::try_from(self.options.liars.max(1)).expect("small");
        let at = self.rng.index(liars.min(self.nodes.len()));
        let (bits, tree) = (self.rng.between(1, 20), self.rng.chance(500));
        let age = self.marked_after();
        let node = &mut self.nodes[at];
        if tree && self.options.liars > 0 {
            node.disk.rot(crate::jobs::TREE, bits);
        } else {
            let old: Vec<_> = node.written.iter().filter(|(.., time)| time + age < self.now).cloned().collect();
            if let Some((file, offset, length, _)) = old.last().cloned()
                && node.disk.exists(&file)
            {
                let place = offset + self.rng.index(length);
                node.disk.rot_at(&file, place, bits);
                // Seen at the next start, not before: nothing reads the log while it runs.
                self.crash(at);
            }
        }
        if !self.calm {
            self.schedule_about(self.options.chaos_ns / 3, Event::Rot);
        }
        Ok(())
    }

    /// How long after a write the durable mark surely speaks of it, while the member runs.
    fn marked_after(&self) -> u64 {
        if self.options.bug == Some(Bug::MarkNeverWritten) { 0 } else { 400 * MS }
    }

    fn calm_down(&mut self) -> Result<(), Violation> {
        self.calm = true;
        self.net.heal();
        self.net.faults =
            NetFaults { drop_per_mille: 0, double_per_mille: 0, straggler_per_mille: 0, ..self.net.faults };
        for at in 0..self.nodes.len() {
            self.nodes[at].disk.lies = LieRates::default();
            self.nodes[at].disk.capacity_bytes = 1 << 30;
            self.boot(at)?;
        }
        Ok(())
    }

    /// Whether all members that are up have applied the same.
    fn is_settled(&self) -> bool {
        let mut applied =
            self.nodes.iter().filter_map(|node| node.run.as_ref().map(|run| run.replica.status().applied));
        let first = applied.next();
        applied.all(|other| Some(other) == first)
    }

    fn check_equal(&mut self) -> Result<(), Violation> {
        let mut known: BTreeMap<u64, (MemberId, Vec<Shown>, Vec<AlarmMember>)> = BTreeMap::new();
        for at in 0..self.nodes.len() {
            self.harvest(at)?;
            let Some(run) = self.nodes[at].run.as_ref() else { continue };
            let pinned = run.reader.pin();
            let Ok(shown) = all_of(&pinned.view(), b"key/", b"key0") else { continue };
            let Ok(alarms) = alarm::list(&pinned.view(), 0) else { continue };
            let stamp = pinned.stamp();
            self.chronicle.check_read(0, stamp.revision.0.max(1), (b"key/", b"key0"), &shown)?;
            let (other, expected, raised) = known
                .entry(stamp.applied_index.0)
                .or_insert_with(|| (self.nodes[at].id, shown.clone(), alarms.clone()));
            if *expected != shown || *raised != alarms {
                return Err(format!("equal state: members {} and {other} differ at {}", at + 1, stamp.applied_index));
            }
        }
        Ok(())
    }
}

/// Everything in `[from, to)` as a client would be shown it.
fn all_of(view: &View<'_>, from: &[u8], to: &[u8]) -> Result<Vec<Shown>, mvcc::Error> {
    all_of_revision(view, 0, from, to)
}

/// The same at a revision of the past; 0 is the newest.
fn all_of_revision(view: &View<'_>, revision: i64, from: &[u8], to: &[u8]) -> Result<Vec<Shown>, mvcc::Error> {
    let (key, range_end) = (from.to_vec().into(), to.to_vec().into());
    let request = RangeRequest { key, range_end, revision, ..Default::default() };
    let answer = mvcc::range(view, &request)?;
    if usize::try_from(answer.count) != Ok(answer.kvs.len()) {
        panic!("count {} of {} keys", answer.count, answer.kvs.len());
    }
    let shown = answer.kvs.into_iter().map(|kv| Shown {
        key: kv.key.to_vec(),
        value: kv.value.to_vec(),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
    });
    Ok(shown.collect())
}

/// The changes of each revision after `after` that a view still has.
fn changes_after(view: &View<'_>, after: i64) -> Result<Vec<(i64, Vec<Change>)>, mvcc::Error> {
    let mut found: Vec<(i64, Vec<Change>)> = Vec::new();
    let from = after.max(view.stamp().compacted.0);
    let mut cursor = view.cursor(TreeId::Revisions);
    let mut key = (from + 1).to_be_bytes().to_vec();
    key.extend_from_slice(&[0; 4]);
    let mut here = cursor.seek(&key)?;
    while here {
        let cell = cursor.cell()?.expect("the cursor stands on a cell");
        let main = i64::from_be_bytes(cell.key[..8].try_into().expect("eight bytes"));
        let request = RangeRequest { key: cell.key[12..].to_vec().into(), revision: main, ..Default::default() };
        let found_pair = mvcc::range(view, &request)?.kvs.into_iter().next();
        let lease = found_pair.as_ref().map_or(0, |kv| kv.lease);
        let change = Change { key: cell.key[12..].to_vec(), value: found_pair.map(|kv| kv.value.to_vec()), lease };
        match found.last_mut() {
            Some((revision, changes)) if *revision == main => changes.push(change),
            _ => found.push((main, vec![change])),
        }
        here = cursor.next()?;
    }
    Ok(found)
}
