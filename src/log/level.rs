//! How grave a record is.

use std::fmt;

/// Levels in rising order, with etcd's names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Level {
    /// For whoever looks into the server.
    Debug,
    /// What happened.
    #[default]
    Info,
    /// What an operator should look at.
    Warn,
    /// What went wrong.
    Error,
    /// Taken from etcd so that its flag values are understood; this server writes none.
    DPanic,
    /// A bug of ours that ends the process.
    Panic,
    /// What ends the process.
    Fatal,
}

/// No level has this name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownLevel(String);

impl fmt::Display for UnknownLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "unrecognized level: {}", crate::gotext::quote(&self.0))
    }
}

impl Level {
    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::DPanic => "dpanic",
            Self::Panic => "panic",
            Self::Fatal => "fatal",
        }
    }

    /// Reads a name in any case; nothing is `info`, and `warning` is `warn`, as etcd takes them.
    pub fn parse(name: &str) -> Result<Self, UnknownLevel> {
        match name.to_ascii_lowercase().as_str() {
            "debug" => Ok(Self::Debug),
            "info" | "" => Ok(Self::Info),
            "warn" | "warning" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            "dpanic" => Ok(Self::DPanic),
            "panic" => Ok(Self::Panic),
            "fatal" => Ok(Self::Fatal),
            _ => Err(UnknownLevel(name.to_owned())),
        }
    }

    /// The priority that the journal (and syslog) gives it.
    pub(super) fn priority(self) -> u8 {
        match self {
            Self::Debug => 7,
            Self::Info => 6,
            Self::Warn => 4,
            Self::Error => 3,
            Self::DPanic | Self::Panic | Self::Fatal => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case_and_rise() {
        let mut before = None;
        for name in ["debug", "info", "warn", "error", "dpanic", "panic", "fatal"] {
            let level = Level::parse(&name.to_ascii_uppercase()).unwrap();
            assert_eq!(level.name(), name);
            assert!(before < Some(level));
            before = Some(level);
        }
        assert_eq!(Level::parse(""), Ok(Level::Info));
        assert_eq!(Level::parse("Warning"), Ok(Level::Warn));
        assert_eq!(Level::parse("foo").unwrap_err().to_string(), "unrecognized level: \"foo\"");
    }
}
