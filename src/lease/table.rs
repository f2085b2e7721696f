//! The rows of leases: which there are, and which keys hang on them.
//!
//! ```text
//! Leases     key: id i64 BE (sign bit flipped)                   head: granted seconds, remaining seconds as varints
//! LeaseKeys  key: the same id, then the user key; empty
//! ```
//! Remaining seconds are what the last checkpoint of a leader said, 0 if there was none since the last renewal.
//!
//! Invariants
//! - A key has a row under the lease that its newest version names, and under no other.
//! - No lease has the id 0: that is "no lease" in every request.
//! - A refusal writes nothing.

use std::time::Duration;

use super::Error;
use crate::codec::{Reader, put_varint};
use crate::limits::LEASE_TTL_SECONDS_MAX;
use crate::tree::{Cell, TreeId, Txn, View};
use crate::types::LeaseId;

/// Bytes of an id in both trees.
const ID_BYTES: usize = 8;

/// One lease as it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// Its id, never 0.
    pub id: LeaseId,
    /// The time to live that was granted.
    pub ttl_seconds: i64,
    /// What was left of it at the last checkpoint; 0 for all of it.
    pub remaining_seconds: i64,
}

/// What an applied command did to leases, for whoever keeps time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// A lease came into being.
    Granted(Lease),
    /// A lease is gone, with its keys.
    Revoked(LeaseId),
    /// So much of it is left; 0 for all of it.
    Checkpointed(LeaseId, i64),
}

/// The shortest time to live that a member with this election timeout grants: etcd's, one and a half of it, in whole
/// seconds.
pub fn ttl_seconds_min(election_timeout: Duration) -> i64 {
    let nanoseconds = election_timeout.as_nanos().saturating_mul(3) / 2;
    i64::try_from(nanoseconds.div_ceil(1_000_000_000)).unwrap_or(LEASE_TTL_SECONDS_MAX)
}

/// What a lease is granted that asks for `ttl_seconds`: never less than the shortest.
pub fn ttl_raised(ttl_seconds: i64, ttl_seconds_min: i64) -> i64 {
    ttl_seconds.max(ttl_seconds_min)
}

/// The key of a lease's row. The flipped sign keeps the order of the ids.
fn lease_key(lease: LeaseId) -> [u8; ID_BYTES] {
    (lease.0.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn attachment(lease: LeaseId, key: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ID_BYTES + key.len());
    bytes.extend_from_slice(&lease_key(lease));
    bytes.extend_from_slice(key);
    assert_eq!(bytes.len(), ID_BYTES + key.len());
    bytes
}

impl Lease {
    fn parse(cell: &Cell<'_>) -> Result<Self, Error> {
        let damaged = |_| Error::Damaged("a lease");
        let key = <[u8; ID_BYTES]>::try_from(cell.key).map_err(|_| Error::Damaged("the key of a lease"))?;
        let id = LeaseId((u64::from_be_bytes(key) ^ (1 << 63)).cast_signed());
        let mut reader = Reader::new(cell.head);
        let ttl_seconds = reader.varint().map_err(damaged)?.cast_signed();
        let remaining_seconds = reader.varint().map_err(damaged)?.cast_signed();
        if id.0 == 0 || ttl_seconds > LEASE_TTL_SECONDS_MAX || !reader.is_empty() {
            return Err(Error::Damaged("a lease"));
        }
        Ok(Self { id, ttl_seconds, remaining_seconds })
    }

    fn store(&self, txn: &mut Txn<'_>) -> Result<bool, Error> {
        assert!(self.id.0 != 0, "0 is no lease");
        assert!(self.ttl_seconds <= LEASE_TTL_SECONDS_MAX, "a lease of {} seconds", self.ttl_seconds);
        let mut head = Vec::with_capacity(20);
        put_varint(&mut head, self.ttl_seconds.cast_unsigned());
        put_varint(&mut head, self.remaining_seconds.cast_unsigned());
        Ok(txn.insert(TreeId::Leases, &lease_key(self.id), &head, &[], true)?)
    }
}

/// The lease with this id.
pub fn find(view: &View<'_>, id: LeaseId) -> Result<Option<Lease>, Error> {
    view.find(TreeId::Leases, &lease_key(id))?.map(|cell| Lease::parse(&cell)).transpose()
}

/// Refuses a lease that does not exist; 0 is no lease and always right.
pub fn exists(view: &View<'_>, id: LeaseId) -> Result<(), Error> {
    if id.0 == 0 || find(view, id)?.is_some() { Ok(()) } else { Err(Error::NotFound) }
}

/// Every lease, in the order of the ids.
pub fn all(view: &View<'_>) -> Result<Vec<Lease>, Error> {
    let mut leases = Vec::new();
    let mut cursor = view.cursor(TreeId::Leases);
    cursor.seek_first()?;
    while let Some(cell) = cursor.cell()? {
        leases.push(Lease::parse(&cell)?);
        cursor.next()?;
    }
    assert!(leases.is_sorted_by(|one, next| one.id < next.id), "a cursor goes forward");
    Ok(leases)
}

/// At most `count_max` leases from the id `from` on, in the order in which etcd stores them: ids as unsigned numbers.
pub fn page(view: &View<'_>, from: u64, count_max: usize) -> Result<Vec<Lease>, Error> {
    assert!(count_max > 0, "a page of no leases would look like the end");
    let mut leases = Vec::new();
    let mut cursor = view.cursor(TreeId::Leases);
    // Here negative ids stand first, there last.
    for half in [0, 1 << 63] {
        if from > half | (u64::MAX >> 1) {
            continue;
        }
        cursor.seek(&lease_key(LeaseId(from.max(half).cast_signed())))?;
        while let Some(cell) = cursor.cell()? {
            let lease = Lease::parse(&cell)?;
            if leases.len() == count_max || lease.id.0.cast_unsigned() & (1 << 63) != half {
                break;
            }
            leases.push(lease);
            cursor.next()?;
        }
    }
    assert!(leases.is_sorted_by_key(|lease| lease.id.0.cast_unsigned()), "a cursor goes forward");
    Ok(leases)
}

/// Keys that hang on a lease, behind `after`, at most `count_max` of them, in the order of the keys.
pub fn attached(view: &View<'_>, id: LeaseId, after: Option<&[u8]>, count_max: usize) -> Result<Vec<Vec<u8>>, Error> {
    let prefix = lease_key(id);
    let mut keys = Vec::new();
    let mut cursor = view.cursor(TreeId::LeaseKeys);
    cursor.seek(&attachment(id, after.unwrap_or_default()))?;
    while keys.len() < count_max {
        let Some(key) = cursor.key()?.and_then(|key| key.strip_prefix(&prefix)) else { break };
        if after.is_none_or(|after| key > after) {
            keys.push(key.to_vec());
        }
        cursor.next()?;
    }
    Ok(keys)
}

/// How many keys hang on a lease.
pub fn attached_count(view: &View<'_>, id: LeaseId) -> Result<u64, Error> {
    let first = lease_key(id);
    let below = view.rank(TreeId::LeaseKeys, &first)?;
    let through = match u64::from_be_bytes(first).checked_add(1) {
        Some(next) => view.rank(TreeId::LeaseKeys, &next.to_be_bytes())?,
        None => view.weight(TreeId::LeaseKeys),
    };
    Ok(through.saturating_sub(below))
}

/// Stores a new lease.
pub fn grant(txn: &mut Txn<'_>, id: LeaseId, ttl_seconds: i64) -> Result<Lease, Error> {
    if id.0 == 0 {
        return Err(Error::NotFound);
    }
    if ttl_seconds > LEASE_TTL_SECONDS_MAX {
        return Err(Error::TtlTooLarge);
    }
    if find(&txn.view(), id)?.is_some() {
        return Err(Error::Exists);
    }
    let lease = Lease { id, ttl_seconds, remaining_seconds: 0 };
    let new = lease.store(txn)?;
    assert!(new, "it was not there");
    Ok(lease)
}

/// Notes what is left of a lease; whether there is such a lease.
pub fn checkpoint(txn: &mut Txn<'_>, id: LeaseId, remaining_seconds: i64) -> Result<bool, Error> {
    let Some(lease) = find(&txn.view(), id)? else { return Ok(false) };
    let new = Lease { remaining_seconds, ..lease }.store(txn)?;
    assert!(!new, "it was there");
    Ok(true)
}

/// Takes the row of a lease out, whose keys are gone already.
pub fn remove(txn: &mut Txn<'_>, id: LeaseId) -> Result<(), Error> {
    assert!(attached(&txn.view(), id, None, 1)?.is_empty(), "keys go before their lease");
    if txn.remove(TreeId::Leases, &lease_key(id))? { Ok(()) } else { Err(Error::NotFound) }
}

/// Moves `key` from one lease to another; 0 is none.
pub fn reattach(txn: &mut Txn<'_>, key: &[u8], from: LeaseId, to: LeaseId) -> Result<(), Error> {
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
