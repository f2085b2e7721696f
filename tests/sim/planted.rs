//! Bugs planted in the simulator's own shell, to show that the checks find such bugs. Each says what it breaks and what
//! must name it; `tests/sim/BUGS.md` lists them with the seeds they take, and the ones that live inside the product's
//! code and are therefore kept as patches.

/// One planted bug of the shell. The product's code is untouched by all of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bug {
    /// A WAL write is reported done when it is issued; the bytes follow later.
    AnswerBeforeDurable,
    /// The same, on members that are not the leader: an acknowledgement to the leader that a crash takes back.
    FollowerAcknowledgesEarly,
    /// Appends that carry only a hard state (a vote) are reported done and never written.
    VoteNotPersisted,
    /// A group's last blocks are not written, and success is reported.
    ShortWriteTaken,
    /// Groups are reported done in the order they were issued, when the newest is, whatever the older ones did.
    LaterGroupCoversEarlier,
    /// The durable mark is never written.
    MarkNeverWritten,
    /// A recycled segment keeps its old header and the old bytes.
    RecycledWithoutHeader,
    /// Checkpoints write the meta page before the pages it names.
    MetaBeforePages,
    /// Checkpoints write pages and meta without a barrier between them.
    NoBarrierBeforeMeta,
    /// A checkpoint is reported done when it begins.
    CheckpointDoneEarly,
    /// A checkpoint leaves one page out.
    PageNotWritten,
    /// Linearizable reads are answered without asking for a read index.
    ReadWithoutIndex,
    /// Segments are removed when the checkpoint that covers them begins.
    SegmentsReleasedEarly,
    /// A member restarts with the tree of its checkpoint and an empty log.
    LogForgotten,
    /// Two members are given each other's messages to persist: what one appended, the other reports.
    AnswersSwapped,
    /// A progress request works over the root that it began with, while the shard's task works over newer ones.
    ProgressOnOneRoot,
    /// A progress request is answered without telling first what is new.
    ProgressWithoutWork,
    /// A chunk of messages is taken from the queue and never sent.
    ChunkLostOnWake,
    /// A watcher begins where the store stood when the stream's watcher before was made.
    WatchedFromStaleRoot,
    /// The replica hears that watchers have seen everything, whatever they have seen.
    WatchedTooFar,
    /// A renewal is taken for granted by a member that does not lead.
    RenewedByAnybody,
    /// Time is the host's clock, which is set ahead now and then.
    WallClock,
}

/// All of them, for the test that plants each in turn.
pub(crate) const ALL: [Bug; 22] = [
    Bug::AnswerBeforeDurable,
    Bug::FollowerAcknowledgesEarly,
    Bug::VoteNotPersisted,
    Bug::ShortWriteTaken,
    Bug::LaterGroupCoversEarlier,
    Bug::MarkNeverWritten,
    Bug::RecycledWithoutHeader,
    Bug::MetaBeforePages,
    Bug::NoBarrierBeforeMeta,
    Bug::CheckpointDoneEarly,
    Bug::PageNotWritten,
    Bug::ReadWithoutIndex,
    Bug::SegmentsReleasedEarly,
    Bug::LogForgotten,
    Bug::AnswersSwapped,
    Bug::ProgressOnOneRoot,
    Bug::ProgressWithoutWork,
    Bug::ChunkLostOnWake,
    Bug::WatchedFromStaleRoot,
    Bug::WatchedTooFar,
    Bug::RenewedByAnybody,
    Bug::WallClock,
];

impl Bug {
    /// Whether it takes watchers or leases to show.
    pub(crate) fn needs_watchers_and_leases(self) -> bool {
        let first = ALL.iter().position(|bug| *bug == Self::ProgressOnOneRoot);
        ALL.iter().position(|bug| *bug == self) >= first
    }
}
