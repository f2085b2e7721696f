//! The simulated network between members: it may drop, delay, double, reorder, and cut links one way.
//!
//! Invariants
//! - A link is directed: cutting a to b leaves b to a alone.
//! - Nothing is corrupted: peers talk over TLS, which turns corruption into loss.

use std::collections::BTreeSet;

use crate::rng::Rng;

/// What the network does to messages in this run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NetFaults {
    /// Messages lost, per thousand.
    pub(crate) drop_per_mille: u64,
    /// Messages delivered twice, per thousand.
    pub(crate) double_per_mille: u64,
    /// Shortest and longest delay, nanoseconds: a wide span reorders.
    pub(crate) delay_ns: (u64, u64),
    /// Messages that take a hundred times as long, per thousand.
    pub(crate) straggler_per_mille: u64,
}

/// The links between members, by position.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    rng: Rng,
    cut: BTreeSet<(usize, usize)>,
    /// In force now.
    pub(crate) faults: NetFaults,
}

impl Net {
    /// A network with every link whole.
    pub(crate) fn new(rng: Rng, faults: NetFaults) -> Self {
        Self { rng, cut: BTreeSet::new(), faults }
    }

    /// When copies of a message sent now would arrive: none, one or two delays.
    pub(crate) fn delays(&mut self, from: usize, to: usize) -> Vec<u64> {
        if self.cut.contains(&(from, to)) || self.rng.chance(self.faults.drop_per_mille) {
            return Vec::new();
        }
        let copies = 1 + usize::from(self.rng.chance(self.faults.double_per_mille));
        (0..copies).map(|_| self.delay()).collect()
    }

    fn delay(&mut self) -> u64 {
        let (low, high) = self.faults.delay_ns;
        let delay = self.rng.between(low, high);
        if self.rng.chance(self.faults.straggler_per_mille) { delay * 100 } else { delay }
    }

    /// Draws a partition: one member cut off both ways, one way, or two halves.
    pub(crate) fn partition(&mut self, members: usize) {
        self.cut.clear();
        let victim = self.rng.index(members);
        let style = self.rng.below(4);
        for other in (0..members).filter(|other| *other != victim) {
            match style {
                0 => {
                    self.cut.insert((victim, other));
                    self.cut.insert((other, victim));
                }
                1 => {
                    self.cut.insert((victim, other));
                }
                2 => {
                    self.cut.insert((other, victim));
                }
                _ => {
                    if self.rng.chance(500) {
                        self.cut.insert((victim, other));
                        self.cut.insert((other, victim));
                    }
                }
            }
        }
    }

    /// All links whole again.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }
}
