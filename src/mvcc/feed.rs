//! What changed, in the order of history, as watchers are told of it.
//!
//! Invariants
//! - A walk goes on at a place, not in the tree: the next step may read a newer root.
//! - An event is a row of the revision index; its pair and the pair before are looked up only when it is encoded.
//! - The pair before is what could be read at the revision before: none if the key was not there, or if that revision is
//!   compacted.

use super::compact::Compaction;
use super::row::{At, Change, KeyBuffer, Version, newest_at};
use super::wire::put_event;
use super::{Error, Position, Work};
use crate::tree::{Cursor, TreeId, View};
use crate::types::Revision;

/// Cells that a matching event costs: its pair and the one before.
const EVENT_CELLS: usize = 2;

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
    view: View<'a>,
    compacted: Revision,
    at: At,
    key: &'a [u8],
    deletion: bool,
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
pub type Visit<'v, 'a> = &'v mut dyn FnMut(&Event<'a>) -> Result<Seen, Error>;

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
    pub fn changes(&self, from: Place, work: &mut Work, visit: Visit<'_, 'a>) -> Result<Option<Place>, Error> {
        let mut cursor = self.view.cursor(TreeId::Revisions);
        cursor.seek(&from.0.revision_key())?;
        while let Some(cell) = cursor.cell()? {
            let change = Change::parse(cell)?;
            if !self.show(change.at, (change.key, change.tombstone), work, visit)? {
                return Ok(Some(Place(change.at)));
            }
            cursor.next()?;
        }
        Ok(None)
    }

    /// The same for the changes of one key, found among its versions.
    pub fn changes_of(
        &self,
        key: &[u8],
        from: Place,
        work: &mut Work,
        visit: Visit<'_, 'a>,
    ) -> Result<Option<Place>, Error> {
        let mut cursor = self.view.cursor(TreeId::Versions);
        // Newer versions stand before older ones.
        if !cursor.seek(KeyBuffer::default().version(key, from.0))? {
            cursor.seek_last()?;
        } else if version_of(&cursor, key)?.is_none_or(|version| version.at < from.0) {
            cursor.prev()?;
        }
        while let Some(version) = version_of(&cursor, key)? {
            if !self.show(version.at, (version.key, version.head.tombstone), work, visit)? {
                return Ok(Some(Place(version.at)));
            }
            cursor.prev()?;
        }
        Ok(None)
    }

    /// Shows one change, unless the work was used up before; whether it is behind the walk now.
    fn show(
        &self,
        at: At,
        (key, deletion): (&'a [u8], bool),
        work: &mut Work,
        visit: Visit<'_, 'a>,
    ) -> Result<bool, Error> {
        assert!(at.main <= self.position.current, "a change at {} of a store at {}", at.main, self.position.current);
        if !work.spend(1) {
            return Ok(false);
        }
        let event = Event { view: self.view, compacted: self.position.compacted, at, key, deletion };
        let seen = visit(&event)?;
        if seen == Seen::Taken {
            work.spend(EVENT_CELLS);
        }
        Ok(seen != Seen::Enough)
    }
}

/// The version under the cursor if it is one of `key`.
fn version_of<'a>(cursor: &Cursor<'a>, key: &[u8]) -> Result<Option<Version<'a>>, Error> {
    let Some(cell) = cursor.cell()? else { return Ok(None) };
    let version = Version::parse(cell)?;
    Ok((version.key == key).then_some(version))
}

impl<'a> Event<'a> {
    /// The revision that it is part of.
    pub fn revision(&self) -> Revision {
        self.at.main
    }

    /// The key that changed.
    pub fn key(&self) -> &'a [u8] {
        self.key
    }

    /// Whether the key was deleted.
    pub fn is_deletion(&self) -> bool {
        self.deletion
    }

    /// Appends it as one `events` field of a `WatchResponse`.
    pub fn put(&self, with_previous: bool, out: &mut Vec<u8>) -> Result<(), Error> {
        let mut buffer = KeyBuffer::default();
        let missing = Error::Damaged("a change without its version");
        let version = newest_at(&self.view, self.key, self.at, &mut buffer)?.ok_or(missing.clone())?;
        if version.at != self.at || version.head.tombstone != self.deletion {
            return Err(missing);
        }
        let created = !self.deletion && version.head.create == self.at.main;
        let previous = if with_previous && !created { self.previous(&mut buffer)? } else { None };
        put_event(out, &version, previous.as_ref());
        Ok(())
    }

    fn previous(&self, buffer: &mut KeyBuffer) -> Result<Option<Version<'a>>, Error> {
        let before = Revision(self.at.main.0 - 1);
        if before < self.compacted {
            return Ok(None);
        }
        let found = newest_at(&self.view, self.key, At::end_of(before), buffer)?;
        Ok(found.filter(|version| !version.head.tombstone))
    }
}
