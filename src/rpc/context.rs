//! What all connections of one executor share: their bounds, the shutdown switch, counters and buffers.
//!
//! Invariants
//! - Of one executor only: plain cells, no locks. The counters are written here alone and may be read anywhere.

use super::budget::{Budget, Together};
use super::calls::Unread;
use super::lane::Lane;
use super::shutdown::Shutdown;
use crate::limits;
use crate::metrics::Front;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The bounds that an operator may set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// The largest request message, as the transport counts it.
    pub message_bytes_max: usize,
    /// Streams open at once on one connection; `limits::STREAMS_PER_CONNECTION_MAX` holds besides.
    pub streams_max: u32,
    /// Who may ping how often, and when the server does.
    pub keepalive: Keepalive,
}

/// The keepalive of connections, in both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keepalive {
    /// Pings of a client closer together than this, while calls are open, are strikes.
    pub client_interval_min: Duration,
    /// Quiet time after which a client is asked whether it is there.
    pub interval: Duration,
    /// The time it has to answer.
    pub timeout: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            client_interval_min: limits::PING_INTERVAL_MIN,
            interval: limits::KEEPALIVE_INTERVAL,
            timeout: limits::KEEPALIVE_TIMEOUT,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            message_bytes_max: limits::REQUEST_BYTES_MAX_DEFAULT + limits::REQUEST_OVERHEAD_BYTES,
            streams_max: limits::STREAMS_PER_CONNECTION_MAX,
            keepalive: Keepalive::default(),
        }
    }
}

#[derive(Debug)]
struct Inner {
    config: Config,
    shutdown: Shutdown,
    cells: Arc<Front>,
    /// Where reads land before they are handed on: one for all connections, so that an idle one holds none.
    scratch: RefCell<Vec<u8>>,
    /// Write buffers that no connection needs at the moment.
    spare: RefCell<Vec<Vec<u8>>>,
    unread: Unread,
    partial: Together,
    unpacking: Lane,
}

/// What all connections of one executor share. Clones share it.
#[derive(Clone, Debug)]
pub struct Context(Rc<Inner>);

impl Context {
    /// A context for one executor, with counters of its own.
    pub fn new(config: Config, shutdown: Shutdown) -> Self {
        Self::counted(config, shutdown, Arc::new(Front::new(false)))
    }

    /// A context for one executor that counts into these cells.
    pub fn counted(config: Config, shutdown: Shutdown, cells: Arc<Front>) -> Self {
        Self(Rc::new(Inner {
            config,
            shutdown,
            cells,
            scratch: RefCell::new(vec![0; limits::READ_BYTES]),
            spare: RefCell::default(),
            unread: Unread::default(),
            partial: Together::default(),
            unpacking: Lane::default(),
        }))
    }

    /// The bounds.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The switch that ends every connection.
    pub fn shutdown(&self) -> &Shutdown {
        &self.0.shutdown
    }

    /// This executor's counters.
    pub fn cells(&self) -> &Front {
        &self.0.cells
    }

    /// What one more connection may hold of requests that are not whole.
    pub(super) fn budget(&self) -> Budget {
        Budget::of(&self.0.partial)
    }

    /// Where messages wait to be unpacked.
    pub(super) fn unpacking(&self) -> &Lane {
        &self.0.unpacking
    }

    /// Bytes of answers of all connections that were not sent yet.
    pub(super) fn unread(&self) -> &Unread {
        &self.0.unread
    }

    /// Lends the read buffer; never across an await.
    pub(super) fn with_scratch<R>(&self, work: impl FnOnce(&mut [u8]) -> R) -> R {
        work(&mut self.0.scratch.borrow_mut())
    }

    pub(super) fn take_buffer(&self) -> Vec<u8> {
        self.0.spare.borrow_mut().pop().unwrap_or_default()
    }

    pub(super) fn give_buffer(&self, mut buffer: Vec<u8>) {
        let mut spare = self.0.spare.borrow_mut();
        // One for the connection that is being served and one for the next; what is larger than usual is not kept.
        if spare.len() < 2 && buffer.capacity() <= 2 * limits::WRITE_GATHER_BYTES {
            buffer.clear();
            spare.push(buffer);
        }
    }
}
