//! The serial numbers of a revocation list.
//!
//! Invariants
//! - A certificate is revoked if its number stands in the list, whoever issued it, and whoever signed the list: so etcd
//!   has it, and the file is the operator's own.

use std::collections::BTreeSet;

use super::certificate::{Facts, magnitude, serial_text};
use super::der::{BIT_STRING, Elements, GENERALIZED_TIME, INTEGER, Malformed, SEQUENCE, UTC_TIME, context};

/// Numbers of certificates that are not to be trusted any more.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Revoked(BTreeSet<Vec<u8>>);

impl Revoked {
    /// Reads a list's DER.
    pub fn read(list: &[u8]) -> Result<Self, Malformed> {
        let mut outer = Elements::new(list);
        let mut signed = outer.sequence()?;
        let mut inner = signed.sequence()?;
        signed.expect(SEQUENCE)?;
        signed.expect(BIT_STRING)?;
        if !outer.is_empty() || !signed.is_empty() {
            return Err(Malformed);
        }
        // Lists of the first version, which Go refuses, do not say it.
        inner.optional(INTEGER)?;
        // Signature algorithm, issuer.
        inner.expect(SEQUENCE)?;
        inner.expect(SEQUENCE)?;
        time(&mut inner)?;
        if matches!(inner.tag(), Some(UTC_TIME | GENERALIZED_TIME)) {
            time(&mut inner)?;
        }
        let mut serials = BTreeSet::new();
        if let Some(entries) = inner.optional(SEQUENCE)? {
            let mut entries = Elements::new(entries);
            while !entries.is_empty() {
                serials.insert(magnitude(entries.sequence()?.expect(INTEGER)?));
            }
        }
        inner.optional(context(0))?;
        if inner.is_empty() { Ok(Self(serials)) } else { Err(Malformed) }
    }

    /// The first of these certificates that stands in the list, as its number.
    pub fn find<'a>(&self, certificates: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
        certificates.into_iter().find_map(|certificate| {
            let serial = Facts::of(certificate).ok()?.serial;
            self.0.contains(&serial).then(|| serial_text(&serial))
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn time(elements: &mut Elements<'_>) -> Result<(), Malformed> {
    match elements.next()? {
        (UTC_TIME | GENERALIZED_TIME, _) => Ok(()),
        _ => Err(Malformed),
    }
}
