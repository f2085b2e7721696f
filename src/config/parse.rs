//! From arguments and environment to a configuration, or to the way the process ends instead.
//!
//! Invariants
//! - Pure: what has to be printed or logged comes back as a value, in etcd's order.

use super::arguments::{Stop, read_arguments};
use super::check::{UNADVERTISED, auto_compaction, check, check_effects, check_log, deprecations};
use super::environment::{Outcome, lookup, read_environment};
use super::exit::{Exit, Parsed};
use super::file::{Unread, read_file};
use super::settings::Settings;
use super::start;
use super::{help, settle};
use crate::gotext::{GoDuration, quote};
use crate::log::{Record, Value};

/// What a configuration asks of the world around it, and only when it has to.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    /// The address of the default route, when a default URL has to be replaced by a real one.
    pub default_host: &'a dyn Fn() -> Result<String, String>,
    /// The text of a configuration file, or why there is none, in Go's words.
    pub read_file: &'a dyn Fn(&str) -> Result<String, String>,
}

/// Reads the process's arguments (the program's name first) and environment.
pub fn parse(arguments: &[String], variables: &[(String, String)], outside: Outside<'_>) -> Result<Parsed, Exit> {
    let mut settings = Settings::new();
    let flags = arguments.get(1..).unwrap_or_default();
    let extra = read_arguments(flags, &mut settings).map_err(|stop| match stop {
        Stop::Help => Exit { stdout: help::flags(), stderr: help::usage(), ..Exit::default() },
        Stop::Bad(why) => Exit { code: 2, stderr: format!("{why}\n{}", help::usage()), ..Exit::default() },
    })?;
    let running = Record::info("Running: ", vec![("args", Value::Texts(arguments.to_vec()))]);
    if let Some(word) = extra {
        return Err(refused(Vec::new(), &running, format!("{} is not a valid flag", quote(word))));
    }
    if settings.bool("version") {
        return Err(Exit { stdout: help::version(), ..Exit::default() });
    }
    let file = Some(settings.text("config-file")).filter(|path| !path.is_empty());
    let file = file.or(lookup(variables, "ETCD_CONFIG_FILE")).map(str::to_owned);
    let mut records = Vec::new();
    let read = match &file {
        Some(path) => from_file(path, outside, &mut records).map(|read| settings = read),
        None => from_environment(variables, &mut settings, &mut records),
    };
    match read {
        Ok(()) => {}
        Err(Unfit::Refused(why)) => return Err(refused(records, &running, why)),
        Err(Unfit::Ended(exit)) => return Err(Exit { records, ..exit }),
    }
    let log = match check_log(&settings) {
        Ok(log) => log,
        Err(why) => return Err(refused(records, &running, why)),
    };
    let checked = check(&settings, &mut records).and_then(|()| check_effects(&settings, &mut records));
    if file.is_none() || checked.is_ok() {
        records.extend(deprecations(&settings));
    }
    // Of a file that is refused etcd keeps nothing, not even where the log goes.
    let wanted = file.is_none().then(|| Box::new(log.clone()));
    if let Err(why) = checked {
        return Err(Exit { log: wanted, ..refused(records, &running, why) });
    }
    if let Some(path) = file {
        let text = "loaded server configuration, other configuration command line flags and environment variables will be ignored if provided";
        records.push(Record::info(text, vec![("path", path.into())]));
    }
    records.push(running);
    let auto_compaction = match auto_compaction(&settings) {
        Ok(auto_compaction) => auto_compaction,
        Err(why) => return Err(Exit { log: Some(Box::new(log)), ..Exit::start_failed(records, &why) }),
    };
    let mut config = settle::settle(&settings, log, auto_compaction);
    start::fill_in(&mut config, settings.text("data-dir").is_empty(), outside.default_host, &mut records);
    Ok(Parsed { config, records })
}

/// Why settings could not be read.
enum Unfit {
    /// To be told as etcd tells of flags that it cannot verify.
    Refused(String),
    /// All is said.
    Ended(Exit),
}

/// The settings that a configuration file makes; nothing else counts then.
fn from_file(path: &str, outside: Outside<'_>, records: &mut Vec<Record>) -> Result<Settings, Unfit> {
    let mut settings = Settings::for_file();
    let text = (outside.read_file)(path).map_err(Unfit::Refused)?;
    match read_file(path, &text, &mut settings, records) {
        Ok(()) => Ok(settings),
        Err(Unread::Refused(why)) => Err(Unfit::Refused(why)),
        Err(Unread::Said(stderr)) => Err(Unfit::Ended(Exit { code: 1, stderr, ..Exit::default() })),
    }
}

/// What the command line left open, read from the environment.
fn from_environment(
    variables: &[(String, String)],
    settings: &mut Settings,
    records: &mut Vec<Record>,
) -> Result<(), Unfit> {
    match read_environment(variables, settings, records) {
        Outcome::Read => {}
        Outcome::Bad(why) => return Err(Unfit::Refused(why)),
        Outcome::Conflict => return Err(Unfit::Ended(Exit { code: 1, ..Exit::default() })),
    }
    records.extend(raised_timeouts(settings));
    Ok(())
}

/// The end of a process whose configuration cannot be verified.
fn refused(mut records: Vec<Record>, running: &Record, why: String) -> Exit {
    records.push(running.to_owned());
    let unadvertised = why == UNADVERTISED;
    records.push(Record::warn("failed to verify flags", vec![("error", why.into())]));
    if unadvertised {
        records.push(Record::warn("advertise client URLs are not set", vec![("error", UNADVERTISED.into())]));
    }
    Exit::failed(records)
}

/// The peers' timeouts are at least five seconds, whatever the flags say.
fn raised_timeouts(settings: &Settings) -> Vec<Record> {
    let least = GoDuration(5_000_000_000);
    let low = ["raft-read-timeout", "raft-write-timeout"].into_iter().filter(|name| settings.duration(name) < least);
    low.map(|name| Record::info(format!("{name} increased to minimum value: {least}"), Vec::new())).collect()
}
