//! What a listener is for: a label that its connections carry to the shard that serves them.
//!
//! Must not know: what is behind the words.

/// What is spoken through a listener.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Traffic {
    /// Calls and HTTP requests.
    #[default]
    Both,
    /// Calls alone.
    Grpc,
    /// HTTP requests alone.
    Http,
    /// HTTP requests for metrics and health alone.
    Metrics,
}

impl Traffic {
    /// etcd's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Both => "grpc+http",
            Self::Grpc => "grpc",
            Self::Http => "http",
            Self::Metrics => "metrics",
        }
    }

    /// Whether HTTP requests are answered.
    pub fn has_http(self) -> bool {
        self != Self::Grpc
    }

    /// Whether calls are served.
    pub fn has_grpc(self) -> bool {
        matches!(self, Self::Both | Self::Grpc)
    }
}

/// How a listener is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Security {
    /// In plain.
    #[default]
    Plain,
    /// Through TLS.
    Tls,
    /// As the client likes: the same address was given with and without TLS.
    Either,
}

impl Security {
    /// What an address is that was given with these two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Either }
    }
}

/// What a listener is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Entrance {
    /// What is spoken.
    pub traffic: Traffic,
    /// How.
    pub security: Security,
}
