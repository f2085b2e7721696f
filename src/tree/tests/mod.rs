//! Tests of the whole module against models, simulated files and other threads.

mod model;
mod world;
