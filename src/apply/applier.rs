//! Entries into the tree, one tree transaction a call.
//!
//! Invariants
//! - An index is applied once: entries at or below the stamp's are skipped, one that leaves a gap is an error.
//! - A call that fails commits nothing and adds no answer.
//! - Answers come in the order of the log.

use bytes::Bytes;

use super::{Error, lease, machine};
use crate::alarm::Standing;
use crate::command::{Batch, Command, Kind, Malformed, Outcome};
use crate::lease::Change;
use crate::mvcc::{self, Position, Want, Writer};
use crate::tree::{RowError, Stamp, Tree};
use crate::types::{BootNonce, MemberId, RaftIndex, Term, TxnId};

/// What an entry holds for the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Payload {
    /// A batch of commands.
    Batch(Bytes),
    /// Nothing: raft's own empty entries and changes of membership. The index moves all the same.
    Nothing,
}

/// An entry that raft committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedEntry {
    /// Its place in the log.
    pub index: RaftIndex,
    /// The term in which it was proposed.
    pub term: Term,
    /// What it holds.
    pub payload: Payload,
}

/// Proof that everything up to an index is applied and visible to readers. Made here alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Applied {
    index: RaftIndex,
    txn: Option<TxnId>,
    leases: Vec<Change>,
    counts: Counts,
}

/// What was applied; for metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// By operation.
    pub operations: mvcc::Counts,
    /// Commands by kind: those refused, and those done.
    pub commands: [[u64; 2]; Kind::ALL.len()],
}

impl Counts {
    /// These and others.
    pub fn add(&mut self, other: &Self) {
        self.operations.add(other.operations);
        let cells = self.commands.iter_mut().flatten().zip(other.commands.iter().flatten());
        cells.for_each(|(total, more)| *total += more);
    }

    fn count(&mut self, kind: Kind, outcome: &Result<Outcome, mvcc::Error>) {
        // etcd calls a compaction that came too late a success.
        let done = matches!(outcome, Ok(_) | Err(mvcc::Error::Compacted));
        self.commands[kind.place()][usize::from(done)] += 1;
    }
}

impl Applied {
    /// There was nothing behind `index`.
    fn nothing(index: RaftIndex) -> Self {
        Self { index, txn: None, leases: Vec::new(), counts: Counts::default() }
    }

    /// The last index applied.
    pub fn index(&self) -> RaftIndex {
        self.index
    }

    /// What the call applied.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The root that the call published; none if there was nothing new to apply.
    pub fn txn(&self) -> Option<TxnId> {
        self.txn
    }

    /// What it did to leases, in order.
    pub fn into_lease_changes(self) -> Vec<Change> {
        self.leases
    }
}

/// The outcome of a local ticket: its sequence and what the client is told.
pub type Answer = (u64, Result<Outcome, mvcc::Error>);

/// Applies entries on behalf of one run of a member.
#[derive(Clone, Copy, Debug)]
pub struct Applier {
    member: MemberId,
    nonce: BootNonce,
}

impl Applier {
    /// For the run of `member` that is named by `nonce`: only its own proposals get answers.
    pub fn new(member: MemberId, nonce: BootNonce) -> Self {
        Self { member, nonce }
    }

    /// Applies `entries` in order. `want` tells which of this run's sequences somebody still waits for; their outcomes
    /// are appended to `out`.
    pub fn apply(
        &self,
        tree: &mut Tree,
        entries: &[CommittedEntry],
        mut want: impl FnMut(u64) -> bool,
        out: &mut Vec<Answer>,
    ) -> Result<Applied, Error> {
        let answers_before = out.len();
        let result = self.apply_all(tree, entries, &mut want, out);
        if result.is_err() {
            out.truncate(answers_before);
        }
        result
    }

    fn apply_all(
        &self,
        tree: &mut Tree,
        entries: &[CommittedEntry],
        want: &mut dyn FnMut(u64) -> bool,
        out: &mut Vec<Answer>,
    ) -> Result<Applied, Error> {
        let mut txn = tree.begin();
        let began = txn.view().stamp();
        let entries = unapplied(entries, began.applied_index);
        let mut counts = Counts::default();
        let Some(last) = entries.last() else { return Ok(Applied::nothing(began.applied_index)) };
        let store = |error: RowError| Error::Store { index: last.index, what: error.into() };
        let mut standing = Standing::of(&txn.view()).map_err(store)?;
        let mut writer = Writer::new(&mut txn, Position::of(&began));
        let (mut applied, mut leases) = (began.applied_index, Vec::new());
        for entry in entries {
            if entry.index != applied.next() {
                return Err(Error::Gap { applied, found: entry.index });
            }
            self.apply_entry((&mut writer, &mut standing, &mut counts), entry, want, (&mut *out, &mut leases))?;
            applied = entry.index;
        }
        counts.operations = writer.counts();
        let stamp = stamp(began, last, writer.position());
        Ok(Applied { index: applied, txn: Some(txn.commit(stamp)), leases, counts })
    }

    fn apply_entry(
        &self,
        (writer, standing, counts): (&mut Writer<'_, '_>, &mut Standing, &mut Counts),
        entry: &CommittedEntry,
        want: &mut dyn FnMut(u64) -> bool,
        (out, leases): (&mut Vec<Answer>, &mut Vec<Change>),
    ) -> Result<(), Error> {
        let Payload::Batch(data) = &entry.payload else { return Ok(()) };
        let malformed = |what: Malformed| Error::Malformed { index: entry.index, what };
        let batch = Batch::parse(data.slice(..)).map_err(malformed)?;
        let local = batch.proposer == self.member && batch.nonce == self.nonce;
        for item in &batch {
            let (sequence, command) = item.map_err(malformed)?;
            let wanted = local && want(sequence);
            let want = if wanted { Want::Answer } else { Want::Effect };
            let outcome = machine::execute((&mut *writer, &mut *standing), entry.term, &command, want);
            counts.count(command.kind(), &outcome);
            if let Err(what) = &outcome
                && what.is_fatal()
            {
                return Err(Error::Store { index: entry.index, what: what.clone() });
            }
            if let (Command::Lease(command), Ok(outcome)) = (&command, &outcome) {
                lease::note(command, outcome, leases);
            }
            if wanted {
                out.push((sequence, outcome));
            }
        }
        Ok(())
    }
}

/// The entries behind the last one applied.
fn unapplied(entries: &[CommittedEntry], applied: RaftIndex) -> &[CommittedEntry] {
    let known = entries.iter().take_while(|entry| entry.index <= applied).count();
    &entries[known..]
}

/// The stamp of the root that has `last` applied.
fn stamp(began: Stamp, last: &CommittedEntry, position: Position) -> Stamp {
    assert!(last.index > began.applied_index, "the applied index moves forward");
    assert!(last.term >= began.applied_term, "terms never go back along the log");
    assert!(position.current >= began.revision, "revisions never go back");
    Stamp {
        applied_index: last.index,
        applied_term: last.term,
        revision: position.current,
        compacted: position.compacted,
        ..began
    }
}
