//! Leases as commands change them: a revocation deletes the keys that hang on a lease, which is what makes it a revision.
//!
//! Invariants
//! - A revocation is one revision, the keys' deletions in the order of the keys; without keys it is none.
//! - Its lease and its keys are gone in the same root.

use super::row::Head;
use super::write::{Previous, live};
use super::{Error, Writer};
use crate::lease::{self, Lease};
use crate::limits::MVCC_DELETE_KEYS_PER_CHUNK;
use crate::types::LeaseId;

impl Writer<'_, '_> {
    /// Makes a lease.
    pub fn lease_grant(&mut self, id: LeaseId, ttl_seconds: i64) -> Result<Lease, Error> {
        assert_eq!(self.seen(), self.began(), "a lease is no part of a txn");
        Ok(lease::grant(self.txn, id, ttl_seconds)?)
    }

    /// Takes a lease away, and the keys that hang on it.
    pub fn lease_revoke(&mut self, id: LeaseId) -> Result<(), Error> {
        if id.0 == 0 {
            return Err(Error::LeaseNotFound);
        }
        lease::exists(&self.view(), id)?;
        loop {
            let keys = lease::attached(&self.view(), id, None, MVCC_DELETE_KEYS_PER_CHUNK)?;
            for key in &keys {
                let previous = live(&self.txn.view(), key)?
                    .filter(|version| version.head.lease == id)
                    .map(|version| Previous::of(&version))
                    .transpose()?
                    .ok_or(Error::Damaged("a key hangs on a lease that it does not name"))?;
                self.write(key, Head::TOMBSTONE, &[], Some(previous))?;
                lease::reattach(self.txn, key, id, LeaseId(0))?;
            }
            if keys.len() < MVCC_DELETE_KEYS_PER_CHUNK {
                break;
            }
        }
        lease::remove(self.txn, id)?;
        self.finish();
        Ok(())
    }

    /// Notes what is left of a lease; one that is gone by now has nothing left.
    pub fn lease_checkpoint(&mut self, id: LeaseId, remaining_seconds: i64) -> Result<(), Error> {
        lease::checkpoint(self.txn, id, remaining_seconds)?;
        Ok(())
    }
}
