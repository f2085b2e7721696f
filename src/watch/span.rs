//! The keys that a watcher sees, as its request names them.
//!
//! Invariants
//! - Never empty: a request whose range holds no key is refused beforehand.

use bytes::Bytes;

/// One key, or all from a key on, up to another or without end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Span {
    /// This key.
    Key(Bytes),
    /// From the first key, before the second if there is one.
    Range(Bytes, Option<Bytes>),
}

impl Span {
    /// What a request's two fields name; `None` if that is no key at all. An empty key is the smallest one.
    pub(super) fn new(key: Bytes, range_end: Bytes) -> Option<Self> {
        let key = if key.is_empty() { Bytes::from_static(b"\0") } else { key };
        match range_end.as_ref() {
            [] => Some(Self::Key(key)),
            [0] => Some(Self::Range(key, None)),
            _ => (key < range_end).then_some(Self::Range(key, Some(range_end))),
        }
    }

    /// Whether a key is in it.
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::Key(own) => key == own.as_ref(),
            Self::Range(from, end) => key >= from.as_ref() && end.as_ref().is_none_or(|end| key < end.as_ref()),
        }
    }
}
