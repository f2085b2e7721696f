//! The end of the process when a mapped page cannot be read: one clear line, then exit status 1.
//!
//! SIGBUS on the mapping means that the disk could not give the page (a media error) or that the file was cut short
//! under us. There is no value to return to the load that faulted, so the only honest answer is to stop; the WAL and
//! the last checkpoint hold everything that was acknowledged.
//!
//! Invariants
//! - The handler calls only `write` and `_exit`, which POSIX lists as safe in a signal handler.

const MESSAGE: &[u8] =
    b"{\"level\":\"fatal\",\"msg\":\"a page of the tree file could not be read (SIGBUS): the disk failed or the file \
was cut short while in use; check the disk, then start again or restore the member from a snapshot\"}\n";

extern "C" fn handle_bus_error(_signal: libc::c_int) {
    // SAFETY: `write` and `_exit` are async-signal-safe and the message is a static.
    unsafe {
        libc::write(2, MESSAGE.as_ptr().cast(), MESSAGE.len());
        libc::_exit(1);
    }
}

/// Installs the handler; call once, before the tree file is mapped.
pub fn install() {
    // SAFETY: a zeroed sigaction is a valid one (no flags, empty mask); the handler has the signature that a handler
    // without SA_SIGINFO must have.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        #[expect(clippy::as_conversions, reason = "the C interface carries the handler's address as an integer")]
        let handler = handle_bus_error as *const () as libc::sighandler_t;
        action.sa_sigaction = handler;
        libc::sigaction(libc::SIGBUS, &action, std::ptr::null_mut());
    }
}
