//! What is learnt of a client within a call of the TLS library, which hands it to callbacks alone.
//!
//! Invariants
//! - Of one thread, and taken by whoever called the library before anybody else on that thread calls it.

use std::cell::RefCell;

use crate::x509::Facts;

/// What was learnt.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Notes {
    /// The name that the client asked for.
    pub(super) server_name: Option<String>,
    /// What its certificate says, once that was verified.
    pub(super) certificate: Option<Facts>,
    /// Why it was refused, when the library has no words for it.
    pub(super) detail: Option<String>,
}

impl Notes {
    /// Adds what was learnt later.
    pub(super) fn add(&mut self, later: Self) {
        let Self { server_name, certificate, detail } = later;
        self.server_name = server_name.or(self.server_name.take());
        self.certificate = certificate.or(self.certificate.take());
        self.detail = detail.or(self.detail.take());
    }
}

thread_local! {
    static NOTES: RefCell<Notes> = RefCell::default();
}

/// Adds something.
pub(super) fn note(work: impl FnOnce(&mut Notes)) {
    NOTES.with_borrow_mut(work);
}

/// Takes all.
pub(super) fn take() -> Notes {
    NOTES.take()
}
