//! The WAL's files: carries out its writes with O_DIRECT | O_DSYNC on the replica's executor, and the slow steps of a
//! segment's life (zero-filling, renaming, syncing) on a blocking thread.
//!
//! Invariants
//! - A write is durable when `write` returns `Ok`, and was whole: a short write is an error, never resumed.
//! - An error of a write is final: nothing here tries again.
//! - Every file that is written to is locked through the very descriptor that writes: when the process is killed, writes
//!   that the kernel still holds keep the lock until they are done, and the next start waits for it before it reads.
//! - A segment is zero-filled by writing, not by fallocate alone: the first write to an unwritten extent costs a commit
//!   of the file system's journal.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use glommio::io::{DmaFile, OpenOptions as DmaOpenOptions};

use crate::disk::error::Error;
use crate::limits;
use crate::wal::{FileName, Step, Write};

/// The open files of one WAL directory, used on one executor.
#[derive(Debug)]
pub struct LogFiles {
    directory: PathBuf,
    open: RefCell<BTreeMap<FileName, Rc<DmaFile>>>,
}

impl LogFiles {
    /// The files in `directory`, which exists.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_path_buf(), open: RefCell::new(BTreeMap::new()) }
    }

    /// Makes `write` durable.
    pub async fn write(&self, write: Write) -> Result<(), Error> {
        let file = self.file(write.file).await?;
        let mut buffer = file.alloc_dma_buffer(write.bytes.len());
        buffer.as_bytes_mut()[..write.bytes.len()].copy_from_slice(&write.bytes);
        assert_eq!(buffer.len(), write.bytes.len(), "the WAL's writes are whole blocks");
        let written = file
            .write_at(buffer, write.offset)
            .await
            .map_err(|error| self.failed(write.file, "write", io::Error::from(error)))?;
        if written != write.bytes.len() {
            let short = io::Error::new(io::ErrorKind::WriteZero, format!("{written} of {} bytes", write.bytes.len()));
            return Err(self.failed(write.file, "write", short));
        }
        Ok(())
    }

    /// Carries out `steps` in order, each finished before the next begins.
    pub async fn run(&self, steps: Vec<Step>) -> Result<(), Error> {
        for step in steps {
            match step {
                Step::Write(write) => self.write(write).await?,
                Step::Rename { from, to } => {
                    self.forget(from).await?;
                    self.forget(to).await?;
                    self.blocking(Step::Rename { from, to }).await?;
                }
                Step::Remove(file) => {
                    self.forget(file).await?;
                    self.blocking(Step::Remove(file)).await?;
                }
                Step::Create { .. } | Step::Sync(_) | Step::SyncDirectory => self.blocking(step).await?,
            }
        }
        Ok(())
    }

    /// Closes every file.
    pub async fn close(&self) -> Result<(), Error> {
        let names: Vec<FileName> = self.open.borrow().keys().copied().collect();
        for name in names {
            self.forget(name).await?;
        }
        Ok(())
    }

    async fn file(&self, name: FileName) -> Result<Rc<DmaFile>, Error> {
        if let Some(file) = self.open.borrow().get(&name) {
            return Ok(Rc::clone(file));
        }
        let path = self.path(name);
        let file = DmaOpenOptions::new()
            .read(true)
            .write(true)
            .create(name == FileName::Mark)
            .mode(0o600)
            .custom_flags(libc::O_DSYNC)
            .dma_open(&path)
            .await
            .map_err(|error| self.failed(name, "open", io::Error::from(error)))?;
        // Several writes to a new file are under way at once, and each may have opened it: the first one's stays.
        let opened_meanwhile = self.open.borrow().get(&name).map(Rc::clone);
        if let Some(first) = opened_meanwhile {
            file.close().await.map_err(|error| self.failed(name, "close", io::Error::from(error)))?;
            return Ok(first);
        }
        // SAFETY: a plain system call on an open descriptor.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
            return Err(self.failed(name, "lock", io::Error::last_os_error()));
        }
        let file = Rc::new(file);
        self.open.borrow_mut().insert(name, Rc::clone(&file));
        Ok(file)
    }

    async fn forget(&self, name: FileName) -> Result<(), Error> {
        let file = self.open.borrow_mut().remove(&name);
        if let Some(file) = file {
            file.close_rc().await.map_err(|error| self.failed(name, "close", io::Error::from(error)))?;
        }
        Ok(())
    }

    async fn blocking(&self, step: Step) -> Result<(), Error> {
        let directory = self.directory.clone();
        glommio::executor().spawn_blocking(move || run_blocking(&directory, step)).await
    }

    fn path(&self, name: FileName) -> PathBuf {
        self.directory.join(name.to_string())
    }

    fn failed(&self, name: FileName, operation: &'static str, source: io::Error) -> Error {
        Error::new(&self.path(name), operation, source)
    }
}

/// Carries out one step with ordinary system calls; for a blocking thread, and for repairs before the executors run.
///
/// # Errors
/// `NoSpace` from `Create` when the disk is full; the file is removed again.
pub fn run_blocking(directory: &Path, step: Step) -> Result<(), Error> {
    let path = |name: FileName| directory.join(name.to_string());
    match step {
        Step::Create { file, bytes } => create(&path(file), bytes),
        Step::Write(write) => write_blocking(&path(write.file), &write),
        Step::Rename { from, to } => {
            std::fs::rename(path(from), path(to)).map_err(|error| Error::new(&path(from), "rename", error))
        }
        Step::Sync(file) => sync(&path(file)),
        Step::SyncDirectory => sync(directory),
        Step::Remove(file) => match std::fs::remove_file(path(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::new(&path(file), "remove", error)),
            _ => Ok(()),
        },
    }
}

fn sync(path: &Path) -> Result<(), Error> {
    let failed = |error| Error::new(path, "fsync", error);
    File::open(path).map_err(failed)?.sync_all().map_err(failed)
}

fn write_blocking(path: &Path, write: &Write) -> Result<(), Error> {
    let failed = |error| Error::new(path, "write", error);
    let mut options = OpenOptions::new();
    options.write(true).create(write.file == FileName::Mark).truncate(false).mode(0o600);
    let file = options.open(path).map_err(failed)?;
    file.write_all_at(&write.bytes, write.offset).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// Waits until no write to `path` by a process that has died is under way.
///
/// # Errors
/// If another process still holds the file after `limits::WAL_LOCK_TRIES` looks.
pub fn wait_for_writes(path: &Path) -> Result<(), Error> {
    let failed = |error| Error::new(path, "lock", error);
    let file = File::open(path).map_err(failed)?;
    for _ in 0..limits::WAL_LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => pause(),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
    }
    Err(failed(io::Error::new(io::ErrorKind::WouldBlock, "another process writes to it; stop that process first")))
}

/// Zeros in a form that O_DIRECT takes.
#[repr(align(4096))]
struct Zeros([u8; limits::ZERO_FILL_BYTES]);

static ZEROS: Zeros = Zeros([0; limits::ZERO_FILL_BYTES]);

fn create(path: &Path, bytes: u64) -> Result<(), Error> {
    let outcome = zero_fill(path, bytes);
    if outcome.is_err() {
        // Half a segment is of no use and holds space that the cure may need. It has a temporary name, so nothing looks
        // for it; if the removal fails too, the next start removes it.
        let _ = std::fs::remove_file(path);
    }
    outcome
}

fn zero_fill(path: &Path, bytes: u64) -> Result<(), Error> {
    let failed = |operation, error| Error::new(path, operation, error);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_DIRECT)
        .open(path)
        .map_err(|error| failed("create", error))?;
    let length = libc::off_t::try_from(bytes).expect("a segment's size fits");
    // SAFETY: a plain system call on an open descriptor. It finds a full disk before 64 MiB are written in vain.
    if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, length) } != 0 {
        return Err(failed("allocate", io::Error::last_os_error()));
    }
    let chunk = u64::try_from(ZEROS.0.len()).expect("a megabyte fits");
    let mut offset = 0;
    while offset < bytes {
        let count = usize::try_from(chunk.min(bytes - offset)).expect("at most a chunk");
        file.write_all_at(&ZEROS.0[..count], offset).map_err(|error| failed("zero-fill", error))?;
        offset += chunk;
        pause();
    }
    file.sync_all().map_err(|error| failed("fsync", error))
}

/// Leaves the disk to the WAL's own writes between two chunks: a segment is made ahead of use, so there is time.
#[expect(clippy::disallowed_methods, reason = "a blocking thread of its own, not an executor")]
fn pause() {
    std::thread::sleep(Duration::from_millis(limits::ZERO_FILL_PAUSE_MS));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::SegmentId;

    #[test]
    fn writes_to_a_new_file_at_once_share_one_descriptor() {
        let directory =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/tmp/log-files-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = FileName::Segment(SegmentId(1));
        run_blocking(&directory, Step::Create { file, bytes: 4 * 4096 }).unwrap();
        let executor = glommio::LocalExecutorBuilder::default().make().unwrap();
        executor.run(async {
            let files = LogFiles::new(&directory);
            let write = |block: u8| Write { file, offset: u64::from(block) * 4096, bytes: vec![block; 4096] };
            let outcomes = futures_lite::future::zip(
                files.write(write(0)),
                futures_lite::future::zip(files.write(write(1)), files.write(write(2))),
            );
            let (first, (second, third)) = outcomes.await;
            first.and(second).and(third).unwrap();
            files.close().await.unwrap();
        });
        let bytes = std::fs::read(directory.join(file.to_string())).unwrap();
        assert!((0u8..3).all(|block| bytes[usize::from(block) * 4096] == block));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
