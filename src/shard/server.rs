//! The life of the process's executors: one a shard, the first of which also carries the replica and accepts.
//!
//! Start: listeners bound, store opened, executors spawned, replica started, connections accepted once there is a leader to
//! serve them. Stop: no new connections, every shard drains its calls, the replica comes to its clean end, the executors
//! end.
//!
//! Invariants
//! - A connection goes to the shard that serves the fewest; the counts are kept where connections are handed out.
//! - A failure of any part ends the whole process: there is no half of a member.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::FutureExt;
use futures_lite::future::zip;
use glommio::channels::shared_channel::{self, ConnectedReceiver, SharedReceiver, SharedSender};
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement, PoolPlacement};

use crate::config::AutoCompaction;
use crate::disk::log::LogFiles;
use crate::disk::map::TreeFile;
use crate::mvcc::Position;
use crate::net::{Bound, Channel, Connection, Doorman, Entrance, Listener, Security, Traffic};
use crate::replica::Replica;
use crate::rpc::{Shutdown, SpokeTls};
use crate::service::{Entry, Member, Service, Settings, serve_entered};
use crate::shard::compactor::compact_by_itself;
use crate::shard::engine::{Engine, Files, Inbox};
use crate::shard::front::Front;
use crate::shard::link::{Link, send_gathered};
use crate::shard::member::{Common, LocalMember};
use crate::shard::mesh::{ToFront, ToReplica};
use crate::shard::meter::Meter;
use crate::shard::nudge::keep_nudging;
use crate::shard::report::end_of_replica;
use crate::shard::signals::{Asked, StopSignals};
use crate::shard::supervisor;
use crate::shard::telling::tell_watchers;
use crate::tls::Failure;
use crate::tree;
use crate::types::ShardId;
use crate::{limits, log};

/// Everything that the executors begin with.
pub struct Plan {
    /// Executors, at least 1.
    pub shards: usize,
    /// Sockets that clients connect to, bound and listening.
    pub listeners: Vec<Bound>,
    /// The replica, not yet told anything.
    pub replica: Replica,
    /// The tree's file.
    pub tree_file: Arc<TreeFile>,
    /// What all shards share.
    pub common: Common,
    /// The services' bounds.
    pub settings: Settings,
    /// What is compacted without being asked for.
    pub auto_compaction: AutoCompaction,
    /// What ends the process.
    pub signals: StopSignals,
}

/// Runs until a signal ends it (`Ok`) or something breaks.
pub fn run(plan: Plan, logger: &log::Logger) -> Result<(), String> {
    assert!(plan.shards >= 1, "somebody has to do the work");
    let shared = plan.replica.shared();
    let mut ends = Vec::new();
    let mut others = Vec::new();
    for shard in (1..plan.shards).map(ShardId) {
        let (to_replica, from_front) = shared_channel::new_bounded(limits::MESH_MESSAGES_MAX);
        let (to_front, from_replica) = shared_channel::new_bounded(limits::MESH_MESSAGES_MAX);
        ends.push((to_front, from_front));
        let start = FrontStart {
            shard,
            shared: Arc::clone(&shared),
            common: plan.common.clone(),
            settings: plan.settings,
            to_replica,
            from_replica,
        };
        others.push(spawn(plan.shards, shard, move || run_front(start))?);
    }
    let (shards, logger_of_first) = (plan.shards, logger.clone());
    let first = spawn(shards, ShardId(0), move || run_first(plan, ends, logger_of_first))?;
    let outcome = join(first);
    for other in others {
        join(other)?;
    }
    outcome?
}

fn spawn<F, T>(
    shards: usize,
    shard: ShardId,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<ExecutorJoinHandle<T>, String>
where
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    // Pinned only when every core has its shard: on a shared machine the kernel places fewer shards better than we can.
    let cores = crate::preflight::available_cores();
    let placement = if shards == cores && shards > 1 { Placement::Fixed(shard.0) } else { Placement::Unbound };
    LocalExecutorBuilder::new(placement)
        .name("shard")
        .blocking_thread_pool_placement(PoolPlacement::Unbound(limits::BLOCKING_THREADS))
        .spin_before_park(Duration::ZERO)
        .spawn(work)
        .map_err(|error| format!("could not start {shard}: {error}"))
}

fn join<T: Send>(handle: ExecutorJoinHandle<T>) -> Result<T, String> {
    handle.join().map_err(|error| format!("an executor failed: {error}"))
}

/// What a shard without the replica begins with.
struct FrontStart {
    shard: ShardId,
    shared: Arc<tree::Shared>,
    common: Common,
    settings: Settings,
    to_replica: SharedSender<ToReplica>,
    from_replica: SharedReceiver<ToFront>,
}

/// One shard's serving side, with or without a replica beside it.
#[derive(Clone)]
struct Serving {
    front: Rc<Front>,
    member: LocalMember,
    service: Service<LocalMember>,
    shutdown: Shutdown,
    doorman: Rc<Doorman>,
}

impl Serving {
    fn new(shard: ShardId, shared: &Arc<tree::Shared>, common: Common, settings: Settings) -> Self {
        let front = Rc::new(Front::default());
        let registry = Arc::clone(&common.registry);
        let doorman = Rc::new(Doorman::new(common.tls.clone(), common.logger.clone()));
        let access = common.access.clone();
        let member = LocalMember::new(Rc::clone(&front), shared.reader(shard), common, shard);
        let shutdown = Shutdown::default();
        let service = Service::counted(member.clone(), settings, shutdown.clone(), (registry, shard), access);
        Self { front, service, member, shutdown, doorman }
    }

    /// Tells this shard's watchers of changes from now on.
    fn tell_watchers(&self) -> glommio::Task<()> {
        glommio::spawn_local(tell_watchers(Rc::clone(&self.front), self.member.clone()))
    }

    fn serve(&self, connection: Connection) {
        self.front.on_connection_opened();
        let serving = self.clone();
        glommio::spawn_local(async move {
            let (entrance, peer) = (connection.entrance(), connection.peer());
            if let Some(channel) = serving.admit(connection).await {
                let entry = Entry { traffic: entrance.traffic, secure: channel.is_secure() };
                let served = serve_entered(channel, serving.service.for_peer(peer), entry).await;
                // What else ended a connection concerns its client alone, who sees it too.
                if served.is_err_and(|error| error.get_ref().is_some_and(|why| why.is::<SpokeTls>())) {
                    serving.doorman.turned_away(peer, Failure::new(SpokeTls.to_string()));
                }
            }
            serving.front.on_connection_closed();
        })
        .detach();
    }

    /// The connection as it can be spoken through. Handshakes that are not done when the server stops are not waited for.
    async fn admit(&self, connection: Connection) -> Option<Channel> {
        if connection.entrance().security == Security::Plain {
            return connection.attach().ok().map(Channel::Plain);
        }
        let stopped = async {
            self.shutdown.begun().await;
            None
        };
        Box::pin(self.doorman.admit(connection).or(stopped)).await
    }

    /// Ends all connections: those that have calls open get a while to finish them.
    async fn drain(&self) {
        self.shutdown.begin();
        let drained = async {
            while self.front.connections() > 0 {
                self.front.connection_closed.wait().await;
            }
        };
        let patience = async {
            glommio::timer::sleep(limits::DRAIN_PATIENCE).await;
        };
        drained.or(patience).await;
    }
}

async fn run_front(start: FrontStart) {
    let _nudges = keep_nudging();
    let serving = Serving::new(start.shard, &start.shared, start.common, start.settings);
    // Together: an end waits for its other end, and the other shard may begin with the other channel.
    let (to_replica, from_replica) = zip(start.to_replica.connect(), start.from_replica.connect()).await;
    let front = Rc::clone(&serving.front);
    let telling = serving.tell_watchers();
    let sending = glommio::spawn_local(async move {
        loop {
            let batch = front.take_outbox();
            if batch.is_empty() {
                front.outbox_filled.wait().await;
            } else if to_replica.send(batch).await.is_err() {
                return;
            }
        }
    });
    while let Some(mut message) = from_replica.recv().await {
        serving.front.handle(&mut message);
        message.connections.into_iter().for_each(|connection| serving.serve(connection));
        if message.stop {
            let serving = serving.clone();
            // The answers that the open calls wait for still come through this loop.
            glommio::spawn_local(async move {
                serving.drain().await;
                serving.front.on_drained();
            })
            .detach();
        }
    }
    sending.cancel().await;
    telling.cancel().await;
}

/// The shards as the first one sees them, for sharing connections out.
struct Shards {
    serving: Serving,
    links: Vec<Rc<Link>>,
    /// Connections handed to each of the others and not yet reported closed, shard 1 first.
    connections: RefCell<Vec<u64>>,
    drained: Cell<usize>,
    drained_more: crate::shard::notify::Notify,
}

impl Shards {
    /// Hands a connection to the shard that serves the fewest, the lowest first.
    fn share(&self, connection: Connection) {
        let mut counts = self.connections.borrow_mut();
        let fewest = counts.iter().enumerate().min_by_key(|(_, count)| **count).map(|(at, count)| (at, *count));
        match fewest {
            Some((at, count)) if count < self.serving.front.connections() => {
                counts[at] += 1;
                self.links[at].add(|message| message.connections.push(connection));
            }
            Some(_) | None => self.serving.serve(connection),
        }
    }

    fn on_batch(&self, link: usize, batch: &ToReplica) {
        let mut counts = self.connections.borrow_mut();
        counts[link] = counts[link].checked_sub(batch.connections_closed).expect("closed only what was handed out");
        if batch.drained {
            self.drained.set(self.drained.get() + 1);
            self.drained_more.ring();
        }
    }

    /// Every shard finishes its calls.
    async fn drain(&self) {
        for link in &self.links {
            link.add(|message| message.stop = true);
        }
        self.serving.drain().await;
        while self.drained.get() < self.links.len() {
            self.drained_more.wait().await;
        }
    }
}

type LinkEnds = (SharedSender<ToFront>, SharedReceiver<ToReplica>);

async fn run_first(plan: Plan, ends: Vec<LinkEnds>, logger: log::Logger) -> Result<(), String> {
    let _nudges = keep_nudging();
    let serving = Serving::new(ShardId(0), &plan.replica.shared(), plan.common.clone(), plan.settings);
    let inbox = Rc::new(Inbox::default());
    let links: Vec<Rc<Link>> = ends.iter().map(|_| Rc::new(Link::default())).collect();
    let shards = Rc::new(Shards {
        serving: serving.clone(),
        connections: RefCell::new(vec![0; links.len()]),
        links: links.clone(),
        drained: Cell::new(0),
        drained_more: crate::shard::notify::Notify::default(),
    });
    let mut tasks = Vec::new();
    for (at, (sender, receiver)) in ends.into_iter().enumerate() {
        let (sender, receiver) = zip(sender.connect(), receiver.connect()).await;
        tasks.push(glommio::spawn_local(send_gathered(Rc::clone(&links[at]), sender)));
        tasks.push(glommio::spawn_local(receive(at, receiver, Rc::clone(&inbox), Rc::clone(&shards))));
    }
    tasks.push(serving.tell_watchers());
    let compacting = compact_by_itself(plan.auto_compaction, serving.member.clone(), logger.clone());
    tasks.push(glommio::spawn_local(compacting));
    tasks.push(glommio::spawn_local(ring_for_own_front(Rc::clone(&serving.front), Rc::clone(&inbox))));

    let files = Files { log: Rc::new(LogFiles::new(&plan.common.paths.wal)), tree: plan.tree_file };
    let around = (Rc::clone(&inbox), Rc::clone(&serving.front), links);
    let Common { board, paths, registry, .. } = plan.common;
    let meter = Meter::new(Arc::clone(registry.replica()), plan.settings.slow_apply, logger.clone());
    let told = (board, meter);
    let engine = Engine::new(plan.replica, around, files.clone(), told, logger.clone());
    let engine = glommio::spawn_local(engine.run());

    let serving = serve_until_signal(plan.listeners, plan.signals, Rc::clone(&inbox), shards, logger);
    let serving = glommio::spawn_local(serving);
    let outcome = engine.await.map_err(|error| end_of_replica(&paths, &error));
    serving.cancel().await;
    for task in tasks {
        task.cancel().await;
    }
    // After a fatal error the files are left as they are: closing must not turn into another write.
    outcome.and(files.log.close().await.map_err(|error| error.to_string()))
}

async fn receive(at: usize, receiver: ConnectedReceiver<ToReplica>, inbox: Rc<Inbox>, shards: Rc<Shards>) {
    let origin = ShardId(at + 1);
    while let Some(batch) = receiver.recv().await {
        shards.on_batch(at, &batch);
        inbox.put_batch(origin, batch);
    }
}

async fn ring_for_own_front(front: Rc<Front>, inbox: Rc<Inbox>) {
    loop {
        front.outbox_filled.wait().await;
        inbox.ring();
    }
}

type Accepting = Vec<glommio::Task<()>>;

fn accept_all(listeners: Vec<Bound>, shards: &Rc<Shards>, logger: &log::Logger) -> io::Result<Accepting> {
    let mut tasks = Vec::new();
    for bound in listeners {
        let listener = bound.attach()?;
        tell_of(&listener, logger);
        tasks.push(glommio::spawn_local(accept(listener, Rc::clone(shards), logger.clone())));
    }
    Ok(tasks)
}

async fn accept(mut listener: Listener, shards: Rc<Shards>, logger: log::Logger) {
    loop {
        match listener.accept().await {
            Ok(connection) => shards.share(connection),
            Err(error) => {
                logger.error("stopped accepting connections", &[("error", error.to_string().into())]);
                return;
            }
        }
    }
}

/// etcd's words for a listener that is served from now on.
fn tell_of(listener: &Listener, logger: &log::Logger) {
    let Entrance { traffic, security } = listener.entrance();
    let address = listener.address().to_string();
    if traffic == Traffic::Metrics {
        let scheme = if security == Security::Tls { "https" } else { "http" };
        return logger.info("serving metrics", &[("address", format!("{scheme}://{address}").into())]);
    }
    let fields = [("traffic", traffic.name().into()), ("address", address.into())];
    if security != Security::Tls {
        logger.info("serving client traffic insecurely; this is strongly discouraged!", &fields);
    }
    if security != Security::Plain {
        logger.info("serving client traffic securely", &fields);
    }
}

/// Accepts once the log is applied, so that no client is shown a state from before the last stop; ends when told to.
async fn serve_until_signal(
    listeners: Vec<Bound>,
    signals: StopSignals,
    inbox: Rc<Inbox>,
    shards: Rc<Shards>,
    logger: log::Logger,
) {
    // Metrics tell of a member that serves nobody yet, too.
    let (early, listeners): (Vec<_>, Vec<_>) =
        listeners.into_iter().partition(|bound| bound.entrance().traffic == Traffic::Metrics);
    let _early = accept_all(early, &shards, &logger)
        .inspect_err(|error| logger.error("could not listen", &[("error", error.to_string().into())]));
    let accepting = async {
        while shards.serving.front.read_barrier().await.is_err() {
            logger.warn("waiting for a leader before clients are served", &[]);
        }
        logger.info("ready to serve client requests", &[]);
        match accept_all(listeners, &shards, &logger) {
            // Held until this future is dropped, which ends the tasks and closes the listeners.
            Ok(_accepting) => {
                supervisor::ready(&logger);
                std::future::pending::<()>().await;
            }
            Err(error) => logger.error("could not listen", &[("error", error.to_string().into())]),
        }
    };
    let stopped = async {
        match signals.asked().await {
            Ok(Asked::Stop) => logger.info("received signal; shutting down", &[]),
            Ok(Asked::Quit) => quit(&shards, &logger),
            Err(error) => {
                logger.error("cannot wait for signals", &[("error", error.to_string().into())]);
                std::future::pending::<()>().await;
            }
        }
    };
    stopped.or(accepting).await;
    supervisor::stopping();
    shards.drain().await;
    inbox.put(crate::replica::Input::Stop);
    std::future::pending().await
}

/// Says what the process was at and ends it: what Go's runtime does for SIGQUIT, without the stacks.
fn quit(shards: &Shards, logger: &log::Logger) -> ! {
    let status = shards.serving.member.status();
    let connections: u64 = shards.connections.borrow().iter().sum::<u64>() + shards.serving.front.connections();
    let position = Position::of(&shards.serving.member.pin().stamp());
    let fields = [
        ("term", status.term.0.into()),
        ("leader", status.leader.to_string().into()),
        ("committed-index", status.committed.0.into()),
        ("applied-index", status.applied.0.into()),
        ("revision", position.current.0.into()),
        ("compact-revision", position.compacted.0.into()),
        ("connections", connections.into()),
        ("db-size", status.file_bytes.into()),
    ];
    logger.fatal("received SIGQUIT; ending at once", &fields);
    std::process::exit(2)
}
