//! The checksum over everything, as `Maintenance.Hash` tells it: that of the file a snapshot would be, by etcd's rule.
//!
//! The rule: CRC-32C over the name of each bucket and key and value of each of its rows, but not over the rows of `meta`
//! that say how far the log was applied and which version wrote.

use super::contents::{Bucket, Contents, Sink};
use super::error::Error;
use super::rows::Member;
use crate::codec::crc32c;
use crate::mvcc::{Progress, Work};
use crate::tree::View;

const IGNORED: [&[u8]; 3] = [b"consistent_index", b"storageVersion", b"term"];

/// A checksum in progress.
#[derive(Debug)]
pub struct Hashing {
    contents: Contents,
    sum: Sum,
}

#[derive(Debug)]
struct Sum {
    bucket: Bucket,
    checksum: u32,
    value: Vec<u8>,
}

impl Hashing {
    /// For what `view` shows in a cluster of these members.
    pub fn new(view: &View<'_>, members: Vec<Member>) -> Self {
        let sum = Sum { bucket: Bucket::Alarm, checksum: 0, value: Vec::new() };
        Self { contents: Contents::new(view, members), sum }
    }

    /// Goes on until the work is spent; the checksum at the end.
    pub fn step(&mut self, view: &View<'_>, work: &mut Work) -> Result<Option<u32>, Error> {
        let progress = self.contents.step(view, work, &mut self.sum)?;
        Ok((progress == Progress::Done).then_some(self.sum.checksum))
    }
}

impl Sink for Sum {
    fn wants_values(&self) -> bool {
        true
    }

    fn begin(&mut self, bucket: Bucket) {
        self.bucket = bucket;
        self.checksum = crc32c(self.checksum, bucket.name().as_bytes());
    }

    fn row(&mut self, key: &[u8], _: usize, put: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        if self.bucket == Bucket::Meta && IGNORED.contains(&key) {
            return Ok(());
        }
        self.value.clear();
        put(&mut self.value);
        self.checksum = crc32c(crc32c(self.checksum, key), &self.value);
        Ok(())
    }

    fn end(&mut self, _: Bucket) -> Result<(), Error> {
        Ok(())
    }

    fn is_full(&self) -> bool {
        false
    }
}
