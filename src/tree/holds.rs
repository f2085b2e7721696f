//! Pages that nobody needs but old snapshots: which of them may be written again, and when.
//!
//! A page made by transaction B and freed by F is seen by the snapshots in B..F and by no other. A *hold* is a snapshot that
//! must stay whole: one pinned by a reader, the last durable checkpoint, a checkpoint in progress, and always the latest.
//! Each freed page waits at the greatest hold below F: if any hold sees the page, that one does.
//!
//! Example: holds 10, 20, 30 (latest). Page (B 15, F 25) waits at 20. When 20 goes away, the next hold below is 10; it is
//! below 15, so the page is free. Page (B 5, F 25) would move on to wait at 10.
//!
//! Invariants
//! - Holds ascend; the last is the latest snapshot. Every page at hold h has B <= h < F.
//! - A hold that goes away costs what it releases or hands down; a page is handed down only when its hold goes away, so
//!   long-held pins cost a commit nothing.

use std::collections::BinaryHeap;

use crate::types::{PageNumber, TxnId};

/// Neighbouring pages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PageRange {
    /// The first of them.
    pub first: PageNumber,
    /// How many.
    pub count: u64,
}

impl PageRange {
    /// The page after the last.
    pub fn end(&self) -> PageNumber {
        PageNumber(self.first.0 + self.count)
    }
}

/// Pages that were freed, with the transaction that made them. Ordered by that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Freed {
    /// The transaction that made them.
    pub(super) birth: TxnId,
    /// Which.
    pub(super) pages: PageRange,
}

#[derive(Debug)]
struct Hold {
    txn: TxnId,
    waiting: BinaryHeap<Freed>,
}

/// All holds and what waits at them.
#[derive(Debug)]
pub(super) struct Holds {
    holds: Vec<Hold>,
    pages: u64,
}

impl Holds {
    /// Holds of a store whose latest snapshot is `latest`.
    pub(super) fn new(latest: TxnId) -> Self {
        Self { holds: vec![Hold { txn: latest, waiting: BinaryHeap::new() }], pages: 0 }
    }

    /// The latest snapshot.
    fn latest(&self) -> TxnId {
        assert!(!self.holds.is_empty(), "the latest snapshot is always held");
        self.holds[self.holds.len() - 1].txn
    }

    /// Pages that wait.
    pub(super) fn pages(&self) -> u64 {
        self.pages
    }

    /// Snapshots held.
    pub(super) fn count(&self) -> usize {
        self.holds.len()
    }

    /// Calls `visit` with everything that waits.
    pub(super) fn each(&self, mut visit: impl FnMut(PageRange)) {
        self.holds.iter().flat_map(|hold| &hold.waiting).for_each(|freed| visit(freed.pages));
    }

    /// Transaction `txn` was published and had freed `freed`; `is_held` tells which snapshots are still needed. What may be
    /// reused goes to `out`.
    pub(super) fn publish(
        &mut self,
        txn: TxnId,
        freed: &mut Vec<Freed>,
        is_held: impl Fn(TxnId) -> bool,
        out: &mut Vec<PageRange>,
    ) {
        let latest = self.latest();
        assert!(latest < txn, "transactions ascend: {latest} then {txn}");
        assert!(freed.iter().all(|one| one.birth <= latest), "what the transaction itself made it frees at once");
        self.holds.push(Hold { txn, waiting: BinaryHeap::new() });
        self.release(&is_held, out);
        // Most often nobody looks at the snapshot before: then only older holds count.
        let below = self.holds.iter_mut().rev().nth(1);
        let Some(below) = below else {
            out.extend(freed.drain(..).map(|one| one.pages));
            return;
        };
        for one in freed.drain(..) {
            if one.birth > below.txn {
                out.push(one.pages);
            } else {
                self.pages += one.pages.count;
                below.waiting.push(one);
            }
        }
    }

    /// Lets go of every snapshot but the latest for which `is_held` says no.
    pub(super) fn release(&mut self, is_held: impl Fn(TxnId) -> bool, out: &mut Vec<PageRange>) {
        let mut at = self.holds.len() - 1;
        // From the top, so that a page handed down passes every hold that goes away in this call.
        while at > 0 {
            at -= 1;
            if !is_held(self.holds[at].txn) {
                self.drop_hold(at, out);
            }
        }
    }

    fn drop_hold(&mut self, at: usize, out: &mut Vec<PageRange>) {
        let hold = self.holds.remove(at);
        let mut waiting = hold.waiting;
        let Some(below) = at.checked_sub(1).and_then(|below| self.holds.get_mut(below)) else {
            for freed in waiting.into_vec() {
                self.pages -= freed.pages.count;
                out.push(freed.pages);
            }
            return;
        };
        assert!(below.txn < hold.txn, "holds ascend");
        while let Some(freed) = waiting.peek().copied().filter(|freed| freed.birth > below.txn) {
            waiting.pop();
            self.pages -= freed.pages.count;
            out.push(freed.pages);
        }
        below.waiting.append(&mut waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule as it is stated, against the lists.
    #[test]
    fn releases_exactly_what_no_hold_sees() {
        for seed in 1..60u64 {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let mut next = |bound: u64| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random % bound
            };
            let mut holds = Holds::new(TxnId(1));
            let mut pinned = vec![];
            // (birth, freed, page), waiting.
            let mut model: Vec<(u64, u64, u64)> = vec![];
            let mut page = 0;
            for txn in 2..200u64 {
                let mut freed = vec![];
                for _ in 0..next(4) {
                    page += 1;
                    let birth = 1 + next(txn - 1);
                    freed.push(Freed { birth: TxnId(birth), pages: PageRange { first: PageNumber(page), count: 1 } });
                    model.push((birth, txn, page));
                }
                let mut out = vec![];
                holds.publish(TxnId(txn), &mut freed, |hold| pinned.contains(&hold.0), &mut out);
                let sees = |pin: u64, one: &(u64, u64, u64)| one.0 <= pin && pin < one.1;
                let (stay, mut go): (Vec<_>, Vec<_>) =
                    model.iter().partition(|one| pinned.iter().chain([&txn]).any(|pin| sees(*pin, one)));
                model = stay;
                let mut out: Vec<u64> = out.iter().map(|range| range.first.0).collect();
                out.sort_unstable();
                go.sort_unstable_by_key(|one| one.2);
                assert_eq!(out, go.iter().map(|one| one.2).collect::<Vec<_>>(), "seed {seed} txn {txn}");
                assert_eq!(holds.pages(), u64::try_from(model.len()).unwrap());
                // A pin is taken at the latest snapshot only; which one goes is anyone's guess.
                if next(3) == 0 {
                    pinned.push(txn);
                }
                if next(3) == 0 && !pinned.is_empty() {
                    let which = usize::try_from(next(u64::try_from(pinned.len()).unwrap())).unwrap();
                    pinned.swap_remove(which);
                }
            }
        }
    }
}
