//! `ETCD_*` variables, by etcd's rules.
//!
//! Invariants
//! - A variable speaks only for a flag that the command line leaves out; one that is set beside its flag ends the process.
//! - An empty variable counts as unset.

use super::flag::{Flag, variable_of};
use super::settings::Settings;
use super::table::{IGNORED, all};
use crate::gotext::quote;
use crate::log::{Level, Record};

const PREFIX: &str = "ETCD_";

/// What the variables led to.
pub(super) enum Outcome {
    /// They are in the settings.
    Read,
    /// One could not be read: the process ends after the flags' own checks would have begun.
    Bad(String),
    /// One stands beside its flag; the record says so and is the last.
    Conflict,
}

/// Reads the variables into `settings` and adds what is to be logged to `records`.
pub(super) fn read_environment(
    variables: &[(String, String)],
    settings: &mut Settings,
    records: &mut Vec<Record>,
) -> Outcome {
    let mut variables = variables.to_vec();
    if let Some(at) = variables.iter().position(|(name, value)| name == "ETCD_VERSION" && !value.is_empty()) {
        let (name, value) = variables.remove(at);
        let fields = vec![("key", name.into()), ("value", value.into())];
        records.push(Record::warn("cannot set special environment variable", fields));
    }
    let on_command_line = |name: &str| settings.is_given(name);
    let mut open: Vec<Slot> = all().enumerate().map(|(index, flag)| Slot::Flag(index, flag)).collect();
    open.extend(IGNORED.iter().map(|name| Slot::Ignored(name)));
    let taken: Vec<String> = all().filter(|flag| on_command_line(flag.name)).map(Flag::variable).collect();
    open.retain(|slot| !taken.contains(&variable_of(slot.name())));
    // etcd goes through the flags by name and reports the last bad variable.
    open.sort_unstable_by_key(Slot::name);
    assert!(open.is_sorted_by_key(Slot::name), "by name");
    let mut used = Vec::new();
    let mut bad = None;
    for slot in open {
        let variable = variable_of(slot.name());
        let Some(value) = lookup(&variables, &variable) else { continue };
        assert!(!value.is_empty(), "an empty variable counts as unset");
        match slot.set(value, settings) {
            Ok(()) => records.push(recognized(&variable, value)),
            Err(why) => bad = Some(format!("invalid value {} for {variable}: {why}", quote(value))),
        }
        used.push(variable);
    }
    for (name, value) in variables.iter().filter(|(name, _)| !used.contains(name)) {
        if taken.contains(name) {
            records.push(conflict(name));
            return Outcome::Conflict;
        }
        if name.starts_with(PREFIX) {
            let shown = format!("{name}={value}");
            records
                .push(Record::warn("unrecognized environment variable", vec![("environment-variable", shown.into())]));
        }
    }
    bad.map_or(Outcome::Read, Outcome::Bad)
}

/// The value of a variable that is set and not empty.
pub(super) fn lookup<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
    variables
        .iter()
        .find(|(candidate, _)| candidate == name)
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

/// A flag that a variable may speak for.
enum Slot {
    Flag(usize, &'static Flag),
    Ignored(&'static str),
}

impl Slot {
    fn name(&self) -> &'static str {
        match self {
            Self::Flag(_, flag) => flag.name,
            Self::Ignored(name) => name,
        }
    }

    fn set(&self, value: &str, settings: &mut Settings) -> Result<(), String> {
        match self {
            Self::Flag(index, flag) => settings.set(*index, flag, value),
            Self::Ignored(_) => Ok(()),
        }
    }
}

fn recognized(variable: &str, value: &str) -> Record {
    let shown = if variable.contains("PASSWORD") { "(not shown)" } else { value };
    let fields = vec![("variable-name", variable.to_owned().into()), ("variable-value", shown.to_owned().into())];
    Record::info("recognized and used environment variable", fields)
}

fn conflict(variable: &str) -> Record {
    // The two closing brackets are etcd's, and people grep for the text.
    let text = "conflicting environment variable is shadowed by corresponding command-line flag (either unset environment variable or disable flag))";
    Record::new(Level::Fatal, text, vec![("environment-variable", variable.to_owned().into())])
}
