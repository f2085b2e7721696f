//! The journal of systemd, in its native protocol: one datagram a record.
//!
//! Invariants
//! - A record that the journal does not take at once is lost, not waited for.

use std::io;
use std::os::unix::net::UnixDatagram;

use super::Level;

pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// A connection to the journal.
pub(super) struct Journal {
    socket: UnixDatagram,
}

impl Journal {
    pub(super) fn connect() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(SOCKET)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    pub(super) fn send(&self, level: Level, lines: &str) -> io::Result<()> {
        for line in lines.lines() {
            self.socket.send(entry(level, line).as_bytes())?;
        }
        Ok(())
    }
}

/// The fields of one entry. A line holds no newline, so each field has the simple form.
fn entry(level: Level, line: &str) -> String {
    assert!(!line.contains('\n'), "an entry is one line");
    format!("PRIORITY={}\nSYSLOG_IDENTIFIER=ringbolt\nMESSAGE={line}\n", level.priority())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_priority_and_message() {
        assert_eq!(entry(Level::Warn, "{}"), "PRIORITY=4\nSYSLOG_IDENTIFIER=ringbolt\nMESSAGE={}\n");
    }
}
