//! Tests of the whole module against models, simulated files and other threads.

mod faults;
mod meta;
mod model;
mod space;
mod threads;
pub(super) mod world;
