//! The tree file in memory: one reserved range of addresses, the file mapped into it privately.
//!
//! Invariants
//! - Page number x 4096 is the address; the range never moves while the process lives, so a reader's slice stays valid
//!   as long as its page is pinned.
//! - The mapping is MAP_PRIVATE: what the writer stores is the process's own until a checkpoint writes it to the file
//!   and `drop_private` gives the copy back, after which the same bytes come from the page cache.
//! - Nothing maps the file shared and nothing opens it with O_DIRECT: the two views would not agree.
//! - Only pages below the file's granted length are touched; beyond it the kernel answers SIGBUS, which
//!   `disk::bus_error` turns into one clear line and a stop.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use crate::disk::bus_error::Listed;
use crate::disk::error::Error;
use crate::limits;
use crate::tree::PageRange;
use crate::types::PageNumber;

/// The open tree file and its mapping. Shared between the replica's shard, which hands its address to the tree, and the
/// blocking thread that carries out checkpoints.
#[derive(Debug)]
pub struct TreeFile {
    file: File,
    path: PathBuf,
    base: NonNull<u8>,
    reserved_bytes: usize,
    listed: Listed,
    /// This process as a descriptor, for advice about many ranges with one system call.
    process: Option<OwnedFd>,
    /// The advice that gives private copies back: locked pages ask for another one.
    giving_back: AtomicI32,
}

/// As `MADV_DONTNEED`, for locked pages too. Linux 5.18.
const MADV_DONTNEED_LOCKED: i32 = 24;

// SAFETY: the file and the path are Send and Sync; `base` is an address that is valid on every thread for the life of
// the value, and this type itself never reads or writes through it but by system calls that are safe from any thread.
unsafe impl Send for TreeFile {}
// SAFETY: as above; no method hands out a reference into the range.
unsafe impl Sync for TreeFile {}

impl TreeFile {
    /// Opens `path`, creating it when it is missing, and maps it into a range of `reserved_pages` pages.
    pub fn open(path: &Path, reserved_pages: u64) -> Result<Arc<Self>, Error> {
        let failed = |operation, source| Error::new(path, operation, source);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| failed("open", error))?;
        let reserved_bytes = usize::try_from(reserved_pages)
            .ok()
            .and_then(|pages| pages.checked_mul(limits::PAGE_BYTES))
            .ok_or_else(|| failed("map", io::Error::from(io::ErrorKind::InvalidInput)))?;
        // SAFETY: a fresh private mapping at an address the kernel chooses; no existing memory is affected. NORESERVE:
        // the range is far larger than what will be written, and must not count against the commit limit.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                reserved_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(failed("map", io::Error::last_os_error()));
        }
        let base = NonNull::new(address.cast::<u8>()).expect("mmap never answers null without MAP_FIXED");
        // Random access: read-ahead on a B+tree fault would fill memory with neighbours that nobody asked for.
        // SAFETY: the range was just mapped and advice changes no content.
        unsafe { libc::madvise(address, reserved_bytes, libc::MADV_RANDOM) };
        let listed = Listed::new(base, reserved_bytes, path);
        let giving_back = AtomicI32::new(libc::MADV_DONTNEED);
        let (path, process) = (path.to_path_buf(), own_process());
        Ok(Arc::new(Self { file, path, base, reserved_bytes, listed, process, giving_back }))
    }

    /// Keeps every page in memory that was touched once: `--memory-mlock`. Call it before anybody reads.
    pub fn lock_memory(&self) -> Result<(), Error> {
        let address = self.base.as_ptr().cast::<libc::c_void>();
        // SAFETY: advice for the first page of our own mapping, of which the process has no copy yet.
        if unsafe { libc::madvise(address, limits::PAGE_BYTES, MADV_DONTNEED_LOCKED) } != 0 {
            return Err(self.failed("lock in memory (it takes Linux 5.18)", io::Error::last_os_error()));
        }
        self.giving_back.store(MADV_DONTNEED_LOCKED, Ordering::Relaxed);
        // SAFETY: the whole of our own mapping; locking changes no content.
        let status = unsafe { libc::mlock2(address, self.reserved_bytes, libc::MLOCK_ONFAULT) };
        if status == 0 { Ok(()) } else { Err(self.failed("lock in memory", io::Error::last_os_error())) }
    }

    /// Where page 0 lies.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Pages in the reserved range.
    pub fn reserved_pages(&self) -> u64 {
        u64::try_from(self.reserved_bytes / limits::PAGE_BYTES).expect("usize fits u64 on amd64")
    }

    /// The file's path, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's length in whole pages.
    pub fn file_pages(&self) -> Result<u64, Error> {
        let length = self.file.metadata().map_err(|error| self.failed("read the length of", error))?.len();
        Ok(length / page_bytes_u64())
    }

    /// Gives `count` pages from `first` real blocks on disk, extending the file when they lie beyond its end. This is
    /// where a full disk is found out, before anything that needs the pages is acknowledged.
    pub fn allocate(&self, first: PageNumber, count: u64) -> Result<(), Error> {
        let (offset, length) = self.range(first, count);
        // SAFETY: a plain system call on an open descriptor.
        let status = unsafe { libc::fallocate(self.file.as_raw_fd(), 0, offset, length) };
        if status == 0 { Ok(()) } else { Err(self.failed("grow", io::Error::last_os_error())) }
    }

    /// Takes the blocks of a free range back to the file system; its pages read as zeros afterwards.
    pub fn punch(&self, first: PageNumber, count: u64) -> Result<(), Error> {
        let (offset, length) = self.range(first, count);
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        // SAFETY: a plain system call on an open descriptor.
        let status = unsafe { libc::fallocate(self.file.as_raw_fd(), mode, offset, length) };
        if status != 0 {
            return Err(self.failed("punch a hole in", io::Error::last_os_error()));
        }
        Ok(())
    }

    /// Cuts the file to `pages` pages, if it is longer.
    pub fn shorten(&self, pages: u64) -> Result<(), Error> {
        if self.file_pages()? <= pages {
            return Ok(());
        }
        let length = pages.checked_mul(page_bytes_u64()).expect("inside the reserved range");
        self.file.set_len(length).map_err(|error| self.failed("shorten", error))
    }

    /// Writes pages to the file. The mapping does not show them where the process holds private copies.
    pub fn write_pages(&self, first: PageNumber, bytes: &[u8]) -> Result<(), Error> {
        assert!(bytes.len().is_multiple_of(limits::PAGE_BYTES), "whole pages only, got {}", bytes.len());
        let offset = first.0.checked_mul(page_bytes_u64()).expect("page numbers lie inside the reserved range");
        self.file.write_all_at(bytes, offset).map_err(|error| self.failed("write", error))
    }

    /// Has the kernel write what it holds of the file to the disk, and waits for that. No barrier: the disk may still have it in
    /// its cache.
    pub fn write_back(&self) -> Result<(), Error> {
        let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
        // SAFETY: a plain system call on an open descriptor.
        let status = unsafe { libc::sync_file_range(self.file.as_raw_fd(), 0, 0, flags) };
        if status == 0 { Ok(()) } else { Err(self.failed("write back", io::Error::last_os_error())) }
    }

    /// Makes everything written so far durable. Never call it again after it failed.
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(|error| self.failed("fdatasync", error))
    }

    /// Drops the process's private copies of pages whose bytes the file now holds: with one system call, and so with one
    /// interruption of the other cores, for up to `limits::ADVICE_RANGES_MAX` ranges, where the kernel takes that (Linux 6.13).
    pub fn drop_private(&self, ranges: &[PageRange]) {
        assert!(ranges.len() <= limits::ADVICE_RANGES_MAX, "{} ranges at once", ranges.len());
        let vectors: Vec<libc::iovec> = ranges.iter().map(|range| self.vector(*range)).collect();
        let bytes: usize = vectors.iter().map(|vector| vector.iov_len).sum();
        let advised = match &self.process {
            None => 0,
            // SAFETY: the ranges lie inside our own mapping (`vector`); for the rest see `drop_one`.
            Some(process) => unsafe {
                libc::syscall(
                    libc::SYS_process_madvise,
                    process.as_raw_fd(),
                    vectors.as_ptr(),
                    vectors.len(),
                    self.giving_back.load(Ordering::Relaxed),
                    0,
                )
            },
        };
        // Advice may be given twice: whatever went wrong, each range gets its own.
        if usize::try_from(advised).ok() != Some(bytes) {
            ranges.iter().for_each(|range| self.drop_one(range.first, range.count));
        }
    }

    /// A range of pages as memory.
    fn vector(&self, range: PageRange) -> libc::iovec {
        let (offset, length) = self.range(range.first, range.count);
        let offset = usize::try_from(offset).expect("inside the reserved range");
        let length = usize::try_from(length).expect("inside the reserved range");
        assert!(offset + length <= self.reserved_bytes, "pages {range:?} lie beyond the reserved range");
        // SAFETY: the sum was just found to lie inside the mapping.
        libc::iovec { iov_base: unsafe { self.base.as_ptr().add(offset) }.cast(), iov_len: length }
    }

    fn drop_one(&self, first: PageNumber, count: u64) {
        let (offset, length) = self.range(first, count);
        let offset = usize::try_from(offset).expect("inside the reserved range");
        let length = usize::try_from(length).expect("inside the reserved range");
        assert!(offset + length <= self.reserved_bytes, "pages {first}+{count} lie beyond the reserved range");
        // The range lies inside our own mapping. Readers may be looking at these pages: they are immutable until
        // the next checkpoint is durable (tree's reuse rule) and the file holds the same bytes, so what they see does
        // not change, it only comes from the page cache.
        let advice = self.giving_back.load(Ordering::Relaxed);
        // SAFETY: inside the mapping, and what readers see stays the same, as told above.
        let status = unsafe { libc::madvise(self.base.as_ptr().add(offset).cast(), length, advice) };
        assert_eq!(status, 0, "MADV_DONTNEED on our own mapping cannot fail: {}", io::Error::last_os_error());
    }

    fn range(&self, first: PageNumber, count: u64) -> (i64, i64) {
        let bytes = |pages: u64| pages.checked_mul(page_bytes_u64()).and_then(|bytes| i64::try_from(bytes).ok());
        let offset = bytes(first.0).expect("page numbers lie inside the reserved range");
        let length = bytes(count).expect("page counts lie inside the reserved range");
        (offset, length)
    }

    fn failed(&self, operation: &'static str, source: io::Error) -> Error {
        Error::new(&self.path, operation, source)
    }
}

impl Drop for TreeFile {
    fn drop(&mut self) {
        self.listed.end();
        // SAFETY: the whole of our own mapping; whoever holds an address into it holds an Arc of this value as well.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.reserved_bytes) };
    }
}

fn page_bytes_u64() -> u64 {
    u64::try_from(limits::PAGE_BYTES).expect("4096 fits")
}

/// This process as a descriptor, if the kernel has such.
fn own_process() -> Option<OwnedFd> {
    let number = i64::from(std::process::id());
    // SAFETY: a plain system call without pointers.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, number, 0) };
    let descriptor = i32::try_from(descriptor).ok().filter(|descriptor| *descriptor >= 0)?;
    // SAFETY: the kernel has just made the descriptor for us alone.
    Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_copies_show_the_file_again_and_others_stay() {
        drops_and_looks("drops", false);
    }

    #[test]
    fn so_they_do_when_memory_is_locked() {
        drops_and_looks("locked", true);
    }

    fn drops_and_looks(name: &str, locked: bool) {
        let name = format!("target/tmp/tree-file-{name}-{}", std::process::id());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = TreeFile::open(&path, 64).unwrap();
        if locked {
            file.lock_memory().unwrap();
        }
        file.allocate(PageNumber(0), 64).unwrap();
        file.write_pages(PageNumber(0), &vec![1; 64 * limits::PAGE_BYTES]).unwrap();
        // SAFETY: inside the mapping, whose first 64 pages the file holds; nobody else looks at them.
        let byte = |page: usize| unsafe { file.base().add(page * limits::PAGE_BYTES) };
        for page in 0..64 {
            // SAFETY: as above.
            unsafe { byte(page).write(2) };
        }
        let every_third: Vec<_> = (0..21).map(|at| PageRange { first: PageNumber(at * 3), count: 1 }).collect();
        file.drop_private(&every_third);
        for page in 0..63 {
            // SAFETY: as above.
            let found = unsafe { byte(page).read() };
            assert_eq!(found, if page % 3 == 0 { 1 } else { 2 }, "page {page}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
