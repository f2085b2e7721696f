//! From a checked configuration and a locked data directory to running executors.
//!
//! Invariants
//! - Listeners are bound before the store is opened, so that a taken port changes nothing on disk.
//! - Whatever fails comes back as the one record that says why and what to do.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Bootstrap, Config, Gate, Quota, bootstrap};
use crate::disk::bus_error;
use crate::disk::open::{OpenError, Paths, Store, StoreLog, Wanted, logged_identity, open};
use crate::disk::open_files::raise_open_files_max;
use crate::identity::Url;
use crate::lease::ttl_seconds_min;
use crate::log::{Level, Logger, Record};
use crate::metrics::Registry;
use crate::net::{Address, Bound, Site};
use crate::preflight::{Started, available_cores, bind_problem, resolve};
use crate::replica::{self, Replica, installed_index};
use crate::rpc::{Keepalive, frame};
use crate::service::{Access, Identity, Settings};
use crate::shard::{self, Board, Common, Plan, StopSignals, end_of_replica};
use crate::types::{BootNonce, MemberId, Now};
use crate::{limits, wal, watch};

/// Who a member is, and the voters of its cluster if the store is new.
struct Founding {
    identity: wal::Identity,
    voters: Vec<MemberId>,
}

/// Serves until a signal comes. An error is the record to end with.
pub fn serve(started: &Started, logger: &Logger) -> Result<(), Record> {
    let (config, directory) = (&started.config, &started.directory);
    let signals = StopSignals::install().map_err(|error| fatal("could not take over signals", error))?;
    match raise_open_files_max() {
        Ok((before, max)) => logger.info("limit of open files", &[("before", before.into()), ("max", max.into())]),
        Err(error) => logger.warn("could not raise the limit of open files", &[("error", error.to_string().into())]),
    }
    bus_error::install();
    let paths = Paths { tree: directory.db.clone(), wal: directory.wal.clone() };
    let founding = membership(&paths, config, logger)?;
    let listeners = bind(config)?;
    let nonce = BootNonce(rand::random());
    let store = open_store(&paths, founding.identity, config, nonce)?;
    let tree_file = Arc::clone(&store.tree_file);
    if config.memory_mlock {
        tree_file.lock_memory().map_err(|error| {
            fatal(
                "--memory-mlock: raise the limit of locked memory (LimitMEMLOCK=infinity) or leave the flag out",
                error,
            )
        })?;
    }
    let replica = start_replica(config, &founding, nonce, store, logger)
        .map_err(|error| fatal("the data directory is not in order", end_of_replica(&paths, &error)))?;
    let shards = config.shards.unwrap_or_else(available_cores).max(1);
    let plan = Plan {
        shards,
        listeners,
        replica,
        tree_file,
        common: common((started, shards), founding.identity, paths, logger),
        settings: Settings {
            request_bytes_max: config.requests.bytes_max,
            txn_ops_max: config.requests.txn_ops_max,
            streams_max: config.requests.streams_max,
            keepalive: keepalive(config),
            slow_apply: config.warnings.apply,
            slow_request: config.warnings.unary_request,
            lease_ttl_seconds_min: ttl_seconds_min(election_timeout(config)),
        },
        auto_compaction: config.auto_compaction,
        signals,
    };
    shard::run(plan, logger).map_err(|why| fatal("the member stopped", why))
}

fn fatal(message: &'static str, why: impl ToString) -> Record {
    Record::new(Level::Fatal, message, vec![("error", why.to_string().into())])
}

/// Who this member is and who votes: by its log, and at the first start by the flags, which count for nothing later.
fn membership(paths: &Paths, config: &Config, logger: &Logger) -> Result<Founding, Record> {
    if let Some(identity) = logged_identity(paths).map_err(not_in_order)? {
        // The voters are looked at only if the first start was cut short before the tree held them: a member alone.
        return Ok(Founding { identity, voters: vec![identity.member] });
    }
    let begun = bootstrap(config, &|host_port: &str| resolve(host_port, logger));
    let Bootstrap { cluster, local, members } = begun.map_err(|why| fatal("discovery failed", why))?;
    let voters = members.iter().map(|member| member.id).collect();
    Ok(Founding { identity: wal::Identity { cluster, member: local }, voters })
}

fn not_in_order(error: OpenError) -> Record {
    fatal("the data directory is not in order; nothing was changed", error)
}

fn bind(config: &Config) -> Result<Vec<Bound>, Record> {
    let bind_one = |site: &Site| {
        let problem = |error| bind_problem(&site.url, site.flag, &error).record();
        let address = address(&site.url).map_err(problem)?;
        bind_patiently(&address, site, config.listen.reuse_port).map_err(problem)
    };
    Site::all(&config.listen).iter().map(bind_one).collect()
}

/// Binds, and gives a killed predecessor the moment that the kernel takes to let go of its sockets: a ring that still holds an
/// accept keeps the listener for a little while after the process is gone.
fn bind_patiently(address: &Address, site: &Site, reuse_port: bool) -> std::io::Result<Bound> {
    for _ in 0..limits::BIND_TRIES {
        match Bound::bind_as(address, site.entrance, reuse_port) {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => pause(),
            outcome => return outcome,
        }
    }
    Bound::bind_as(address, site.entrance, reuse_port)
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

fn open_store(paths: &Paths, identity: wal::Identity, config: &Config, nonce: BootNonce) -> Result<Store, Record> {
    let wanted = Wanted {
        identity,
        boot: nonce,
        log: wal::Config::default(),
        entries_kept: config.raft.catchup_entries,
        installed_index,
    };
    open(paths, &wanted).map_err(not_in_order)
}

fn start_replica(
    config: &Config,
    founding: &Founding,
    nonce: BootNonce,
    store: Store,
    logger: &Logger,
) -> Result<Replica, replica::Error> {
    let replica_config = replica::Config {
        tick: config.raft.heartbeat,
        election_ticks: usize::try_from(config.raft.election_ticks).unwrap_or(usize::MAX),
        catch_up_entries: config.raft.catchup_entries,
        lease_checkpoints: config.gates.enabled(Gate::LeaseCheckpoint),
        ..replica::Config::new(founding.identity.member, nonce, rand::random(), founding.voters.clone())
    };
    match store.log {
        StoreLog::New(log) => Replica::create(replica_config, Now(0), store.tree, *log),
        StoreLog::Recovered(recovered) => {
            for note in &recovered.notes {
                logger.warn("recovery", &[("note", note.to_owned().into())]);
            }
            Replica::open(replica_config, Now(0), store.tree, *recovered)
        }
    }
}

fn common((started, shards): (&Started, usize), identity: wal::Identity, paths: Paths, logger: &Logger) -> Common {
    let config = &started.config;
    Common {
        identity: Identity {
            cluster_id: identity.cluster,
            member_id: identity.member,
            name: config.name.clone(),
            peer_urls: config.advertise.peer_texts(),
            client_urls: config.advertise.client_texts(),
        },
        board: Arc::new(Board::new(first_id(identity.member))),
        watch: watch_config(config, identity),
        registry: Arc::new(Registry::new(shards, config.extensive_metrics).with_features(config.gates.all())),
        quota_bytes: match config.quota {
            Quota::Bytes(bytes) => bytes,
            Quota::Unbounded => u64::MAX,
        },
        paths,
        logger: logger.clone(),
        tls: started.tls.clone(),
        access: Access {
            hosts: config.host_whitelist.clone(),
            origins: config.cors.clone(),
            logger: Some(logger.clone()),
        },
    }
}

fn keepalive(config: &Config) -> Keepalive {
    let wanted = config.keepalive;
    Keepalive {
        client_interval_min: wanted.client_ping_min,
        interval: wanted.server_ping_interval,
        timeout: wanted.server_ping_timeout,
    }
}

fn election_timeout(config: &Config) -> Duration {
    let ticks = u32::try_from(config.raft.election_ticks).unwrap_or(u32::MAX);
    config.raft.heartbeat.saturating_mul(ticks)
}

/// What ids begin with, as etcd makes them: two bytes of the member, five of the time in milliseconds, one that counts.
fn first_id(member: MemberId) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the shell, at its start")]
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let milliseconds = since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0));
    (member.0 << 48) | ((milliseconds << 8) & (u64::MAX >> 16))
}

fn watch_config(config: &Config, identity: wal::Identity) -> watch::Config {
    watch::Config {
        cluster: identity.cluster,
        member: identity.member,
        frame_prefix: frame::prefix,
        fragment_bytes: config.requests.bytes_max.saturating_add(limits::REQUEST_OVERHEAD_BYTES),
        message_bytes_max: limits::RESPONSE_BYTES_MAX,
        progress_interval: config.watch_progress_notify_interval.max(limits::WATCH_PROGRESS_INTERVAL_MIN),
        bounds: watch::Bounds::default(),
        seed: rand::random(),
    }
}
