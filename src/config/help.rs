//! `--help`, `--version` and the README's table, all made of the one table of flags.

use super::flag::{Effect, Flag};
use super::table::all;
use crate::gotext::push_fmt;
use crate::identity::ETCD_VERSION;

/// How to call the server, for standard error.
pub(super) fn usage() -> String {
    "Usage:

  ringbolt [flags]
    Run a member.

  ringbolt --version
    Show the version.

  ringbolt -h | --help
    Show the flags.

Every flag can also be given as an environment variable: --data-dir is ETCD_DATA_DIR.

"
    .to_owned()
}

/// The flags with their defaults, for standard output.
pub(super) fn flags() -> String {
    let mut out = String::new();
    let mut group = None;
    for flag in all() {
        if group != Some(flag.group) {
            group = Some(flag.group);
            push_fmt(&mut out, format_args!("\n{}:\n", flag.group.title()));
        }
        push_fmt(
            &mut out,
            format_args!("  --{} '{}'\n    {}{}\n", flag.name, shown_default(flag), flag.help, remark(flag)),
        );
    }
    out
}

/// What `--help` says after the help itself.
fn remark(flag: &Flag) -> String {
    match flag.effect {
        Effect::InForce => String::new(),
        Effect::NotYet(what) => format!(" (No effect yet: waits for {what}.)"),
        Effect::Without(reason) => format!(" (Accepted without effect: {reason}.)"),
        Effect::Refused(what) => format!(" (Refused: waits for {what}.)"),
    }
}

fn shown_default(flag: &Flag) -> &str {
    match flag.name {
        "data-dir" => "${name}.etcd",
        _ => flag.default,
    }
}

/// `--version`: what tools read first, then what this really is.
pub(super) fn version() -> String {
    let revision = option_env!("RINGBOLT_GIT_SHA").unwrap_or("Not provided");
    format!(
        "etcd Version: {ETCD_VERSION}\nGit SHA: {revision}\nRust Version: {} or later\nOS/Arch: {}/{}\nringbolt Version: {}\n",
        env!("CARGO_PKG_RUST_VERSION"),
        std::env::consts::OS,
        architecture(),
        env!("CARGO_PKG_VERSION"),
    )
}

/// The architecture by Go's name.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The flags as the Markdown table of README.md, which a test compares with the file.
pub fn readme_table() -> String {
    let mut out = "| flag | value | default | effect |\n|--|--|--|--|\n".to_owned();
    for flag in all() {
        let effect = match flag.effect {
            Effect::InForce => "yes".to_owned(),
            Effect::NotYet(what) => format!("not yet: waits for {what}"),
            Effect::Without(reason) => format!("none: {reason}"),
            Effect::Refused(what) => format!("refused: waits for {what}"),
        };
        let default = shown_default(flag);
        let default = if default.is_empty() { String::new() } else { format!("`{default}`") };
        push_fmt(&mut out, format_args!("| `--{}` | {} | {default} | {effect} |\n", flag.name, flag.kind.name()));
    }
    out
}
