//! Reads parts out of segments: the one at a given place, and whatever stands after a place where the log breaks.
//!
//! Invariants
//! - Nothing here decides: it gives facts to recovery.
//! - Parts that an earlier recovery cut are not seen: their epoch is older than that of the part before, or older than
//!   the mark's epoch with a sequence that this epoch used anew.

use super::entry::Sequence;
use super::format::{PART_HEADER, PartHeader, Place, SegmentHeader};
use super::mark::Mark;
use super::name::{FileName, SegmentId};
use crate::limits::WAL_BLOCK_BYTES;
use crate::types::RaftIndex;

/// A segment that is needed, its header checked, its length as its header says.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    /// What its first block says.
    pub(super) header: SegmentHeader,
    /// The whole file.
    pub(super) bytes: &'a [u8],
}

impl View<'_> {
    /// The file's name.
    pub(super) fn file(&self) -> FileName {
        FileName::Segment(self.header.id)
    }

    fn blocks(&self) -> u64 {
        self.header.bytes / WAL_BLOCK_BYTES
    }
}

/// A part whose header was readable.
#[derive(Clone, Debug)]
pub(super) struct Part<'a> {
    /// Its header.
    pub(super) header: PartHeader,
    /// The chain after it.
    pub(super) chain: u64,
    /// Its records, if they match their checksum.
    pub(super) payload: Option<&'a [u8]>,
}

/// A place in the log and what was read up to there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor {
    /// Which of the segments.
    pub(super) view: usize,
    /// Where in it; its end is the start of the next.
    pub(super) offset: u64,
    /// The last part before this place and the chain after it; `None` if the log's first segments were released and no
    /// part was read yet.
    pub(super) last: Option<(Sequence, u64)>,
    /// The epoch of that part.
    pub(super) epoch: u64,
}

impl Cursor {
    /// The sequence of the part that should stand here; of the log's first, if that is not known.
    pub(super) fn expected(&self) -> Sequence {
        self.last.map_or(Sequence(1), |(sequence, _)| sequence.next())
    }
}

/// What stands after a place where the log breaks.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Evidence {
    /// A part with a higher sequence.
    pub(super) later: bool,
    /// One of them repeats a header of the last good part that is not that part's.
    pub(super) contradicted: bool,
    /// The furthest that one of them says was durable.
    pub(super) durable_through: Sequence,
    /// The highest end of the log that one of them names as durable.
    pub(super) durable_end: RaftIndex,
}

/// The segments of a log, in order and without gaps.
#[derive(Debug)]
pub(super) struct Scan<'a> {
    views: Vec<View<'a>>,
    mark: Option<Mark>,
}

impl<'a> Scan<'a> {
    /// A scan of these segments, the oldest needed one first.
    pub(super) fn new(views: Vec<View<'a>>, mark: Option<Mark>) -> Self {
        assert!(!views.is_empty(), "a log has a segment");
        let gap = |(a, b): (&View<'_>, &View<'_>)| a.header.id.next() != b.header.id;
        assert!(!views.iter().zip(views.iter().skip(1)).any(gap), "a gap between segments");
        assert!(views.iter().all(|view| u64::try_from(view.bytes.len()) == Ok(view.header.bytes)), "length checked");
        Self { views, mark }
    }

    /// The segments.
    pub(super) fn views(&self) -> &[View<'a>] {
        &self.views
    }

    /// The index of the view that holds a segment.
    pub(super) fn view_of(&self, id: SegmentId) -> Option<usize> {
        self.views.iter().position(|view| view.header.id == id)
    }

    /// The place itself, or the start of the next segment if it is the end of one; `None` after the last.
    pub(super) fn settle(&self, cursor: Cursor) -> Option<Cursor> {
        let view = &self.views[cursor.view];
        assert!(cursor.offset <= view.header.bytes, "a place beyond the segment");
        if cursor.offset < view.header.bytes {
            return Some(cursor);
        }
        let next = cursor.view + 1;
        (next < self.views.len()).then_some(Cursor { view: next, offset: WAL_BLOCK_BYTES, ..cursor })
    }

    /// The part at a settled place, if a header of this log and not a cut one stands there.
    pub(super) fn read(&self, cursor: &Cursor) -> Option<Part<'a>> {
        let view = &self.views[cursor.view];
        let place = Place { signature: view.header.signature, offset: cursor.offset };
        let at = usize::try_from(cursor.offset).ok()?;
        let bytes = view.bytes.get(at..)?;
        let (header, chain) = PartHeader::parse(bytes, place)?;
        if self.was_cut(&header, cursor) {
            return None;
        }
        let length = usize::try_from(header.payload_length).ok()?;
        let payload = bytes.get(PART_HEADER..).and_then(|rest| rest.get(..length));
        let intact = |payload: &&[u8]| place.payload_checksum(header.sequence, payload) == header.payload_checksum;
        let payload = payload.filter(intact);
        Some(Part { header, chain, payload })
    }

    /// Whether an earlier recovery cut this part. Each cut begins an epoch, and the mark that begins it is durable before
    /// its first part. So what was cut has an older epoch than the last good part; or that part is itself older than the
    /// cut, and then the mark's epoch began right after it.
    fn was_cut(&self, header: &PartHeader, cursor: &Cursor) -> bool {
        let by_mark = |mark: &Mark| header.epoch < mark.epoch && header.sequence >= mark.epoch_first;
        header.epoch < cursor.epoch || self.mark.as_ref().is_some_and(by_mark)
    }

    /// Whether the part at `cursor` continues the log as read so far, and agrees with the mark.
    pub(super) fn follows(&self, cursor: &Cursor, last: Option<&PartHeader>, part: &Part<'a>) -> bool {
        let header = &part.header;
        let chained =
            cursor.last.is_none_or(|(_, chain)| header.sequence == cursor.expected() && header.chain_before == chain);
        let group = match last {
            Some(last) if last.group_ends => header.group_first == header.sequence,
            Some(last) => header.group_first == last.group_first,
            None => cursor.last.is_none() || header.group_first == header.sequence,
        };
        chained && group && self.mark.as_ref().is_none_or(|mark| self.agrees(mark, cursor, part))
    }

    fn agrees(&self, mark: &Mark, cursor: &Cursor, part: &Part<'a>) -> bool {
        let header = &part.header;
        let epoch = header.epoch < mark.epoch || (header.epoch == mark.epoch && header.boot == mark.boot);
        let place = (self.views[cursor.view].header.id, cursor.offset + header.extent());
        let marked = header.sequence != mark.durable_through
            || (part.chain == mark.chain && header.end == mark.end && place == (mark.segment, mark.offset));
        epoch && marked
    }

    /// Looks at every block after the settled place `cursor`.
    pub(super) fn evidence_after(&self, cursor: &Cursor) -> Evidence {
        let mut evidence = Evidence::default();
        let first_block = cursor.offset / WAL_BLOCK_BYTES + 1;
        for (view, start) in
            (cursor.view..self.views.len()).zip(std::iter::once(first_block).chain(std::iter::repeat(1)))
        {
            for block in start..self.views[view].blocks() {
                let at = Cursor { view, offset: block * WAL_BLOCK_BYTES, ..*cursor };
                let Some(part) = self.read(&at) else { continue };
                if part.header.sequence > cursor.expected() {
                    evidence.add(&part.header, cursor);
                }
            }
        }
        evidence
    }
}

impl Evidence {
    fn add(&mut self, header: &PartHeader, cursor: &Cursor) {
        self.later = true;
        self.durable_through = self.durable_through.max(header.durable_through);
        if let Some(copy) = header.copy_of(header.durable_through) {
            self.durable_end = self.durable_end.max(copy.end.index);
        }
        if let Some((sequence, chain)) = cursor.last {
            self.contradicted |= header.copy_of(sequence).is_some_and(|copy| copy.chain != chain);
        }
    }
}
