//! The end of the process when a mapped page cannot be read: one clear line with file and offset, then exit status 1.
//!
//! SIGBUS on a mapping means that the disk could not give the page (a media error) or that the file was cut short
//! under us. There is no value to return to the load that faulted, so the only honest answer is to stop; the WAL and
//! the last checkpoint hold everything that was acknowledged.
//!
//! Invariants
//! - The handler calls only `write` and `_exit`, which POSIX lists as safe in a signal handler; it allocates nothing and
//!   what it reads are atomics and bytes that are never freed.
//! - A mapping is listed while it lives: its owner ends `Listed` before it unmaps.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::limits::{MAPPINGS_LISTED_MAX, PAGE_BYTES};

const BEGIN: &[u8] =
    b"{\"level\":\"fatal\",\"msg\":\"a page of a file could not be read (SIGBUS): the disk failed or the file \
was cut short while in use\",\"error\":\"";
const UNKNOWN: &[u8] = b"a mapped file";
const AT: &[u8] = b" at offset ";
const END: &[u8] =
    b": the page cannot be read; check the disk, then start again; if that is refused, restore the member from \
a snapshot or from a copy of its whole data directory, or, in a cluster, remove the member and add it again\"}\n";
/// A page and a half: the longest path and the words around it.
const LINE_BYTES: usize = 6144;

/// One mapped file. `start` is 0 while the place is free.
struct Mapping {
    start: AtomicUsize,
    bytes: AtomicUsize,
    path: AtomicPtr<u8>,
    path_bytes: AtomicUsize,
}

static MAPPINGS: [Mapping; MAPPINGS_LISTED_MAX] = [const {
    Mapping {
        start: AtomicUsize::new(0),
        bytes: AtomicUsize::new(0),
        path: AtomicPtr::new(std::ptr::null_mut()),
        path_bytes: AtomicUsize::new(0),
    }
}; MAPPINGS_LISTED_MAX];

/// A place on the list; none if the list is full, and then the line names no file.
#[derive(Debug)]
pub(super) struct Listed(Option<usize>);

impl Listed {
    /// Lists the mapping of `path` at `start`.
    pub(super) fn new(start: NonNull<u8>, bytes: usize, path: &Path) -> Self {
        let (start, path) = (start.addr().get(), path.as_os_str().as_bytes());
        let free = MAPPINGS
            .iter()
            .position(|mapping| mapping.start.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok());
        if let Some(mapping) = free.map(|at| &MAPPINGS[at]) {
            // A handler may still look at the path after the mapping is gone: it stays, there are only so many.
            let path: &'static mut [u8] = Box::leak(path.into());
            mapping.path_bytes.store(path.len(), Ordering::Relaxed);
            mapping.path.store(path.as_mut_ptr(), Ordering::Relaxed);
            mapping.bytes.store(bytes, Ordering::Relaxed);
            mapping.start.store(start, Ordering::Release);
        }
        Self(free)
    }

    /// Takes the mapping off the list: it is about to go.
    pub(super) fn end(&mut self) {
        if let Some(at) = self.0.take() {
            MAPPINGS[at].bytes.store(0, Ordering::Relaxed);
            MAPPINGS[at].start.store(0, Ordering::Release);
        }
    }
}

/// The line, built without allocating.
struct Line {
    bytes: [u8; LINE_BYTES],
    length: usize,
}

impl Line {
    fn push(&mut self, part: &[u8]) {
        for (out, byte) in self.bytes.iter_mut().skip(self.length).zip(part) {
            *out = *byte;
            self.length += 1;
        }
    }

    fn push_number(&mut self, number: usize) {
        let mut divisor = 1;
        while number / divisor >= 10 {
            divisor *= 10;
        }
        while divisor > 0 {
            let digit = number / divisor % 10;
            self.push(&b"0123456789"[digit..=digit]);
            divisor /= 10;
        }
    }
}

/// What is said of a fault at `address`.
fn line(address: usize) -> Line {
    let mut line = Line { bytes: [0; LINE_BYTES], length: 0 };
    line.push(BEGIN);
    let within = |mapping: &&Mapping| {
        let start = mapping.start.load(Ordering::Acquire);
        address.checked_sub(start).is_some_and(|offset| offset < mapping.bytes.load(Ordering::Relaxed))
    };
    match MAPPINGS.iter().find(within) {
        None => line.push(UNKNOWN),
        Some(mapping) => {
            let (path, length) = (mapping.path.load(Ordering::Relaxed), mapping.path_bytes.load(Ordering::Relaxed));
            // SAFETY: the two were stored together, before the start that was found above, and the bytes are never freed.
            let path = unsafe { std::slice::from_raw_parts(path, length.min(LINE_BYTES / 2)) };
            for byte in path {
                let plain = *byte >= b' ' && !b"\"\\".contains(byte);
                line.push(if plain { std::slice::from_ref(byte) } else { b"?" });
            }
            let offset = address - mapping.start.load(Ordering::Acquire);
            line.push(AT);
            line.push_number(offset - offset % PAGE_BYTES);
        }
    }
    line.push(END);
    line
}

extern "C" fn handle_bus_error(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel hands a handler with SA_SIGINFO a valid siginfo, which has an address for SIGBUS.
    let address = unsafe { (*info).si_addr() };
    let line = line(address.addr());
    // SAFETY: `write` and `_exit` are async-signal-safe and the line lives on this stack.
    unsafe {
        libc::write(2, line.bytes.as_ptr().cast(), line.length);
        libc::_exit(1);
    }
}

/// Installs the handler; call once, before the tree file is mapped.
pub fn install() {
    // SAFETY: a zeroed sigaction is a valid one (empty mask); the handler has the signature that SA_SIGINFO asks for.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        #[expect(clippy::as_conversions, reason = "the C interface carries the handler's address as an integer")]
        let handler = handle_bus_error as *const () as libc::sighandler_t;
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGBUS, &raw const action, std::ptr::null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(address: usize) -> String {
        let line = line(address);
        String::from_utf8(line.bytes[..line.length].to_vec()).unwrap()
    }

    #[test]
    fn a_fault_is_told_with_the_file_that_is_mapped_there() {
        let start = NonNull::new(std::ptr::without_provenance_mut::<u8>(0x7000_0000_0000)).unwrap();
        let mut listed = Listed::new(start, 10 * PAGE_BYTES, Path::new("/data/odd\"name/db"));
        let inside = told(start.addr().get() + 3 * PAGE_BYTES + 17);
        assert!(inside.contains("\"/data/odd?name/db at offset 12288: the page cannot be read; check"), "{inside}");
        assert!(inside.ends_with("\"}\n"));
        assert!(told(start.addr().get()).contains("/db at offset 0: "));
        for outside in [start.addr().get() - 1, start.addr().get() + 10 * PAGE_BYTES] {
            assert!(told(outside).contains("\"a mapped file: the page"), "{}", told(outside));
        }
        listed.end();
        assert!(told(start.addr().get()).contains("a mapped file"));
    }
}
