//! From the process's arguments to a configuration, a log and a locked data directory: what `main` begins with.
//!
//! Invariants
//! - Nothing is written to disk before every check that needs no disk has passed.
//! - An end before the start is one record of level `fatal` (or etcd's own texts) and its exit status.

use std::process::ExitCode;
use std::sync::Arc;

use super::{DataDirectory, Problem, check_kernel, default_host};
use crate::config::{Config, Exit, Parsed, check_start, describe, parse, tls_notices};
use crate::log::{self, Level, LogThread, Logger, Options, Record};
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
    let arguments: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    let variables: Vec<(String, String)> =
        std::env::vars_os().map(|(name, value)| (lossy(name), lossy(value))).collect();
    let Parsed { config, records } = parse(&arguments, &variables, &default_host).map_err(|exit| leave(&exit))?;
    let (logger, thread) = log::open(&config.log).map_err(|refused| {
        let why = Record::warn("failed to verify flags", vec![("error", refused.to_string().into())]);
        leave(&Exit::failed(vec![why]))
    })?;
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

/// Says what there is to say at an end before the start, and gives the status to end with.
pub fn leave(exit: &Exit) -> ExitCode {
    if !exit.records.is_empty()
        && let Ok((logger, thread)) = log::open(&Options::default())
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

fn print(out: &str, error: &str) {
    use std::io::Write;
    // A closed pipe is no reason to fail: whoever reads has seen enough.
    let _ = std::io::stdout().write_all(out.as_bytes());
    let _ = std::io::stderr().write_all(error.as_bytes());
}
