//! How a connection came in: what the routes and the HTTP endpoints ask of its listener.

use crate::net::Traffic;

/// How a connection came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    /// What its listener serves.
    pub traffic: Traffic,
    /// Whether it goes through TLS.
    pub secure: bool,
}
