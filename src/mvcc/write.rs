//! Writing: puts and deletions, each command one revision.
//!
//! Invariants
//! - A command either succeeds or writes nothing: every check stands before the first write. Only a fatal error can
//!   come in between, and then the whole tree transaction is dropped.
//! - All writes of a command have the revision after the one it began at, and sub revisions 0, 1, 2 … in order. A command
//!   without writes leaves the revision alone.
//! - What is written of a key goes behind its newest version, as the index tells it.

use bytes::Bytes;

use super::at::At;
use super::bounds::KeyRange;
use super::chain::NewChain;
use super::range::header;
use super::row::{Cells, Head, Values, Version, newest};
use super::walk::{Direction, Mode, Step, Walk};
use super::wire::pair;
use super::work::wide;
use super::{Error, Position};
use crate::command::{DeleteRangeRequest, DeleteRangeResponse, KeyValue, PutRequest, PutResponse};
use crate::lease;
use crate::limits::MVCC_DELETE_KEYS_PER_CHUNK;
use crate::tree::{Txn, View};
use crate::types::{LeaseId, Revision};

/// Whether somebody waits for a command's answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Want {
    /// Reads for the answer are made.
    Answer,
    /// Only the effect matters: the answer stays empty and its reads are not made.
    Effect,
}

/// What was applied, by the operations that requests name; for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Puts.
    pub puts: u64,
    /// Bytes of their keys and values.
    pub put_bytes: u64,
    /// Deletions, however many keys each deleted.
    pub deletes: u64,
    /// Ranges inside txns, if somebody waited for them.
    pub ranges: u64,
    /// Txns of more than one operation.
    pub txns: u64,
}

impl Counts {
    /// These and others.
    pub fn add(&mut self, other: Self) {
        self.puts += other.puts;
        self.put_bytes += other.put_bytes;
        self.deletes += other.deletes;
        self.ranges += other.ranges;
        self.txns += other.txns;
    }

    pub(super) fn operations(&self) -> u64 {
        self.puts + self.deletes + self.ranges
    }
}

/// Applies commands within one tree transaction.
pub struct Writer<'t, 's> {
    pub(super) txn: &'t mut Txn<'s>,
    position: Position,
    /// Writes of the command in progress.
    changes: u32,
    cells: Cells,
    pub(super) counts: Counts,
}

/// What a write must know of the version that it comes after.
#[derive(Clone, Debug)]
pub(super) struct Previous {
    at: At,
    head: Head,
    /// The chain of the version to come.
    chain: NewChain,
}

/// A key about to be deleted.
struct Victim {
    key: Vec<u8>,
    previous: Previous,
}

impl Previous {
    pub(super) fn of(version: &Version<'_>) -> Result<Self, Error> {
        Ok(Self { at: version.at, head: version.head, chain: NewChain::after(Some(&version.chain))? })
    }
}

impl<'t, 's> Writer<'t, 's> {
    /// Goes on from `position`.
    pub fn new(txn: &'t mut Txn<'s>, position: Position) -> Self {
        position.assert_invariants();
        Self { txn, position, changes: 0, cells: Cells::default(), counts: Counts::default() }
    }

    /// Where the store stands after the commands so far.
    pub fn position(&self) -> Position {
        assert_eq!(self.changes, 0, "no command is in progress");
        self.position
    }

    /// What was applied so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The tree transaction, for what is no key: alarms and their like, between two commands.
    pub fn tree(&mut self) -> &mut Txn<'s> {
        assert_eq!(self.changes, 0, "no command is in progress");
        self.txn
    }

    /// Writes one key.
    pub fn put(&mut self, request: &PutRequest, want: Want) -> Result<PutResponse, Error> {
        self.check_put(request)?;
        let (_, prev_kv) = self.put_checked(request, want)?;
        self.finish();
        Ok(PutResponse { header: None, prev_kv })
    }

    /// Deletes a key or a range.
    pub fn delete_range(&mut self, request: &DeleteRangeRequest, want: Want) -> Result<DeleteRangeResponse, Error> {
        let mut response = self.delete_checked(request, want)?;
        self.finish();
        response.header = None;
        Ok(response)
    }

    /// Ends a command: what it wrote becomes the current revision. Returns it.
    pub(super) fn finish(&mut self) -> Revision {
        let seen = self.seen();
        assert_eq!(seen.current > self.position.current, self.changes > 0, "writes make a revision, nothing else does");
        self.position = seen;
        self.changes = 0;
        self.position.assert_invariants();
        self.position.current
    }

    /// The position that reads within the command in progress see.
    pub(super) fn seen(&self) -> Position {
        if self.changes == 0 { self.position } else { Position { current: self.next_main(), ..self.position } }
    }

    /// The position at which the command in progress began.
    pub(super) fn began(&self) -> Position {
        self.position
    }

    /// Makes `revision` the compacted one.
    pub(super) fn set_compacted(&mut self, revision: Revision) {
        assert!(revision > self.position.compacted, "compaction never goes back");
        assert_eq!(self.changes, 0, "a compaction is no part of a txn");
        self.position.compacted = revision;
        self.position.assert_invariants();
    }

    pub(super) fn view(&self) -> View<'_> {
        self.txn.view()
    }

    /// What a put must fulfil that only the store can tell.
    pub(super) fn check_put(&mut self, request: &PutRequest) -> Result<(), Error> {
        let view = self.txn.view();
        lease::exists(&view, LeaseId(request.lease))?;
        if request.ignore_value || request.ignore_lease {
            live(&view, &request.key)?.ok_or(Error::KeyNotFound)?;
        }
        Ok(())
    }

    /// A put whose checks were made. Returns the header's revision and the pair before, if asked for.
    pub(super) fn put_checked(
        &mut self,
        request: &PutRequest,
        want: Want,
    ) -> Result<(Revision, Option<KeyValue>), Error> {
        let view = self.txn.view();
        let newest = newest(&view, &request.key)?;
        let found = newest.filter(|version| !version.head.tombstone);
        let shown = found.as_ref().filter(|_| request.prev_kv && want == Want::Answer);
        let mut values = Values::new(&view);
        let prev_kv = shown.map(|version| values.of(version).map(|value| pair(version, value))).transpose()?;
        // The key is there if it is to be kept: that was checked, and an earlier write of the txn cannot have
        // deleted it. Were it not, an empty value is what every member would write.
        let value = match (request.ignore_value, found) {
            (true, Some(version)) => Bytes::copy_from_slice(values.of(&version)?),
            (true, None) | (false, _) => request.value.slice(..),
        };
        let lease = match (request.ignore_lease, found) {
            (true, Some(version)) => version.head.lease,
            (true, None) | (false, _) => LeaseId(request.lease),
        };
        let previous = newest.as_ref().map(Previous::of).transpose()?;
        self.counts.puts += 1;
        self.counts.put_bytes += wide(request.key.len() + value.len());
        self.write_put(&request.key, &value, lease, previous)?;
        Ok((self.next_main(), prev_kv))
    }

    fn write_put(&mut self, key: &[u8], value: &[u8], lease: LeaseId, previous: Option<Previous>) -> Result<(), Error> {
        let main = self.next_main();
        let (create, version, old_lease) = match previous.as_ref().map(|previous| previous.head) {
            Some(head) if !head.tombstone => {
                let version = head.version.checked_add(1).ok_or(Error::Damaged("version of a version"))?;
                (head.create, version, head.lease)
            }
            Some(_) | None => (main, 1, LeaseId(0)),
        };
        self.write(key, Head { create, version, lease, tombstone: false }, value, previous)?;
        Ok(lease::reattach(self.txn, key, old_lease, lease)?)
    }

    /// A deletion whose checks were made; the header carries the revision, as inside a txn.
    pub(super) fn delete_checked(
        &mut self,
        request: &DeleteRangeRequest,
        want: Want,
    ) -> Result<DeleteRangeResponse, Error> {
        self.counts.deletes += 1;
        let range = KeyRange::new(&request.key, &request.range_end);
        let shown = request.prev_kv && want == Want::Answer;
        let mut response = DeleteRangeResponse::default();
        let mut last = None;
        loop {
            let victims = self.victims(&range, last.as_deref(), shown.then_some(&mut response.prev_kvs))?;
            let is_last = victims.len() < MVCC_DELETE_KEYS_PER_CHUNK;
            for Victim { key, previous } in victims {
                let lease = previous.head.lease;
                self.write(&key, Head::TOMBSTONE, &[], Some(previous))?;
                lease::reattach(self.txn, &key, lease, LeaseId(0))?;
                response.deleted += 1;
                last = Some(key);
            }
            if is_last {
                break;
            }
        }
        response.header = header(self.seen().current);
        Ok(response)
    }

    /// The next live keys of a range behind `last`, at most a chunk of them.
    fn victims(
        &self,
        range: &KeyRange,
        last: Option<&[u8]>,
        mut shown: Option<&mut Vec<KeyValue>>,
    ) -> Result<Vec<Victim>, Error> {
        let view = self.txn.view();
        let mut walk = Walk::new(&view, range, (Mode::Current, Direction::Ascending), last);
        let (mut victims, mut values) = (Vec::new(), Values::new(&view));
        while victims.len() < MVCC_DELETE_KEYS_PER_CHUNK {
            let Step::Live(version) = walk.step()? else { break };
            if let Some(pairs) = shown.as_deref_mut() {
                pairs.push(pair(&version, values.of(&version)?));
            }
            assert!(range.contains(version.key), "only keys of the range are deleted");
            victims.push(Victim { key: version.key.to_vec(), previous: Previous::of(&version)? });
            if range.is_single() {
                break;
            }
        }
        Ok(victims)
    }

    /// Adds a version behind the newest one of its key, if there is one.
    pub(super) fn write(
        &mut self,
        key: &[u8],
        head: Head,
        value: &[u8],
        previous: Option<Previous>,
    ) -> Result<(), Error> {
        let at = At { main: self.next_main(), sub: self.changes };
        if previous.as_ref().is_some_and(|previous| previous.at >= at) {
            return Err(Error::Damaged("versions out of order"));
        }
        let lives = previous.as_ref().is_some_and(|previous| !previous.head.tombstone);
        assert!(lives || !head.tombstone, "only what lives can be deleted");
        let chain = previous.map_or_else(|| NewChain::after(None), |previous| Ok(previous.chain))?;
        self.cells.write(self.txn, (key, at), (head, &chain), value)?;
        self.changes = self.changes.checked_add(1).expect("a request holds fewer than 2^32 writes");
        Ok(())
    }

    fn next_main(&self) -> Revision {
        self.position.current.next()
    }
}

/// The live version of a key now.
pub(super) fn live<'a>(view: &View<'a>, key: &[u8]) -> Result<Option<Version<'a>>, Error> {
    Ok(newest(view, key)?.filter(|version| !version.head.tombstone))
}
