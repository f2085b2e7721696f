//! Txns: guards first, then every check, then the operations of the branches taken.
//!
//! Invariants
//! - The guards of nested txns are evaluated before any write, so which branches are taken is known at the start: the
//!   path, one boolean a txn in the order in which they are met.
//! - Nothing is written unless every operation on the path was checked against the store as it was.
//! - Recursion is as deep as the decoder lets messages nest.

use super::range::{header, range_at};
use super::write::{Want, Writer};
use super::{Error, Position, compare};
use crate::command::request_op::Request;
use crate::command::response_op::Response;
use crate::command::{
    PutRequest, PutResponse, RangeRequest, RangeResponse, RequestOp, ResponseHeader, ResponseOp, TxnRequest,
    TxnResponse,
};
use crate::tree::View;
use crate::types::Revision;

use super::bounds::KeyRange;

/// Which branch each txn takes, in the order in which a walk along the taken branches meets them.
struct Path {
    taken: Vec<bool>,
    next: usize,
}

impl Path {
    fn of(view: &View<'_>, request: &TxnRequest) -> Result<Self, Error> {
        let mut path = Self { taken: Vec::new(), next: 0 };
        path.extend(view, request)?;
        Ok(path)
    }

    fn extend(&mut self, view: &View<'_>, request: &TxnRequest) -> Result<(), Error> {
        let holds = compare::all_hold(view, &request.compare)?;
        self.taken.push(holds);
        for op in branch(request, holds) {
            if let Some(Request::RequestTxn(nested)) = &op.request {
                self.extend(view, nested)?;
            }
        }
        Ok(())
    }

    fn rewind(&mut self) {
        assert_eq!(self.next, self.taken.len(), "a walk meets every txn of the path");
        self.next = 0;
    }

    /// The operations of the next txn that a walk meets, and whether its guards held.
    fn enter<'a>(&mut self, request: &'a TxnRequest) -> (bool, &'a [RequestOp]) {
        assert!(self.next < self.taken.len(), "a walk meets no more txns than the path has");
        let holds = self.taken[self.next];
        self.next += 1;
        (holds, branch(request, holds))
    }
}

fn branch(request: &TxnRequest, holds: bool) -> &[RequestOp] {
    if holds { &request.success } else { &request.failure }
}

impl Writer<'_, '_> {
    /// Runs a txn as one command.
    pub fn txn(&mut self, request: &TxnRequest, want: Want) -> Result<TxnResponse, Error> {
        let mut path = Path::of(&self.view(), request)?;
        self.check_branch(request, &mut path, &mut Vec::new())?;
        path.rewind();
        assert_eq!(self.seen(), self.began(), "all checks stand before the first write");
        let before = self.counts.operations();
        let response = self.run_branch(request, &mut path, want)?;
        self.counts.txns += u64::from(self.counts.operations() > before + 1);
        path.rewind();
        self.finish();
        Ok(TxnResponse { header: None, ..response })
    }

    /// Checks the operations on the path; `deleted` holds the ranges that operations before have deleted by then.
    fn check_branch(
        &mut self,
        request: &TxnRequest,
        path: &mut Path,
        deleted: &mut Vec<KeyRange>,
    ) -> Result<(), Error> {
        let (_, ops) = path.enter(request);
        for op in ops {
            match &op.request {
                Some(Request::RequestRange(range)) => check_revision(range, self.began())?,
                Some(Request::RequestPut(put)) => {
                    self.check_put(put)?;
                    check_not_deleted(put, deleted)?;
                }
                Some(Request::RequestDeleteRange(delete)) => {
                    deleted.push(KeyRange::new(&delete.key, &delete.range_end));
                }
                Some(Request::RequestTxn(nested)) => self.check_branch(nested, path, deleted)?,
                None => {}
            }
        }
        Ok(())
    }

    fn run_branch(&mut self, request: &TxnRequest, path: &mut Path, want: Want) -> Result<TxnResponse, Error> {
        let (succeeded, ops) = path.enter(request);
        let mut responses = Vec::with_capacity(if want == Want::Answer { ops.len() } else { 0 });
        for op in ops {
            let response = self.run_op(op, path, want)?;
            if want == Want::Answer {
                responses.push(ResponseOp { response });
            }
        }
        // etcd fills the header of the outermost txn alone; those of nested ones are there and empty.
        Ok(TxnResponse { header: Some(ResponseHeader::default()), succeeded, responses })
    }

    fn run_op(&mut self, op: &RequestOp, path: &mut Path, want: Want) -> Result<Option<Response>, Error> {
        Ok(match &op.request {
            Some(Request::RequestRange(range)) => Some(Response::ResponseRange(self.run_range(range, want)?)),
            Some(Request::RequestPut(put)) => {
                let (revision, prev_kv) = self.put_checked(put, want)?;
                Some(Response::ResponsePut(PutResponse { header: header(revision), prev_kv }))
            }
            Some(Request::RequestDeleteRange(delete)) => {
                Some(Response::ResponseDeleteRange(self.delete_checked(delete, want)?))
            }
            Some(Request::RequestTxn(nested)) => Some(Response::ResponseTxn(self.run_branch(nested, path, want)?)),
            None => None,
        })
    }

    fn run_range(&mut self, request: &RangeRequest, want: Want) -> Result<RangeResponse, Error> {
        match want {
            Want::Answer => {
                self.counts.ranges += 1;
                range_at(&self.view(), self.seen(), request)
            }
            Want::Effect => Ok(RangeResponse::default()),
        }
    }
}

/// A range's revision is checked against the store as the txn found it, even if a write before the range would have
/// made the revision exist.
fn check_revision(request: &RangeRequest, began: Position) -> Result<(), Error> {
    let revision = Revision(request.revision);
    if revision.0 == 0 {
        Ok(())
    } else if revision > began.current {
        Err(Error::FutureRevision)
    } else if revision < began.compacted {
        Err(Error::Compacted)
    } else {
        Ok(())
    }
}

/// A put that keeps the value or lease of a key which the same txn deletes before: etcd's members crash on it, and
/// cannot come up again. Here it is the error that the missing key deserves.
fn check_not_deleted(request: &PutRequest, deleted: &[KeyRange]) -> Result<(), Error> {
    let keeps = request.ignore_value || request.ignore_lease;
    if keeps && deleted.iter().any(|range| range.contains(&request.key)) { Err(Error::KeyNotFound) } else { Ok(()) }
}

/// Answers a txn of ranges alone (`check::is_read_only`) from one root, without raft. The header carries the revision.
pub fn read_only_txn(view: &View<'_>, request: &TxnRequest) -> Result<TxnResponse, Error> {
    let position = Position::of(&view.stamp());
    let succeeded = compare::all_hold(view, &request.compare)?;
    let ops = branch(request, succeeded);
    let ranges = || {
        ops.iter().filter_map(|op| match &op.request {
            Some(Request::RequestRange(range)) => Some(range),
            Some(Request::RequestPut(_) | Request::RequestDeleteRange(_) | Request::RequestTxn(_)) | None => None,
        })
    };
    assert_eq!(ranges().count(), ops.len(), "a txn that writes must be replicated");
    for range in ranges() {
        check_revision(range, position)?;
    }
    let mut responses = Vec::with_capacity(ops.len());
    for range in ranges() {
        let response = range_at(view, position, range)?;
        responses.push(ResponseOp { response: Some(Response::ResponseRange(response)) });
    }
    Ok(TxnResponse { header: header(position.current), succeeded, responses })
}
