//! Plans under way on one member's simulated disk: each is a list of small operations, carried out one after another
//! with a delay each, so that a crash can come between any two of them, and inside one.
//!
//! Invariants
//! - Operations of one job keep their order; jobs among each other have none.
//! - What a job reports when it is done is made when it begins: a crash drops it unreported.

use std::collections::VecDeque;

use ringbolt::wal::{Step, Write};

use crate::disk::{Disk, Full};

/// The tree file's name on the simulated disk.
pub(crate) const TREE: &str = "db";

/// One operation of a job.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// A synchronous write begins; the next operation of the job lands it.
    Begin(Write),
    /// Several begin together and land in any order.
    BeginAll(Vec<Write>),
    /// The writes begun land, the one with this number first.
    Finish(Vec<u64>),
    /// A file is made with zeros.
    Create(String, usize),
    /// The tree file grows.
    Grow(usize),
    /// A buffered write to the tree file.
    Page(u64, Vec<u8>),
    /// Everything buffered becomes durable.
    SyncTree,
    /// A file gets another name.
    Rename(String, String),
    /// A file goes.
    Remove(String),
    /// Directory entries become durable.
    SyncDirectory,
}

/// The operations that WAL steps are made of.
pub(crate) fn of_steps(steps: Vec<Step>) -> VecDeque<Operation> {
    let mut operations = VecDeque::new();
    for step in steps {
        operations.push_back(match step {
            Step::Create { file, bytes } => Operation::Create(file.to_string(), usize::try_from(bytes).expect("small")),
            Step::Write(write) => Operation::Begin(write),
            Step::Rename { from, to } => Operation::Rename(from.to_string(), to.to_string()),
            Step::Sync(_) | Step::SyncDirectory => Operation::SyncDirectory,
            Step::Remove(file) => Operation::Remove(file.to_string()),
        });
    }
    operations
}

/// One plan under way.
#[derive(Debug)]
pub(crate) struct Job<Done> {
    operations: VecDeque<Operation>,
    done: Option<Done>,
}

/// What a step of a job came to.
#[derive(Debug)]
pub(crate) enum Progress<Done> {
    /// More is to be done.
    Goes,
    /// All is done.
    Done(Done),
    /// The disk is full; the rest of the job is dropped.
    Full(Done),
}

impl<Done> Job<Done> {
    /// A job of `operations` that reports `done`.
    pub(crate) fn new(operations: impl Into<VecDeque<Operation>>, done: Done) -> Self {
        Self { operations: operations.into(), done: Some(done) }
    }

    /// Whether the next operation waits for the whole disk: it takes longer than one write.
    pub(crate) fn is_at_barrier(&self) -> bool {
        matches!(self.operations.front(), Some(Operation::SyncTree))
    }

    /// Carries out the next operation.
    pub(crate) fn step(&mut self, disk: &mut Disk) -> Progress<Done> {
        let outcome = match self.operations.pop_front() {
            None => Ok(()),
            Some(operation) => self.carry_out(operation, disk),
        };
        let mut report = || self.done.take().expect("a job reports once");
        match outcome {
            Err(Full) => Progress::Full(report()),
            Ok(()) if self.operations.is_empty() => Progress::Done(report()),
            Ok(()) => Progress::Goes,
        }
    }

    fn carry_out(&mut self, operation: Operation, disk: &mut Disk) -> Result<(), Full> {
        match operation {
            Operation::Begin(write) => self.carry_out(Operation::BeginAll(vec![write]), disk)?,
            Operation::BeginAll(writes) => {
                let mut begun = Vec::new();
                for write in writes {
                    let name = write.file.to_string();
                    // Only the mark is made by writing it.
                    let end = usize::try_from(write.offset).expect("small") + write.bytes.len();
                    if !disk.exists(&name) || (name == "mark" && disk.read(&name).len() < end) {
                        disk.extend(&name, end)?;
                    }
                    begun.push(disk.begin(&name, write.offset, &write.bytes));
                }
                self.operations.push_front(Operation::Finish(begun));
            }
            Operation::Finish(begun) => begun.into_iter().for_each(|write| disk.finish(write)),
            Operation::Create(name, bytes) => {
                disk.remove(&name);
                disk.extend(&name, bytes)?;
            }
            Operation::Grow(bytes) => disk.extend(TREE, bytes)?,
            Operation::Page(offset, bytes) => disk.write_buffered(TREE, offset, &bytes),
            Operation::SyncTree => disk.sync(TREE),
            Operation::Rename(from, to) => disk.rename(&from, &to),
            Operation::Remove(name) => disk.remove(&name),
            Operation::SyncDirectory => disk.sync_directory(),
        }
        Ok(())
    }
}
