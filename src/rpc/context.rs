//! What all connections of one executor share: their bounds, the shutdown switch, counters and buffers.
//!
//! Invariants
//! - Of one executor only: plain cells, no locks.

use super::shutdown::Shutdown;
use crate::limits;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The bounds that an operator may set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// The largest request message, as the transport counts it.
    pub message_bytes_max: usize,
    /// Streams open at once on one connection; `limits::STREAMS_PER_CONNECTION_MAX` holds besides.
    pub streams_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            message_bytes_max: limits::REQUEST_BYTES_MAX_DEFAULT + limits::REQUEST_OVERHEAD_BYTES,
            streams_max: limits::STREAMS_PER_CONNECTION_MAX,
        }
    }
}

/// Counters of one executor's front, since it began.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Connections accepted.
    pub connections_begun: u64,
    /// Connections that have ended.
    pub connections_ended: u64,
    /// gRPC calls begun.
    pub calls_begun: u64,
    /// gRPC calls ended, however they did.
    pub calls_ended: u64,
    /// Bytes read from clients.
    pub received_bytes: u64,
    /// Bytes written to clients.
    pub sent_bytes: u64,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    shutdown: Shutdown,
    stats: Cell<Stats>,
    /// Where reads land before they are handed on: one for all connections, so that an idle one holds none.
    scratch: RefCell<Vec<u8>>,
    /// Write buffers that no connection needs at the moment.
    spare: RefCell<Vec<Vec<u8>>>,
}

/// What all connections of one executor share. Clones share it.
#[derive(Clone, Debug)]
pub struct Context(Rc<Inner>);

impl Context {
    /// A context for one executor.
    pub fn new(config: Config, shutdown: Shutdown) -> Self {
        Self(Rc::new(Inner {
            config,
            shutdown,
            stats: Cell::default(),
            scratch: RefCell::new(vec![0; limits::READ_BYTES]),
            spare: RefCell::default(),
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

    /// The counters now.
    pub fn stats(&self) -> Stats {
        self.0.stats.get()
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Stats)) {
        let mut stats = self.0.stats.get();
        change(&mut stats);
        self.0.stats.set(stats);
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
