//! One record: level, message and typed fields.
//!
//! Invariants
//! - A record owns what it says, so that pure code can make one and the shell write it later.

use std::borrow::Cow;
use std::time::Duration;

use super::Level;
use crate::gotext::GoDuration;

/// How lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// One JSON object a line.
    #[default]
    Json,
    /// Columns with tabs between them.
    Console,
}

/// What a field holds.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Text.
    Text(Cow<'static, str>),
    /// A list of texts.
    Texts(Vec<String>),
    /// A signed number.
    Signed(i64),
    /// An unsigned number.
    Unsigned(u64),
    /// A truth.
    Boolean(bool),
    /// A length of time, written as Go writes it.
    Duration(GoDuration),
    /// A moment, in microseconds since 1970.
    Moment(u64),
}

/// A name and what it holds.
pub type Field = (&'static str, Value);

impl Value {
    /// The text of anything that can be printed: errors, ids, addresses.
    pub fn display(value: &dyn std::fmt::Display) -> Self {
        Self::Text(Cow::Owned(value.to_string()))
    }

    /// A list of things that can be printed.
    pub fn displays<T: std::fmt::Display>(values: impl IntoIterator<Item = T>) -> Self {
        Self::Texts(values.into_iter().map(|value| value.to_string()).collect())
    }
}

impl From<&'static str> for Value {
    fn from(value: &'static str) -> Self {
        Self::Text(Cow::Borrowed(value))
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Cow::Owned(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Unsigned(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Unsigned(u64::from(value))
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Self {
        Self::Unsigned(u64::try_from(value).unwrap_or(u64::MAX))
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Signed(value)
    }
}

impl From<i32> for Value {
    fn from(value: i32) -> Self {
        Self::Signed(i64::from(value))
    }
}

impl From<GoDuration> for Value {
    fn from(value: GoDuration) -> Self {
        Self::Duration(value)
    }
}

impl From<Duration> for Value {
    fn from(value: Duration) -> Self {
        Self::Duration(value.into())
    }
}

/// A record that is not yet written.
#[derive(Clone, PartialEq, Debug)]
pub struct Record {
    /// How grave it is.
    pub level: Level,
    /// What happened.
    pub message: Cow<'static, str>,
    /// The particulars, in the order they are written.
    pub fields: Vec<Field>,
}

impl Record {
    /// A record of any level.
    pub fn new(level: Level, message: impl Into<Cow<'static, str>>, fields: Vec<Field>) -> Self {
        Self { level, message: message.into(), fields }
    }

    /// A record of level `info`.
    pub fn info(message: impl Into<Cow<'static, str>>, fields: Vec<Field>) -> Self {
        Self::new(Level::Info, message, fields)
    }

    /// A record of level `warn`.
    pub fn warn(message: impl Into<Cow<'static, str>>, fields: Vec<Field>) -> Self {
        Self::new(Level::Warn, message, fields)
    }
}
