//! A range answered at once, as a message: for txns and other small answers. Large ones go through `Scan`.
//!
//! Invariants
//! - The pairs are the very bytes that a scan encodes; there is no second way to build an answer.

use bytes::Bytes;
use prost::Message;

use super::work::{Progress, Work};
use super::{Error, Position, Scan};
use crate::command::{RangeRequest, RangeResponse, ResponseHeader};
use crate::tree::View;
use crate::types::Revision;

/// Answers `request` from `view`. The header carries the revision alone.
pub fn range(view: &View<'_>, request: &RangeRequest) -> Result<RangeResponse, Error> {
    range_at(view, Position::of(&view.stamp()), request)
}

/// The same, for a reader within a txn that has written.
pub(super) fn range_at(view: &View<'_>, position: Position, request: &RangeRequest) -> Result<RangeResponse, Error> {
    let mut scan = Scan::at(view, position, request)?;
    let mut work = Work::unbounded();
    let mut encoded = Vec::new();
    let whole = scan.encode_whole(view, &mut encoded, usize::MAX, &mut work)?;
    let tail = match whole {
        Some(tail) => tail,
        None => {
            while scan.prepare(view, &mut work)? == Progress::More {}
            encoded.reserve(usize::try_from(scan.encoded_length()).unwrap_or(0));
            while scan.next_chunk(view, &mut encoded, usize::MAX, &mut work)? == Progress::More {}
            scan.tail()
        }
    };
    // Slices of the buffer, so each key and value was copied once, from its page.
    let pairs = RangeResponse::decode(Bytes::from(encoded)).expect("the encoder writes what prost reads");
    assert!(pairs.header.is_none() && !pairs.more && pairs.count == 0, "a scan encodes pairs alone");
    Ok(RangeResponse { header: header(scan.revision()), more: tail.more, count: tail.count, ..pairs })
}

/// The header of an answer inside a txn: the revision alone.
pub(super) fn header(revision: Revision) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision: revision.0, ..ResponseHeader::default() })
}
