//! Models and faults: a simulated disk that crashes, tears and rots, and a plain list of groups to compare with.

mod crash;
mod disk;
mod fuzz;
mod rot;
mod world;
