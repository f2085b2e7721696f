//! Changes of the group, as values and as the bytes of a log entry.
//!
//! Invariants
//! - A change's bytes are the protobuf encoding that the library parses on the leader that proposes it; the parser for
//!   what comes out of the log is ours, flat and bounded.
//! - A decoded change names no member 0 and has at most `RAFT_MEMBERS_MAX` steps; whether the group can take it is the
//!   library's to say.

use bytes::Bytes;
use raft::eraftpb;

use super::size::wide;

use crate::codec::{Malformed, Reader, put_varint};
use crate::limits::{RAFT_CHANGE_CONTEXT_BYTES_MAX, RAFT_MEMBERS_MAX};
use crate::types::MemberId;

/// What becomes of one member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// It gets a vote.
    AddVoter(MemberId),
    /// It leaves.
    Remove(MemberId),
    /// It receives the log without a vote.
    AddLearner(MemberId),
}

/// How the group passes through a change of several members.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Transition {
    /// One step is taken directly, several through joint consensus, which ends by itself.
    #[default]
    Auto,
    /// Joint consensus, which ends by itself.
    Implicit,
    /// Joint consensus, until an empty change ends it.
    Explicit,
}

/// A change of the group, to be proposed or taken from the log. An empty one ends joint consensus.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// How it is passed through.
    pub transition: Transition,
    /// What changes.
    pub steps: Vec<Step>,
    /// What the proposer wants to know when it is applied (names, addresses), opaque here.
    pub context: Bytes,
}

// Field numbers and enum values of the library's `ConfChangeV2`, in its protobuf encoding.
const TRANSITION: u64 = 1;
const STEP: u64 = 2;
const CONTEXT: u64 = 3;
const STEP_KIND: u64 = 1;
const STEP_MEMBER: u64 = 2;
const WIRE_VARINT: u64 = 0;
const WIRE_BYTES: u64 = 2;

impl Change {
    /// The bytes of an entry that makes this change.
    pub fn encode(&self) -> Bytes {
        assert!(self.steps.len() <= RAFT_MEMBERS_MAX, "{} steps in one change", self.steps.len());
        assert!(self.context.len() <= RAFT_CHANGE_CONTEXT_BYTES_MAX, "a context of {} bytes", self.context.len());
        let mut out = Vec::new();
        let transition = match self.transition {
            Transition::Auto => 0,
            Transition::Implicit => 1,
            Transition::Explicit => 2,
        };
        if transition != 0 {
            put_varint(&mut out, TRANSITION << 3 | WIRE_VARINT);
            put_varint(&mut out, transition);
        }
        for step in &self.steps {
            put_field_bytes(&mut out, STEP, &encode_step(*step));
        }
        if !self.context.is_empty() {
            put_field_bytes(&mut out, CONTEXT, &self.context);
        }
        Bytes::from(out)
    }

    /// The change that an entry's bytes are; no bytes are the empty change, which the library appends by itself.
    pub fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut change = Self::default();
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let tag = reader.varint()?;
            match (tag >> 3, tag & 7) {
                (TRANSITION, WIRE_VARINT) => {
                    change.transition = match reader.varint()? {
                        0 => Transition::Auto,
                        1 => Transition::Implicit,
                        2 => Transition::Explicit,
                        _ => return Err(Malformed),
                    };
                }
                (STEP, WIRE_BYTES) if change.steps.len() < RAFT_MEMBERS_MAX => {
                    change.steps.push(decode_step(read_field_bytes(&mut reader)?)?);
                }
                (CONTEXT, WIRE_BYTES) => change.context = bytes.slice_ref(read_field_bytes(&mut reader)?),
                _ => return Err(Malformed),
            }
        }
        if change.context.len() > RAFT_CHANGE_CONTEXT_BYTES_MAX {
            return Err(Malformed);
        }
        Ok(change)
    }

    /// As the library's type.
    pub(super) fn to_library(&self) -> eraftpb::ConfChangeV2 {
        let mut change = eraftpb::ConfChangeV2::default();
        change.set_transition(match self.transition {
            Transition::Auto => eraftpb::ConfChangeTransition::Auto,
            Transition::Implicit => eraftpb::ConfChangeTransition::Implicit,
            Transition::Explicit => eraftpb::ConfChangeTransition::Explicit,
        });
        for step in &self.steps {
            let (kind, member) = match *step {
                Step::AddVoter(member) => (eraftpb::ConfChangeType::AddNode, member),
                Step::Remove(member) => (eraftpb::ConfChangeType::RemoveNode, member),
                Step::AddLearner(member) => (eraftpb::ConfChangeType::AddLearnerNode, member),
            };
            let mut single = eraftpb::ConfChangeSingle::default();
            single.set_change_type(kind);
            single.node_id = member.0;
            change.mut_changes().push(single);
        }
        change
    }
}

fn encode_step(step: Step) -> Vec<u8> {
    let (kind, member) = match step {
        Step::AddVoter(member) => (0, member),
        Step::Remove(member) => (1, member),
        Step::AddLearner(member) => (2, member),
    };
    let mut out = Vec::new();
    if kind != 0 {
        put_varint(&mut out, STEP_KIND << 3 | WIRE_VARINT);
        put_varint(&mut out, kind);
    }
    assert!(member != MemberId(0), "no member has id 0");
    put_varint(&mut out, STEP_MEMBER << 3 | WIRE_VARINT);
    put_varint(&mut out, member.0);
    out
}

fn decode_step(bytes: &[u8]) -> Result<Step, Malformed> {
    let mut reader = Reader::new(bytes);
    let (mut kind, mut member) = (0, 0);
    while !reader.is_empty() {
        let tag = reader.varint()?;
        match (tag >> 3, tag & 7) {
            (STEP_KIND, WIRE_VARINT) => kind = reader.varint()?,
            (STEP_MEMBER, WIRE_VARINT) => member = reader.varint()?,
            _ => return Err(Malformed),
        }
    }
    match (kind, MemberId(member)) {
        (_, MemberId(0)) => Err(Malformed),
        (0, member) => Ok(Step::AddVoter(member)),
        (1, member) => Ok(Step::Remove(member)),
        (2, member) => Ok(Step::AddLearner(member)),
        _ => Err(Malformed),
    }
}

fn put_field_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | WIRE_BYTES);
    put_varint(out, wide(bytes.len()));
    out.extend_from_slice(bytes);
}

fn read_field_bytes<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    let length = usize::try_from(reader.varint()?).map_err(|_| Malformed)?;
    reader.bytes(length)
}

#[cfg(test)]
#[path = "change_tests.rs"]
mod tests;
