//! epoll, as little of it as the engine needs.
//!
//! Invariants
//! - Sockets are watched edge-triggered for both directions: whoever is woken reads and writes until the kernel says wait.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const EVENTS_MAX: usize = 256;

/// A set of watched sockets.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: no preconditions; the descriptor is owned from here on.
        let epoll = unsafe {
            let raw = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            if raw < 0 {
                return Err(io::Error::last_os_error());
            }
            OwnedFd::from_raw_fd(raw)
        };
        Ok(Self { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX] })
    }

    /// Watches a socket; `index` names it in `wait`.
    pub(crate) fn add(&self, socket: &impl AsRawFd, index: usize) -> io::Result<()> {
        let flags = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let flags = u32::try_from(i64::from(flags) & 0xffff_ffff).expect("masked to 32 bits");
        let mut event = libc::epoll_event { events: flags, u64: u64::try_from(index).expect("usize is 64 bits") };
        // SAFETY: both descriptors are open and `event` is valid.
        let failed = unsafe {
            libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event) != 0
        };
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits at most `timeout_ns` and appends the indices of the sockets that something happened on.
    pub(crate) fn wait(&mut self, timeout_ns: u64, ready: &mut Vec<usize>) -> io::Result<()> {
        let timeout = libc::timespec {
            tv_sec: i64::try_from(timeout_ns / 1_000_000_000).expect("seconds fit"),
            tv_nsec: i64::try_from(timeout_ns % 1_000_000_000).expect("below a second"),
        };
        let capacity = i32::try_from(EVENTS_MAX).expect("a small constant");
        // SAFETY: `events` has room for EVENTS_MAX entries and `timeout` outlives the call.
        let count = unsafe {
            let events = self.events.as_mut_ptr();
            libc::epoll_pwait2(self.epoll.as_raw_fd(), events, capacity, &raw const timeout, std::ptr::null())
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) };
        };
        ready.extend(self.events[..count].iter().map(|event| usize::try_from(event.u64).expect("set from a usize")));
        Ok(())
    }
}

/// Asks for timers without the 50 µs that the kernel may add.
pub(crate) fn sharpen_timers() {
    // SAFETY: PR_SET_TIMERSLACK takes a number and touches this thread alone.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
}
