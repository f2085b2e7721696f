//! A member for tests: the real store and applier behind no raft and no disk, each command durable at once.

use super::member::{Identity, Member, MemberStatus, ProposeError, ReadError};
use crate::apply::{Applier, CommittedEntry, Payload};
use crate::command::{BatchBuilder, Kind, Outcome};
use crate::lease::{self, Lessor, Renewal};
use crate::mvcc::{self, Progress, compact_step};
use crate::replica::{LeaseAnswer, LeaseAsk};
use crate::rpc::frame;
use crate::service::Watches;
use crate::tree::{Arena, Config, Pinned, Reader, Tree};
use crate::types::{BootNonce, ClusterId, MemberId, Now, RaftIndex, Revision, ShardId, Term};
use crate::watch;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

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
    watches: Watches,
    lessor: RefCell<Lessor>,
    ids: Cell<u64>,
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
        let mut lessor =
            Lessor::new(lease::Config { election_timeout: Duration::ZERO, checkpoints: false }, Vec::new());
        lessor.promote(Now(0));
        Self(Rc::new(Inner {
            watches: Watches::new(watch_config()),
            lessor: RefCell::new(lessor),
            ids: Cell::new(0x77),
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
        let applied = applier.apply(&mut self.0.tree.borrow_mut(), &[entry], |_| true, &mut answers).unwrap();
        for change in applied.into_lease_changes() {
            self.0.lessor.borrow_mut().on_change(Now(0), &change);
        }
        while self.0.watches.work(Now(0), &self.pin(), TERM) == Progress::More {}
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

    async fn lease(&self, ask: LeaseAsk) -> Result<LeaseAnswer, ProposeError> {
        let mut lessor = self.0.lessor.borrow_mut();
        Ok(match ask {
            LeaseAsk::Renew(id) => match lessor.renew(Now(0), id) {
                Renewal::Renewed(seconds) => LeaseAnswer::Renewed(seconds),
                Renewal::NotFound => LeaseAnswer::NotFound,
                other @ (Renewal::NotLeader | Renewal::Wait) => panic!("{other:?} at the beginning of time"),
            },
            LeaseAsk::Remaining(id) => {
                lessor.remaining(Now(0), id).map_or(LeaseAnswer::NotFound, LeaseAnswer::Remaining)
            }
            LeaseAsk::List => LeaseAnswer::Listed(lessor.list()),
        })
    }

    fn watches(&self) -> &Watches {
        &self.0.watches
    }

    fn now(&self) -> Now {
        Now(0)
    }

    fn next_id(&self) -> u64 {
        self.0.ids.set(self.0.ids.get() + 1);
        self.0.ids.get()
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

fn watch_config() -> watch::Config {
    watch::Config {
        cluster: ClusterId(0x0482_7a2e_19e1_44c7),
        member: MEMBER,
        frame_prefix: frame::prefix,
        fragment_bytes: 2 << 20,
        message_bytes_max: crate::limits::RESPONSE_BYTES_MAX,
        progress_interval: Duration::from_mins(10),
        bounds: watch::Bounds::default(),
        seed: 1,
    }
}
