//! The table of flags: the one source for parsing, `--help` and the README.

mod clustering;
mod features;
mod member;
mod monitoring;
mod order;
mod security;

pub(super) use order::{IGNORED, all, find};
