//! What can go wrong between a plan and the disk, told apart by what the member can do about it.
//!
//! Invariants
//! - Every error names the operation, the file and the system's own words.
//! - `NoSpace` is the only kind after which the same operation may be tried again; nothing else is ever retried,
//!   above all not an fsync (the kernel may have dropped the dirty pages it failed to write).

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A plan that could not be carried out.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file system has no room (ENOSPC or EDQUOT) and said so before anything was acknowledged.
    NoSpace {
        /// The file that was to grow.
        file: PathBuf,
        /// What was being done to it.
        operation: &'static str,
    },
    /// Anything else: the member stops.
    Failed {
        /// The file concerned.
        file: PathBuf,
        /// What was being done to it.
        operation: &'static str,
        /// The system's error.
        source: io::Error,
    },
}

impl Error {
    /// Sorts `source` into the kinds above.
    pub fn new(file: &Path, operation: &'static str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::ENOSPC | libc::EDQUOT) => Self::NoSpace { file: file.to_path_buf(), operation },
            _ => Self::Failed { file: file.to_path_buf(), operation, source },
        }
    }

    /// Whether the same operation may succeed later, once there is room.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSpace { file, operation } => {
                write!(
                    formatter,
                    "{operation} {}: no space left on the device; free some and writes resume",
                    file.display()
                )
            }
            Self::Failed { file, operation, source } => write!(formatter, "{operation} {}: {source}", file.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoSpace { .. } => None,
            Self::Failed { source, .. } => Some(source),
        }
    }
}
