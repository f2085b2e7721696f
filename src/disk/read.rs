//! Files read whole at start-up, without a copy.
//!
//! Invariants
//! - The bytes do not change while the value lives: the data directory is locked, and nothing of ours writes before
//!   recovery is done.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::ptr::NonNull;

use crate::disk::bus_error::Listed;
use crate::disk::error::Error;

/// A file's bytes, mapped for reading.
#[derive(Debug)]
pub struct MappedFile {
    base: NonNull<u8>,
    length: usize,
    listed: Option<Listed>,
}

impl MappedFile {
    /// Maps all of `path`; an empty file is an empty slice.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let failed = |operation, error| Error::new(path, operation, error);
        let file = File::open(path).map_err(|error| failed("open", error))?;
        let length = file.metadata().map_err(|error| failed("read the length of", error))?.len();
        let length =
            usize::try_from(length).map_err(|_| failed("map", io::Error::from(io::ErrorKind::InvalidInput)))?;
        if length == 0 {
            return Ok(Self { base: NonNull::dangling(), length, listed: None });
        }
        // SAFETY: a fresh private read-only mapping at an address of the kernel's choice.
        let address = unsafe {
            libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_PRIVATE, file.as_raw_fd(), 0)
        };
        if address == libc::MAP_FAILED {
            return Err(failed("map", io::Error::last_os_error()));
        }
        // SAFETY: the range was just mapped; the advice changes no content.
        unsafe { libc::madvise(address, length, libc::MADV_SEQUENTIAL) };
        let base = NonNull::new(address.cast()).expect("mmap never answers null without MAP_FIXED");
        Ok(Self { base, length, listed: Some(Listed::new(base, length, path)) })
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `base` is valid for `length` bytes while `self` lives (dangling only when it is 0), and the bytes do not
        // change (module invariant).
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.length) }
    }
}

impl Drop for MappedFile {
    fn drop(&mut self) {
        if let Some(listed) = &mut self.listed {
            listed.end();
        }
        if self.length > 0 {
            // SAFETY: our own mapping, whole.
            unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) };
        }
    }
}
