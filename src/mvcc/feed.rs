//! What changed, in the order of history, as watchers are told of it.
//!
//! Invariants
//! - A walk goes on at a place, not in the tree: the next step may read a newer root.
//! - An event is a row of the history; its value and the pair before are looked up only when it is encoded.
//! - The pair before is what could be read at the revision before: none if the key was not there, or if that revision is
//!   compacted.

use super::at::At;
use super::compact::Compaction;
use super::row::{self, KeyBuffer, Values, Version, newest, oldest_from};
use super::wire::{Shown, put_event};
use super::{Error, Position, Work};
use crate::tree::{Cursor, TreeId, View};
use crate::types::Revision;

/// Cells that a matching event costs beside its row: its value and the pair before.
const EVENT_CELLS: usize = 2;
/// Cells that finding the next change of a key costs.
const SEARCH_CELLS: usize = 2;

/// A place in history: between two changes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place(At);

impl Place {
    /// Before the first change of `revision`.
    pub fn before(revision: Revision) -> Self {
        Self(At { main: revision, sub: 0 })
    }

    /// The revision whose change comes next, or a later one.
    pub fn revision(self) -> Revision {
        self.0.main
    }

    /// Whether all changes of earlier revisions are behind this place, and none of this one.
    pub fn is_between_revisions(self) -> bool {
        self.0.sub == 0
    }
}

/// One root, as far as watchers are concerned.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    view: View<'a>,
    position: Position,
}

/// One change of a key.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    feed: &'a Feed<'a>,
    version: Version<'a>,
    /// Where its row is, if a walk stands there.
    row: Option<&'a Cursor<'a>>,
}

/// What became of an event that was shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// It was of no interest.
    Passed,
    /// It was encoded.
    Taken,
    /// The walk is to end before it.
    Enough,
}

/// What a walk does with an event.
pub type Visit<'v> = &'v mut dyn FnMut(&Event<'_>) -> Result<Seen, Error>;

impl<'a> Feed<'a> {
    /// The history that a root holds.
    pub fn new(view: &View<'a>) -> Self {
        Self { view: *view, position: Position::of(&view.stamp()) }
    }

    /// Where the store stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// From this revision on every change is still there.
    pub fn whole_from(&self) -> Result<Revision, Error> {
        Ok(Compaction::of(&self.view)?.removed_below())
    }

    /// Shows every change from `from` on to `visit`. Where to go on when the work was used up or it was
    /// enough, `None` at the end.
    pub fn changes(&self, from: Place, work: &mut Work, visit: Visit<'_>) -> Result<Option<Place>, Error> {
        let mut cursor = self.view.cursor(TreeId::Revisions);
        cursor.seek(&from.0.revision_key())?;
        while let Some(row) = cursor.outline()? {
            let version = Version::of_row(row)?;
            if !self.show(Event { feed: self, version, row: Some(&cursor) }, work, visit)? {
                return Ok(Some(Place(version.at)));
            }
            cursor.next()?;
        }
        Ok(None)
    }

    /// The same for the changes of one key, found by its links.
    pub fn changes_of(
        &self,
        key: &[u8],
        from: Place,
        work: &mut Work,
        visit: Visit<'_>,
    ) -> Result<Option<Place>, Error> {
        let Some(newest) = newest(&self.view, key)? else { return Ok(None) };
        let (mut next, mut buffer) = (from.0, KeyBuffer::default());
        while newest.at >= next {
            let version = oldest_from(&self.view, newest, next, &mut buffer)?;
            if !self.show(Event { feed: self, version, row: None }, work, visit)? {
                return Ok(Some(Place(version.at)));
            }
            work.spend(SEARCH_CELLS);
            next = version.at.next()?;
        }
        Ok(None)
    }

    /// Shows one change, unless the work was used up before; whether it is behind the walk now.
    fn show(&self, event: Event<'_>, work: &mut Work, visit: Visit<'_>) -> Result<bool, Error> {
        let (revision, current) = (event.revision(), self.position.current);
        assert!(revision <= current, "a change at {revision} of a store at {current}");
        if !work.spend(1) {
            return Ok(false);
        }
        let seen = visit(&event)?;
        if seen == Seen::Taken {
            work.spend(EVENT_CELLS);
        }
        Ok(seen != Seen::Enough)
    }
}

impl<'a> Event<'a> {
    /// The revision that it is part of.
    pub fn revision(&self) -> Revision {
        self.version.at.main
    }

    /// The key that changed.
    pub fn key(&self) -> &'a [u8] {
        self.version.key
    }

    /// Whether the key was deleted.
    pub fn is_deletion(&self) -> bool {
        self.version.head.tombstone
    }

    /// Appends it as one `events` field of a `WatchResponse`.
    pub fn put(&self, with_previous: bool, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut values = Values::new(&self.feed.view);
        let value = match self.row {
            Some(cursor) => cursor.cell()?.ok_or(Error::Damaged("a row that was just there"))?.body,
            None => values.of(&self.version)?,
        };
        let created = !self.is_deletion() && self.version.head.create == self.revision();
        let previous = if with_previous && !created { self.previous(&mut values)? } else { None };
        put_event(out, (self.version, value), previous);
        Ok(())
    }

    fn previous(&self, values: &mut Values<'a>) -> Result<Option<Shown<'a>>, Error> {
        let before = Revision(self.revision().0 - 1);
        if before < self.feed.position.compacted {
            return Ok(None);
        }
        let (mut version, mut buffer) = (self.version, KeyBuffer::default());
        // Changes of the same txn are not seen from the revision before.
        while version.at.main > before {
            let Some(earlier) = row::previous(&self.feed.view, &version, &mut buffer)? else { return Ok(None) };
            version = earlier;
        }
        if version.head.tombstone {
            return Ok(None);
        }
        Ok(Some((version, values.of(&version)?)))
    }
}
