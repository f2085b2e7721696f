//! Puts the files of a WAL directory in order: which segments are needed, which are left over, and what is not ours.
//!
//! Invariants
//! - The needed segments are there without a gap from the oldest that the mark names to at least the one in which its
//!   durable part ends, each with its own header and its full length.

use super::entry::Identity;
use super::error::{Error, What};
use super::format::{NUMBER_MAX, SegmentFlaw, SegmentHeader};
use super::input::RecoverInput;
use super::mark::Mark;
use super::name::{FileName, SegmentId};
use super::scan::View;
use super::segment::{Segment, State};
use crate::limits;
use crate::types::RaftIndex;

/// The files, in order.
#[derive(Debug)]
pub(super) struct Lineup<'a> {
    /// The durable mark, if it is readable.
    pub(super) mark: Option<Mark>,
    /// The needed segments and the spare ones after them.
    pub(super) views: Vec<View<'a>>,
    /// Released segments that can be recycled.
    pub(super) released: Vec<Segment>,
    /// Files that are of no use.
    pub(super) removable: Vec<FileName>,
    /// What was odd but harmless.
    pub(super) notes: Vec<String>,
}

/// Puts the files in order, or says which one makes that impossible.
pub(super) fn line_up<'a>(input: &RecoverInput<'a>) -> Result<Lineup<'a>, Error> {
    let mark = read_mark(input)?;
    let mut lineup = Lineup { mark, views: Vec::new(), released: Vec::new(), removable: Vec::new(), notes: Vec::new() };
    let mut segments = Vec::new();
    for (name, bytes) in &input.files {
        match FileName::parse(name) {
            Some(FileName::Segment(id)) => segments.push((id, *bytes)),
            Some(file @ FileName::Temporary(_)) => lineup.removable.push(file),
            Some(FileName::Mark) => {}
            None => lineup.notes.push(format!("{name:?} is not a file of the WAL and is left alone")),
        }
    }
    segments.sort_by_key(|(id, _)| *id);
    let oldest = mark.map_or(SegmentId(1), |mark| mark.oldest);
    for (id, bytes) in segments {
        // Without a mark all segments are looked at, to find out whether the log was in use.
        if mark.is_some() && id < oldest {
            lineup.add_released(input, id, bytes);
        } else {
            let view = check_segment(input.identity, id, bytes)?;
            lineup.views.push(view);
        }
    }
    lineup.check_gaps(oldest)?;
    Ok(lineup)
}

fn read_mark(input: &RecoverInput<'_>) -> Result<Option<Mark>, Error> {
    let unknown = |(offset, version)| Error::new(FileName::Mark, offset, What::UnknownVersion(version));
    let mark = Mark::choose(input.mark).map_err(unknown)?;
    if let Some(mark) = mark {
        check_identity(FileName::Mark, input.identity, mark.identity)?;
    }
    Ok(mark)
}

fn check_identity(file: FileName, expected: Identity, found: Identity) -> Result<(), Error> {
    if found.cluster != expected.cluster {
        let what = What::WrongCluster { found: found.cluster, expected: expected.cluster };
        return Err(Error::new(file, 0, what));
    }
    if found.member != expected.member {
        let what = What::WrongMember { found: found.member, expected: expected.member };
        return Err(Error::new(file, 0, what));
    }
    Ok(())
}

fn check_segment(identity: Identity, id: SegmentId, bytes: &[u8]) -> Result<View<'_>, Error> {
    let file = FileName::Segment(id);
    let refuse = |what| Error::new(file, 0, what);
    let header = SegmentHeader::parse(bytes).map_err(|flaw| {
        refuse(match flaw {
            SegmentFlaw::NotASegment => What::NotASegment,
            SegmentFlaw::Version(version) => What::UnknownVersion(version),
            SegmentFlaw::Checksum => What::HeaderDamaged,
        })
    })?;
    check_identity(file, identity, header.identity)?;
    if header.id != id {
        return Err(refuse(What::WrongNumber(header.id)));
    }
    let found = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if found != header.bytes {
        return Err(refuse(What::WrongLength { expected: header.bytes, found }));
    }
    let sizes = limits::WAL_SEGMENT_BYTES_MIN..=limits::WAL_SEGMENT_BYTES_MAX;
    let sane = sizes.contains(&header.bytes) && header.bytes.is_multiple_of(limits::WAL_BLOCK_BYTES);
    if !sane || id.0 > NUMBER_MAX {
        return Err(refuse(What::HeaderDamaged));
    }
    Ok(View { header, bytes })
}

impl Lineup<'_> {
    /// A segment that the mark does not need: kept for recycling if it is whole, else removed. Nothing in it matters.
    fn add_released(&mut self, input: &RecoverInput<'_>, id: SegmentId, bytes: &[u8]) {
        match check_segment(input.identity, id, bytes) {
            Ok(view) => {
                let SegmentHeader { signature, bytes, .. } = view.header;
                let (index_max, state) = (RaftIndex::default(), State::Released);
                self.released.push(Segment { id, signature, bytes, index_max, state });
            }
            Err(error) => {
                self.notes.push(format!("{}, which is no longer needed, is removed: {}", error.file, error.what));
                self.removable.push(error.file);
            }
        }
    }

    fn check_gaps(&self, oldest: SegmentId) -> Result<(), Error> {
        let missing = |id| Err(Error::new(FileName::Segment(id), 0, What::Missing));
        let mut expected =
            if self.mark.is_some() { oldest } else { self.views.first().map_or(oldest, |view| view.header.id) };
        for view in &self.views {
            if view.header.id != expected {
                return missing(expected);
            }
            expected = expected.next();
        }
        match self.mark {
            Some(mark) if mark.segment >= expected => missing(expected),
            Some(_) => Ok(()),
            None if self.views.is_empty() => missing(oldest),
            None => Ok(()),
        }
    }
}
