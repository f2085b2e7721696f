//! The member as one shard's services see it: writes and barriers go through the shard's front, reads come straight from
//! the tree.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use crate::command::{Kind, Outcome};
use crate::disk::open::Paths;
use crate::metrics::{self, Registry};
use crate::replica::{LeaseAnswer, LeaseAsk, Refusal, TimeoutCause};
use crate::service::{Access, Identity, Member, MemberStatus, ProposeError, ReadError, Timeout, Watches};
use crate::shard::clock::Clock;
use crate::shard::front::Front;
use crate::shard::mesh::Board;
use crate::shard::report::DamageLog;
use crate::tls::Keeper;
use crate::tree::{Pinned, Reader};
use crate::types::{Now, Revision, ShardId};
use crate::{log, mvcc, watch};

/// What is the same for every shard.
#[derive(Clone, Debug)]
pub struct Common {
    /// Who the member is.
    pub identity: Identity,
    /// What the replica publishes of itself.
    pub board: Arc<Board>,
    /// Bytes that the tree's pages in use may take.
    pub quota_bytes: u64,
    /// Where its files are, for what is told of them.
    pub paths: Paths,
    /// The process's log.
    pub logger: log::Logger,
    /// The bounds and words of watchers.
    pub watch: watch::Config,
    /// What all shards count.
    pub registry: Arc<Registry>,
    /// Certificates of the listeners, if any takes TLS.
    pub tls: Option<Arc<Keeper>>,
    /// Who may call over HTTP.
    pub access: Access,
}

/// Cheap to clone: one for each connection.
#[derive(Clone, Debug)]
pub(super) struct LocalMember(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    front: Rc<Front>,
    reader: Reader,
    common: Common,
    watches: Watches,
    clock: Clock,
    damage: DamageLog,
    cells: Arc<metrics::Front>,
}

impl LocalMember {
    /// The member as seen through `front` of `shard`, with `reader` for its reads.
    pub(super) fn new(front: Rc<Front>, reader: Reader, common: Common, shard: ShardId) -> Self {
        let cells = Arc::clone(common.registry.front(shard));
        let damage = DamageLog::new(common.logger.clone(), &common.paths.tree);
        let (clock, watches) = (Clock::start(), Watches::new(common.watch.clone()));
        Self(Rc::new(Inner { front, reader, common, watches, clock, damage, cells }))
    }
}

impl LocalMember {
    /// What this shard counts.
    pub(super) fn cells(&self) -> &metrics::Front {
        &self.0.cells
    }
}

impl Member for LocalMember {
    async fn propose(&self, kind: Kind, payload: Bytes) -> Result<Outcome, ProposeError> {
        self.0.front.propose(kind, payload).await.map_err(|refusal| {
            // What was refused at once was no proposal yet.
            if matches!(refusal, Refusal::Timeout(_) | Refusal::Stopped) {
                self.0.cells.proposals_failed.count();
            }
            propose_error(refusal)
        })
    }

    async fn read_barrier(&self) -> Result<(), ReadError> {
        self.0.front.read_barrier().await.map_err(|refusal| {
            self.0.cells.reads_failed.count();
            read_error(&refusal)
        })
    }

    /// The replica answers a physical compaction only when its rows are gone, so the outcome was the proof.
    async fn compaction_finished(&self, _through: Revision) -> Result<(), ProposeError> {
        Ok(())
    }

    fn lease(&self, ask: LeaseAsk) -> impl Future<Output = Result<LeaseAnswer, ProposeError>> {
        let answer = self.0.front.lease(ask);
        async { answer.await.ok_or(ProposeError::Stopped) }
    }

    fn watches(&self) -> &Watches {
        &self.0.watches
    }

    fn now(&self) -> Now {
        self.0.clock.now()
    }

    fn next_id(&self) -> u64 {
        self.0.common.board.next_id()
    }

    fn pin(&self) -> Pinned {
        self.0.reader.pin()
    }

    fn status(&self) -> MemberStatus {
        let reading = self.0.common.board.read();
        MemberStatus {
            term: reading.term,
            leader: reading.leader,
            committed: reading.committed,
            applied: reading.applied,
            file_bytes: reading.file_bytes,
            used_bytes: reading.used_bytes,
            quota_bytes: self.0.common.quota_bytes,
            is_learner: false,
        }
    }

    fn on_damage(&self, error: &mvcc::Error) {
        self.0.damage.tell(error);
    }

    fn logger(&self) -> Option<&log::Logger> {
        Some(&self.0.common.logger)
    }

    fn identity(&self) -> &Identity {
        &self.0.common.identity
    }
}

fn timeout(cause: TimeoutCause) -> Timeout {
    match cause {
        TimeoutCause::Plain => Timeout::Plain,
        TimeoutCause::LeaderFailed => Timeout::LeaderFailed,
        TimeoutCause::ConnectionLost => Timeout::ConnectionLost,
    }
}

fn propose_error(refusal: Refusal) -> ProposeError {
    match refusal {
        Refusal::Request(error) => ProposeError::Request(error),
        Refusal::NoSpace => ProposeError::NoSpace,
        Refusal::TooManyRequests => ProposeError::TooManyRequests,
        Refusal::Timeout(cause) => ProposeError::Timeout(timeout(cause)),
        Refusal::Stopped => ProposeError::Stopped,
    }
}

fn read_error(refusal: &Refusal) -> ReadError {
    match refusal {
        Refusal::Timeout(cause) => ReadError::Timeout(timeout(*cause)),
        // A read is never refused for what only writes need.
        Refusal::Request(_) | Refusal::NoSpace | Refusal::TooManyRequests | Refusal::Stopped => ReadError::Stopped,
    }
}
