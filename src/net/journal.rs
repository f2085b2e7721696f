//! Clients that were turned away, in the log: etcd's record, and no more of them than an operator can read.
//!
//! Invariants
//! - What is not written is counted, and the count is told with a later record.

use super::socket::Peer;
use crate::limits;
use crate::log::{Level, Logger, Record, Value};
use crate::tls::Failure;
use std::cell::Cell;
use std::time::Instant;

/// The journal of one executor.
#[derive(Debug)]
pub(super) struct Journal {
    logger: Logger,
    /// The second that is counted, and the lines written in it.
    second: Cell<(Option<Instant>, u32)>,
    unwritten: Cell<u64>,
}

impl Journal {
    /// A journal in this log.
    pub(super) fn new(logger: Logger) -> Self {
        Self { logger, second: Cell::default(), unwritten: Cell::default() }
    }

    /// A client was turned away, at `now`.
    pub(super) fn turned_away(&self, peer: Peer, failure: Failure, now: Instant) {
        // Those who just leave are many and mean no harm.
        let level = if failure.left { Level::Debug } else { Level::Warn };
        if !self.logger.enabled(level) {
            return;
        }
        if !self.has_room(now) {
            self.unwritten.set(self.unwritten.get() + 1);
            return;
        }
        let mut fields = vec![("remote-addr", Value::display(&peer)), ("server-name", failure.server_name.into())];
        if let Some(certificate) = failure.certificate {
            fields.push(("ip-addresses", Value::displays(certificate.addresses)));
            fields.push(("dns-names", Value::Texts(certificate.dns_names)));
        }
        fields.push(("error", failure.text.into()));
        if let count @ 1.. = self.unwritten.take() {
            fields.push(("not-logged", count.into()));
        }
        self.logger.record(&Record::new(level, "rejected connection on client endpoint", fields));
    }

    fn has_room(&self, now: Instant) -> bool {
        let (since, lines) = self.second.get();
        match since {
            Some(since) if now.duration_since(since).as_secs() == 0 => {
                self.second.set((Some(since), lines.saturating_add(1)));
                lines < limits::TLS_FAILURE_LINES_PER_SECOND
            }
            _ => {
                self.second.set((Some(now), 1));
                true
            }
        }
    }
}
