//! HashKV: the checksum over the history that etcd's members compare, the same number as etcd's.
//!
//! etcd computes a checksum when it compacts, over the rows up to the compacted revision before it removes any, and
//! answers with the last ten of those whenever exactly their revision is asked for; with the bound that the compaction
//! before had left, even when the revision is compacted by now. It forgets them when it stops. So do we; but what etcd
//! answers by chance while the compaction runs, we answer from its beginning.
//!
//! Invariants
//! - The rule of what counts is in `history`; here is which stretch of history is meant.
//! - Between steps a hash holds a place in history, never a borrow, and it stays with its root.

use super::compact::Compaction;
use super::history::{History, Purpose};
use super::remembered;
use super::work::Work;
use super::{Error, Position};
use crate::tree::View;
use crate::types::{Revision, TxnId};

/// The answer to HashKV.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KvHash {
    /// The checksum.
    pub hash: u32,
    /// The lower bound: the compacted revision, -1 before the first compaction.
    pub compact_revision: Revision,
    /// The revision that the checksum is for.
    pub hash_revision: Revision,
}

/// A hash in progress.
#[derive(Debug)]
pub struct HashKv {
    root: TxnId,
    state: State,
}

#[derive(Debug)]
enum State {
    Known(KvHash),
    Reading(History),
}

impl HashKv {
    /// Checks the revision asked for: 0 is the current one.
    pub fn new(view: &View<'_>, revision: Revision) -> Result<Self, Error> {
        let root = view.txn();
        if let Some(known) = remembered::find(view, revision)? {
            return Ok(Self { root, state: State::Known(known) });
        }
        if let Some(bound) = Compaction::of(view)?.hashing_from(revision) {
            let state = State::Reading(History::new(Purpose::Compaction, bound, revision));
            return Ok(Self { root, state });
        }
        let position = Position::of(&view.stamp());
        if revision.0 > 0 && revision < position.compacted {
            return Err(Error::Compacted);
        }
        if revision > position.current {
            return Err(Error::FutureRevision);
        }
        // etcd lets negative revisions through: no row is that old, and the checksum is the bucket's name's.
        let revision = if revision.0 == 0 { position.current } else { revision };
        Ok(Self { root, state: State::Reading(History::new(Purpose::Answer, position.compacted, revision)) })
    }

    /// Goes on until the result is there or the work is spent.
    pub fn step(&mut self, view: &View<'_>, work: &mut Work) -> Result<Option<KvHash>, Error> {
        assert_eq!(view.txn(), self.root, "a hash stays with its root");
        let history = match &mut self.state {
            State::Known(known) => return Ok(Some(*known)),
            State::Reading(history) => history,
        };
        let Some(hash) = history.step(view, work)? else { return Ok(None) };
        let known = KvHash { hash, compact_revision: history.lower, hash_revision: history.revision };
        self.state = State::Known(known);
        Ok(Some(known))
    }
}
