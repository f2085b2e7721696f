//! Requests by the version that clients name in their metadata.
//!
//! Invariants
//! - Versions are whatever clients say: what does not fit the table counts as one more, named "other", so that nobody can
//!   fill memory or the scrape with labels.

use std::sync::OnceLock;

use super::cell::Counter;
use crate::limits::{METRICS_CLIENT_VERSIONS_MAX, METRICS_LABEL_BYTES_MAX};

/// How many messages go each way in a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// One and one.
    Unary,
    /// One from the client, many from the server.
    ServerStream,
    /// Many each way.
    BidiStream,
}

impl Shape {
    /// The label of gRPC's families.
    pub fn label(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ServerStream => "server_stream",
            Self::BidiStream => "bidi_stream",
        }
    }
}

/// One version's requests.
#[derive(Debug, Default)]
struct Row {
    version: OnceLock<Box<str>>,
    unary: Counter,
    stream: Counter,
}

/// The requests of one shard by version.
#[derive(Debug)]
pub struct Clients {
    rows: [Row; METRICS_CLIENT_VERSIONS_MAX],
    other: Row,
}

impl Default for Clients {
    fn default() -> Self {
        Self { rows: std::array::from_fn(|_| Row::default()), other: Row::default() }
    }
}

impl Clients {
    /// Counts a call whose client named this version.
    pub fn count(&self, version: &str, shape: Shape) {
        let row = self.row(version);
        match shape {
            Shape::Unary => row.unary.count(),
            Shape::ServerStream | Shape::BidiStream => row.stream.count(),
        }
    }

    fn row(&self, version: &str) -> &Row {
        if version.len() > METRICS_LABEL_BYTES_MAX {
            return &self.other;
        }
        for row in &self.rows {
            // Only this shard writes, so a free row is still free when it is taken.
            let known = row.version.get_or_init(|| Box::from(version));
            if **known == *version {
                return row;
            }
        }
        &self.other
    }

    /// Version, unary calls and streams of every row in use.
    pub fn rows(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        let known = self.rows.iter().filter_map(|row| Some((&**row.version.get()?, row.unary.get(), row.stream.get())));
        let (unary, stream) = (self.other.unary.get(), self.other.stream.get());
        known.chain((unary + stream > 0).then_some(("other", unary, stream)))
    }
}
