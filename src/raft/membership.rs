//! Who belongs to the group, as a value and as bytes.
//!
//! Invariants
//! - A `Membership` that exists is valid: lists sorted, without doubles and without id 0, voters not empty, nobody both
//!   voter and learner, next learners only among outgoing voters. The library is never handed another.
//!
//! Must not know: names and addresses of members, where these bytes are stored.

use raft::eraftpb;

use super::size::wide;

use crate::codec::{Malformed, Reader, put_varint};
use crate::limits::RAFT_MEMBERS_MAX;
use crate::types::MemberId;

/// Version of `Membership`'s bytes.
const VERSION: u8 = 1;

/// The members of the group and their roles.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Membership {
    voters: Vec<MemberId>,
    learners: Vec<MemberId>,
    voters_outgoing: Vec<MemberId>,
    learners_next: Vec<MemberId>,
    auto_leave: bool,
}

impl Membership {
    /// A group of voters, as a new cluster begins. `None` when the list is empty, too long, or has doubles or an id 0.
    pub fn of_voters(voters: &[MemberId]) -> Option<Self> {
        let mut voters = voters.to_vec();
        voters.sort_unstable();
        let membership = Self {
            voters,
            learners: Vec::new(),
            voters_outgoing: Vec::new(),
            learners_next: Vec::new(),
            auto_leave: false,
        };
        membership.is_valid().then_some(membership)
    }

    /// Those whose votes count, in ascending order. While a change is under way (joint consensus), the incoming side.
    pub fn voters(&self) -> &[MemberId] {
        &self.voters
    }

    /// Those who receive the log without a vote, in ascending order.
    pub fn learners(&self) -> &[MemberId] {
        &self.learners
    }

    /// Whether `member` has a vote, on either side of a change.
    pub fn is_voter(&self, member: MemberId) -> bool {
        self.voters.contains(&member) || self.voters_outgoing.contains(&member)
    }

    /// Whether `member` belongs to the group at all.
    pub fn contains(&self, member: MemberId) -> bool {
        self.is_voter(member) || self.learners.contains(&member)
    }

    /// Whether there is one member only: nobody to send to or to wait for.
    pub fn is_alone(&self) -> bool {
        self.voters.len() == 1 && self.learners.is_empty() && self.voters_outgoing.is_empty()
    }

    /// The bytes that the store keeps.
    pub fn encode(&self) -> Vec<u8> {
        assert!(self.is_valid(), "only valid memberships exist: {self:?}");
        let mut out = vec![VERSION, u8::from(self.auto_leave)];
        for list in [&self.voters, &self.learners, &self.voters_outgoing, &self.learners_next] {
            put_varint(&mut out, wide(list.len()));
            for member in list {
                out.extend_from_slice(&member.0.to_le_bytes());
            }
        }
        out
    }

    /// The membership that `bytes` are.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(Malformed);
        }
        let auto_leave = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(Malformed),
        };
        let membership = Self {
            voters: read_members(&mut reader)?,
            learners: read_members(&mut reader)?,
            voters_outgoing: read_members(&mut reader)?,
            learners_next: read_members(&mut reader)?,
            auto_leave,
        };
        if !reader.is_empty() || !membership.is_valid() {
            return Err(Malformed);
        }
        Ok(membership)
    }

    /// As the library's type.
    pub(super) fn to_library(&self) -> eraftpb::ConfState {
        assert!(self.is_valid(), "only valid memberships exist: {self:?}");
        let ids = |list: &[MemberId]| list.iter().map(|member| member.0).collect();
        eraftpb::ConfState {
            voters: ids(&self.voters),
            learners: ids(&self.learners),
            voters_outgoing: ids(&self.voters_outgoing),
            learners_next: ids(&self.learners_next),
            auto_leave: self.auto_leave,
            ..Default::default()
        }
    }

    /// From the library's type, whose lists come in the order of its hash tables.
    pub(super) fn from_library(state: &eraftpb::ConfState) -> Self {
        let sorted = |list: &[u64]| {
            let mut members: Vec<_> = list.iter().copied().map(MemberId).collect();
            members.sort_unstable();
            members
        };
        let membership = Self {
            voters: sorted(&state.voters),
            learners: sorted(&state.learners),
            voters_outgoing: sorted(&state.voters_outgoing),
            learners_next: sorted(&state.learners_next),
            auto_leave: state.auto_leave,
        };
        assert!(membership.is_valid(), "the library keeps its configurations valid: {membership:?}");
        membership
    }

    fn is_valid(&self) -> bool {
        let lists = [&self.voters, &self.learners, &self.voters_outgoing, &self.learners_next];
        let ascending = |list: &&Vec<MemberId>| {
            list.len() <= RAFT_MEMBERS_MAX
                && list.first().is_none_or(|first| *first > MemberId(0))
                && list.windows(2).all(|pair| pair[0] < pair[1])
        };
        lists.iter().all(ascending)
            && !self.voters.is_empty()
            && !self.learners.iter().any(|member| self.is_voter(*member))
            && self.learners_next.iter().all(|member| self.voters_outgoing.contains(member))
            && !self.learners_next.iter().any(|member| self.voters.contains(member))
            && (!self.auto_leave || !self.voters_outgoing.is_empty())
    }
}

fn read_members(reader: &mut Reader<'_>) -> Result<Vec<MemberId>, Malformed> {
    let count = usize::try_from(reader.varint()?).map_err(|_| Malformed)?;
    if count > RAFT_MEMBERS_MAX {
        return Err(Malformed);
    }
    (0..count).map(|_| reader.u64().map(MemberId)).collect()
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
