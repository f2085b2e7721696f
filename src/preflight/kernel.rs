//! io_uring, locked memory and open files: what the kernel lets this process do.
//!
//! Invariants
//! - The judgements are functions of what was read, so that tests can show them machines that are not there.

use std::fs;
use std::io;

use io_uring::{IoUring, Probe, opcode};

use super::Problem;
use crate::limits::{FILES_RESERVED, MEMLOCK_BYTES_MIN};

/// The operations that executors and the disk writer submit, with their kernel names.
const OPERATIONS: &[(&str, u8)] = &[
    ("POLL_ADD", opcode::PollAdd::CODE),
    ("READ_FIXED", opcode::ReadFixed::CODE),
    ("WRITE_FIXED", opcode::WriteFixed::CODE),
    ("FSYNC", opcode::Fsync::CODE),
    ("ACCEPT", opcode::Accept::CODE),
    ("CONNECT", opcode::Connect::CODE),
    ("FALLOCATE", opcode::Fallocate::CODE),
    ("OPENAT", opcode::OpenAt::CODE),
    ("CLOSE", opcode::Close::CODE),
    ("STATX", opcode::Statx::CODE),
    ("READ", opcode::Read::CODE),
    ("WRITE", opcode::Write::CODE),
    ("SEND", opcode::Send::CODE),
    ("RECV", opcode::Recv::CODE),
    ("TIMEOUT", opcode::Timeout::CODE),
    ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
];

/// Checks io_uring, RLIMIT_MEMLOCK and RLIMIT_NOFILE.
pub fn check_kernel() -> Result<(), Problem> {
    // Where /proc is not mounted nothing is known, and the executors will say what they miss.
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    judge_locked_memory(soft_limit(&limits, "Max locked memory"))?;
    judge_open_files(soft_limit(&limits, "Max open files"))?;
    let ring = IoUring::new(2).map_err(|cause| judge_ring(&cause, ring_policy()))?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(|cause| judge_ring(&cause, ring_policy()))?;
    let missing: Vec<&str> =
        OPERATIONS.iter().filter(|(_, code)| !probe.is_supported(*code)).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Problem::new(
        format!("this kernel's io_uring lacks {}", missing.join(", ")),
        "run Linux 5.8 or newer, and allow io_uring's operations in the container's seccomp profile",
    ))
}

/// Cores that this process may run on: the shards of `--shards=0`.
pub fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// What `kernel.io_uring_disabled` says; nothing where there is no such setting.
fn ring_policy() -> Option<u8> {
    fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

fn judge_ring(cause: &io::Error, policy: Option<u8>) -> Problem {
    match (cause.raw_os_error(), policy) {
        (Some(libc::ENOSYS), _) => Problem::new(
            "io_uring is missing: the kernel is older than 5.8, or a seccomp filter hides it",
            "run a newer kernel, or start the container with a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register",
        ),
        (Some(libc::EPERM | libc::EACCES), Some(2)) => Problem::new(
            "io_uring is switched off on this machine (kernel.io_uring_disabled=2)",
            "run `sysctl kernel.io_uring_disabled=0`",
        ),
        (Some(libc::EPERM | libc::EACCES), Some(1)) => Problem::new(
            "io_uring is switched off for this user (kernel.io_uring_disabled=1)",
            "run `sysctl kernel.io_uring_disabled=0`, or add the user to the group of kernel.io_uring_group",
        ),
        (Some(libc::EPERM | libc::EACCES), _) => Problem::new(
            "io_uring is forbidden to this process, most likely by the container's seccomp filter",
            "start the container with a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register",
        ),
        (Some(libc::ENOMEM), _) => Problem::new(
            "there is not enough lockable memory for io_uring's queues",
            "raise the limit of locked memory: LimitMEMLOCK=infinity in the unit file, `ulimit -l unlimited` in a shell",
        ),
        (Some(libc::EMFILE | libc::ENFILE), _) => Problem::new(
            "no file descriptor is left for io_uring's queues",
            "raise the limit of open files: LimitNOFILE=65536 in the unit file",
        ),
        _ => Problem::new(
            format!("io_uring does not work: {cause}"),
            "run Linux 5.8 or newer and allow io_uring to this process",
        ),
    }
}

/// A limit of a process: nothing is unlimited, or not known.
type Limit = Option<u64>;

/// The soft limit of one line of /proc/self/limits.
fn soft_limit(limits: &str, name: &str) -> Limit {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

fn judge_locked_memory(limit: Limit) -> Result<(), Problem> {
    match limit {
        Some(bytes) if bytes < MEMLOCK_BYTES_MIN => Err(Problem::new(
            format!(
                "the limit of locked memory is {bytes} bytes, too little for io_uring's queues (at least {MEMLOCK_BYTES_MIN})"
            ),
            "raise it: LimitMEMLOCK=infinity in the unit file, `ulimit -l unlimited` in a shell, --ulimit memlock=-1 for a container",
        )),
        Some(_) | None => Ok(()),
    }
}

fn judge_open_files(limit: Limit) -> Result<(), Problem> {
    match limit {
        Some(files) if files <= FILES_RESERVED => Err(Problem::new(
            format!("the limit of open files is {files}, and {FILES_RESERVED} are needed for the member itself"),
            "raise it: LimitNOFILE=65536 in the unit file, `ulimit -n 65536` in a shell",
        )),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: &str = "Limit                     Soft Limit           Hard Limit           Units     \n\
                          Max open files            20000                20001                files     \n\
                          Max locked memory         unlimited            unlimited            bytes     \n";

    #[test]
    fn limits_are_read_from_proc() {
        assert_eq!(soft_limit(LIMITS, "Max open files"), Some(20000));
        assert_eq!(soft_limit(LIMITS, "Max locked memory"), None);
        assert_eq!(soft_limit("", "Max open files"), None);
    }

    #[test]
    fn limits_that_are_too_low_are_refused_with_a_cure() {
        assert!(judge_locked_memory(None).is_ok() && judge_locked_memory(Some(MEMLOCK_BYTES_MIN)).is_ok());
        let refused = judge_locked_memory(Some(65536)).unwrap_err().to_string();
        assert!(refused.contains("65536 bytes") && refused.contains("LimitMEMLOCK"), "{refused}");
        assert!(judge_open_files(None).is_ok() && judge_open_files(Some(FILES_RESERVED + 1)).is_ok());
        assert!(judge_open_files(Some(FILES_RESERVED)).unwrap_err().to_string().contains("LimitNOFILE"));
    }

    #[test]
    fn each_way_to_lack_io_uring_has_its_own_line() {
        let told = |code, policy| judge_ring(&io::Error::from_raw_os_error(code), policy).to_string();
        assert!(told(libc::ENOSYS, None).starts_with("io_uring is missing"));
        assert!(told(libc::EPERM, Some(2)).contains("kernel.io_uring_disabled=2"));
        assert!(told(libc::EPERM, Some(1)).contains("kernel.io_uring_group"));
        assert!(told(libc::EPERM, Some(0)).contains("seccomp"));
        assert!(told(libc::EPERM, None).contains("seccomp"));
        assert!(told(libc::ENOMEM, None).contains("LimitMEMLOCK"));
        assert!(told(libc::EIO, None).contains("io_uring does not work"));
    }

    #[test]
    fn there_is_a_core() {
        assert!(available_cores() >= 1);
    }
}
