//! The command line, by the rules of Go's flag package.
//!
//! Invariants
//! - `-flag` and `--flag` are the same; a boolean takes its value only after `=`; the first word that is no flag, or `--`,
//!   ends the flags.
//! - Of a flag given twice the later counts.

use super::flag::Kind;
use super::settings::Settings;
use super::table::{IGNORED, find};
use crate::gotext::quote;

/// Why the flags were not all read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// `-h` or `--help`.
    Help,
    /// What is wrong, in Go's words.
    Bad(String),
}

/// Reads the flags into `settings`; answers the first word that follows them.
pub(super) fn read_arguments<'a>(arguments: &'a [String], settings: &mut Settings) -> Result<Option<&'a str>, Stop> {
    let mut rest = arguments;
    while let Some((argument, after)) = rest.split_first() {
        let Some(dashless) = argument.strip_prefix('-').filter(|dashless| !dashless.is_empty()) else {
            return Ok(Some(argument));
        };
        rest = after;
        if dashless == "-" {
            break;
        }
        let body = dashless.strip_prefix('-').unwrap_or(dashless);
        if body.is_empty() || body.starts_with(['-', '=']) {
            return Err(Stop::Bad(format!("bad flag syntax: {argument}")));
        }
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (body, None),
        };
        assert!(!name.starts_with('-'), "dashes are taken off: {name}");
        let took_next = set_flag(name, value, rest.first().map(String::as_str), settings)?;
        if took_next {
            rest = &rest[1..];
        }
    }
    Ok(rest.first().map(String::as_str))
}

/// Sets one flag; answers whether it took the next argument for its value.
fn set_flag(name: &str, value: Option<&str>, next: Option<&str>, settings: &mut Settings) -> Result<bool, Stop> {
    if IGNORED.contains(&name) {
        return Ok(false);
    }
    let Some((index, flag)) = find(name) else {
        let help = matches!(name, "h" | "help");
        return Err(if help { Stop::Help } else { Stop::Bad(format!("flag provided but not defined: -{name}")) });
    };
    if matches!(flag.kind, Kind::Bool) {
        let text = value.unwrap_or("true");
        let refuse = |why| Stop::Bad(format!("invalid boolean value {} for -{name}: {why}", quote(text)));
        settings.set(index, flag, text).map_err(refuse)?;
        return Ok(false);
    }
    let Some(text) = value.or(next) else {
        return Err(Stop::Bad(format!("flag needs an argument: -{name}")));
    };
    let refuse = |why| Stop::Bad(format!("invalid value {} for flag -{name}: {why}", quote(text)));
    settings.set(index, flag, text).map_err(refuse)?;
    Ok(value.is_none())
}
