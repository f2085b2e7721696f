//! The simulated network between members: it may drop, delay, double, reorder, cut links one way, and hold back what was
//! sent to a member until long after that member was cut off.
//!
//! Invariants
//! - A link is directed: cutting a to b leaves b to a alone.
//! - Nothing is corrupted: peers talk over TLS, which turns corruption into loss.

use std::collections::BTreeSet;

use crate::rng::Rng;

const MS: u64 = 1_000_000;
/// How long what is held back takes: beyond the patience of a read's first attempt, and of an election.
const HELD_NS: (u64, u64) = (600 * MS, 3_000 * MS);

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
    /// To whom messages are held back.
    held: Option<usize>,
    /// In force now.
    pub(crate) faults: NetFaults,
}

impl Net {
    /// A network with every link whole.
    pub(crate) fn new(rng: Rng, faults: NetFaults) -> Self {
        Self { rng, cut: BTreeSet::new(), held: None, faults }
    }

    /// When copies of a message sent now would arrive: none, one or two delays.
    pub(crate) fn delays(&mut self, from: usize, to: usize) -> Vec<u64> {
        if self.cut.contains(&(from, to)) || self.rng.chance(self.faults.drop_per_mille) {
            return Vec::new();
        }
        let copies = 1 + usize::from(self.rng.chance(self.faults.double_per_mille));
        (0..copies).map(|_| self.delay(to)).collect()
    }

    fn delay(&mut self, to: usize) -> u64 {
        if self.held == Some(to) {
            return self.rng.between(HELD_NS.0, HELD_NS.1);
        }
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

    /// From now on what is sent to `victim` is held back.
    pub(crate) fn hold(&mut self, victim: usize) {
        self.held = Some(victim);
    }

    /// Cuts the member off for which messages are held back: what was sent to it before still arrives, late.
    pub(crate) fn cut_off_held(&mut self, members: usize) {
        let Some(victim) = self.held.take() else { return };
        self.cut = (0..members).flat_map(|other| [(victim, other), (other, victim)]).collect();
    }

    /// All links whole again.
    pub(crate) fn heal(&mut self) {
        self.cut.clear();
        self.held = None;
    }
}
