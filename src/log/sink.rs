//! Where lines go: standard streams, files, the journal.
//!
//! Invariants
//! - A file is only ever appended to.
//! - A failed write loses its lines and nothing else: logging never ends the server.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use super::Level;
use super::journal::{Journal, SOCKET};
use super::rotate::{RotatingFile, Rotation};

/// The name of the journal in the flag.
const JOURNAL: &str = "systemd/journal";

/// One destination, as `--log-outputs` names it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Target {
    /// Standard error.
    Stderr,
    /// Standard output.
    Stdout,
    /// The journal of systemd.
    Journal,
    /// A file, appended to.
    File(PathBuf),
}

/// A destination that could not be opened, in etcd's words.
#[derive(Debug)]
pub struct OpenError {
    target: String,
    cause: io::Error,
}

impl OpenError {
    /// The writing thread could not be started.
    pub(super) fn thread(cause: io::Error) -> Self {
        Self { target: "log thread".to_owned(), cause }
    }
}

impl std::fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reason = match self.cause.raw_os_error() {
            Some(libc::ENOENT) => "no such file or directory".to_owned(),
            Some(libc::EACCES) => "permission denied".to_owned(),
            Some(libc::EISDIR) => "is a directory".to_owned(),
            _ => self.cause.to_string(),
        };
        if self.target == JOURNAL {
            // As Go's net package names what failed.
            return write!(formatter, "can't find journal (dial unixgram {SOCKET}: connect: {reason})");
        }
        write!(formatter, "open sink {}: open {}: {reason}", crate::gotext::quote(&self.target), self.target)
    }
}

impl std::error::Error for OpenError {}

/// An opened destination.
pub(super) enum Sink {
    Stderr(io::Stderr),
    Stdout(io::Stdout),
    File(File),
    Rotating(RotatingFile),
    Journal(Journal),
}

impl Sink {
    /// Opens all `targets`, each once; the null device among them swallows the whole log, as with etcd.
    pub(super) fn open_all(
        targets: &[Target],
        rotation: Option<Rotation>,
        now_micros: u64,
    ) -> Result<Vec<Self>, OpenError> {
        let mut targets = targets.to_vec();
        targets.sort();
        targets.dedup();
        if targets.iter().any(|target| matches!(target, Target::File(path) if path.as_os_str() == "/dev/null")) {
            return Ok(Vec::new());
        }
        targets.iter().map(|target| Self::open(target, rotation, now_micros)).collect()
    }

    fn open(target: &Target, rotation: Option<Rotation>, now_micros: u64) -> Result<Self, OpenError> {
        let opened = match (target, rotation) {
            (Target::File(path), Some(rotation)) => RotatingFile::open(path, rotation, now_micros).map(Self::Rotating),
            (target, _) => Self::open_plain(target),
        };
        opened.map_err(|cause| OpenError { target: target_name(target), cause })
    }

    fn open_plain(target: &Target) -> io::Result<Self> {
        match target {
            Target::Stderr => Ok(Self::Stderr(io::stderr())),
            Target::Stdout => Ok(Self::Stdout(io::stdout())),
            Target::Journal => Journal::connect().map(Self::Journal),
            Target::File(path) => OpenOptions::new().append(true).create(true).open(path).map(Self::File),
        }
    }

    /// Writes whole lines that were made at one level.
    pub(super) fn write(&mut self, level: Level, lines: &str, now_micros: u64) {
        let written = match self {
            Self::Stderr(stream) => stream.write_all(lines.as_bytes()),
            Self::Stdout(stream) => stream.write_all(lines.as_bytes()).and_then(|()| stream.flush()),
            Self::File(file) => file.write_all(lines.as_bytes()),
            Self::Rotating(file) => file.write(lines, now_micros),
            Self::Journal(journal) => journal.send(level, lines),
        };
        // There is nobody left to tell.
        let _ = written;
    }
}

fn target_name(target: &Target) -> String {
    match target {
        Target::Stderr => "stderr".to_owned(),
        Target::Stdout => "stdout".to_owned(),
        Target::Journal => JOURNAL.to_owned(),
        Target::File(path) => path.display().to_string(),
    }
}
