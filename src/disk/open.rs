//! From a data directory to a tree and a log that are in order: reads both, lets the pure core decide, and carries out
//! what it decided before anything is served.
//!
//! Which of the two exist
//! - neither: a new member. The log is made first, the tree file after it.
//! - a log without a tree: a first start that was cut short, or a tree file that was lost. An empty tree is made; the
//!   replica refuses it if the log has entries, because the first group is written after the tree's first checkpoint.
//! - a tree without a log: the log was lost, and with it whatever was acknowledged since the last checkpoint. Refused.
//!
//! Invariants
//! - Nothing in the directory changes before both files were found to be in order.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::damage::Damage;
use crate::disk::error::Error;
use crate::disk::log::{run_blocking, wait_for_writes};
use crate::disk::map::TreeFile;
use crate::disk::read::MappedFile;
use crate::limits;
use crate::tree::{self, Arena, Stamp, Tree};
use crate::types::{BootNonce, PageNumber, RaftIndex, Term};
use crate::wal::{self, FileName, Identity, Log, Recovered};

/// Where a member's files are.
#[derive(Clone, Debug)]
pub struct Paths {
    /// The tree file.
    pub tree: PathBuf,
    /// The directory of the WAL's segments; it exists.
    pub wal: PathBuf,
}

/// A member's storage, in order and ready.
#[derive(Debug)]
pub struct Store {
    /// The tree, at its last checkpoint (or empty).
    pub tree: Tree,
    /// Its file.
    pub tree_file: Arc<TreeFile>,
    /// The log.
    pub log: StoreLog,
}

/// The log of an opened store.
#[derive(Debug)]
pub enum StoreLog {
    /// There was none; it is ready for its first entry.
    New(Box<Log>),
    /// What recovery found; its repairs are carried out.
    Recovered(Box<Recovered>),
}

/// Why a directory was not opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// A file operation failed.
    Disk(Error),
    /// The log is not in order.
    Log {
        /// Its directory.
        directory: PathBuf,
        /// What is wrong, where, and the next step.
        error: wal::Error,
    },
    /// The tree file is not in order.
    Tree {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        error: tree::Error,
    },
    /// There is a tree but no log.
    LogMissing {
        /// Where the log should be.
        directory: PathBuf,
        /// The tree that needs it.
        tree: PathBuf,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => write!(formatter, "{error}"),
            Self::Log { directory, error } => write!(formatter, "in {}: {error}", directory.display()),
            Self::Tree { file, error } => write!(formatter, "{}", Damage::of_tree(file, error)),
            Self::LogMissing { directory, tree } => {
                let what = format!("the write-ahead log is missing, and {} may lack what it held", tree.display());
                write!(formatter, "{}", Damage::of(directory, what))
            }
        }
    }
}

impl std::error::Error for OpenError {}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        Self::Disk(error)
    }
}

/// What the store is opened for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// Whose it must be.
    pub identity: Identity,
    /// Drawn at random for this start.
    pub boot: BootNonce,
    /// Sizes of what is appended from now on.
    pub log: wal::Config,
    /// Entries below the checkpoint to keep for members that lag.
    pub entries_kept: u64,
    /// Where a stamp says that its tree was installed.
    pub installed_index: fn(&Stamp) -> RaftIndex,
}

impl Wanted {
    fn installed_index(&self, stamp: &Stamp) -> RaftIndex {
        (self.installed_index)(stamp)
    }
}

/// Whose store is in `paths`, by its log; `None` if there is no log, or nothing readable in it. Nothing is changed.
pub fn logged_identity(paths: &Paths) -> Result<Option<Identity>, OpenError> {
    let files = Files::read(&paths.wal, &names_in(&paths.wal)?)?;
    Ok(wal::logged_identity(&files.segments(), files.mark()))
}

/// Opens or makes the store in `paths`.
pub fn open(paths: &Paths, wanted: &Wanted) -> Result<Store, OpenError> {
    let names = names_in(&paths.wal)?;
    let has_log = names.iter().any(|name| matches!(FileName::parse(name), Some(FileName::Segment(_) | FileName::Mark)));
    let has_tree = paths.tree.metadata().is_ok_and(|metadata| metadata.len() > 0);
    match (has_log, has_tree) {
        (false, true) => Err(OpenError::LogMissing { directory: paths.wal.clone(), tree: paths.tree.clone() }),
        (false, false) => make(paths, wanted),
        (true, _) => recover(paths, &names, wanted),
    }
}

fn make(paths: &Paths, wanted: &Wanted) -> Result<Store, OpenError> {
    let created = Log::create(wanted.log, wanted.identity, wanted.boot);
    for step in created.steps {
        run_blocking(&paths.wal, step)?;
    }
    let tree_file = TreeFile::open(&paths.tree, limits::TREE_RESERVED_PAGES)?;
    let tree = make_tree(paths, &tree_file)?;
    Ok(Store { tree, tree_file, log: StoreLog::New(Box::new(created.log)) })
}

fn recover(paths: &Paths, names: &[String], wanted: &Wanted) -> Result<Store, OpenError> {
    let tree_file = TreeFile::open(&paths.tree, limits::TREE_RESERVED_PAGES)?;
    let opened = open_tree(paths, &tree_file)?;
    let stamp = opened.as_ref().map(|tree| tree.shared().latest_stamp());
    let files = Files::read(&paths.wal, names)?;
    let mut recovered = wal::recover(wal::RecoverInput {
        config: wanted.log,
        identity: wanted.identity,
        boot: wanted.boot,
        files: files.segments(),
        mark: files.mark(),
        tree_applied: stamp.map_or(RaftIndex(0), |stamp| stamp.applied_index),
        tree_term: stamp.map_or(Term(0), |stamp| stamp.applied_term),
        tree_installed: stamp.map_or(RaftIndex(0), |stamp| wanted.installed_index(&stamp)),
        entries_kept: wanted.entries_kept,
    })
    .map_err(|error| OpenError::Log { directory: paths.wal.clone(), error })?;
    drop(files);
    for step in std::mem::take(&mut recovered.repairs) {
        run_blocking(&paths.wal, step)?;
    }
    let tree = match opened {
        Some(tree) => tree,
        None => make_tree(paths, &tree_file)?,
    };
    Ok(Store { tree, tree_file, log: StoreLog::Recovered(Box::new(recovered)) })
}

/// The tree in the file; `None` if the file holds none yet.
fn open_tree(paths: &Paths, file: &Arc<TreeFile>) -> Result<Option<Tree>, OpenError> {
    match Tree::open(arena(file), tree::Config::default(), file.file_pages()?) {
        Ok(tree) => Ok(Some(tree)),
        Err(tree::Error::NoStore) => Ok(None),
        Err(error) => Err(OpenError::Tree { file: paths.tree.clone(), error }),
    }
}

fn make_tree(paths: &Paths, file: &Arc<TreeFile>) -> Result<Tree, OpenError> {
    file.allocate(PageNumber(0), limits::TREE_PAGES_AT_START)?;
    Tree::create(arena(file), tree::Config::default(), limits::TREE_PAGES_AT_START)
        .map_err(|error| OpenError::Tree { file: paths.tree.clone(), error })
}

fn arena(file: &Arc<TreeFile>) -> Arena {
    // SAFETY: the range is mapped readable and writable for the whole reservation and stays so while the process holds
    // `file`, which the store keeps beside the tree; the tree touches only pages that it was granted.
    unsafe { Arena::from_raw(file.base(), file.reserved_pages()) }
}

fn names_in(directory: &Path) -> Result<Vec<String>, OpenError> {
    let failed = |error| OpenError::Disk(Error::new(directory, "list", error));
    let entries = std::fs::read_dir(directory).map_err(failed)?;
    let names: io::Result<Vec<String>> =
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect();
    let mut names = names.map_err(failed)?;
    names.sort_unstable();
    Ok(names)
}

/// The WAL's files, mapped.
struct Files(Vec<(String, Option<MappedFile>)>);

impl Files {
    fn read(directory: &Path, names: &[String]) -> Result<Self, Error> {
        let mut files = Vec::new();
        for name in names {
            let wanted = matches!(FileName::parse(name), Some(FileName::Segment(_) | FileName::Mark));
            let path = directory.join(name);
            if wanted {
                wait_for_writes(&path)?;
            }
            let mapped = if wanted { Some(MappedFile::open(&path)?) } else { None };
            files.push((name.to_owned(), mapped));
        }
        Ok(Self(files))
    }

    fn segments(&self) -> Vec<(&str, &[u8])> {
        let files = self.0.iter();
        files.map(|(name, file)| (name.as_str(), file.as_ref().map_or(&[][..], MappedFile::bytes))).collect()
    }

    fn mark(&self) -> &[u8] {
        let mark = self.0.iter().find(|(name, _)| FileName::parse(name) == Some(FileName::Mark));
        mark.and_then(|(_, file)| file.as_ref()).map_or(&[], MappedFile::bytes)
    }
}
