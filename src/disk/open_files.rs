//! The process's limit of open files, which connections count against as well: the soft limit is raised to the hard one
//! at start.
//!
//! Invariants
//! - The limit is only ever raised; a failure is told to the caller and changes nothing.

use std::io;

/// Raises the soft limit of open files to the hard limit; gives what it was and what it is then.
///
/// A shell's usual soft limit of 1024 would refuse the thousandth client while the hard limit allows many more.
pub fn raise_open_files_max() -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live, exclusively borrowed rlimit, which the call fills.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur >= limit.rlim_max {
        return Ok((limit.rlim_cur, limit.rlim_cur));
    }
    let before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to a live rlimit that the call only reads.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((before, limit.rlim_cur))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one_and_stays() {
        let (before, raised) = raise_open_files_max().unwrap();
        assert!(raised > 0 && raised >= before);
        assert_eq!(raise_open_files_max().unwrap(), (raised, raised));
    }
}
