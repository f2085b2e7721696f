//! The data directory: made, recognised, locked, and tried for what the WAL asks of a file system.
//!
//! Layout: `<data-dir>/member/{lock,db,wal/}`; with `--wal-dir` the WAL and a lock of its own lie there.
//!
//! Invariants
//! - Nothing in a directory that is not ours is changed.
//! - While a `DataDirectory` lives, no other process opens the same one: the kernel frees the locks when it dies.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::Problem;
use crate::config::Config;
use crate::limits::PAGE_BYTES;
use crate::log::Record;

const MODE_DIRECTORY: u32 = 0o700;
const MODE_FILE: u32 = 0o600;

/// An open, locked data directory.
#[derive(Debug)]
pub struct DataDirectory {
    /// `<data-dir>`.
    pub root: PathBuf,
    /// The tree's file.
    pub db: PathBuf,
    /// The WAL's directory.
    pub wal: PathBuf,
    /// To be logged.
    pub records: Vec<Record>,
    /// Held, never read: the lock goes with the last of them.
    _locks: Vec<File>,
}

impl DataDirectory {
    /// Makes what is missing, refuses what is not ours, takes the locks and tries direct writes.
    pub fn open(config: &Config) -> Result<Self, Problem> {
        let root = config.data_dir.to_owned();
        let member = root.join("member");
        refuse_foreign(&root, &member)?;
        let wal = match &config.wal_dir {
            Some(wal) => wal.to_owned(),
            None => member.join("wal"),
        };
        refuse_foreign_wal(&wal)?;
        let mut records = Vec::new();
        for directory in [&root, &member, &wal] {
            records.extend(make_private(directory)?);
        }
        let mut locks = vec![lock(&member, &root)?];
        if config.wal_dir.is_some() {
            locks.push(lock(&wal, &wal)?);
        }
        try_direct_write(&wal)?;
        assert!(!locks.is_empty() && member.starts_with(&root), "a locked directory of ours");
        Ok(Self { db: member.join("db"), root, wal, records, _locks: locks })
    }

    /// Whether a member has lived here: without the tree's file this is a first start.
    pub fn is_initialized(&self) -> bool {
        self.db.exists()
    }
}

/// A real etcd's directory, or one of the v2 proxy, is told from ours by what lies in it.
fn refuse_foreign(root: &Path, member: &Path) -> Result<(), Problem> {
    if member.join("snap").exists() {
        return Err(Problem::new(
            format!(
                "{} is the data directory of an etcd ({} is there), and its files cannot be read in place",
                root.display(),
                member.join("snap").display()
            ),
            "leave it as it is and start with another --data-dir; take the data over with a snapshot: \
             `etcdctl snapshot save` from the running etcd, then restore it into the new directory",
        ));
    }
    if root.join("proxy").exists() {
        return Err(Problem::new(
            format!("{} is the data directory of a v2 proxy", root.display()),
            "start with another --data-dir; the v2 proxy is gone since etcd 3.6",
        ));
    }
    Ok(())
}

/// etcd's segments are named by sequence and index, ours by sequence alone.
fn refuse_foreign_wal(wal: &Path) -> Result<(), Problem> {
    let foreign = entries(wal).into_iter().find(|name| is_etcd_segment(name));
    match foreign {
        Some(name) => Err(Problem::new(
            format!("{} holds the write-ahead log of an etcd ({name})", wal.display()),
            "leave it as it is and start with another --wal-dir",
        )),
        None => Ok(()),
    }
}

fn is_etcd_segment(name: &str) -> bool {
    let digits = |text: &str| text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    name.strip_suffix(".wal")
        .and_then(|stem| stem.split_once('-'))
        .is_some_and(|(sequence, index)| digits(sequence) && digits(index))
}

/// The names in a directory; none if it is not there or cannot be read, which is found out soon after.
fn entries(directory: &Path) -> Vec<String> {
    let listed = fs::read_dir(directory).into_iter().flatten().flatten();
    listed.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// Makes a directory that only its owner may enter, parents included; says so if an existing one is open to others.
fn make_private(directory: &Path) -> Result<Option<Record>, Problem> {
    let shown = directory.display();
    if let Ok(metadata) = fs::metadata(directory) {
        if !metadata.is_dir() {
            return Err(Problem::new(format!("{shown} is not a directory"), "choose another --data-dir or --wal-dir"));
        }
        let mode = metadata.permissions().mode() & 0o777;
        let open = mode != MODE_DIRECTORY;
        return Ok(open.then(|| {
            let fields = vec![
                ("path", shown.to_string().into()),
                ("mode", format!("{mode:o}").into()),
                ("recommended-mode", "700".into()),
            ];
            Record::warn("directory can be entered by others than its owner", fields)
        }));
    }
    let made = DirBuilder::new().recursive(true).mode(MODE_DIRECTORY).create(directory);
    made.map_err(|cause| file_problem("make the directory", directory, &cause))?;
    // The directory's own name must survive a power cut as well as what is written in it.
    if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        let synced = File::open(parent).and_then(|parent| parent.sync_all());
        synced.map_err(|cause| file_problem("sync the directory", parent, &cause))?;
    }
    Ok(None)
}

/// Locks a directory for this process by a file in it that says who holds it.
fn lock(directory: &Path, named: &Path) -> Result<File, Problem> {
    let path = directory.join("lock");
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(MODE_FILE).open(&path);
    let mut file = opened.map_err(|cause| file_problem("open", &path, &cause))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(held_problem(&mut file, named)),
        Err(TryLockError::Error(cause)) => return Err(file_problem("lock", &path, &cause)),
    }
    let written = file.set_len(0).and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
    written.map_err(|cause| file_problem("write to", &path, &cause))?;
    Ok(file)
}

fn held_problem(file: &mut File, named: &Path) -> Problem {
    let mut holder = String::new();
    let read = file.rewind().and_then(|()| file.take(20).read_to_string(&mut holder));
    let number = holder.trim();
    let known = read.is_ok() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let process = if known { format!("process {number}") } else { "another process".to_owned() };
    Problem::new(
        format!("the data directory {} is in use: {process} holds its lock", named.display()),
        "stop that process, or choose another --data-dir",
    )
}

/// Writes one block the way the WAL does.
fn try_direct_write(directory: &Path) -> Result<(), Problem> {
    let path = directory.join("probe.tmp");
    let flags = libc::O_DIRECT | libc::O_DSYNC;
    let opened =
        OpenOptions::new().write(true).create(true).truncate(true).mode(MODE_FILE).custom_flags(flags).open(&path);
    let written = opened.and_then(|mut file| {
        let buffer = vec![0u8; 2 * PAGE_BYTES];
        let start = buffer.as_ptr().align_offset(PAGE_BYTES);
        assert!(start < PAGE_BYTES, "an aligned block lies in twice its size");
        file.write_all(&buffer[start..start + PAGE_BYTES])
    });
    // Left behind it is harmless: the next start writes over it.
    let _ = fs::remove_file(&path);
    match written {
        Ok(()) => Ok(()),
        Err(cause) if cause.raw_os_error() == Some(libc::EINVAL) => Err(Problem::new(
            format!("the file system of {} does not take direct writes (O_DIRECT)", directory.display()),
            "put the data directory, or the WAL alone with --wal-dir, on ext4 or XFS; tmpfs takes them since Linux 6.6",
        )),
        Err(cause) => Err(file_problem("write to", &path, &cause)),
    }
}

/// A failed call on a path, with the cure that its cause suggests.
fn file_problem(action: &str, path: &Path, cause: &io::Error) -> Problem {
    let cure = match cause.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            "give this user the directory (chown), or choose another --data-dir or --wal-dir"
        }
        Some(libc::EROFS) => "mount the file system for writing, or choose another --data-dir or --wal-dir",
        Some(libc::ENOSPC | libc::EDQUOT) => "make room on its file system",
        Some(libc::ENOTDIR) => "choose another --data-dir or --wal-dir: a part of this path is a file",
        _ => "look at the file system, or choose another --data-dir or --wal-dir",
    };
    Problem::new(format!("cannot {action} {}: {cause}", path.display()), cure)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of its own for one test, gone with it.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("ringbolt-preflight-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn path(&self, below: &str) -> String {
            self.0.join(below).display().to_string()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn open(flags: &[String]) -> Result<DataDirectory, Problem> {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        DataDirectory::open(&crate::config::tests::config(&flags))
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_missing_is_made_for_the_owner_alone() {
        let scratch = Scratch::new("made");
        let data = scratch.path("a/b");
        let opened = open(&[format!("--data-dir={data}")]).unwrap();
        assert!(opened.records.is_empty() && !opened.is_initialized());
        for directory in [&opened.root, &opened.root.join("member"), &opened.wal] {
            assert_eq!(mode(directory), 0o700, "{}", directory.display());
        }
        assert_eq!(opened.db, Path::new(&data).join("member/db"));
        assert_eq!(mode(&opened.root.join("member/lock")), 0o600);
        assert_eq!(fs::read_to_string(opened.root.join("member/lock")).unwrap(), format!("{}\n", std::process::id()));
        assert_eq!(entries(&opened.wal), Vec::<String>::new());
    }

    #[test]
    fn a_directory_has_one_holder() {
        let scratch = Scratch::new("lock");
        let flags = [format!("--data-dir={}", scratch.path("d"))];
        let first = open(&flags).unwrap();
        let told = open(&flags).unwrap_err().to_string();
        assert!(
            told.contains(&scratch.path("d")) && told.contains(&format!("process {} holds", std::process::id())),
            "{told}"
        );
        drop(first);
        assert!(open(&flags).is_ok());
    }

    #[test]
    fn a_shared_wal_directory_has_one_holder_too() {
        let scratch = Scratch::new("wal");
        let wal = format!("--wal-dir={}", scratch.path("w"));
        let first = open(&[format!("--data-dir={}", scratch.path("a")), wal.to_owned()]).unwrap();
        assert_eq!(first.wal, Path::new(&scratch.path("w")));
        let told = open(&[format!("--data-dir={}", scratch.path("b")), wal]).unwrap_err().to_string();
        assert!(told.contains(&scratch.path("w")) && told.contains("holds its lock"), "{told}");
    }

    #[test]
    fn the_directories_of_etcd_are_recognised_and_left_alone() {
        let scratch = Scratch::new("foreign");
        fs::create_dir_all(scratch.path("etcd/member/snap")).unwrap();
        fs::write(scratch.path("etcd/member/snap/db"), "x").unwrap();
        let told = open(&[format!("--data-dir={}", scratch.path("etcd"))]).unwrap_err().to_string();
        assert!(told.contains("is the data directory of an etcd") && told.contains("snapshot save"), "{told}");
        assert_eq!(entries(Path::new(&scratch.path("etcd/member"))), ["snap"]);
        fs::create_dir_all(scratch.path("old/proxy")).unwrap();
        assert!(open(&[format!("--data-dir={}", scratch.path("old"))]).unwrap_err().to_string().contains("v2 proxy"));
        fs::create_dir_all(scratch.path("w")).unwrap();
        fs::write(scratch.path("w/0000000000000000-0000000000000000.wal"), "x").unwrap();
        let flags = [format!("--data-dir={}", scratch.path("new")), format!("--wal-dir={}", scratch.path("w"))];
        assert!(open(&flags).unwrap_err().to_string().contains("write-ahead log of an etcd"));
        assert!(!Path::new(&scratch.path("new")).exists());
    }

    #[test]
    fn only_etcd_s_segments_are_taken_for_them() {
        assert!(is_etcd_segment("0000000000000001-00000000000000ff.wal"));
        for ours in ["0000000000000001.wal", "0-0.wal", "lock", "0000000000000001-00000000000000ff.wal.broken"] {
            assert!(!is_etcd_segment(ours), "{ours}");
        }
    }

    #[test]
    fn an_open_directory_is_told_and_a_file_is_refused() {
        let scratch = Scratch::new("mode");
        fs::create_dir(scratch.path("d")).unwrap();
        fs::set_permissions(scratch.path("d"), fs::Permissions::from_mode(0o755)).unwrap();
        let opened = open(&[format!("--data-dir={}", scratch.path("d"))]).unwrap();
        assert_eq!(opened.records.len(), 1);
        assert_eq!(mode(&opened.root), 0o755, "the mode of a directory that was there is its owner's choice");
        fs::write(scratch.path("f"), "").unwrap();
        assert!(
            open(&[format!("--data-dir={}", scratch.path("f"))])
                .unwrap_err()
                .to_string()
                .contains("is not a directory")
        );
        assert!(
            open(&[format!("--data-dir={}", scratch.path("f/x"))])
                .unwrap_err()
                .to_string()
                .contains("cannot make the directory")
        );
    }

    #[test]
    fn a_file_system_that_takes_no_files_is_refused_with_a_cure() {
        let told = try_direct_write(Path::new("/proc/self")).unwrap_err().to_string();
        assert!(told.contains("/proc/self") && told.contains("--data-dir"), "{told}");
    }
}
