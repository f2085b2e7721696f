//! A walk over the versions that a reader at one revision can see in a range of keys, in either direction.
//!
//! Invariants
//! - One step looks at one key: the caller counts steps and can stop between any two of them.
//! - A walk holds no place in the tree between chunks: `resume` with the last key seen goes on behind it.
//!
//! At the current revision only weighted cells are visited, so dead keys cost nothing. At an older one each key with
//! any version is visited: from a key's newest version a few cells forward are tried before a search is paid for.

use super::Error;
use super::bounds::{End, KeyRange};
use super::row::{At, KeyBuffer, TAIL_FIRST, TAIL_LAST, Version};
use crate::limits::MVCC_WALK_STEPS_BEFORE_SEEK;
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
        let cursor = view.cursor(TreeId::Versions);
        Self { cursor, range, mode, direction, seen: None, resume, buffer: KeyBuffer::default() }
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
        let found = Version::parse(cell)?;
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
        match self.mode {
            Mode::Current if found.head.tombstone => Err(Error::Damaged("a tombstone counts as a live key")),
            Mode::Current => Ok(Step::Live(found)),
            Mode::Past(revision) => self.settle(found, At::end_of(revision)),
        }
    }

    /// The last key that a step looked at, if any did: what to resume behind.
    pub(super) fn seen(&self) -> Option<&'a [u8]> {
        self.seen
    }

    /// Moves to the first cell of the next key upwards.
    fn enter_ascending(&mut self) -> Result<(), Error> {
        let Some(seen) = self.seen else {
            let start = match self.resume {
                Some(key) => self.buffer.with_tail(key, TAIL_LAST),
                None => self.buffer.with_tail(&self.range.from, TAIL_FIRST),
            };
            match self.mode {
                Mode::Current => self.cursor.seek_weighted(start)?,
                Mode::Past(_) => self.cursor.seek(start)?,
            };
            return Ok(());
        };
        if self.mode == Mode::Current {
            self.cursor.next_weighted()?;
            return Ok(());
        }
        for _ in 0..MVCC_WALK_STEPS_BEFORE_SEEK {
            match self.cursor.outline()? {
                Some(cell) if Version::parse(cell)?.key == seen => self.cursor.next()?,
                Some(_) | None => return Ok(()),
            };
        }
        self.cursor.seek(self.buffer.with_tail(seen, TAIL_LAST))?;
        Ok(())
    }

    /// Moves to a cell of the next key downwards: its live one, or its oldest when the walk is in the past.
    fn enter_descending(&mut self) -> Result<(), Error> {
        let bound = match (self.seen.or(self.resume), &self.range.end) {
            (Some(key), _) => Some((key, TAIL_FIRST)),
            (None, End::Single) => Some((self.range.from.as_ref(), TAIL_LAST)),
            (None, End::Before(end)) => Some((end.as_ref(), TAIL_FIRST)),
            (None, End::Unbounded) => None,
        };
        if self.seen.is_some() && self.mode == Mode::Current {
            self.cursor.prev_weighted()?;
            return Ok(());
        }
        // The first cell that is not wanted, or the last cell of all if every cell before the bound is.
        let beyond = match bound {
            Some((key, tail)) => self.cursor.seek(self.buffer.with_tail(key, tail))?,
            None => false,
        };
        if !beyond {
            self.cursor.seek_last()?;
        }
        let counts = self.cursor.outline()?.is_some_and(|cell| cell.weighted);
        match self.mode {
            Mode::Current if counts && !beyond => {}
            Mode::Current => _ = self.cursor.prev_weighted()?,
            Mode::Past(_) if beyond => _ = self.cursor.prev()?,
            Mode::Past(_) => {}
        }
        Ok(())
    }

    /// From some version of a key, finds the one that `at` sees.
    fn settle(&mut self, found: Version<'a>, at: At) -> Result<Step<'a>, Error> {
        let key = found.key;
        let mut candidate = Some(found);
        if self.direction == Direction::Descending {
            self.cursor.seek(self.buffer.version(key, at))?;
            candidate = self.version_of(key)?;
        }
        let mut tried = 0;
        while let Some(version) = candidate {
            if version.at <= at {
                return Ok(if version.head.tombstone { Step::Dead } else { Step::Live(version) });
            }
            if tried < MVCC_WALK_STEPS_BEFORE_SEEK {
                self.cursor.next()?;
            } else {
                self.cursor.seek(self.buffer.version(key, at))?;
            }
            tried += 1;
            if tried > MVCC_WALK_STEPS_BEFORE_SEEK + 1 {
                return Err(Error::Damaged("versions out of order"));
            }
            candidate = self.version_of(key)?;
        }
        Ok(Step::Dead)
    }

    /// The version under the cursor if it is one of `key`.
    fn version_of(&self, key: &[u8]) -> Result<Option<Version<'a>>, Error> {
        let Some(cell) = self.cursor.outline()? else { return Ok(None) };
        let version = Version::parse(cell)?;
        Ok((version.key == key).then_some(version))
    }
}
