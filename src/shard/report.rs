//! What is told to the operator when the member cannot start or go on, and when a read meets a damaged page: always with the
//! file, the place and the next step.
//!
//! Invariants
//! - One exhaustive match over the replica's errors: a new one has to be given its words here.
//! - A page that clients ask for again and again is told once, and not more than `limits::DAMAGE_LINES_MAX` of them.

use std::cell::RefCell;
use std::path::Path;

use crate::command::Malformed;
use crate::disk::damage::Damage;
use crate::disk::open::Paths;
use crate::replica::Error;
use crate::{apply, limits, log, mvcc, raft};

/// Why a replica cannot start or go on.
pub fn end_of_replica(paths: &Paths, error: &Error) -> String {
    match error {
        Error::Store(what) => store(&paths.tree, what),
        Error::Apply(apply::Error::Store { index, what }) => {
            format!("raft entry {index} cannot be applied: {}", store(&paths.tree, what))
        }
        Error::Apply(apply::Error::Malformed {
            what: Malformed::UnknownVersion(_) | Malformed::UnknownKind(_),
            ..
        }) => Damage::of(&paths.wal, error)
            .cured_by("start the version of ringbolt that wrote this data directory")
            .to_string(),
        Error::Apply(apply::Error::Malformed { .. } | apply::Error::Gap { .. })
        | Error::Change { .. }
        | Error::LogMissing { .. }
        | Error::Raft(raft::Error::Start { .. } | raft::Error::LogLost { .. }) => {
            Damage::of(&paths.wal, error).to_string()
        }
        Error::StoreLost { .. } => Damage::of(&paths.tree, error).to_string(),
        Error::Membership => format!("{error}; compare --name and --initial-cluster with those of its first start"),
        Error::Raft(raft::Error::Config { .. }) => format!("{error}; change the flags that it names"),
        Error::Write(_) => format!(
            "{error}; check the disk, then start the member again: what was acknowledged is durable; if that is refused, \
             {}",
            crate::disk::damage::CURE
        ),
    }
}

/// What is wrong with the rows and pages of the store in `file`.
fn store(file: &Path, error: &mvcc::Error) -> String {
    if let mvcc::Error::Tree(error) = error {
        return Damage::of_tree(file, error).to_string();
    }
    // Its page is whole, so it was written so: there is no place to name.
    Damage::of(file, error).to_string()
}

/// What reads on one shard met, told once each.
#[derive(Debug)]
pub(super) struct DamageLog {
    logger: log::Logger,
    file: std::path::PathBuf,
    told: RefCell<Vec<mvcc::Error>>,
}

impl DamageLog {
    /// For reads of the store in `file`.
    pub(super) fn new(logger: log::Logger, file: &Path) -> Self {
        Self { logger, file: file.to_path_buf(), told: RefCell::default() }
    }

    /// A read met this.
    pub(super) fn tell(&self, error: &mvcc::Error) {
        let mut told = self.told.borrow_mut();
        if told.len() < limits::DAMAGE_LINES_MAX && !told.contains(error) {
            told.push(error.clone());
            let fields = [("error", store(&self.file, error).into())];
            self.logger.error("a read was refused: the store is damaged; nothing of the page was served", &fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree;
    use crate::types::{PageNumber, RaftIndex};

    #[test]
    fn each_end_names_a_file_and_a_next_step() {
        let paths = Paths { tree: "/d/member/db".into(), wal: "/d/member/wal".into() };
        let corrupt = || mvcc::Error::Tree(tree::Error::Corrupt { page: PageNumber(3), what: "checksum" });
        let index = RaftIndex(7);
        let db = "/d/member/db at offset 12288: tree page 3 is corrupt: checksum; restore ";
        let cases = [
            (Error::Store(corrupt()), db),
            (Error::Apply(apply::Error::Store { index, what: corrupt() }), db),
            (Error::Store(mvcc::Error::Damaged("the members are missing")), "/d/member/db: damaged row: the members"),
            (Error::Apply(apply::Error::Malformed { index, what: Malformed::Cut }), "/d/member/wal: raft entry 7 "),
            (Error::Change { index }, "/d/member/wal: raft entry 7 "),
            (Error::StoreLost { last: index }, "/d/member/db: the log holds entries up to 7"),
            (Error::LogMissing { applied: index }, "/d/member/wal: the store has applied entries up to 7"),
        ];
        for (error, text) in cases {
            let told = end_of_replica(&paths, &error);
            assert!(told.contains(text) && told.ends_with(crate::disk::damage::CURE), "{told}");
        }
        let newer = apply::Error::Malformed { index, what: Malformed::UnknownVersion(9) };
        let told = end_of_replica(&paths, &Error::Apply(newer));
        assert!(told.contains("start the version"), "{told}");
    }
}
