//! From the process's arguments to a configuration, a log and a locked data directory: what `main` begins with.
//!
//! Invariants
//! - Nothing is written to disk before every check that needs no disk has passed.
//! - An end before the start is one record of level `fatal` (or etcd's own texts) and its exit status.

use std::process::ExitCode;
use std::sync::Arc;

use super::{DataDirectory, Problem, check_kernel, default_host};
use crate::config::{Config, Exit, Outside, Parsed, check_start, describe, parse, tls_notices};
use crate::log::{self, Level, LogThread, Logger, Record};
use crate::tls::Keeper;

/// Everything that the executors start from.
#[derive(Debug)]
pub struct Started {
    /// How to run.
    pub config: Config,
    /// Locked until it is dropped.
    pub directory: DataDirectory,
    /// Certificates of the listeners, if any takes TLS.
    pub tls: Option<Arc<Keeper>>,
}

/// Reads arguments and environment, opens the log, checks kernel, listeners and data directory. On failure everything is
/// said already, and the status is the one to end with.
pub fn start() -> Result<(Started, Logger, LogThread), ExitCode> {
    // A huge page is resident whole even if a fraction of it is used: half of what an idle connection cost. The store is
    // a mapped file, which has none anyway. Where a sandbox forbids the call memory is larger, and nothing else.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let arguments: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let variables: Vec<(String, String)> =
        std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect();
    let outside = Outside { default_host: &default_host, read_file: &read_file };
    let Parsed { config, records } = parse(&arguments, &variables, outside).map_err(|exit| leave(&exit))?;
    let (logger, thread) =
        log::open(&config.log).map_err(|refused| leave(&unopened(&records, &refused.to_string())))?;
    for record in &records {
        logger.record(record);
    }
    let checked =
        check_start(&config).map_err(|why| Record::new(Level::Fatal, "discovery failed", vec![("error", why.into())]));
    let checked = checked.and_then(|()| check_kernel().map_err(|problem| problem.record()));
    let begun = checked.and_then(|()| begin(&config, &logger));
    match begun {
        Ok((directory, tls)) => {
            for record in &directory.records {
                logger.record(record);
            }
            logger.record(&describe(&config, directory.is_initialized()));
            Ok((Started { config, directory, tls }, logger, thread))
        }
        Err(record) => {
            logger.record(&record);
            drop(logger);
            thread.join();
            Err(ExitCode::FAILURE)
        }
    }
}

/// Certificates that were given are read before the data directory is made; those of our own lie in it.
fn begin(config: &Config, logger: &Logger) -> Result<(DataDirectory, Option<Arc<Keeper>>), Record> {
    tls_notices(config).iter().for_each(|record| logger.record(record));
    let given = if config.tls.has_files() { super::tls::open(config, logger)? } else { None };
    let directory = DataDirectory::open(config).map_err(|problem: Problem| problem.record())?;
    let made = if config.tls.has_files() { None } else { super::tls::open_own(config, logger)? };
    Ok((directory, given.or(made)))
}

/// The text of a configuration file.
pub fn read_file(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOENT) => format!("open {path}: no such file or directory"),
        Some(libc::EACCES) => format!("open {path}: permission denied"),
        Some(libc::EISDIR) => format!("read {path}: is a directory"),
        Some(_) => format!("read {path}: {error}"),
        None => format!("read {path}: it is no text in UTF-8"),
    })
}

/// Says what there is to say at an end before the start, and gives the status to end with.
pub fn leave(exit: &Exit) -> ExitCode {
    let wanted = exit.log.as_deref().cloned().unwrap_or_default();
    let opened = log::open(&wanted);
    if let Err(refused) = &opened
        && exit.log.is_some()
    {
        // That is told instead, as with etcd, whatever else is wrong.
        return leave(&unopened(&exit.records, &refused.to_string()));
    }
    if !exit.records.is_empty()
        && let Ok((logger, thread)) = opened
    {
        for record in &exit.records {
            logger.record(record);
        }
        drop(logger);
        thread.join();
    }
    print(&exit.stdout, &exit.stderr);
    ExitCode::from(exit.code)
}

/// The end of a process whose log cannot be opened.
fn unopened(records: &[Record], why: &str) -> Exit {
    let running = records.iter().filter(|record| record.message == "Running: ").cloned();
    let refused = Record::warn("failed to verify flags", vec![("error", why.to_owned().into())]);
    Exit::failed(running.chain([refused]).collect())
}

fn print(out: &str, error: &str) {
    use std::io::Write;
    // A closed pipe is no reason to fail: whoever reads has seen enough.
    let _ = std::io::stdout().write_all(out.as_bytes());
    let _ = std::io::stderr().write_all(error.as_bytes());
}
