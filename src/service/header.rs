//! The header of every answer: who gives it, at which revision, in which term.

use super::member::Member;
use crate::mvcc::Position;
use crate::proto::etcdserverpb::ResponseHeader;
use crate::tree::Pinned;
use crate::types::Revision;

/// The header of an answer at a revision.
pub(super) fn at(member: &impl Member, revision: Revision) -> ResponseHeader {
    let identity = member.identity();
    ResponseHeader {
        cluster_id: identity.cluster_id.0,
        member_id: identity.member_id.0,
        revision: revision.0,
        raft_term: member.status().term.0,
    }
}

/// The header of an answer that has no revision of its own: the store's present one.
pub(super) fn now(member: &impl Member) -> ResponseHeader {
    at(member, revision(&member.pin()))
}

/// The revision that a root stands at.
pub(super) fn revision(pinned: &Pinned) -> Revision {
    Position::of(&pinned.view().stamp()).current
}
