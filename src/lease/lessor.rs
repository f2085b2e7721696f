//! The clock over leases: on every member which there are, on the leader also when each is up.
//!
//! A lease is up when its time since the last renewal has passed; the leader then has it revoked through the log, in batches
//! with a pause between them. A renewal is a look-up and a store: the wheel finds out when the old time comes. A member that
//! begins to lead gives every lease its whole time again, or what the last checkpoint says is left of it, and an election
//! timeout more for what was lost while nobody led.
//!
//! Invariants
//! - What is here is what is in the tree: it changes only with what was applied.
//! - A lease that is not renewed expires, never before its time, while one member leads; one whose expiry was proposed is
//!   never renewed.
//! - With the remaining time of a checkpoint in the tree, or on its way there, a renewal is answered only after that is taken
//!   back: else a restart could cut the renewed time short.
//! - Until everything of the terms before is applied, a leader has nothing expire, and answers no renewal if there may be
//!   checkpoints: theirs, and what they took back, may still come.
//! - Time is monotonic: a jump of the host's clock is not seen here.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::table::{Change, Lease};
use super::wheel::Wheel;
use crate::limits::{
    LEASE_CHECKPOINT_INTERVAL, LEASE_CHECKPOINT_PAUSE, LEASE_CHECKPOINTS_PER_BATCH_MAX, LEASE_EXPIRIES_PER_BATCH_MAX,
    LEASE_EXPIRY_PAUSE, LEASE_EXPIRY_RETRY,
};
use crate::types::{LeaseId, Now};

/// Bits of nanoseconds in a tick of the wheels: 67 ms. A lease's time is kept exactly; the tick is when it is looked at.
const TICK_BITS: u32 = 26;

/// What can be chosen about leases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// What a new leader adds to every lease.
    pub election_timeout: Duration,
    /// Whether the remaining time of long leases is noted in the log now and then: etcd's gate `LeaseCheckpoint`.
    pub checkpoints: bool,
}

/// What becomes of a renewal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renewal {
    /// It has so many seconds again.
    Renewed(i64),
    /// There is no such lease.
    NotFound,
    /// This member does not lead.
    NotLeader,
    /// Ask again when the lease has changed: it is expiring, a checkpoint is being taken back, or one may yet be applied.
    Wait,
}

/// How long a lease still lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remaining {
    /// Whole seconds left; 0 when it is up and about to be revoked.
    pub seconds: i64,
    /// Seconds that were granted.
    pub granted_seconds: i64,
}

/// What is known of a lease.
#[derive(Clone, Copy, Debug)]
struct Slot {
    lease: Lease,
    /// When it is up. Means something only while this member leads.
    deadline: Now,
    /// When its expiry was proposed last.
    proposed: Option<Now>,
    /// Whether what is left of it was proposed and is not applied yet.
    noting: bool,
    /// When the taking back of its checkpoint was asked for last, if that is not applied yet.
    taking_back: Option<Now>,
    /// Whether it stands in `up`, and in `noting`.
    in_up: bool,
    in_noting: bool,
}

/// See the module's words.
#[derive(Debug)]
pub struct Lessor {
    config: Config,
    leading: bool,
    /// Whether everything of the terms before the one that it leads in is applied.
    settled: bool,
    places: BTreeMap<LeaseId, u32>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    expiry: Wheel,
    checkpoints: Wheel,
    /// Slots whose time seems up, in the order in which that was seen. A number whose slot is not marked so is what is left
    /// of a lease that is gone: to look for it there would cost a mass expiry the square of its leases.
    up: VecDeque<u32>,
    expire_at: Now,
    /// Slots that are due for a checkpoint; the same holds for them.
    noting: VecDeque<u32>,
    note_at: Now,
    /// Leases whose checkpoint is to be taken back.
    take_back: Vec<LeaseId>,
    due: Vec<u32>,
}

fn tick(now: Now) -> u64 {
    now.0 >> TICK_BITS
}

/// The first tick at which `now` has passed.
fn tick_after(now: Now) -> u64 {
    now.0.div_ceil(1 << TICK_BITS)
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

fn place(slot: u32) -> usize {
    usize::try_from(slot).expect("32 bits fit")
}

impl Lessor {
    /// A member that does not lead, with the leases that the tree holds.
    pub fn new(config: Config, leases: Vec<Lease>) -> Self {
        let mut lessor = Self {
            config,
            leading: false,
            settled: false,
            places: BTreeMap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            expiry: Wheel::new(0),
            checkpoints: Wheel::new(0),
            up: VecDeque::new(),
            expire_at: Now(0),
            noting: VecDeque::new(),
            note_at: Now(0),
            take_back: Vec::new(),
            due: Vec::new(),
        };
        for lease in leases {
            lessor.insert(Now(0), lease);
        }
        lessor
    }

    // ---- what was applied ----

    /// Something about leases was applied.
    pub fn on_change(&mut self, now: Now, change: &Change) {
        match *change {
            Change::Granted(lease) => self.insert(now, lease),
            Change::Revoked(id) => self.forget(id),
            Change::Checkpointed(id, remaining_seconds) => {
                let Some(slot) = self.places.get(&id).copied() else { return };
                let Some(known) = &mut self.slots[place(slot)] else { return };
                known.lease.remaining_seconds = remaining_seconds;
                known.noting = false;
                if self.leading && !self.settled {
                    // A leader before noted it, or took it back and may have answered a renewal.
                    let whole = now.after(seconds(left(&known.lease))).after(self.config.election_timeout);
                    known.deadline = known.deadline.max(whole);
                }
                if remaining_seconds == 0 {
                    known.taking_back = None;
                } else if self.settled && known.deadline.since(now) > seconds(remaining_seconds) {
                    // A leader before noted it and handed it on, and it comes behind a renewal here.
                    self.take_back(now, slot);
                }
                self.schedule_checkpoint(now, slot);
            }
        }
    }

    fn insert(&mut self, now: Now, lease: Lease) {
        assert!(lease.id.0 != 0, "0 is no lease");
        let deadline = now.after(seconds(lease.ttl_seconds));
        let slot =
            Slot { lease, deadline, proposed: None, noting: false, taking_back: None, in_up: false, in_noting: false };
        let number = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("leases are fewer than 2^32")
        });
        self.slots[place(number)] = Some(slot);
        let before = self.places.insert(lease.id, number);
        assert!(before.is_none(), "lease {} was granted twice", lease.id);
        if self.leading {
            self.expiry.set(number, tick_after(deadline));
            self.schedule_checkpoint(now, number);
        }
    }

    fn forget(&mut self, id: LeaseId) {
        let Some(slot) = self.places.remove(&id) else { return };
        self.expiry.remove(slot);
        self.checkpoints.remove(slot);
        self.slots[place(slot)] = None;
        self.free.push(slot);
    }

    // ---- leading ----

    /// This member leads from now on.
    pub fn promote(&mut self, now: Now) {
        self.demote();
        self.leading = true;
        (self.expiry, self.checkpoints) = (Wheel::new(tick(now)), Wheel::new(tick(now)));
        (self.expire_at, self.note_at) = (now, now);
        for number in self.places.values().copied().collect::<Vec<_>>() {
            let Some(slot) = &mut self.slots[place(number)] else { continue };
            slot.deadline = now.after(seconds(left(&slot.lease))).after(self.config.election_timeout);
            self.expiry.set(number, tick_after(slot.deadline));
            self.schedule_checkpoint(now, number);
        }
    }

    /// What was in the log when this member began to lead is applied. Whether that is news.
    pub fn settle(&mut self) -> bool {
        assert!(self.leading, "who leads settles");
        !std::mem::replace(&mut self.settled, true)
    }

    /// This member does not lead any more.
    pub fn demote(&mut self) {
        (self.leading, self.settled) = (false, false);
        (self.expiry, self.checkpoints) = (Wheel::new(0), Wheel::new(0));
        self.up.clear();
        self.noting.clear();
        self.take_back.clear();
        for slot in self.slots.iter_mut().flatten() {
            *slot = Slot { proposed: None, noting: false, taking_back: None, in_up: false, in_noting: false, ..*slot };
        }
    }

    /// Whether this member leads.
    pub fn is_leading(&self) -> bool {
        self.leading
    }

    /// How many leases there are.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// Gives a lease its whole time again.
    pub fn renew(&mut self, now: Now, id: LeaseId) -> Renewal {
        if !self.leading {
            return Renewal::NotLeader;
        }
        let Some(number) = self.places.get(&id).copied() else { return Renewal::NotFound };
        let Some(slot) = &mut self.slots[place(number)] else { return Renewal::NotFound };
        if slot.deadline <= now || slot.proposed.is_some() {
            return Renewal::Wait;
        }
        let noted = slot.lease.remaining_seconds > 0 || slot.noting || slot.taking_back.is_some();
        if self.config.checkpoints && !self.settled {
            return Renewal::Wait;
        }
        if noted && self.config.checkpoints {
            self.take_back(now, number);
            return Renewal::Wait;
        }
        // The wheel still has the old time; when that comes, it is set again. A new leader has given more than the whole
        // time: that is not taken back.
        slot.deadline = slot.deadline.max(now.after(seconds(slot.lease.ttl_seconds)));
        Renewal::Renewed(slot.lease.ttl_seconds)
    }

    /// Has what was noted of a lease taken back. The command may be lost: whoever renews again asks again.
    fn take_back(&mut self, now: Now, number: u32) {
        let Some(slot) = &mut self.slots[place(number)] else { return };
        if self.config.checkpoints && slot.taking_back.is_none_or(|asked| now.since(asked) >= LEASE_EXPIRY_RETRY) {
            slot.taking_back = Some(now);
            self.take_back.push(slot.lease.id);
        }
    }

    /// How long a lease still lives, as a leader knows it; elsewhere the time that was granted.
    pub fn remaining(&self, now: Now, id: LeaseId) -> Option<Remaining> {
        let slot = self.places.get(&id).and_then(|number| self.slots[place(*number)].as_ref())?;
        let granted_seconds = slot.lease.ttl_seconds;
        let seconds = match self.leading {
            true => i64::try_from(slot.deadline.since(now).as_secs()).unwrap_or(i64::MAX),
            false => granted_seconds,
        };
        Some(Remaining { seconds, granted_seconds })
    }

    /// Every lease, the one that is up first in front; in the order of the ids where nobody keeps time.
    pub fn list(&self) -> Vec<LeaseId> {
        let mut leases: Vec<(Now, LeaseId)> =
            self.slots.iter().flatten().map(|slot| (slot.deadline, slot.lease.id)).collect();
        if !self.leading {
            leases.iter_mut().for_each(|(deadline, _)| *deadline = Now(0));
        }
        leases.sort_unstable();
        leases.into_iter().map(|(_, id)| id).collect()
    }

    // ---- what a leader proposes ----

    /// The next leases to have revoked, if any are up and the pause since the last batch is over.
    pub fn poll_expired(&mut self, now: Now) -> Vec<LeaseId> {
        if !self.settled {
            return Vec::new();
        }
        self.look(now);
        let mut expired = Vec::new();
        if now < self.expire_at {
            return expired;
        }
        while expired.len() < LEASE_EXPIRIES_PER_BATCH_MAX {
            let Some(number) = self.up.pop_front() else { break };
            let Some(slot) = self.slots[place(number)].as_mut().filter(|slot| slot.in_up) else { continue };
            slot.in_up = false;
            assert!(slot.deadline <= now, "a lease that is up cannot be renewed");
            slot.proposed = Some(now);
            expired.push(slot.lease.id);
            self.expiry.set(number, tick_after(now.after(LEASE_EXPIRY_RETRY)));
        }
        if !expired.is_empty() {
            self.expire_at = now.after(LEASE_EXPIRY_PAUSE);
        }
        expired
    }

    /// Finds out which leases are up by now.
    fn look(&mut self, now: Now) {
        self.due.clear();
        self.expiry.advance(tick(now), &mut self.due);
        for number in std::mem::take(&mut self.due) {
            let Some(slot) = &mut self.slots[place(number)] else { continue };
            if slot.deadline <= now {
                slot.in_up = true;
                self.up.push_back(number);
            } else {
                self.expiry.set(number, tick_after(slot.deadline));
            }
        }
    }

    /// What to note of leases' remaining time, if anything is due: each lease with its seconds, 0 to take back what was
    /// noted before.
    pub fn poll_checkpoints(&mut self, now: Now) -> Vec<(LeaseId, i64)> {
        let count = self.take_back.len().min(LEASE_CHECKPOINTS_PER_BATCH_MAX);
        let mut noted: Vec<_> = self.take_back.drain(..count).map(|id| (id, 0)).collect();
        if !self.settled || !self.config.checkpoints {
            return noted;
        }
        self.due.clear();
        self.checkpoints.advance(tick(now), &mut self.due);
        for number in std::mem::take(&mut self.due) {
            let Some(slot) = &mut self.slots[place(number)] else { continue };
            slot.in_noting = true;
            self.noting.push_back(number);
        }
        if self.noting.is_empty() || now < self.note_at {
            return noted;
        }
        self.note_at = now.after(LEASE_CHECKPOINT_PAUSE);
        while noted.len() < LEASE_CHECKPOINTS_PER_BATCH_MAX {
            let Some(number) = self.noting.pop_front() else { break };
            let Some(slot) = self.slots[place(number)].as_mut().filter(|slot| slot.in_noting) else { continue };
            slot.in_noting = false;
            let left = slot.deadline.since(now);
            let left_seconds = i64::try_from(left.as_nanos().div_ceil(1_000_000_000)).unwrap_or(i64::MAX);
            if slot.deadline <= now || slot.taking_back.is_some() {
                continue;
            }
            if left_seconds >= slot.lease.ttl_seconds {
                self.schedule_checkpoint(now, number);
            } else {
                slot.noting = true;
                noted.push((slot.lease.id, left_seconds));
            }
        }
        noted
    }

    /// Sets the next checkpoint of a lease that has long enough to live.
    fn schedule_checkpoint(&mut self, now: Now, number: u32) {
        let Some(slot) = &self.slots[place(number)] else { return };
        if self.leading && self.config.checkpoints && seconds(left(&slot.lease)) > LEASE_CHECKPOINT_INTERVAL {
            self.checkpoints.set(number, tick_after(now.after(LEASE_CHECKPOINT_INTERVAL)));
        }
    }

    /// When to ask again for what is expired or to be noted, if nothing changes before.
    pub fn next_deadline(&self) -> Option<Now> {
        if !self.settled {
            return None;
        }
        let begins = |wheel: &Wheel| wheel.next_tick().map(|tick| Now(tick << TICK_BITS));
        let expire = if self.up.is_empty() { begins(&self.expiry) } else { Some(self.expire_at) };
        let note = if self.noting.is_empty() { begins(&self.checkpoints) } else { Some(self.note_at) };
        let take_back = (!self.take_back.is_empty()).then_some(Now(0));
        [expire, note, take_back].into_iter().flatten().min()
    }
}

/// Seconds that a lease has when somebody begins to lead.
fn left(lease: &Lease) -> i64 {
    if lease.remaining_seconds > 0 { lease.remaining_seconds } else { lease.ttl_seconds }
}
