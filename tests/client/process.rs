//! A server as a child process on free loopback ports.
//!
//! **Invariants**: readiness is the log line `ready to serve client requests`, the end is the end of the process; both
//! are awaited, with a deadline. A process is ended by its own handle or id. Every line it wrote is kept.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The line by which etcd says that clients may come.
pub(crate) const READY: &str = "ready to serve client requests";
/// How long a start or a stop may take before it counts as a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server program.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// The executable.
    pub(crate) path: PathBuf,
    /// How messages call it.
    pub(crate) label: &'static str,
}

/// A start that did not come to serving.
#[derive(Debug)]
pub(crate) struct Failed {
    /// How it ended; `None` if it neither served nor ended in time, and was killed.
    pub(crate) status: Option<ExitStatus>,
    /// All it wrote.
    pub(crate) log: String,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.status {
            Some(status) => writeln!(formatter, "it ended with {status}; its last lines:")?,
            None => writeln!(formatter, "it neither served nor ended; its last lines:")?,
        }
        formatter.write_str(&last_lines(&self.log, 12))
    }
}

#[derive(Default)]
struct Lines {
    text: String,
    open: usize,
}

/// What a process writes, as it comes.
#[derive(Default)]
pub(crate) struct Log {
    lines: Mutex<Lines>,
    changed: Condvar,
}

impl Log {
    fn follow(self: &Arc<Self>, from: impl Read + Send + 'static) -> JoinHandle<()> {
        self.lines.lock().expect("no holder panics").open += 1;
        let log = Arc::clone(self);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(from);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                log.lines.lock().expect("no holder panics").text.push_str(&String::from_utf8_lossy(&line));
                log.changed.notify_all();
                line.clear();
            }
            log.lines.lock().expect("no holder panics").open -= 1;
            log.changed.notify_all();
        })
    }

    /// Waits until `found` holds for the text or the process closed its outputs or `patience` is over; tells `found`.
    fn wait(&self, patience: Duration, found: impl Fn(&str) -> bool) -> bool {
        let lines = self.lines.lock().expect("no holder panics");
        let waiting = |lines: &mut Lines| lines.open > 0 && !found(&lines.text);
        let (lines, _) = self.changed.wait_timeout_while(lines, patience, waiting).expect("no holder panics");
        found(&lines.text)
    }

    fn text(&self) -> String {
        self.lines.lock().expect("no holder panics").text.clone()
    }
}

/// A running server.
pub(crate) struct Server {
    /// The program it runs.
    pub(crate) program: Program,
    /// Where clients connect.
    pub(crate) client: SocketAddr,
    /// Where peers connect.
    pub(crate) peer: SocketAddr,
    directory: PathBuf,
    extra: Vec<String>,
    child: Child,
    log: Arc<Log>,
    readers: Vec<JoinHandle<()>>,
    past: String,
}

impl Server {
    /// Starts a member with its data in `directory`/data and waits until it serves.
    pub(crate) fn start(program: &Program, directory: &Path, extra: &[&str]) -> Result<Self, Failed> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut server = Self::spawn(program, directory, extra, free_address(), free_address());
            match server.await_ready(PATIENCE) {
                Ok(()) => return Ok(server),
                // Another process took the port between our look and its bind.
                Err(failed) if tries < 4 && failed.log.contains("address already in use") => {}
                Err(failed) => return Err(failed),
            }
        }
    }

    /// Starts a member on given addresses without waiting.
    pub(crate) fn spawn(
        program: &Program,
        directory: &Path,
        extra: &[&str],
        client: SocketAddr,
        peer: SocketAddr,
    ) -> Self {
        let extra: Vec<String> = extra.iter().map(|&text| text.to_owned()).collect();
        let (child, log, readers) = launch(program, directory, &extra, client, peer);
        Self {
            program: program.clone(),
            client,
            peer,
            directory: directory.to_owned(),
            extra,
            child,
            log,
            readers,
            past: String::new(),
        }
    }

    /// Waits until it serves, it ends or `patience` is over. One that does not serve is gone afterwards.
    pub(crate) fn await_ready(&mut self, patience: Duration) -> Result<(), Failed> {
        if self.log.wait(patience, |text| text.contains(READY)) {
            return Ok(());
        }
        // A process that closed its outputs is about to end; one that did not hangs.
        let ended = self.await_exit(if self.log.lines.lock().expect("no holder panics").open == 0 {
            Duration::from_secs(5)
        } else {
            Duration::ZERO
        });
        if ended.is_none() {
            self.kill();
        }
        Err(Failed { status: ended, log: self.log() })
    }

    /// Starts the same program again on the same data and addresses, after `stop` or `kill`.
    pub(crate) fn restart(&mut self) -> Result<(), Failed> {
        self.restart_unready();
        self.await_ready(PATIENCE)
    }

    /// As `restart`, without waiting for readiness.
    pub(crate) fn restart_unready(&mut self) {
        assert!(self.await_exit(Duration::ZERO).is_some(), "still running: stop or kill it first");
        self.past = self.log();
        self.past.push_str("--- restart ---\n");
        (self.child, self.log, self.readers) =
            launch(&self.program, &self.directory, &self.extra, self.client, self.peer);
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().expect("our child");
        self.drain();
    }

    /// SIGTERM, and waits for the end; one that takes longer than `PATIENCE` is killed and `None` comes back.
    pub(crate) fn stop(&mut self) -> Option<ExitStatus> {
        self.signal("TERM");
        let status = self.await_exit(PATIENCE);
        if status.is_none() {
            self.kill();
        }
        status
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &command]).stderr(Stdio::null()).status();
        status.expect("sh runs");
    }

    /// Waits for the end of the process.
    pub(crate) fn await_exit(&mut self, patience: Duration) -> Option<ExitStatus> {
        // The outputs close when the process ends, so this wait is woken by the event itself.
        let deadline = Instant::now() + patience;
        self.log.wait(patience, |_| false);
        loop {
            if let Some(status) = self.child.try_wait().expect("our child") {
                self.drain();
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            // Between the closing of the outputs and the end there are microseconds.
            std::thread::yield_now();
        }
    }

    /// True if the process is gone.
    pub(crate) fn has_ended(&mut self) -> bool {
        // Its outputs close a moment before it is gone, and a lost call may be seen before both.
        self.await_exit(Duration::from_millis(500)).is_some()
    }

    /// True if it closed its outputs, so that it is gone or about to be. Never waits.
    pub(crate) fn has_output_closed(&self) -> bool {
        self.log.lines.lock().expect("no holder panics").open == 0
    }

    /// The last lines it wrote.
    pub(crate) fn last_lines(&self, count: usize) -> String {
        last_lines(&self.log(), count)
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Everything it wrote since its first start.
    pub(crate) fn log(&self) -> String {
        format!("{}{}", self.past, self.log.text())
    }

    /// Waits until a line it wrote since the last start contains `text`.
    pub(crate) fn await_line(&self, text: &str, patience: Duration) -> bool {
        self.log.wait(patience, |log| log.contains(text))
    }

    /// Waits until it wrote so many lines that contain `text` since the last start.
    pub(crate) fn await_lines(&self, text: &str, count: usize, patience: Duration) -> bool {
        self.log.wait(patience, |log| log.matches(text).count() >= count)
    }

    fn drain(&mut self) {
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.drain();
        if std::thread::panicking() {
            let path = self.directory.join("log");
            let _ = std::fs::write(&path, self.log());
            eprintln!("log of {}: {}", self.program.label, path.display());
        }
    }
}

fn last_lines(log: &str, count: usize) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(count)..].iter().map(|line| format!("  {line:.300}\n")).collect()
}

/// A loopback address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port is free");
    listener.local_addr().expect("bound")
}

/// The flags of a single member with its data in `directory`/data.
pub(crate) fn member_flags(directory: &Path, client: SocketAddr, peer: SocketAddr) -> Vec<String> {
    vec![
        "--name=one".into(),
        format!("--data-dir={}", directory.join("data").display()),
        format!("--listen-client-urls=http://{client}"),
        format!("--advertise-client-urls=http://{client}"),
        format!("--listen-peer-urls=http://{peer}"),
        format!("--initial-advertise-peer-urls=http://{peer}"),
        format!("--initial-cluster=one=http://{peer}"),
        "--initial-cluster-state=new".into(),
        "--initial-cluster-token=black-box".into(),
        // A single member waits for one election at each start.
        "--heartbeat-interval=10".into(),
        "--election-timeout=100".into(),
    ]
}

type Launched = (Child, Arc<Log>, Vec<JoinHandle<()>>);

fn launch(program: &Program, directory: &Path, extra: &[String], client: SocketAddr, peer: SocketAddr) -> Launched {
    let mut command = Command::new(&program.path);
    command.args(member_flags(directory, client, peer)).args(extra).current_dir(directory);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCD")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.path.display()));
    let log = Arc::new(Log::default());
    let readers =
        vec![log.follow(child.stdout.take().expect("piped")), log.follow(child.stderr.take().expect("piped"))];
    (child, log, readers)
}
