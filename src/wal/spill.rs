//! Pours a group's bytes into the buffers of its parts, one after the other.
//!
//! Invariants
//! - Each buffer begins with room for a header and ends with zeros up to a whole block.
//! - A buffer is allocated once, at its full size.

use super::format::{BLOCK, PART_HEADER};
use super::segment::Extent;
use super::size::in_memory;

/// Buffers that are being filled.
#[derive(Debug)]
pub(super) struct Spill<'a> {
    /// Of the parts after the current one.
    extents: std::slice::Iter<'a, Extent>,
    full: Vec<Vec<u8>>,
    current: Vec<u8>,
    /// Bytes of records that the current buffer still takes.
    room: usize,
}

impl<'a> Spill<'a> {
    /// Empty buffers for these places, at least one.
    pub(super) fn new(extents: &'a [Extent]) -> Self {
        assert!(!extents.is_empty(), "a group has a part");
        let full = Vec::with_capacity(extents.len());
        let mut spill = Self { extents: extents.iter(), full, current: Vec::new(), room: 0 };
        spill.open();
        spill
    }

    fn open(&mut self) {
        if let Some(extent) = self.extents.next() {
            self.room = in_memory(extent.payload);
            self.current = Vec::with_capacity(in_memory(extent.bytes));
            self.current.resize(PART_HEADER, 0);
        }
    }

    fn close(&mut self) {
        assert_eq!(self.room, 0, "a part is filled before the next");
        let mut buffer = std::mem::take(&mut self.current);
        buffer.resize(buffer.len().next_multiple_of(BLOCK), 0);
        self.full.push(buffer);
    }

    /// The next bytes of the group.
    #[inline]
    pub(super) fn put(&mut self, piece: &[u8]) {
        if piece.len() <= self.room {
            self.current.extend_from_slice(piece);
            self.room -= piece.len();
        } else {
            self.put_over(piece);
        }
    }

    #[cold]
    fn put_over(&mut self, mut piece: &[u8]) {
        while piece.len() > self.room {
            let (now, later) = piece.split_at(self.room);
            self.current.extend_from_slice(now);
            self.room = 0;
            self.close();
            assert!(!self.extents.as_slice().is_empty(), "the group fits its parts");
            self.open();
            piece = later;
        }
        self.put(piece);
    }

    /// The buffers, padded to whole blocks.
    pub(super) fn finish(mut self) -> Vec<Vec<u8>> {
        self.close();
        assert!(self.extents.as_slice().is_empty(), "every part is filled");
        self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::name::SegmentId;

    #[test]
    fn bytes_cross_parts_anywhere() {
        let extent = |payload: u64| Extent { id: SegmentId(1), signature: 0, offset: 4096, bytes: 4096, payload };
        let bytes: Vec<u8> = (0..=255).cycle().take(3584 + 3584 + 100).collect();
        let extents = [extent(3584), extent(3584), extent(100)];
        for step in [1, 21, 1000, 3584, 5000, bytes.len()] {
            let mut spill = Spill::new(&extents);
            bytes.chunks(step).for_each(|piece| spill.put(piece));
            let buffers = spill.finish();
            assert!(buffers.iter().all(|buffer| buffer.len() == BLOCK), "step {step}");
            let poured: Vec<u8> = buffers.iter().flat_map(|buffer| &buffer[PART_HEADER..]).copied().collect();
            assert_eq!(poured[..bytes.len()], bytes, "step {step}");
            assert!(poured[bytes.len()..].iter().all(|byte| *byte == 0), "step {step}");
        }
    }
}
