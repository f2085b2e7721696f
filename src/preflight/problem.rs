//! A reason not to start, with what to do about it.

use std::fmt;

use crate::log::{Level, Record};

/// Why the server cannot run here, and the cure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    what: String,
    cure: String,
}

impl Problem {
    /// Both in plain words, without a full stop.
    pub fn new(what: impl Into<String>, cure: impl Into<String>) -> Self {
        let problem = Self { what: what.into(), cure: cure.into() };
        assert!(!problem.what.is_empty() && !problem.cure.is_empty(), "a problem is named together with its cure");
        problem
    }

    /// The record that says it.
    pub fn record(&self) -> Record {
        let fields = vec![("error", self.what.to_owned().into()), ("cure", self.cure.to_owned().into())];
        Record::new(Level::Fatal, "cannot start", fields)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}; {}", self.what, self.cure)
    }
}

impl std::error::Error for Problem {}
