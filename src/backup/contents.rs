//! A walk over all buckets of etcd's store, in the order of their names.
//!
//! Invariants
//! - Every bucket is shown, empty or not: etcd's own files have all of them.
//! - Between steps a walk holds places, never a borrow, and it stays with its root.
//! - What is held in memory of the buckets that grow, keys and leases, is one page of leases.

use super::error::Error;
use super::rows::{self, Member};
use crate::limits::BACKUP_LEASES_PER_STEP;
use crate::mvcc::{Progress, Rows, Walk, Work};
use crate::tree::View;
use crate::types::TxnId;

/// etcd's buckets, in the order of their names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bucket {
    Alarm,
    Auth,
    AuthRoles,
    AuthUsers,
    Cluster,
    Key,
    Lease,
    Members,
    MembersRemoved,
    Meta,
}

impl Bucket {
    pub(super) const ALL: [Self; 10] = [
        Self::Alarm,
        Self::Auth,
        Self::AuthRoles,
        Self::AuthUsers,
        Self::Cluster,
        Self::Key,
        Self::Lease,
        Self::Members,
        Self::MembersRemoved,
        Self::Meta,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Alarm => "alarm",
            Self::Auth => "auth",
            Self::AuthRoles => "authRoles",
            Self::AuthUsers => "authUsers",
            Self::Cluster => "cluster",
            Self::Key => "key",
            Self::Lease => "lease",
            Self::Members => "members",
            Self::MembersRemoved => "members_removed",
            Self::Meta => "meta",
        }
    }
}

/// What a walk shows its rows to.
pub(super) trait Sink {
    /// Whether values are looked at, or only their lengths.
    fn wants_values(&self) -> bool;

    /// A bucket begins.
    fn begin(&mut self, bucket: Bucket);

    /// The next row of the bucket. `put` appends the value, and may be called only if values are wanted.
    fn row(&mut self, key: &[u8], length: usize, put: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error>;

    /// The bucket has no more rows.
    fn end(&mut self, bucket: Bucket) -> Result<(), Error>;

    /// Whether the step is to end.
    fn is_full(&self) -> bool;
}

/// The walk.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    root: TxnId,
    members: Vec<Member>,
    /// Buckets that are through.
    through: usize,
    begun: bool,
    keys: Rows,
    /// The id from which leases are still to be shown.
    lease: Option<u64>,
}

impl Contents {
    /// Nothing shown yet. `members` are those of the cluster.
    pub(super) fn new(view: &View<'_>, members: Vec<Member>) -> Self {
        Self { root: view.txn(), members, through: 0, begun: false, keys: Rows::default(), lease: Some(0) }
    }

    /// The same from the beginning.
    pub(super) fn again(self) -> Self {
        Self { through: 0, begun: false, keys: Rows::default(), lease: Some(0), ..self }
    }

    /// Shows rows until they are all shown, the work is spent or the sink is full.
    pub(super) fn step(&mut self, view: &View<'_>, work: &mut Work, sink: &mut impl Sink) -> Result<Progress, Error> {
        assert_eq!(view.txn(), self.root, "a walk stays with its root");
        while let Some(bucket) = Bucket::ALL.get(self.through).copied() {
            if !std::mem::replace(&mut self.begun, true) {
                sink.begin(bucket);
            }
            if self.step_in(bucket, view, work, sink)? == Progress::More {
                return Ok(Progress::More);
            }
            sink.end(bucket)?;
            self.through += 1;
            self.begun = false;
        }
        Ok(Progress::Done)
    }

    fn step_in(
        &mut self,
        bucket: Bucket,
        view: &View<'_>,
        work: &mut Work,
        sink: &mut impl Sink,
    ) -> Result<Progress, Error> {
        let rows = match bucket {
            Bucket::Key => return self.show_keys(view, work, sink),
            Bucket::Lease => return self.show_leases(view, sink),
            Bucket::Alarm => rows::alarms(view)?,
            Bucket::Auth => rows::auth(),
            Bucket::Cluster => rows::cluster(view)?,
            Bucket::Members => rows::members(&self.members),
            Bucket::Meta => rows::meta(view, &self.members)?,
            // There are no users yet, and nobody was ever removed.
            Bucket::AuthRoles | Bucket::AuthUsers | Bucket::MembersRemoved => Vec::new(),
        };
        for (key, value) in rows {
            sink.row(&key, value.len(), |out| out.extend_from_slice(&value))?;
        }
        Ok(Progress::Done)
    }

    fn show_keys(&mut self, view: &View<'_>, work: &mut Work, sink: &mut impl Sink) -> Result<Progress, Error> {
        self.keys.step(view, work, |row| {
            let written = if sink.wants_values() { row.written()? } else { &[] };
            sink.row(row.key().bytes(), row.value_length(), |out| row.put_value(written, out))?;
            Ok(if sink.is_full() { Walk::Rest } else { Walk::On })
        })
    }

    fn show_leases(&mut self, view: &View<'_>, sink: &mut impl Sink) -> Result<Progress, Error> {
        let Some(from) = self.lease else { return Ok(Progress::Done) };
        let leases = crate::lease::page(view, from, BACKUP_LEASES_PER_STEP)?;
        for lease in &leases {
            let (key, value) = rows::lease(lease);
            sink.row(&key, value.len(), |out| out.extend_from_slice(&value))?;
        }
        let last = leases.last().filter(|_| leases.len() == BACKUP_LEASES_PER_STEP);
        self.lease = last.and_then(|last| last.id.0.cast_unsigned().checked_add(1));
        Ok(if self.lease.is_some() { Progress::More } else { Progress::Done })
    }
}
