//! Tests of the whole module against models, simulated files and other threads.

mod faults;
mod meta;
mod model;
pub(crate) mod rot;
mod space;
mod threads;
pub(crate) mod world;
