//! Carries out a checkpoint of the tree: pages, barrier, meta, barrier. Runs on a blocking thread, because it takes a
//! while and nobody waits for it; so it goes slowly, in small pieces with rests between, and leaves the disk to the WAL.
//!
//! Invariants
//! - The meta page is written only after everything it refers to is durable.
//! - After any error nothing more is written: the old meta still names a whole tree, and the member stops.

use std::time::Duration;

use crate::disk::error::Error;
use crate::disk::map::TreeFile;
use crate::limits;
use crate::tree::{CheckpointPlan, GiveBack, Shared};
use crate::types::PageNumber;

/// Writes what `plan` says to `file`; when it returns `Ok`, the checkpoint is durable and the process's own copies of its
/// pages are given back: what is read of them from now on comes from the file, and is checked again. It rests for `pace`
/// after each piece.
pub fn run(file: &TreeFile, shared: &Shared, plan: &CheckpointPlan, pace: Duration) -> Result<(), Error> {
    let mut batch = Batch::new(file, pace);
    for range in plan.ranges() {
        for page in (range.first.0..range.end().0).map(PageNumber) {
            plan.write_page(page, batch.next(page)?);
        }
    }
    for (page, bytes) in plan.map_blocks() {
        *batch.next(page)? = *bytes;
    }
    batch.flush()?;
    file.sync()?;
    let (page, bytes) = plan.meta();
    file.write_pages(page, bytes)?;
    file.sync()?;
    let ranges: Vec<_> = plan.ranges().collect();
    for some in ranges.chunks(limits::ADVICE_RANGES_MAX) {
        // In this order: a copy of our own has no checksum to check.
        file.drop_private(some);
        some.iter().for_each(|range| shared.forget_verified(*range));
    }
    Ok(())
}

/// Gives the blocks of free pages back to the file system, and the process's own copies of them.
pub fn give_back(file: &TreeFile, space: &GiveBack) -> Result<(), Error> {
    for some in space.punch.chunks(limits::ADVICE_RANGES_MAX) {
        file.drop_private(some);
    }
    for range in &space.punch {
        file.punch(range.first, range.count)?;
    }
    if let Some(range) = space.truncate {
        file.drop_private(&[range]);
        file.shorten(range.first.0)?;
    }
    Ok(())
}

/// Pages on their way, gathered while they are neighbours.
struct Batch<'a> {
    file: &'a TreeFile,
    first: PageNumber,
    count: usize,
    pages: Vec<[u8; limits::PAGE_BYTES]>,
    pace: Duration,
    /// Pages written since the last rest.
    piece: usize,
}

impl<'a> Batch<'a> {
    fn new(file: &'a TreeFile, pace: Duration) -> Self {
        let pages = vec![[0; limits::PAGE_BYTES]; limits::CHECKPOINT_WRITE_PAGES];
        Self { file, first: PageNumber(0), count: 0, pages, pace, piece: 0 }
    }

    /// Room for `page`, to be filled before the next call.
    fn next(&mut self, page: PageNumber) -> Result<&mut [u8; limits::PAGE_BYTES], Error> {
        let gathered = u64::try_from(self.count).expect("a batch is small");
        if self.count == self.pages.len() || page.0 != self.first.0 + gathered {
            self.flush()?;
            self.first = page;
        }
        self.count += 1;
        Ok(&mut self.pages[self.count - 1])
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.count > 0 {
            self.file.write_pages(self.first, self.pages[..self.count].as_flattened())?;
            self.piece += self.count;
            self.count = 0;
            self.rest()?;
        }
        Ok(())
    }

    /// After a piece: waits until the disk has it, and a little longer. Else the barrier would have everything written at once,
    /// and each write of the WAL would stand behind it.
    fn rest(&mut self) -> Result<(), Error> {
        if self.piece >= limits::CHECKPOINT_PIECE_PAGES && !self.pace.is_zero() {
            self.piece = 0;
            self.file.write_back()?;
            pause(self.pace);
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a blocking thread of its own, not an executor")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}
