//! A walk over the versions that a reader at one revision can see in a range of keys, in either direction.
//!
//! Invariants
//! - One step looks at one key: the caller counts steps and can stop between any two of them.
//! - A walk holds no place in the tree between chunks: `resume` with the last key seen goes on behind it.
//!
//! At the current revision only weighted keys are visited, so dead keys cost nothing. At an older one each key is visited,
//! and its links are followed if it changed since.

use super::Error;
use super::at::At;
use super::bounds::{End, KeyRange};
use super::row::{KeyBuffer, Version, back_to};
use crate::tree::{Cursor, TreeId, View};
use crate::types::Revision;

/// Which versions a walk shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    /// The newest of each live key.
    Current,
    /// What was live at an older revision.
    Past(Revision),
}

impl Mode {
    /// The last place in history that this mode shows.
    pub(super) fn place(self) -> At {
        match self {
            Self::Current => At::LAST,
            Self::Past(revision) => At::end_of(revision),
        }
    }
}

/// Which way a walk goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    /// From the first key to the last.
    Ascending,
    /// From the last key to the first.
    Descending,
}

/// What one step found.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    /// A key that is visible.
    Live(Version<'a>),
    /// A key that is not visible at the walk's revision.
    Dead,
    /// The end of the range.
    End,
}

/// A walk in progress. Borrowed from a view for as long as one chunk takes.
pub(super) struct Walk<'a, 'r> {
    view: View<'a>,
    cursor: Cursor<'a>,
    range: &'r KeyRange,
    mode: Mode,
    direction: Direction,
    /// The key of the last step, to be left behind by the next one.
    seen: Option<&'a [u8]>,
    /// Where `resume` told the walk to go on, until the first step.
    resume: Option<&'r [u8]>,
    buffer: KeyBuffer,
}

impl<'a, 'r> Walk<'a, 'r> {
    /// A walk over `range`, behind `resume` if that is given.
    pub(super) fn new(
        view: &View<'a>,
        range: &'r KeyRange,
        (mode, direction): (Mode, Direction),
        resume: Option<&'r [u8]>,
    ) -> Self {
        if let Some(key) = resume {
            assert!(range.contains(key), "a walk goes on behind a key of its range");
        }
        let cursor = view.cursor(TreeId::Keys);
        Self { view: *view, cursor, range, mode, direction, seen: None, resume, buffer: KeyBuffer::default() }
    }

    /// Looks at the next key.
    pub(super) fn step(&mut self) -> Result<Step<'a>, Error> {
        if self.range.is_empty() {
            return Ok(Step::End);
        }
        match self.direction {
            Direction::Ascending => self.enter_ascending()?,
            Direction::Descending => self.enter_descending()?,
        }
        let Some(cell) = self.cursor.outline()? else { return Ok(Step::End) };
        let found = Version::of_key(cell)?;
        let inside = match self.direction {
            Direction::Ascending => self.range.reaches(found.key),
            Direction::Descending => found.key >= self.range.from.as_ref(),
        };
        if !inside {
            return Ok(Step::End);
        }
        if !self.range.contains(found.key) {
            return Err(Error::Damaged("keys out of order"));
        }
        if let Some(seen) = self.seen.or(self.resume)
            && (found.key > seen) != (self.direction == Direction::Ascending)
        {
            // Walking on might never end.
            return Err(Error::Damaged("keys out of order"));
        }
        self.seen = Some(found.key);
        let visible = match self.mode {
            Mode::Current if found.head.tombstone => return Err(Error::Damaged("a tombstone counts as a live key")),
            Mode::Current => Some(found),
            Mode::Past(revision) => back_to(&self.view, found, At::end_of(revision), &mut self.buffer)?,
        };
        Ok(visible.filter(|version| !version.head.tombstone).map_or(Step::Dead, Step::Live))
    }

    /// The last key that a step looked at, if any did: what to resume behind.
    pub(super) fn seen(&self) -> Option<&'a [u8]> {
        self.seen
    }

    /// Moves to the next key upwards.
    fn enter_ascending(&mut self) -> Result<(), Error> {
        if self.seen.is_some() {
            match self.mode {
                Mode::Current => self.cursor.next_weighted()?,
                Mode::Past(_) => self.cursor.next()?,
            };
            return Ok(());
        }
        let start = match self.resume {
            Some(key) => self.buffer.behind(key),
            None => &self.range.from,
        };
        match self.mode {
            Mode::Current => self.cursor.seek_weighted(start)?,
            Mode::Past(_) => self.cursor.seek(start)?,
        };
        Ok(())
    }

    /// Moves to the next key downwards.
    fn enter_descending(&mut self) -> Result<(), Error> {
        if self.seen.is_some() {
            match self.mode {
                Mode::Current => self.cursor.prev_weighted()?,
                Mode::Past(_) => self.cursor.prev()?,
            };
            return Ok(());
        }
        match (self.resume, &self.range.end) {
            (Some(key), _) => self.cursor.seek_below(key)?,
            (None, End::Single) => self.cursor.seek_below(self.buffer.behind(&self.range.from))?,
            (None, End::Before(end)) => self.cursor.seek_below(end)?,
            (None, End::Unbounded) => self.cursor.seek_last()?,
        };
        if self.mode == Mode::Current && self.cursor.outline()?.is_some_and(|cell| !cell.weighted) {
            self.cursor.prev_weighted()?;
        }
        Ok(())
    }
}
