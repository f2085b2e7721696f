//! The ids, positions and times that several modules share. Newtypes, so that two of them cannot be swapped.
//!
//! Invariants
//! - `Now` is monotonic nanoseconds since the process (or the simulation) began; nothing here reads a clock.
//! - Positions order by strength: appended >= written >= durable >= committed >= applied.

use std::fmt;
use std::time::Duration;

macro_rules! newtype {
    ($(#[$doc:meta])* $name:ident($inner:ty), $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, $format, self.0)
            }
        }
    };
}

newtype!(
    /// etcd's main revision: one for each replicated write that changed a key. An empty store stands at 1.
    /// Signed because the wire's is; never negative inside.
    Revision(i64), "{}");
newtype!(
    /// An index in raft's log, from 1; 0 is "before the first entry".
    RaftIndex(u64), "{}");
newtype!(
    /// A raft term; 0 is "none yet".
    Term(u64), "{}");
newtype!(
    /// A member's id, derived as etcd derives it; never 0 for a member that exists.
    MemberId(u64), "{:x}");
newtype!(
    /// A cluster's id, derived as etcd derives it.
    ClusterId(u64), "{:x}");
newtype!(
    /// A lease's id; 0 is "no lease".
    LeaseId(i64), "{:x}");
newtype!(
    /// A page of the tree file: byte offset / 4096.
    PageNumber(u64), "{}");
newtype!(
    /// The number of a tree transaction: each published root has the next one.
    TxnId(u64), "{}");
newtype!(
    /// One executor of the process, from 0.
    ShardId(usize), "{}");
newtype!(
    /// Drawn at each start of a member: tells this run's proposals and read contexts from those of earlier runs.
    BootNonce(u64), "{:x}");
newtype!(
    /// Monotonic time, nanoseconds since the process began.
    Now(u64), "{}");

impl Revision {
    /// The revision after this one.
    ///
    /// # Panics
    /// At `i64::MAX`, which a store that writes a million revisions a second reaches in 290,000 years.
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("revisions do not run out"))
    }
}

impl RaftIndex {
    /// The index after this one.
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("raft indexes do not run out"))
    }
}

impl TxnId {
    /// The transaction after this one.
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("transaction ids do not run out"))
    }
}

impl Now {
    /// This time plus `duration`, saturating.
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` until this, or zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}
