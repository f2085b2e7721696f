//! A member for tests: the real store and applier behind no raft and no disk, each command durable at once.

use super::member::{Identity, Member, MemberStatus, ProposeError, ReadError};
use crate::apply::{Applier, CommittedEntry, Payload};
use crate::command::{BatchBuilder, Kind, Outcome};
use crate::mvcc::{self, Progress, compact_step};
use crate::tree::{Arena, Config, Pinned, Reader, Tree};
use crate::types::{BootNonce, ClusterId, MemberId, RaftIndex, Revision, ShardId, Term};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

const MEMBER: MemberId = MemberId(0x2e12_59d4_15f2_a040);
const NONCE: BootNonce = BootNonce(7);
const TERM: Term = Term(2);

struct Inner {
    tree: RefCell<Tree>,
    reader: Reader,
    identity: Identity,
    status: Cell<MemberStatus>,
    propose_error: RefCell<Option<ProposeError>>,
    read_error: Cell<Option<ReadError>>,
    barriers: Cell<u32>,
    damages: RefCell<Vec<mvcc::Error>>,
}

/// The fake. Clones are the same member.
#[derive(Clone)]
pub(crate) struct FakeMember(Rc<Inner>);

impl FakeMember {
    pub(crate) fn new() -> Self {
        const PAGES: u64 = 1 << 16;
        let tree = Tree::create(Arena::anonymous(PAGES), Config::default(), PAGES).unwrap();
        let identity = Identity {
            cluster_id: ClusterId(0x0482_7a2e_19e1_44c7),
            member_id: MEMBER,
            name: "fake".to_owned(),
            peer_urls: vec!["http://127.0.0.1:2380".to_owned()],
            client_urls: vec!["http://127.0.0.1:2379".to_owned()],
        };
        let status = MemberStatus {
            term: TERM,
            leader: MEMBER,
            committed: RaftIndex(0),
            applied: RaftIndex(0),
            file_bytes: 20_480,
            used_bytes: 16_384,
            quota_bytes: 2 << 30,
            ..MemberStatus::default()
        };
        Self(Rc::new(Inner {
            reader: tree.shared().reader(ShardId(0)),
            tree: RefCell::new(tree),
            identity,
            status: Cell::new(status),
            propose_error: RefCell::default(),
            read_error: Cell::default(),
            barriers: Cell::default(),
            damages: RefCell::default(),
        }))
    }

    /// Changes what the member says of itself.
    pub(crate) fn set_status(&self, change: impl FnOnce(&mut MemberStatus)) {
        let mut status = self.0.status.get();
        change(&mut status);
        self.0.status.set(status);
    }

    /// From now on proposals fail so.
    pub(crate) fn fail_proposals(&self, error: Option<ProposeError>) {
        *self.0.propose_error.borrow_mut() = error;
    }

    /// From now on barriers fail so.
    pub(crate) fn fail_reads(&self, error: Option<ReadError>) {
        self.0.read_error.set(error);
    }

    /// Barriers asked for so far.
    pub(crate) fn barriers(&self) -> u32 {
        self.0.barriers.get()
    }

    fn apply(&self, kind: Kind, payload: &[u8]) -> Result<Outcome, ProposeError> {
        let index = self.0.status.get().applied.next();
        let mut batch = BatchBuilder::new(MEMBER, NONCE, 1);
        batch.push(kind, payload);
        let entry = CommittedEntry { index, term: TERM, payload: Payload::Batch(batch.finish()) };
        let mut answers = Vec::new();
        let applier = Applier::new(MEMBER, NONCE);
        applier.apply(&mut self.0.tree.borrow_mut(), &[entry], |_| true, &mut answers).unwrap();
        self.set_status(|status| (status.committed, status.applied) = (index, index));
        answers.pop().unwrap().1.map_err(ProposeError::Request)
    }
}

impl Member for FakeMember {
    async fn propose(&self, kind: Kind, payload: Bytes) -> Result<Outcome, ProposeError> {
        glommio::executor().yield_now().await;
        if let Some(error) = self.0.propose_error.borrow().clone() {
            return Err(error);
        }
        self.apply(kind, &payload)
    }

    async fn read_barrier(&self) -> Result<(), ReadError> {
        self.0.barriers.set(self.0.barriers.get() + 1);
        glommio::executor().yield_now().await;
        self.0.read_error.get().map_or(Ok(()), Err)
    }

    async fn compaction_finished(&self, _: Revision) -> Result<(), ProposeError> {
        while compact_step(&mut self.0.tree.borrow_mut(), 100).unwrap() == Progress::More {
            glommio::executor().yield_now().await;
        }
        Ok(())
    }

    fn pin(&self) -> Pinned {
        self.0.reader.pin()
    }

    fn status(&self) -> MemberStatus {
        self.0.status.get()
    }

    fn on_damage(&self, error: &mvcc::Error) {
        self.0.damages.borrow_mut().push(error.clone());
    }

    fn identity(&self) -> &Identity {
        &self.0.identity
    }
}
