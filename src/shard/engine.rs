//! The replica's task: feeds inputs to the pure replica and carries out its outputs, on the replica's executor.
//!
//! Invariants
//! - Only this task touches the replica; everything that finishes elsewhere comes back through the inbox as an input.
//! - Inputs that gathered while one turn ran make the next turn: that is the group in group commit.
//! - After `Stopped` or `Fatal` nothing more is answered or written; the task ends and says which it was.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::FutureExt;
use glommio::timer::Timer;

use crate::disk::checkpoint;
use crate::disk::error::Error as DiskError;
use crate::disk::log::LogFiles;
use crate::disk::map::TreeFile;
use crate::metrics::Stopwatch;
use crate::raft::Leadership;
use crate::replica::{Error, Failure, Input, Output, Replica};
use crate::shard::clock::Clock;
use crate::shard::front::Front;
use crate::shard::link::Link;
use crate::shard::mesh::{Board, Reading, ToFront, ToReplica};
use crate::shard::meter::Meter;
use crate::shard::notify::Notify;
use crate::tree::{CheckpointPlan, GiveBack, GrowPlan};
use crate::types::{Revision, ShardId};
use crate::wal::{AppendPlan, SealPlan, SegmentPlan};
use crate::{limits, log};

/// What waits to be handled, and the bell that says so.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    inputs: RefCell<Vec<Input>>,
    /// What shards said of their watchers.
    watched: RefCell<Vec<(ShardId, Option<Revision>)>>,
    filled: Notify,
}

impl Inbox {
    /// Leaves an input for the next turn.
    pub(super) fn put(&self, input: Input) {
        self.inputs.borrow_mut().push(input);
        self.filled.ring();
    }

    /// Leaves what a front shard sent.
    pub(super) fn put_batch(&self, origin: ShardId, batch: ToReplica) {
        if !batch.proposals.is_empty() {
            self.put(Input::Propose { origin, proposals: batch.proposals });
        }
        if let Some(ticket) = batch.read {
            self.put(Input::Read { origin, tickets: vec![ticket] });
        }
        if !batch.leases.is_empty() {
            self.put(Input::Lease { origin, asks: batch.leases });
        }
        if let Some(watched) = batch.watched {
            self.watched.borrow_mut().push((origin, watched));
            self.filled.ring();
        }
    }

    /// Wakes the replica's task: the front beside it has something.
    pub(super) fn ring(&self) {
        self.filled.ring();
    }
}

/// The shards that have watchers.
#[derive(Debug, Default)]
struct Audience {
    /// Up to which revision each was told of changes, as far as is known here.
    watched: BTreeMap<ShardId, Revision>,
    /// The revision and the compacted one that they heard of last.
    told: (Revision, Revision),
}

impl Audience {
    /// Notes what a shard said; whether its watchers are new.
    fn set(&mut self, shard: ShardId, watched: Option<Revision>) -> bool {
        match watched {
            Some(through) => self.watched.insert(shard, through).is_none(),
            None => {
                self.watched.remove(&shard);
                false
            }
        }
    }

    /// What all of them have been told.
    fn least(&self) -> Option<Revision> {
        self.watched.values().min().copied()
    }
}

/// The files that outputs are carried out on.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// The WAL's.
    pub(super) log: Rc<LogFiles>,
    /// The tree's.
    pub(super) tree: Arc<TreeFile>,
}

/// The replica with everything around it.
pub(super) struct Engine {
    replica: Replica,
    inbox: Rc<Inbox>,
    front: Rc<Front>,
    links: Vec<Rc<Link>>,
    files: Files,
    board: Arc<Board>,
    meter: Meter,
    clock: Clock,
    audience: Audience,
    logger: log::Logger,
    /// Whether space was lacking after the last turn.
    no_space: bool,
    /// Whether the member is to stop.
    stopping: bool,
}

impl Engine {
    /// The replica, what reaches it, and what it reaches: the front on its own shard and a link to each other shard,
    /// shard 1 first.
    pub(super) fn new(
        replica: Replica,
        (inbox, front, links): (Rc<Inbox>, Rc<Front>, Vec<Rc<Link>>),
        files: Files,
        (board, meter): (Arc<Board>, Meter),
        logger: log::Logger,
    ) -> Self {
        Self {
            replica,
            inbox,
            front,
            links,
            files,
            board,
            meter,
            clock: Clock::start(),
            audience: Audience::default(),
            logger,
            no_space: false,
            stopping: false,
        }
    }

    /// Runs until the replica came to its end: cleanly (`Ok`) or not.
    pub(super) async fn run(mut self) -> Result<(), Error> {
        loop {
            self.publish();
            self.tell_of_changes();
            self.wait().await;
            let turn = Stopwatch::start();
            for input in self.inbox.inputs.take() {
                self.stopping |= matches!(input, Input::Stop);
                self.replica.handle(self.clock.now(), input);
            }
            self.take_own_front();
            self.take_watched();
            let mut due = self.replica.next_deadline().is_some_and(|deadline| deadline <= self.clock.now());
            loop {
                if std::mem::take(&mut due) {
                    self.replica.handle(self.clock.now(), Input::Tick);
                }
                let Some(output) = self.replica.poll_output() else { break };
                if let Some(end) = self.carry_out(output) {
                    return end;
                }
            }
            self.meter.on_turn(&self.replica.status(), turn);
        }
    }

    fn take_own_front(&mut self) {
        let batch = self.front.take_outbox();
        let origin = ShardId(0);
        let now = self.clock.now();
        if !batch.proposals.is_empty() {
            self.replica.handle(now, Input::Propose { origin, proposals: batch.proposals });
        }
        if let Some(ticket) = batch.read {
            self.replica.handle(now, Input::Read { origin, tickets: vec![ticket] });
        }
        if !batch.leases.is_empty() {
            self.replica.handle(now, Input::Lease { origin, asks: batch.leases });
        }
        if let Some(watched) = batch.watched {
            self.inbox.watched.borrow_mut().push((origin, watched));
        }
    }

    /// What shards said of their watchers goes to the replica as one figure. A shard whose watchers are new may have missed
    /// a change meanwhile.
    fn take_watched(&mut self) {
        for (shard, watched) in self.inbox.watched.take() {
            if self.audience.set(shard, watched) {
                self.tell(shard, |message| message.changed = true);
            }
            self.replica.handle(self.clock.now(), Input::Watched(self.audience.least()));
        }
    }

    /// Shards with watchers hear that there is a newer root.
    fn tell_of_changes(&mut self) {
        let stamp = self.replica.tree().stamp();
        let newest = (stamp.revision, stamp.compacted);
        if std::mem::replace(&mut self.audience.told, newest) != newest {
            for shard in self.audience.watched.keys() {
                self.tell(*shard, |message| message.changed = true);
            }
        }
    }

    /// Until there is an input or the replica's next deadline has come.
    async fn wait(&self) {
        let Some(deadline) = self.replica.next_deadline() else { return self.inbox.filled.wait().await };
        let left = deadline.since(self.clock.now());
        if left == Duration::ZERO {
            // Let the connections have their turn even if the replica always has something to do.
            return glommio::executor().yield_now().await;
        }
        let alarm = async {
            Timer::new(left).await;
        };
        self.inbox.filled.wait().or(alarm).await;
    }

    fn publish(&mut self) {
        let status = self.replica.status();
        if status.no_space != std::mem::replace(&mut self.no_space, status.no_space) {
            self.tell_of_space(status.no_space);
        }
        self.meter.publish(&status);
        let bytes = |pages: u64| pages.saturating_mul(limits::TREE_PAGE_BYTES);
        self.board.publish(&Reading {
            leader: status.leadership.leader.unwrap_or_default(),
            term: status.leadership.term,
            committed: status.committed,
            applied: status.applied,
            file_bytes: bytes(status.pages.file),
            used_bytes: bytes(status.pages.used),
            no_space: status.no_space,
        });
    }

    #[cold]
    fn tell_of_space(&self, lacking: bool) {
        let field = [("path", self.files.tree.path().display().to_string().into())];
        if lacking {
            self.logger.warn("no space left on the disk; writes are refused until there is some, reads go on", &field);
        } else {
            self.logger.info("there is space on the disk again; writes are taken", &field);
        }
    }

    /// Begins what `output` asks for; an end, if it is one.
    fn carry_out(&mut self, output: Output) -> Option<Result<(), Error>> {
        match output {
            Output::Append(plan) => self.append(plan),
            Output::Seal(plan) => self.seal(plan),
            Output::Segment(plan) => self.segment(plan),
            Output::Checkpoint(plan) => self.checkpoint(plan),
            Output::Grow(plan) => self.grow(plan),
            Output::GiveBack(space) => self.give_back(&space),
            Output::Answers { origin, answers } => self.tell(origin, |message| message.answers.extend(answers)),
            Output::LeaseAnswers { origin, answers } => self.tell(origin, |message| message.leases.extend(answers)),
            Output::ReadReady { origin, tickets, .. } => {
                self.tell(origin, |message| message.reads.extend(tickets.into_iter().map(|ticket| (ticket, Ok(())))));
            }
            Output::ReadFailed { origin, tickets, refusal } => self.tell(origin, |message| {
                message.reads.extend(tickets.into_iter().map(|ticket| (ticket, Err(refusal.clone()))));
            }),
            Output::LeaderChanged(leadership) => self.log_leadership(leadership),
            // A cluster of one has nobody to send to; the transport between members comes with the cluster.
            Output::Send(_) | Output::SnapshotNeeded { .. } => {}
            Output::Stopped => return Some(Ok(())),
            Output::Fatal(error) => return Some(Err(error)),
        }
        None
    }

    fn tell(&self, origin: ShardId, fill: impl FnOnce(&mut ToFront)) {
        match origin.0.checked_sub(1) {
            None => {
                let mut message = ToFront::default();
                fill(&mut message);
                self.front.handle(&mut message);
            }
            Some(link) => self.links[link].add(fill),
        }
    }

    fn log_leadership(&self, leadership: Leadership) {
        let leader = leadership.leader.map_or_else(String::new, |leader| leader.to_string());
        let fields = [("term", leadership.term.0.into()), ("leader", leader.into())];
        self.logger.info("raft leadership changed", &fields);
    }

    fn append(&self, plan: AppendPlan) {
        let (files, inbox) = (Rc::clone(&self.files.log), Rc::clone(&self.inbox));
        let cells = self.meter.cells();
        spawn(async move {
            let (sequence, watch) = (plan.sequence, Stopwatch::start());
            let bytes: usize = plan.writes.iter().map(|write| write.bytes.len()).sum();
            // Mostly one write; those of a group that crosses a segment's end may go one after another, it is rare.
            let mut outcome = Ok(());
            for write in plan.writes {
                outcome = files.write(write).await;
                if outcome.is_err() {
                    break;
                }
            }
            cells.log_writes.observe(watch.nanos());
            cells.log_bytes.add(u64::try_from(bytes).unwrap_or(u64::MAX));
            inbox.put(match outcome {
                Ok(()) => Input::AppendDone(sequence),
                Err(error) => Input::WriteFailed(error.to_string()),
            });
        });
    }

    fn seal(&self, plan: SealPlan) {
        let (files, inbox) = (Rc::clone(&self.files.log), Rc::clone(&self.inbox));
        spawn(async move {
            inbox.put(match files.write(plan.write).await {
                Ok(()) => Input::SealDone,
                Err(error) => Input::WriteFailed(error.to_string()),
            });
        });
    }

    fn segment(&self, plan: SegmentPlan) {
        let (files, inbox) = (Rc::clone(&self.files.log), Rc::clone(&self.inbox));
        spawn(async move {
            let segment = plan.segment;
            inbox.put(match files.run(plan.steps).await {
                Ok(()) => Input::SegmentReady(segment),
                Err(error) => Input::SegmentFailed(segment, failure(&error)),
            });
        });
    }

    fn checkpoint(&self, plan: CheckpointPlan) {
        let (file, inbox, shared) = (Arc::clone(&self.files.tree), Rc::clone(&self.inbox), self.replica.shared());
        let cells = self.meter.cells();
        // Somebody waits for one that makes space, and for the last.
        let pace = if self.no_space || self.stopping { Duration::ZERO } else { limits::CHECKPOINT_PACE };
        spawn(async move {
            let watch = Stopwatch::start();
            let run = move || (checkpoint::run(&file, &shared, &plan, pace), plan);
            let (outcome, plan) = glommio::executor().spawn_blocking(run).await;
            cells.checkpoints.observe(watch.nanos());
            inbox.put(match outcome {
                Ok(()) => Input::CheckpointDone(plan),
                Err(error) => Input::WriteFailed(error.to_string()),
            });
        });
    }

    fn grow(&self, plan: GrowPlan) {
        let (file, inbox) = (Arc::clone(&self.files.tree), Rc::clone(&self.inbox));
        spawn(async move {
            let run = move || (file.allocate(plan.first_page, plan.page_count), plan);
            let (outcome, plan) = glommio::executor().spawn_blocking(run).await;
            inbox.put(match outcome {
                Ok(()) => Input::GrowDone(plan),
                Err(error) => Input::GrowFailed(plan, failure(&error)),
            });
        });
    }

    /// Runs on the executor itself, so that it is over before a later grow plan begins.
    fn give_back(&self, space: &GiveBack) {
        if let Err(error) = checkpoint::give_back(&self.files.tree, space) {
            // The space stays with the file: nothing is lost but the room.
            self.logger.warn("could not give space back to the file system", &[("error", error.to_string().into())]);
        }
    }
}

fn spawn(task: impl Future<Output = ()> + 'static) {
    glommio::spawn_local(task).detach();
}

fn failure(error: &DiskError) -> Failure {
    if error.is_no_space() { Failure::NoSpace } else { Failure::Other(error.to_string()) }
}
