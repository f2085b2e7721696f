//! The command line.

use crate::engine::{Pace, Plan};
use crate::watch::Watchers;
use crate::work::{Name, Space};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Work(Name),
    FirstRead,
    SlowLists,
    /// Connections that rest.
    Idle,
    /// Watchers of one prefix, and puts at a fixed rate.
    Watch,
    /// Watchers that rest.
    HoldWatches,
    /// Leases renewed on streams.
    Keepalive,
}

/// All options, with their defaults.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) mode_text: String,
    pub(crate) target: SocketAddr,
    /// The server's process; 0 measures nothing of it.
    pub(crate) pid: u32,
    pub(crate) connections: usize,
    /// Calls in flight, or open streams, on each connection; keepalive: renewals in flight on its only stream.
    pub(crate) streams: usize,
    /// Watches or leases on each stream.
    pub(crate) each: usize,
    pub(crate) threads: usize,
    /// 0: closed loop.
    pub(crate) rate: f64,
    pub(crate) seconds: f64,
    pub(crate) warmup: f64,
    pub(crate) seed: u64,
    pub(crate) prefix: String,
    pub(crate) keys: u64,
    pub(crate) group: u64,
    pub(crate) value_bytes: usize,
    pub(crate) limit: u64,
    /// Slow lists: bytes a second for each client.
    pub(crate) read_pace: u64,
    pub(crate) deadline_ns: u64,
    /// First read: the key must be there.
    pub(crate) present: bool,
    /// Fill: not in the order of the keys.
    pub(crate) scatter: bool,
    /// So many seconds into the window, compact everything up to the newest revision seen; 0: never.
    pub(crate) compact_at: f64,
    /// Idle: speak TLS and trust this certificate.
    pub(crate) certificate: Option<PathBuf>,
}

/// A request is sent whole, within the 65,535 bytes that every server grants a stream at first.
const VALUE_BYTES_MAX: usize = 60_000;

/// Shown on `--help` and on mistakes.
pub(crate) const USAGE: &str = "usage: load WORK [--option value]...
works: fill put get get-serializable list page count guarded mix first-read slow-lists idle
       lease-grant watch hold-watches keepalive
options: --target 127.0.0.1:2379  --pid 0  --connections 1  --streams 1  --each 1 (watches or leases on each)
  --threads 1  --rate 0 (operations a second; 0: closed loop)
  --seconds 5  --warmup 1  --seed 1  --prefix key/  --keys 100000  --group 1000  --value-bytes 256  --limit 500
  --read-pace 50000000  --deadline 60  --present 0  --scatter 0  --compact-at 0  --certificate FILE (idle: over TLS)";

impl Options {
    /// Reads the arguments after the program's name.
    pub(crate) fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mode_text = arguments.next().ok_or(USAGE)?;
        let mode = match mode_text.as_str() {
            "first-read" => Mode::FirstRead,
            "slow-lists" => Mode::SlowLists,
            "idle" => Mode::Idle,
            "watch" => Mode::Watch,
            "hold-watches" => Mode::HoldWatches,
            "keepalive" => Mode::Keepalive,
            other => Mode::Work(Name::parse(other).ok_or(USAGE)?),
        };
        let mut options = Self {
            mode,
            mode_text,
            target: SocketAddr::from(([127, 0, 0, 1], 2379)),
            pid: 0,
            connections: 1,
            streams: 1,
            each: 1,
            threads: 1,
            rate: 0.0,
            seconds: 5.0,
            warmup: 1.0,
            seed: 1,
            prefix: "key/".to_owned(),
            keys: 100_000,
            group: 1000,
            value_bytes: 256,
            limit: 500,
            read_pace: 50_000_000,
            deadline_ns: 60_000_000_000,
            present: false,
            scatter: false,
            compact_at: 0.0,
            certificate: None,
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value\n{USAGE}"))?;
            options.set(&name, &value)?;
        }
        options.check()?;
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "--target" => self.target = read(name, value)?,
            "--pid" => self.pid = read(name, value)?,
            "--connections" => self.connections = read(name, value)?,
            "--streams" => self.streams = read(name, value)?,
            "--each" => self.each = read(name, value)?,
            "--threads" => self.threads = read(name, value)?,
            "--rate" => self.rate = read(name, value)?,
            "--seconds" => self.seconds = read(name, value)?,
            "--warmup" => self.warmup = read(name, value)?,
            "--seed" => self.seed = read(name, value)?,
            "--prefix" => value.clone_into(&mut self.prefix),
            "--keys" => self.keys = read(name, value)?,
            "--group" => self.group = read(name, value)?,
            "--value-bytes" => self.value_bytes = read(name, value)?,
            "--limit" => self.limit = read(name, value)?,
            "--read-pace" => self.read_pace = read(name, value)?,
            "--deadline" => self.deadline_ns = nanoseconds(read(name, value)?),
            "--present" => self.present = read::<u8>(name, value)? != 0,
            "--scatter" => self.scatter = read::<u8>(name, value)? != 0,
            "--certificate" => self.certificate = Some(read(name, value)?),
            "--compact-at" => self.compact_at = read(name, value)?,
            _ => return Err(format!("unknown option {name}\n{USAGE}")),
        }
        Ok(())
    }

    fn check(&self) -> Result<(), String> {
        let positive = [self.connections, self.streams, self.each, self.threads].into_iter().all(|count| count > 0);
        if !positive || self.keys == 0 || self.group == 0 || self.prefix.is_empty() {
            return Err(format!("counts must be positive and the prefix not empty\n{USAGE}"));
        }
        if self.value_bytes > VALUE_BYTES_MAX {
            return Err(format!(
                "values of at most {VALUE_BYTES_MAX} bytes: a request must fit a stream's first window"
            ));
        }
        if self.threads > self.connections {
            return Err("each thread needs a connection".to_owned());
        }
        if matches!(self.mode, Mode::Watch | Mode::Keepalive) && self.threads > 1 {
            return Err("watchers and leases are driven by one thread".to_owned());
        }
        if self.mode == Mode::Watch && self.rate <= 0.0 {
            return Err("puts to watched keys need a rate".to_owned());
        }
        if self.mode == Mode::Keepalive && self.rate > 0.0 {
            return Err("leases are renewed in a closed loop".to_owned());
        }
        if self.mode == Mode::Keepalive && self.streams > self.each {
            return Err("no lease is renewed twice at once".to_owned());
        }
        if matches!(self.mode, Mode::Idle | Mode::HoldWatches) && self.seconds > 3600.0 {
            return Err("a rest of an hour at most".to_owned());
        }
        if !(self.rate >= 0.0 && self.seconds > 0.0 && self.warmup >= 0.0 && self.compact_at >= 0.0) {
            return Err("rate, seconds, warmup and compact-at must not be negative".to_owned());
        }
        Ok(())
    }

    /// What the engine is told. A fill has no end but its own, and no warm-up.
    pub(crate) fn plan(&self) -> Plan {
        let fill = self.mode == Mode::Work(Name::Fill);
        Plan {
            target: self.target,
            connections: self.connections,
            threads: self.threads,
            pace: if self.rate > 0.0 && !fill {
                Pace::Open { rate: self.rate }
            } else {
                Pace::Closed { streams: self.streams }
            },
            warmup_ns: if fill { 0 } else { nanoseconds(self.warmup) },
            window_ns: if fill { None } else { Some(nanoseconds(self.seconds)) },
            seed: self.seed,
            compact_ns: (self.compact_at > 0.0).then(|| nanoseconds(self.compact_at)),
        }
    }

    /// The watchers of the works that have some.
    pub(crate) fn watchers(&self) -> Watchers {
        Watchers { connections: self.connections, streams: self.streams, each: self.each }
    }

    /// The keys and values of the work.
    pub(crate) fn space(&self) -> Space {
        Space {
            prefix: self.prefix.clone(),
            keys: self.keys,
            group: self.group,
            value_bytes: self.value_bytes,
            limit: self.limit,
            scatter: self.scatter,
        }
    }
}

fn nanoseconds(seconds: f64) -> u64 {
    let duration = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default();
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn read<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}: {value} is not understood\n{USAGE}"))
}
