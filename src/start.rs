//! From a checked configuration and a locked data directory to running executors.
//!
//! Invariants
//! - Listeners are bound before the store is opened, so that a taken port changes nothing on disk.
//! - Whatever fails comes back as the one record that says why and what to do.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use crate::config::{Bootstrap, Config, Quota, bootstrap};
use crate::disk::bus_error;
use crate::disk::open::{Paths, Store, StoreLog, Wanted, open};
use crate::disk::open_files::raise_open_files_max;
use crate::identity::Url;
use crate::log::{Level, Logger, Record};
use crate::metrics::Registry;
use crate::net::{Address, Bound};
use crate::preflight::{DataDirectory, Started, available_cores, bind_problem, resolve};
use crate::replica::{self, Replica, installed_index};
use crate::service::{Identity, Settings};
use crate::shard::{self, Board, Common, Plan, StopSignals};
use crate::types::{BootNonce, Now};
use crate::{limits, wal};

/// Serves until a signal comes. An error is the record to end with.
pub fn serve(started: &Started, logger: &Logger) -> Result<(), Record> {
    let (config, directory) = (&started.config, &started.directory);
    let signals = StopSignals::install().map_err(|error| fatal("could not take over signals", error))?;
    if let Err(error) = raise_open_files_max() {
        logger.warn("could not raise the limit of open files", &[("error", error.to_string().into())]);
    }
    bus_error::install();
    let resolve = |host_port: &str| resolve(host_port, logger);
    let bootstrap = bootstrap(config, &resolve).map_err(|why| fatal("discovery failed", why))?;
    let listeners = bind(config)?;
    let nonce = BootNonce(rand::random());
    let store = open_store(directory, &bootstrap, config, nonce)?;
    let tree_file = Arc::clone(&store.tree_file);
    let replica = start_replica(config, &bootstrap, nonce, store, logger)?;
    let shards = config.shards.unwrap_or_else(available_cores).max(1);
    let plan = Plan {
        shards,
        listeners,
        replica,
        tree_file,
        wal_directory: directory.wal.clone(),
        common: common(config, &bootstrap, shards),
        settings: Settings {
            request_bytes_max: config.requests.bytes_max,
            txn_ops_max: config.requests.txn_ops_max,
            streams_max: config.requests.streams_max,
        },
        signals,
    };
    shard::run(plan, logger).map_err(|why| fatal("the member stopped", why))
}

fn fatal(message: &'static str, why: impl ToString) -> Record {
    Record::new(Level::Fatal, message, vec![("error", why.to_string().into())])
}

fn bind(config: &Config) -> Result<Vec<Bound>, Record> {
    let bind_one = |url: &Url| {
        let problem = |error| bind_problem(url, "--listen-client-urls", &error).record();
        bind_patiently(&address(url).map_err(problem)?).map_err(problem)
    };
    config.listen.client.iter().map(bind_one).collect()
}

/// Binds, and gives a killed predecessor the moment that the kernel takes to let go of its sockets: a ring that still holds an
/// accept keeps the listener for a little while after the process is gone.
fn bind_patiently(address: &Address) -> std::io::Result<Bound> {
    for _ in 0..limits::BIND_TRIES {
        match Bound::bind(address) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => pause(),
            outcome => return outcome,
        }
    }
    Bound::bind(address)
}

#[expect(clippy::disallowed_methods, reason = "no executor runs yet: this is the main thread before the start")]
fn pause() {
    std::thread::sleep(limits::BIND_RETRY);
}

/// Where a URL asks to listen. Of a name with several addresses (localhost), the first IPv4 one, as Go's net package has it.
fn address(url: &Url) -> std::io::Result<Address> {
    if url.scheme().is_unix() {
        return Ok(Address::Unix(url.address().into()));
    }
    let addresses: Vec<SocketAddr> = url.address().to_socket_addrs()?.collect();
    let chosen = addresses.iter().find(|address| address.is_ipv4()).or(addresses.first());
    chosen
        .map(|address| Address::Tcp(*address))
        .ok_or_else(|| std::io::Error::from(std::io::ErrorKind::AddrNotAvailable))
}

fn open_store(
    directory: &DataDirectory,
    bootstrap: &Bootstrap,
    config: &Config,
    nonce: BootNonce,
) -> Result<Store, Record> {
    let paths = Paths { tree: directory.db.clone(), wal: directory.wal.clone() };
    let wanted = Wanted {
        identity: wal::Identity { cluster: bootstrap.cluster, member: bootstrap.local },
        boot: nonce,
        log: wal::Config::default(),
        entries_kept: config.raft.catchup_entries,
        installed_index,
    };
    open(&paths, &wanted).map_err(|error| fatal("the data directory is not in order; nothing was changed", error))
}

fn start_replica(
    config: &Config,
    bootstrap: &Bootstrap,
    nonce: BootNonce,
    store: Store,
    logger: &Logger,
) -> Result<Replica, Record> {
    let voters = bootstrap.members.iter().map(|member| member.id).collect();
    let replica_config = replica::Config {
        tick: config.raft.heartbeat,
        election_ticks: usize::try_from(config.raft.election_ticks).unwrap_or(usize::MAX),
        catch_up_entries: config.raft.catchup_entries,
        ..replica::Config::new(bootstrap.local, nonce, rand::random(), voters)
    };
    let outcome = match store.log {
        StoreLog::New(log) => Replica::create(replica_config, Now(0), store.tree, *log),
        StoreLog::Recovered(recovered) => {
            for note in &recovered.notes {
                logger.warn("recovery", &[("note", note.to_owned().into())]);
            }
            Replica::open(replica_config, Now(0), store.tree, *recovered)
        }
    };
    outcome.map_err(|error| fatal("the data directory is not in order", error))
}

fn common(config: &Config, bootstrap: &Bootstrap, shards: usize) -> Common {
    Common {
        identity: Identity {
            cluster_id: bootstrap.cluster,
            member_id: bootstrap.local,
            name: config.name.clone(),
            peer_urls: config.advertise.peer_texts(),
            client_urls: config.advertise.client_texts(),
        },
        board: Arc::new(Board::default()),
        registry: Arc::new(Registry::new(shards, config.extensive_metrics)),
        quota_bytes: match config.quota {
            Quota::Bytes(bytes) => bytes,
            Quota::Unbounded => u64::MAX,
        },
    }
}
