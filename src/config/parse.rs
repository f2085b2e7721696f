//! From arguments and environment to a configuration, or to the way the process ends instead.
//!
//! Invariants
//! - Pure: what has to be printed or logged comes back as a value, in etcd's order.

use super::arguments::{Stop, read_arguments};
use super::check::{UNADVERTISED, auto_compaction, check, check_effects, deprecations};
use super::environment::{Outcome, lookup, read_environment};
use super::exit::{Exit, Parsed};
use super::settings::Settings;
use super::start;
use super::{help, settle};
use crate::gotext::{GoDuration, quote};
use crate::log::{Record, Value};

/// Reads the process's arguments (the program's name first) and environment. `default_host` is asked for the address of the
/// default route, and only when a default URL has to be replaced by a real one.
pub fn parse(
    arguments: &[String],
    variables: &[(String, String)],
    default_host: &dyn Fn() -> Result<String, String>,
) -> Result<Parsed, Exit> {
    let mut settings = Settings::new();
    let flags = arguments.get(1..).unwrap_or_default();
    let extra = read_arguments(flags, &mut settings).map_err(|stop| match stop {
        Stop::Help => Exit { stdout: help::flags(), stderr: help::usage(), ..Exit::default() },
        Stop::Bad(why) => Exit { code: 2, stderr: format!("{why}\n{}", help::usage()), ..Exit::default() },
    })?;
    let mut records = Vec::new();
    let running = Record::info("Running: ", vec![("args", Value::Texts(arguments.to_vec()))]);
    let refuse = |mut records: Vec<Record>, why: String| {
        records.push(running.to_owned());
        let unadvertised = why == UNADVERTISED;
        records.push(Record::warn("failed to verify flags", vec![("error", why.into())]));
        if unadvertised {
            records.push(Record::warn("advertise client URLs are not set", vec![("error", UNADVERTISED.into())]));
        }
        Exit::failed(records)
    };
    if let Some(word) = extra {
        return Err(refuse(records, format!("{} is not a valid flag", quote(word))));
    }
    if settings.bool("version") {
        return Err(Exit { stdout: help::version(), ..Exit::default() });
    }
    if settings.text("config-file").is_empty() && lookup(variables, "ETCD_CONFIG_FILE").is_some() {
        return Err(refuse(records, "ETCD_CONFIG_FILE (--config-file) is not supported yet: it waits for the configuration file; unset it to start without it".to_owned()));
    }
    match read_environment(variables, &mut settings, &mut records) {
        Outcome::Read => {}
        Outcome::Bad(why) => return Err(refuse(records, why)),
        Outcome::Conflict => return Err(Exit::failed(records)),
    }
    records.extend(raised_timeouts(&settings));
    let checked = check(&settings, &mut records).and_then(|log| check_effects(&settings, &mut records).map(|()| log));
    records.extend(deprecations(&settings));
    let log = match checked {
        Ok(log) => log,
        Err(why) => return Err(refuse(records, why)),
    };
    records.push(running);
    let auto_compaction = match auto_compaction(&settings) {
        Ok(auto_compaction) => auto_compaction,
        Err(why) => return Err(Exit::start_failed(records, &why)),
    };
    let mut config = settle::settle(&settings, log, auto_compaction);
    start::fill_in(&mut config, settings.text("data-dir").is_empty(), default_host, &mut records);
    Ok(Parsed { config, records })
}

/// The peers' timeouts are at least five seconds, whatever the flags say.
fn raised_timeouts(settings: &Settings) -> Vec<Record> {
    let least = GoDuration(5_000_000_000);
    let low = ["raft-read-timeout", "raft-write-timeout"].into_iter().filter(|name| settings.duration(name) < least);
    low.map(|name| Record::info(format!("{name} increased to minimum value: {least}"), Vec::new())).collect()
}
