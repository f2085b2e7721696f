//! One member of the cluster as a pure state machine: inputs in, outputs out.

mod config;
mod contacts;
mod end;
mod journal;
mod leases;
mod machine;
mod proposals;
mod space;
mod start;
mod status;
mod store;
mod turn;
mod values;

pub use config::{CheckpointPolicy, Config};
pub use machine::Replica;
pub use start::installed_index;
pub use values::{
    Answer, Error, Failure, Input, LeaseAnswer, LeaseAsk, Output, Pages, Proposal, Refusal, Shared, Stats, Status,
    TimeoutCause,
};

#[cfg(test)]
mod tests;
