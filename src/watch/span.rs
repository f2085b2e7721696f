//! The keys that a watcher sees, as its request names them.
//!
//! Invariants
//! - Never empty: a request whose range holds no key is refused beforehand.
//! - Keys are copied out of the request: a part of it would keep all the bytes that came with it.

use std::rc::Rc;

/// A key, shared by all who name it.
pub(super) type Key = Rc<[u8]>;

/// One key, or all from a key on, up to another or without end.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Span {
    /// This key.
    Key(Key),
    /// From the first key, before the second if there is one.
    Range(Key, Option<Key>),
}

impl Span {
    /// What a request's two fields name; `None` if that is no key at all. An empty key is the smallest one.
    pub(super) fn new(key: &[u8], range_end: &[u8]) -> Option<Self> {
        let key = if key.is_empty() { b"\0" } else { key };
        match range_end {
            [] => Some(Self::Key(key.into())),
            [0] => Some(Self::Range(key.into(), None)),
            _ => (key < range_end).then(|| Self::Range(key.into(), Some(range_end.into()))),
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
