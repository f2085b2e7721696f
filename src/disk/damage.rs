//! The words for files that are damaged, do not fit together or cannot be written: which file, where in it, what is wrong
//! and what to do next. Start, replica and reads all say it with these.
//!
//! Invariants
//! - Every text names a file and ends with a next step that exists.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::limits::TREE_PAGE_BYTES;
use crate::tree;

/// What an operator does about a member whose files are damaged.
pub const CURE: &str = "restore the member from a snapshot or from a copy of its whole data directory, or, in a cluster, \
                        remove the member and add it again";

/// Something wrong with a file, in words for the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    file: PathBuf,
    offset: Option<u64>,
    what: String,
    cure: &'static str,
}

impl Damage {
    /// Something wrong with `file` as a whole.
    pub fn of(file: &Path, what: impl fmt::Display) -> Self {
        Self { file: file.to_path_buf(), offset: None, what: what.to_string(), cure: CURE }
    }

    /// What the tree found wrong with its file.
    pub fn of_tree(file: &Path, error: &tree::Error) -> Self {
        let (offset, cure) = match error {
            tree::Error::Corrupt { page, .. } => (Some(page.0), CURE),
            tree::Error::ShortFile { pages_found, .. } => (Some(*pages_found), CURE),
            tree::Error::NoMeta | tree::Error::NoStore => (Some(0), CURE),
            tree::Error::UnknownVersion { .. } => {
                (Some(0), "start the version of ringbolt that wrote this data directory")
            }
            tree::Error::OutOfPages => (None, "make room on its file system and start the member again"),
            tree::Error::ReservedTooSmall { .. } | tree::Error::TooLarge { .. } => {
                (None, "start a version of ringbolt that serves stores of this size")
            }
        };
        let offset = offset.map(|page| page.saturating_mul(TREE_PAGE_BYTES));
        Self { file: file.to_path_buf(), offset, what: error.to_string(), cure }
    }

    /// The same with another next step.
    pub fn cured_by(self, cure: &'static str) -> Self {
        Self { cure, ..self }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, offset, what, cure } = self;
        match offset {
            Some(offset) => write!(formatter, "{} at offset {offset}: {what}; {cure}", file.display()),
            None => write!(formatter, "{}: {what}; {cure}", file.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::PageNumber;

    #[test]
    fn every_text_names_the_file_the_place_and_the_next_step() {
        let file = Path::new("/data/member/db");
        let corrupt = tree::Error::Corrupt { page: PageNumber(508), what: "checksum" };
        let told = Damage::of_tree(file, &corrupt).to_string();
        assert!(
            told.starts_with("/data/member/db at offset 2080768: tree page 508 is corrupt: checksum; restore "),
            "{told}"
        );
        let short = tree::Error::ShortFile { pages_expected: 512, pages_found: 27 };
        for (error, place) in [(short, " at offset 110592: "), (tree::Error::NoMeta, " at offset 0: ")] {
            let told = Damage::of_tree(file, &error).to_string();
            assert!(told.contains(place) && told.contains(&error.to_string()) && told.ends_with(CURE), "{told}");
        }
        let newer = Damage::of_tree(file, &tree::Error::UnknownVersion { version: 9 }).to_string();
        assert!(newer.ends_with("start the version of ringbolt that wrote this data directory"), "{newer}");
        assert_eq!(Damage::of(file, "gone").to_string(), format!("/data/member/db: gone; {CURE}"));
        assert_eq!(Damage::of(file, "gone").cured_by("look").to_string(), "/data/member/db: gone; look");
    }
}
