//! What reading the configuration leads to: a configuration, or the end of the process.

use super::model::Config;
use crate::log::{Level, Options, Record};

/// A configuration that passed every check that needs nothing but itself.
#[derive(Clone, PartialEq, Debug)]
pub struct Parsed {
    /// How to run.
    pub config: Config,
    /// To be logged first, in this order, by the logger that the configuration asks for.
    pub records: Vec<Record>,
}

/// The process is to end before it began: with these outputs, and this status.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Exit {
    /// The exit status: 0 for help and version, 2 for flags that cannot be read, 1 for a configuration that cannot run.
    pub code: u8,
    /// For standard output.
    pub stdout: String,
    /// For standard error, after the records.
    pub stderr: String,
    /// To be logged, in this order.
    pub records: Vec<Record>,
    /// The log that the configuration asks for, if it was read that far; nothing is a log with default options.
    pub log: Option<Box<Options>>,
}

impl Exit {
    /// An end with status 1 and the records that say why.
    pub fn failed(records: Vec<Record>) -> Self {
        Self { code: 1, records, ..Self::default() }
    }

    /// The end of a start that failed after the flags were found good.
    pub(super) fn start_failed(mut records: Vec<Record>, why: &str) -> Self {
        records.push(Record::new(Level::Fatal, "discovery failed", vec![("error", why.to_owned().into())]));
        Self::failed(records)
    }
}
