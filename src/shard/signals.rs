//! The signals that end the process, as something that a task can wait for.
//!
//! Invariants
//! - A signal that the process was started to ignore (`nohup`) stays ignored, but for SIGTERM and SIGINT.

use std::io;
use std::os::unix::net::UnixStream;

use glommio::io::PollableFd;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// To stop once the open calls are answered: SIGTERM, SIGINT, and SIGHUP when the terminal is gone.
    Stop,
    /// To end at once and say what the process was at: SIGQUIT.
    Quit,
}

/// The signals that ask the server to end. Made before the executors run, waited for on one of them.
#[derive(Debug)]
pub struct StopSignals {
    stop: UnixStream,
    quit: UnixStream,
}

impl StopSignals {
    /// Takes the signals over from their default, which is to end the process at once.
    pub fn install() -> io::Result<Self> {
        let hangup = if is_ignored(SIGHUP) { None } else { Some(SIGHUP) };
        let stop = watch(&[Some(SIGTERM), Some(SIGINT), hangup])?;
        let quit = watch(&[Some(SIGQUIT)])?;
        Ok(Self { stop, quit })
    }

    /// Until one of them comes.
    pub(super) async fn asked(self) -> io::Result<Asked> {
        let Self { stop, quit } = self;
        let stopped = async {
            readable(stop).await?;
            Ok(Asked::Stop)
        };
        let quitted = async {
            readable(quit).await?;
            Ok(Asked::Quit)
        };
        futures_lite::future::or(stopped, quitted).await
    }
}

fn watch(signals: &[Option<i32>]) -> io::Result<UnixStream> {
    let (receiver, sender) = UnixStream::pair()?;
    receiver.set_nonblocking(true)?;
    for signal in signals.iter().flatten() {
        signal_hook::low_level::pipe::register(*signal, sender.try_clone()?)?;
    }
    Ok(receiver)
}

/// Whether the process was started to ignore a signal.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    of_mask(&status, signal)
}

/// The same, of the kernel's words about a process.
fn of_mask(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let bit = u32::try_from(signal - 1).unwrap_or(0);
    mask >> bit & 1 == 1
}

async fn readable(receiver: UnixStream) -> io::Result<()> {
    let watched = PollableFd::new(receiver).map_err(io::Error::from)?;
    watched.readable().await.map_err(io::Error::from)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nohup_ignores_is_read_from_the_kernels_mask() {
        let status = "Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n";
        assert!(of_mask(status, SIGHUP) && !of_mask(status, SIGINT) && !of_mask(status, SIGTERM));
        assert!(!of_mask("", SIGHUP));
    }
}
