//! SIGTERM and SIGINT as something that a task can wait for.

use std::io;
use std::os::unix::net::UnixStream;

use glommio::io::PollableFd;
use signal_hook::consts::{SIGINT, SIGTERM};

/// The signals that ask the server to stop. Made before the executors run, waited for on one of them.
#[derive(Debug)]
pub struct StopSignals {
    receiver: UnixStream,
}

impl StopSignals {
    /// Takes the signals over from their default, which is to end the process at once.
    pub fn install() -> io::Result<Self> {
        let (receiver, sender) = UnixStream::pair()?;
        receiver.set_nonblocking(true)?;
        for signal in [SIGTERM, SIGINT] {
            signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
        }
        Ok(Self { receiver })
    }

    /// Until one of them comes.
    pub async fn stopped(self) -> io::Result<()> {
        let watched = PollableFd::new(self.receiver).map_err(io::Error::from)?;
        watched.readable().await.map_err(io::Error::from)?;
        Ok(())
    }
}
