//! The rule that a branch of a txn writes no key twice.
//!
//! A put must not meet another put of the same key nor fall into a deleted range; deletions may overlap. The writes of
//! a nested txn count for its parent, those of both its branches, but the two branches do not count against each other.
//!
//! Invariants
//! - Ranges are taken literally, as etcd's interval tree takes them: `range_end` of one zero byte or before the key
//!   meets nothing here, although the former deletes everything from the key on. So "delete from a on, put b" is
//!   allowed, and the put comes after the deletion within one revision.
//! - Nested writes are looked at before the level's own puts and in the order of the operations: a nested deletion meets
//!   only the puts of the nested txns after it and of the level itself.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::Error;
use crate::command::request_op::Request;
use crate::command::{DeleteRangeRequest, RequestOp, TxnRequest};

/// The keys that a branch may put and the ranges that it may delete.
#[derive(Debug, Default)]
pub(super) struct BranchWrites<'a> {
    puts: BTreeSet<&'a [u8]>,
    /// Disjoint ranges: first key to what is behind the last one; `None` is the single key.
    deletes: Deletes<'a>,
}

/// Deleted ranges, made disjoint, so that one look-up answers for a key.
#[derive(Debug, Default)]
struct Deletes<'a> {
    points: BTreeSet<&'a [u8]>,
    spans: BTreeMap<&'a [u8], &'a [u8]>,
}

impl<'a> Deletes<'a> {
    fn insert(&mut self, request: &'a DeleteRangeRequest) {
        let (key, end) = (request.key.as_ref(), request.range_end.as_ref());
        if end.is_empty() {
            self.points.insert(key);
        } else if key < end {
            self.insert_span(key, end);
        }
    }

    fn insert_span(&mut self, mut from: &'a [u8], mut end: &'a [u8]) {
        // Everything that touches the new span becomes part of it.
        while let Some((&start, &stop)) = self.spans.range(..=end).next_back() {
            if stop < from {
                break;
            }
            self.spans.remove(start);
            from = from.min(start);
            end = end.max(stop);
        }
        assert!(from < end, "a span holds a key");
        let before = self.spans.insert(from, end);
        assert!(before.is_none(), "spans are disjoint");
    }

    fn absorb(&mut self, other: Deletes<'a>) {
        self.points.extend(other.points);
        for (from, end) in other.spans {
            self.insert_span(from, end);
        }
    }

    fn contains(&self, key: &[u8]) -> bool {
        let up_to = (Bound::Unbounded, Bound::Included(key));
        let spanned = self.spans.range::<[u8], _>(up_to).next_back().is_some_and(|(_, end)| key < *end);
        spanned || self.points.contains(key)
    }
}

impl<'a> BranchWrites<'a> {
    /// Collects the writes of a branch, or finds a key that is written twice.
    pub(super) fn of(ops: &'a [RequestOp]) -> Result<Self, Error> {
        let mut writes = Self::default();
        for op in ops {
            if let Some(Request::RequestDeleteRange(delete)) = &op.request {
                writes.deletes.insert(delete);
            }
        }
        for op in ops {
            if let Some(Request::RequestTxn(txn)) = &op.request {
                writes.absorb_nested(txn)?;
            }
        }
        for op in ops {
            if let Some(Request::RequestPut(put)) = &op.request {
                writes.put(put.key.as_ref())?;
            }
        }
        Ok(writes)
    }

    fn absorb_nested(&mut self, txn: &'a TxnRequest) -> Result<(), Error> {
        let success = Self::of(&txn.success)?;
        let failure = Self::of(&txn.failure)?;
        for key in &success.puts {
            self.put(key)?;
        }
        for key in &failure.puts {
            if self.deletes.contains(key) {
                return Err(Error::DuplicateKey);
            }
            if !success.puts.contains(key) {
                self.put(key)?;
            }
        }
        self.deletes.absorb(success.deletes);
        self.deletes.absorb(failure.deletes);
        Ok(())
    }

    fn put(&mut self, key: &'a [u8]) -> Result<(), Error> {
        if self.deletes.contains(key) || !self.puts.insert(key) { Err(Error::DuplicateKey) } else { Ok(()) }
    }
}
