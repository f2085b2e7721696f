//! The seam to the leases: whether one exists, and which keys hang on it. Granting, renewing and expiry are not here.
//!
//! ```text
//! Leases     key: id i64 BE (sign bit flipped)       LeaseKeys  key: the same id, then the user key; empty
//! ```
//!
//! Invariants
//! - A key has a row under the lease that its newest version names, and under no other.

use super::Error;
use crate::tree::{TreeId, Txn, View};
use crate::types::LeaseId;

/// The key of a lease's row. The flipped sign keeps the order of the ids.
fn lease_key(lease: LeaseId) -> [u8; 8] {
    (lease.0.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn attachment(lease: LeaseId, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + key.len());
    bytes.extend_from_slice(&lease_key(lease));
    bytes.extend_from_slice(key);
    assert_eq!(bytes.len(), 8 + key.len());
    bytes
}

/// Refuses a lease that does not exist; 0 is no lease and always right.
pub(super) fn check(view: &View<'_>, lease: LeaseId) -> Result<(), Error> {
    if lease.0 == 0 || view.find(TreeId::Leases, &lease_key(lease))?.is_some() {
        Ok(())
    } else {
        Err(Error::LeaseNotFound)
    }
}

/// Moves `key` from one lease to another; 0 is none.
pub(super) fn reattach(txn: &mut Txn<'_>, key: &[u8], from: LeaseId, to: LeaseId) -> Result<(), Error> {
    if from == to {
        return Ok(());
    }
    if from.0 != 0 {
        let removed = txn.remove(TreeId::LeaseKeys, &attachment(from, key))?;
        if !removed {
            return Err(Error::Damaged("a key was not attached to its lease"));
        }
    }
    if to.0 != 0 {
        txn.insert(TreeId::LeaseKeys, &attachment(to, key), &[], &[], true)?;
    }
    Ok(())
}
