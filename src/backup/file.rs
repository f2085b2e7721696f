//! The store as etcd's file, in two passes over one root: `Measuring`, then `Writing`.
//!
//! Invariants
//! - The file holds exactly what the root holds, whatever is written meanwhile.
//! - A step appends little more than `BACKUP_STEP_BYTES` or one row, whichever is larger.

use super::contents::{Bucket, Contents, Sink};
use super::error::Error;
use super::rows::Member;
use crate::bbolt::{Layout, Writer};
use crate::limits::BACKUP_STEP_BYTES;
use crate::mvcc::{Progress, Work};
use crate::tree::View;

/// The first pass: how long the file is.
#[derive(Debug)]
pub struct Measuring {
    contents: Contents,
    writer: Writer,
}

/// The second pass: its bytes.
#[derive(Debug)]
pub struct Writing {
    contents: Contents,
    writer: Writer,
    layout: Layout,
    through: bool,
}

impl Measuring {
    /// For what `view` shows in a cluster of these members.
    pub fn new(view: &View<'_>, members: Vec<Member>) -> Self {
        Self { contents: Contents::new(view, members), writer: Writer::measuring() }
    }

    /// Goes on until the work is spent; gives back itself or the second pass.
    pub fn step(mut self, view: &View<'_>, work: &mut Work) -> Result<Result<Writing, Self>, Error> {
        if self.contents.step(view, work, &mut self.writer)? == Progress::More {
            return Ok(Err(self));
        }
        let layout = self.writer.finish()?;
        let contents = self.contents.again();
        Ok(Ok(Writing { contents, writer: Writer::writing(layout), layout, through: false }))
    }
}

impl Writing {
    /// Bytes of the whole file.
    pub fn file_bytes(&self) -> u64 {
        self.layout.file_bytes()
    }

    /// Makes the next bytes ready, if there are any.
    pub fn step(&mut self, view: &View<'_>, work: &mut Work) -> Result<Progress, Error> {
        if !self.through
            && !self.writer.is_full()
            && self.contents.step(view, work, &mut self.writer)? == Progress::Done
        {
            self.writer.finish()?;
            self.through = true;
        }
        Ok(if self.through { Progress::Done } else { Progress::More })
    }

    /// Takes the bytes that are ready: as many times `piece` bytes as there are, at the end all.
    pub fn take(&mut self, piece: usize) -> Vec<u8> {
        assert!(piece > 0, "a piece has bytes");
        let ready = self.writer.ready();
        self.writer.take(if self.through { ready } else { ready - ready % piece })
    }
}

impl Sink for Writer {
    fn wants_values(&self) -> bool {
        self.is_writing()
    }

    fn begin(&mut self, _: Bucket) {}

    fn row(&mut self, key: &[u8], length: usize, put: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        Ok(Self::row(self, key, length, put)?)
    }

    fn end(&mut self, bucket: Bucket) -> Result<(), Error> {
        Ok(self.end_bucket(bucket.name().as_bytes())?)
    }

    fn is_full(&self) -> bool {
        self.ready() >= BACKUP_STEP_BYTES
    }
}
