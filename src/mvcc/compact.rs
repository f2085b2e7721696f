//! Compaction: at once in what can be read, in small steps in what is stored.
//!
//! The command makes a revision the compacted one and notes it in the System tree. Steps then walk the revision index
//! from where the last compaction ended up to that revision, so they cost what changed in between, not what is stored:
//! each row makes the version of its key before it superfluous, and a tombstone below the compacted revision is itself
//! superfluous. Steps are local to a member and change nothing that can be read.
//!
//! Worked example, compaction to 5 of put(a)@2, put(a)@3, delete(b)@4, put(a)@5, delete(c)@5 (sub 1): the row 3 removes
//! a@2; the row 4 removes b's version before it and then itself; the row 5 removes a@3; c's tombstone stands at exactly
//! the compacted revision, where etcd keeps it, and only the version before it goes. The next compaction begins at 5
//! again and removes the tombstone then.
//!
//! Before rows are removed, the checksum is computed that HashKV remembers of the compaction, if the compaction before
//! is through and the store is not too large; also in steps.
//!
//! Invariants
//! - After the last step the rows at or below the compacted revision are: the newest version of each key that is live
//!   there, and the tombstones at exactly that revision. etcd keeps the same, which is what makes HashKV equal.
//! - A step removes no weighted cell: counts do not change.
//! - The cursor is committed with the removals: a restart goes on where the last durable root stood.
//! - finished <= scheduled <= current revision, and rows below the cursor are as the first invariant says.

use super::at::At;
use super::history::{History, Purpose, ROW_CELLS};
use super::row::{KeyBuffer, Version, newest};
use super::work::{Progress, Work};
use super::{Error, KvHash, Writer, remembered};
use crate::codec::{Reader, put_varint};
use crate::command::CompactionRequest;
use crate::limits::MVCC_HASHED_ROWS_MAX;
use crate::tree::{Cell, Tree, TreeId, Txn, View};
use crate::types::Revision;

/// The row of the System tree that holds the state. Its head: scheduled, finished, cursor main, cursor sub as varints; its
/// body: the checksum in progress, if there is one.
const STATE_KEY: &[u8] = b"compaction";

/// How far compaction got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Compaction {
    /// The revision that was asked for last.
    pub scheduled: Revision,
    /// The revision up to which superfluous rows are gone; -1 before the first compaction.
    pub finished: Revision,
    /// The next row to look at.
    cursor: At,
    /// The checksum in progress: no row has been removed since it was begun.
    hashing: Option<History>,
}

impl Compaction {
    /// Before the first compaction.
    const NONE: Self = Self { scheduled: Revision(-1), finished: Revision(-1), cursor: At::FIRST, hashing: None };

    /// The state that a root holds.
    pub fn of(view: &View<'_>) -> Result<Self, Error> {
        match view.find(TreeId::System, STATE_KEY)? {
            None => Ok(Self::NONE),
            Some(cell) => Self::parse(&cell).ok_or(Error::Damaged("state of the compaction")),
        }
    }

    /// Whether steps are due.
    pub fn is_pending(&self) -> bool {
        self.finished < self.scheduled
    }

    /// Whether the rows that a compaction to `revision` makes superfluous are gone.
    pub fn covers(&self, revision: Revision) -> bool {
        revision <= self.finished
    }

    /// Rows at this revision and later are all there: what was looked at can have made only earlier ones superfluous.
    pub(super) fn removed_below(&self) -> Revision {
        self.cursor.main
    }

    /// The lower bound of the checksum that is being computed for a compaction to `revision`.
    pub(super) fn hashing_from(&self, revision: Revision) -> Option<Revision> {
        self.hashing.filter(|history| history.revision == revision).map(|history| history.lower)
    }

    /// The state after a compaction to `revision` was asked for.
    fn schedule(self, view: &View<'_>, revision: Revision) -> Result<Self, Error> {
        if self.scheduled >= revision {
            return Err(Error::Damaged("a compaction beyond the compacted revision"));
        }
        let mut hashing = self.hashing;
        if !self.is_pending() {
            let rows = view.rank(TreeId::Revisions, &At::end_of(revision).revision_key())?;
            let history = History::new(Purpose::Compaction, self.finished, revision);
            hashing = (rows <= MVCC_HASHED_ROWS_MAX).then_some(history);
        }
        Ok(Self { scheduled: revision, hashing, ..self })
    }

    fn parse(cell: &Cell<'_>) -> Option<Self> {
        let mut reader = Reader::new(cell.head);
        let mut revision = || Some(Revision(reader.varint().ok()?.cast_signed()));
        let (scheduled, finished, main) = (revision()?, revision()?, revision()?);
        let sub = u32::try_from(reader.varint().ok()?).ok()?;
        let ordered = finished <= scheduled && finished.0 >= -1 && main.0 >= 0 && reader.is_empty();
        let hashing = if cell.body.is_empty() { None } else { Some(History::parse(cell.body)?) };
        // A checksum is part of a compaction.
        let belongs = hashing.is_none() || finished < scheduled;
        (ordered && belongs).then_some(Self { scheduled, finished, cursor: At { main, sub }, hashing })
    }

    fn store(&self, txn: &mut Txn<'_>) -> Result<(), Error> {
        assert!(self.finished <= self.scheduled, "finished {} of {}", self.finished, self.scheduled);
        assert!(self.is_pending() || self.hashing.is_none(), "a checksum is part of a compaction");
        let (mut head, mut body) = (Vec::with_capacity(40), Vec::new());
        for number in [self.scheduled.0, self.finished.0, self.cursor.main.0] {
            put_varint(&mut head, number.cast_unsigned());
        }
        put_varint(&mut head, u64::from(self.cursor.sub));
        if let Some(history) = &self.hashing {
            history.put(&mut body);
        }
        txn.insert(TreeId::System, STATE_KEY, &head, &body, false)?;
        Ok(())
    }
}

impl Writer<'_, '_> {
    /// Makes a revision the compacted one: reads below it are refused from now on, the rows go later.
    pub fn compact(&mut self, request: &CompactionRequest) -> Result<Revision, Error> {
        let (revision, position) = (Revision(request.revision), self.position());
        if revision <= position.compacted {
            return Err(Error::Compacted);
        }
        if revision > position.current {
            return Err(Error::FutureRevision);
        }
        let view = self.view();
        let state = Compaction::of(&view)?.schedule(&view, revision)?;
        state.store(self.txn)?;
        self.set_compacted(revision);
        Ok(revision)
    }
}

/// A row of the history, taken out of the pages so that they can be changed.
struct Row {
    at: At,
    key: Vec<u8>,
    tombstone: bool,
    /// The version of its key before it.
    before: Option<At>,
    /// Whether the one before it, if there is one, was live: a row, unless a compaction removed it.
    follows_live: bool,
}

/// What a member does once when it starts, before the first step: it forgets the checksums of the run before, as etcd
/// does. Returns where the compaction stands.
pub fn resume_compaction(tree: &mut Tree) -> Result<Compaction, Error> {
    let mut txn = tree.begin();
    let stamp = txn.view().stamp();
    let state = Compaction::of(&txn.view())?;
    let forgetful = Compaction { hashing: None, ..state };
    let any = remembered::clear(&mut txn)?;
    if any || state != forgetful {
        forgetful.store(&mut txn)?;
        txn.commit(stamp);
    }
    Ok(forgetful)
}

/// Looks at up to `rows_max` rows of the revision index and removes what they make superfluous, in a tree transaction of
/// its own that leaves the stamp as it is. `Done` when no compaction is pending any more.
pub fn compact_step(tree: &mut Tree, rows_max: usize) -> Result<Progress, Error> {
    assert!(rows_max > 0, "a step looks at something");
    let mut txn = tree.begin();
    let state = Compaction::of(&txn.view())?;
    if !state.is_pending() {
        return Ok(Progress::Done);
    }
    let stamp = txn.view().stamp();
    let after = step(&mut txn, state, rows_max)?;
    after.store(&mut txn)?;
    txn.commit(stamp);
    Ok(if after.is_pending() { Progress::More } else { Progress::Done })
}

fn step(txn: &mut Txn<'_>, state: Compaction, rows_max: usize) -> Result<Compaction, Error> {
    if let Some(mut history) = state.hashing {
        let mut work = Work::cells(rows_max.saturating_mul(ROW_CELLS));
        let found = history.step(&txn.view(), &mut work)?;
        if let Some(hash) = found {
            let (compact_revision, hash_revision) = (history.lower, history.revision);
            remembered::insert(txn, KvHash { hash, compact_revision, hash_revision })?;
        }
        return Ok(Compaction { hashing: found.is_none().then_some(history), ..state });
    }
    let rows = rows(&txn.view(), &state, rows_max)?;
    let mut cursor = state.cursor;
    let mut buffer = KeyBuffer::default();
    for row in &rows {
        if row.at < cursor || row.at.main > state.scheduled {
            return Err(Error::Damaged("revisions out of order"));
        }
        settle(txn, row, &state, &mut buffer)?;
        cursor = row.at.next()?;
    }
    assert!(rows.len() <= rows_max && cursor >= state.cursor, "a step goes forward, by its bound");
    if rows.len() == rows_max {
        return Ok(Compaction { cursor, ..state });
    }
    // The next compaction looks at the rows of this revision again: its tombstones are superfluous then.
    let cursor = At { main: state.scheduled.max(Revision(0)), sub: 0 };
    Ok(Compaction { finished: state.scheduled, cursor, ..state })
}

/// The next rows at or below the scheduled revision.
fn rows(view: &View<'_>, state: &Compaction, rows_max: usize) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    let mut cursor = view.cursor(TreeId::Revisions);
    cursor.seek(&state.cursor.revision_key())?;
    while rows.len() < rows_max {
        let Some(row) = cursor.outline()? else { break };
        let change = Version::of_row(row)?;
        if change.at.main > state.scheduled {
            break;
        }
        rows.push(Row {
            at: change.at,
            key: change.key.to_vec(),
            tombstone: change.head.tombstone,
            before: change.chain.previous()?,
            follows_live: change.head.tombstone || change.head.version > 1,
        });
        cursor.next()?;
    }
    Ok(rows)
}

/// Removes what one row makes superfluous: the version of its key before it, and itself if it is a tombstone below the
/// scheduled revision. What came before the one before it went with that one.
fn settle(txn: &mut Txn<'_>, row: &Row, state: &Compaction, buffer: &mut KeyBuffer) -> Result<(), Error> {
    if let Some(before) = row.before {
        let removed = txn.remove(TreeId::Revisions, buffer.row(&row.key, before))?;
        // A row that was settled by an earlier compaction has none left, and a tombstone may have gone by itself.
        if !removed && row.follows_live && row.at.main > state.finished {
            return Err(Error::Damaged("the two trees do not hold the same rows"));
        }
    }
    if !row.tombstone || row.at.main >= state.scheduled {
        return Ok(());
    }
    let newest = newest(&txn.view(), &row.key)?.ok_or(Error::Damaged("a revision without its key"))?.at;
    if newest == row.at {
        txn.remove(TreeId::Keys, &row.key)?;
    }
    let removed = txn.remove(TreeId::Revisions, buffer.row(&row.key, row.at))?;
    if removed { Ok(()) } else { Err(Error::Damaged("a row that was just there")) }
}
