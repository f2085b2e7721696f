//! Models and faults: a simulated disk that crashes, tears and rots, and a plain list of groups to compare with.

mod append;
mod crash;
mod disk;
mod format;
mod fuzz;
mod refuse;
mod rot;
mod simple;
mod world;
