//! A server, a good client that never stops calling it, and what both went through.
//!
//! **Invariants**: every call of the good client succeeds, or the test fails; the server's memory is looked at with each of
//! its rounds, so a peak that lasts is seen.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ringbolt::proto::etcdserverpb as pb;

use crate::client::{CallError, Client, PATIENCE, Program, Scratch, Server, server_under_test};

/// Descriptors of this process: the test that takes all of them has it for itself.
static DESCRIPTORS: RwLock<()> = RwLock::new(());

pub(crate) fn few_descriptors() -> RwLockReadGuard<'static, ()> {
    DESCRIPTORS.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(crate) fn all_descriptors() -> RwLockWriteGuard<'static, ()> {
    DESCRIPTORS.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[derive(Default)]
struct Progress {
    times: Vec<Duration>,
    peak_bytes: u64,
    failure: Option<String>,
}

/// The lock, also after a test that failed with it.
fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A client that puts and reads until it is told to stop.
struct Good {
    stop: Arc<AtomicBool>,
    progress: Arc<(Mutex<Progress>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Good {
    fn start(address: SocketAddr, id: u32) -> Self {
        let (stop, progress) = (Arc::<AtomicBool>::default(), Arc::<(Mutex<Progress>, Condvar)>::default());
        let (stopped, shared) = (Arc::clone(&stop), Arc::clone(&progress));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let failure = runtime.block_on(call_on(address, id, &stopped, &shared)).err();
            held(&shared.0).failure = failure.map(|error| format!("{error:?}"));
            shared.1.notify_all();
        });
        Self { stop, progress, thread: Some(thread) }
    }

    /// Waits until `count` more rounds went well.
    fn await_rounds(&self, count: usize) {
        let progress = held(&self.progress.0);
        let wanted = progress.times.len() + count;
        let waiting = |progress: &mut Progress| progress.failure.is_none() && progress.times.len() < wanted;
        let (progress, _) = self.progress.1.wait_timeout_while(progress, PATIENCE, waiting).unwrap();
        assert_eq!(progress.failure, None, "the good client failed");
        assert!(progress.times.len() >= wanted, "the good client is not served");
    }
}

impl Drop for Good {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn call_on(
    address: SocketAddr,
    id: u32,
    stop: &AtomicBool,
    shared: &(Mutex<Progress>, Condvar),
) -> Result<(), CallError> {
    let client = Client::open(address).await?;
    let put = pb::PutRequest { key: "good".into(), value: "as gold".into(), ..Default::default() };
    let range = pb::RangeRequest { key: "good".into(), ..Default::default() };
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        client.put(&put).await?;
        let found = client.range(&range).await?;
        assert_eq!(found.kvs.len(), 1);
        let mut progress = held(&shared.0);
        progress.times.push(begun.elapsed());
        progress.peak_bytes = progress.peak_bytes.max(anonymous_bytes(id).unwrap_or_default());
        shared.1.notify_all();
    }
    Ok(())
}

/// The anonymous memory that a process has resident; nothing when it is gone.
fn anonymous_bytes(id: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}

/// A server under attack.
pub(crate) struct Arena {
    pub(crate) server: Server,
    name: &'static str,
    good: Good,
    quiet: Vec<Duration>,
    before_bytes: u64,
    _scratch: Scratch,
    _descriptors: Option<RwLockReadGuard<'static, ()>>,
}

impl Arena {
    pub(crate) fn new(name: &'static str, flags: &[&str]) -> Self {
        let mut arena = Self::of(&server_under_test(), name, flags);
        arena._descriptors = Some(few_descriptors());
        arena
    }

    /// With another program than the usual one, for those who see to the descriptors themselves.
    pub(crate) fn of(program: &Program, name: &'static str, flags: &[&str]) -> Self {
        let scratch = Scratch::new(&format!("abuse-{}", name.replace(' ', "-")));
        let server = Server::start(program, scratch.path(), flags).unwrap_or_else(|failed| panic!("{failed}"));
        let good = Good::start(server.client, server.id());
        good.await_rounds(100);
        let quiet = held(&good.progress.0).times.clone();
        let before_bytes = anonymous_bytes(server.id()).unwrap();
        Self { server, name, good, quiet, before_bytes, _scratch: scratch, _descriptors: None }
    }

    /// The port that is attacked.
    pub(crate) fn client(&self) -> SocketAddr {
        self.server.client
    }

    /// The good client goes on being served, right now.
    pub(crate) fn is_served(&self) {
        self.good.await_rounds(25);
    }

    /// The attack is over, or stands: the server served all along, and needed no more than `bytes_max` for it.
    pub(crate) fn end(self, bytes_max: usize) {
        self.good.await_rounds(25);
        let progress = held(&self.good.progress.0);
        let grown = progress.peak_bytes.saturating_sub(self.before_bytes);
        let during = &progress.times[self.quiet.len()..];
        println!(
            "{}: {} rounds served meanwhile, p99 {:?} (quiet {:?}), {} KiB more at the peak",
            self.name,
            during.len(),
            percentile(during),
            percentile(&self.quiet),
            grown >> 10,
        );
        assert!(grown <= u64::try_from(bytes_max).unwrap(), "{}: {grown} bytes, more than {bytes_max}", self.name);
    }
}

fn percentile(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() * 99 / 100]
}
