//! How many clients are let in: as many as the limit of open files allows beside what the member itself needs.
//!
//! Invariants
//! - No client ever gets a descriptor that the write-ahead log or the tree may need.
//! - A refused client is told of in the log at most once in `limits::REFUSED_LINE_INTERVAL`, with the number of those before.

use crate::disk::open_files::raise_open_files_max;
use crate::limits;
use crate::log::Logger;
use crate::net::Connection;
use crate::shard::clock::Clock;
use crate::types::Now;

/// What one listener knows of it.
#[derive(Debug)]
pub(super) struct Admission {
    clients_max: u64,
    clock: Clock,
    told: Option<Now>,
    refused: u64,
    logger: Logger,
}

impl Admission {
    /// Judges by the limit as it is now, and by the files that are open now.
    pub(super) fn new(logger: Logger) -> Self {
        let files = raise_open_files_max().map_or(u64::MAX, |(_, max)| max);
        let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        let clients_max = clients_max(files, u64::try_from(open).unwrap_or(u64::MAX));
        Self { clients_max, clock: Clock::start(), told: None, refused: 0, logger }
    }

    /// Whether one more may come in beside so many.
    pub(super) fn has_room(&self, connections: u64) -> bool {
        connections < self.clients_max
    }

    /// Ends a connection for which there is no room, unless that has happened already.
    pub(super) fn refuse(&mut self, connection: Option<Connection>, connections: u64) {
        drop(connection);
        self.refused += 1;
        let now = self.clock.now();
        let interval = u64::try_from(limits::REFUSED_LINE_INTERVAL.as_nanos()).unwrap_or(u64::MAX);
        if self.told.is_some_and(|told| now.0.saturating_sub(told.0) < interval) {
            return;
        }
        self.told = Some(now);
        let fields = [
            ("refused", std::mem::take(&mut self.refused).into()),
            ("connections", connections.into()),
            ("connections-max", self.clients_max.into()),
        ];
        self.logger.warn("the open-file limit is reached; new connections are refused (raise LimitNOFILE)", &fields);
    }
}

/// Clients that fit a limit of `files`, of which the member has `open` itself: it keeps room to open more.
fn clients_max(files: u64, open: u64) -> u64 {
    files.saturating_sub(limits::FILES_RESERVED.max(open.saturating_add(limits::FILES_RESERVED / 2))).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_member_keeps_what_it_needs() {
        assert_eq!(clients_max(20_000, 40), 19_850);
        // Many shards have many rings.
        assert_eq!(clients_max(20_000, 500), 19_425);
        assert_eq!(clients_max(151, 200), 1);
        assert_eq!(clients_max(u64::MAX, u64::MAX), 1);
    }
}
