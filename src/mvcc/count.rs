//! How many keys of a range are live at a revision.
//!
//! Invariants
//! - The answer is exact; only its cost depends on the way taken.
//!
//! At the current revision: two ranks in the tree, O(log n). At an older one: the current count corrected by what
//! changed since, at the cost of those changes; when they are more than the keys, the range is walked instead.
//!
//! Worked example of the correction: at 9 the range holds 100 live keys; rows 7 (put a, new), 8 (delete b), 9 (put c
//! again) came after 6. The last row of each key counts: a is live now and was not (-1), b is not now and was (+1),
//! c is and was (0): 100 keys were live at 6.

use super::Error;
use super::bounds::{End, KeyRange};
use super::row::{At, Change, KeyBuffer, TAIL_FIRST, TAIL_LAST, live_keys, newest, newest_at};
use super::walk::{Direction, Mode, Step, Walk};
use super::work::Work;
use crate::limits::MVCC_COUNT_CHANGES_MIN;
use crate::tree::{TreeId, View};
use crate::types::Revision;

/// Cells that looking one change up in the versions of its key costs: two searches.
const CHANGE_CELLS: usize = 3;

/// A count in progress.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Count {
    /// Nothing done yet.
    Start,
    /// Undoing the changes after a revision: `live` so far, `next` is the first row not looked at.
    Undo { then: Revision, live: i64, next: At },
    /// Walking the keys: `live` of those up to `last`.
    Walk { live: i64, last: Option<Vec<u8>> },
    /// The result.
    Done(i64),
}

impl Count {
    /// The result, once it is there.
    pub(super) fn result(&self) -> Option<i64> {
        if let Self::Done(count) = self { Some(*count) } else { None }
    }

    /// Goes on until the result is there or the work is spent.
    pub(super) fn step(
        &mut self,
        view: &View<'_>,
        range: &KeyRange,
        mode: Mode,
        work: &mut Work,
    ) -> Result<Option<i64>, Error> {
        loop {
            *self = match std::mem::replace(self, Self::Start) {
                Self::Start => start(view, range, mode)?,
                Self::Undo { then, live, next } => undo(view, range, (then, live, next), work)?,
                Self::Walk { live, last } => walk(view, range, mode, (live, last), work)?,
                Self::Done(count) => Self::Done(count),
            };
            if self.result().is_some() || work.is_spent() {
                return Ok(self.result());
            }
        }
    }
}

/// Takes the cheapest way.
fn start(view: &View<'_>, range: &KeyRange, mode: Mode) -> Result<Count, Error> {
    if range.is_empty() {
        return Ok(Count::Done(0));
    }
    if range.is_single() {
        let at = match mode {
            Mode::Current => At::end_of(Revision(i64::MAX)),
            Mode::Past(revision) => At::end_of(revision),
        };
        let found = newest_at(view, &range.from, at, &mut KeyBuffer::default())?;
        return Ok(Count::Done(i64::from(found.is_some_and(|version| !version.head.tombstone))));
    }
    let live = live_now(view, range)?;
    let then = match mode {
        Mode::Current => return Ok(Count::Done(live)),
        Mode::Past(revision) => revision,
    };
    let next = At { main: then.next(), sub: 0 };
    let before = view.rank(TreeId::Revisions, &next.revision_key())?;
    let changes = view.weight(TreeId::Revisions).saturating_sub(before);
    let affordable = live.cast_unsigned().saturating_mul(2).max(MVCC_COUNT_CHANGES_MIN);
    Ok(if changes <= affordable { Count::Undo { then, live, next } } else { Count::Walk { live: 0, last: None } })
}

/// Live keys of a range now.
fn live_now(view: &View<'_>, range: &KeyRange) -> Result<i64, Error> {
    let mut buffer = KeyBuffer::default();
    let below = match &range.end {
        End::Before(end) => view.rank(TreeId::Versions, buffer.with_tail(end, TAIL_FIRST))?,
        End::Unbounded => live_keys(view),
        End::Single => view.rank(TreeId::Versions, buffer.with_tail(&range.from, TAIL_LAST))?,
    };
    let before = view.rank(TreeId::Versions, buffer.with_tail(&range.from, TAIL_FIRST))?;
    let live = below.checked_sub(before).ok_or(Error::Damaged("ranks of a range run backwards"))?;
    i64::try_from(live).map_err(|_| Error::Damaged("more live keys than revisions can be"))
}

/// Corrects the count by the changes from `next` on.
fn undo(
    view: &View<'_>,
    range: &KeyRange,
    (then, mut live, mut next): (Revision, i64, At),
    work: &mut Work,
) -> Result<Count, Error> {
    let mut buffer = KeyBuffer::default();
    let mut cursor = view.cursor(TreeId::Revisions);
    cursor.seek(&next.revision_key())?;
    while let Some(cell) = cursor.cell()? {
        if !work.spend(CHANGE_CELLS) {
            return Ok(Count::Undo { then, live, next });
        }
        let change = Change::parse(cell)?;
        assert!(change.at.main > then, "only later changes are undone");
        if range.contains(change.key) {
            live += difference(view, &change, then, &mut buffer)?;
        }
        next = At { main: change.at.main, sub: change.at.sub.checked_add(1).ok_or(Error::Damaged("sub revision"))? };
        cursor.next()?;
    }
    assert!(live >= 0, "more keys vanished than there were: {live}");
    Ok(Count::Done(live))
}

/// What undoing everything since `then` does to the key of its last change; 0 for changes before the last.
fn difference(view: &View<'_>, change: &Change<'_>, then: Revision, buffer: &mut KeyBuffer) -> Result<i64, Error> {
    let last = newest(view, change.key, buffer)?.ok_or(Error::Damaged("a revision without its version"))?;
    if last.at != change.at {
        return Ok(0);
    }
    let was = newest_at(view, change.key, At::end_of(then), buffer)?.is_some_and(|version| !version.head.tombstone);
    Ok(i64::from(was) - i64::from(!last.head.tombstone))
}

/// Counts the keys behind `last` one by one.
fn walk(
    view: &View<'_>,
    range: &KeyRange,
    mode: Mode,
    (mut live, last): (i64, Option<Vec<u8>>),
    work: &mut Work,
) -> Result<Count, Error> {
    let mut walk = Walk::new(view, range, (mode, Direction::Ascending), last.as_deref());
    while work.spend(1) {
        match walk.step()? {
            Step::Live(_) => live += 1,
            Step::Dead => {}
            Step::End => return Ok(Count::Done(live)),
        }
    }
    let seen = walk.seen().map(<[u8]>::to_vec);
    Ok(Count::Walk { live, last: seen.or(last) })
}
