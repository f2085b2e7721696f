//! The lessor against a naive one, in seeded random runs, and the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::*;
use crate::limits::{
    LEASE_CHECKPOINT_INTERVAL, LEASE_EXPIRIES_PER_BATCH_MAX, LEASE_EXPIRY_PAUSE, LEASE_EXPIRY_RETRY,
    LEASE_TTL_SECONDS_MAX,
};
use crate::tree::{self, Arena, Stamp, Tree};
use crate::types::{LeaseId, Now};

/// xorshift64*.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 20) % bound
    }
}

const CONFIG: Config = Config { election_timeout: Duration::from_secs(1), checkpoints: false };

fn at(milliseconds: u64) -> Now {
    Now(milliseconds * 1_000_000)
}

fn lease(id: i64, ttl_seconds: i64) -> Lease {
    Lease { id: LeaseId(id), ttl_seconds, remaining_seconds: 0 }
}

fn leading(now: Now, leases: Vec<Lease>, config: Config) -> Lessor {
    let mut lessor = Lessor::new(config, leases);
    lessor.promote(now);
    assert!(lessor.settle());
    lessor
}

/// What a lease is in the model: when it is up, and when its expiry was proposed.
#[derive(Clone, Copy, Debug)]
struct Known {
    ttl: i64,
    up: u64,
    proposed: Option<u64>,
}

struct Model {
    lessor: Lessor,
    now: u64,
    leases: BTreeMap<i64, Known>,
    seed: u64,
}

impl Model {
    /// One random operation on both, and what it answers compared.
    fn step(&mut self, random: &mut Random) {
        let id = i64::try_from(random.below(30)).unwrap() + 1;
        let now = at(self.now);
        match random.below(8) {
            0 | 1 if !self.leases.contains_key(&id) => {
                let ttl = i64::try_from(2 + random.below(20)).unwrap();
                self.lessor.on_change(now, &Change::Granted(lease(id, ttl)));
                self.leases.insert(id, Known { ttl, up: self.now + ttl.cast_unsigned() * 1000, proposed: None });
            }
            2 => {
                self.lessor.on_change(now, &Change::Revoked(LeaseId(id)));
                self.leases.remove(&id);
            }
            3 => {
                let renewal = self.lessor.renew(now, LeaseId(id));
                let expected = match self.leases.get_mut(&id) {
                    None => Renewal::NotFound,
                    Some(known) if known.up <= self.now || known.proposed.is_some() => Renewal::Wait,
                    Some(known) => {
                        known.up = known.up.max(self.now + known.ttl.cast_unsigned() * 1000);
                        Renewal::Renewed(known.ttl)
                    }
                };
                assert_eq!(renewal, expected, "seed {}", self.seed);
            }
            4 => {
                let remaining =
                    self.lessor.remaining(now, LeaseId(id)).map(|left| (left.seconds, left.granted_seconds));
                let expected = self
                    .leases
                    .get(&id)
                    .map(|known| (i64::try_from(known.up.saturating_sub(self.now) / 1000).unwrap(), known.ttl));
                assert_eq!(remaining, expected, "seed {}", self.seed);
            }
            5 if random.below(20) == 0 => {
                self.lessor.promote(now);
                assert!(self.lessor.next_deadline().is_none() && self.lessor.settle(), "not before it has settled");
                for known in self.leases.values_mut() {
                    *known = Known {
                        ttl: known.ttl,
                        up: self.now + known.ttl.cast_unsigned() * 1000 + 1000,
                        proposed: None,
                    };
                }
            }
            _ => self.pass(random.below(3000)),
        }
        let mut listed: Vec<(u64, i64)> = self.leases.iter().map(|(id, known)| (known.up, *id)).collect();
        listed.sort_unstable();
        let found: Vec<i64> = self.lessor.list().iter().map(|id| id.0).collect();
        assert_eq!(found, listed.iter().map(|(_, id)| *id).collect::<Vec<_>>(), "seed {}", self.seed);
    }

    /// Lets time pass as its deadlines say, and carries out half of the expiries.
    fn pass(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        loop {
            let due = self.lessor.next_deadline().map_or(u64::MAX, |due| due.0.div_ceil(1_000_000));
            self.now = due.clamp(self.now, end);
            let expired = self.lessor.poll_expired(at(self.now));
            for id in &expired {
                let known = self.leases.get_mut(&id.0).unwrap_or_else(|| panic!("seed {}: {id} is gone", self.seed));
                assert!(known.up <= self.now, "seed {}: {id} expired {} early", self.seed, known.up - self.now);
                let retried = known.proposed.is_none_or(|before| self.now >= before + 3000);
                assert!(retried, "seed {}: {id} proposed again too soon", self.seed);
                known.proposed = Some(self.now);
                if id.0 % 2 == 0 {
                    self.lessor.on_change(at(self.now), &Change::Revoked(*id));
                    self.leases.remove(&id.0);
                }
            }
            if self.now == end && expired.is_empty() {
                break;
            }
        }
        for (id, known) in &self.leases {
            let since = known.proposed.map_or(known.up, |before| before + 3000);
            assert!(since + 200 > self.now, "seed {}: {id} is late: {known:?} at {}", self.seed, self.now);
        }
    }
}

#[test]
fn random_runs_are_as_a_naive_lessor_has_them() {
    for seed in 1..=60 {
        let mut random = Random::new(seed);
        let now = random.below(1 << 40);
        let mut model = Model { lessor: leading(at(now), Vec::new(), CONFIG), now, leases: BTreeMap::new(), seed };
        for _ in 0..600 {
            model.step(&mut random);
        }
    }
}

#[test]
fn ten_thousand_that_are_up_at_once_come_in_batches_with_pauses() {
    let leases = (1..=10_000).map(|id| lease(id, 5)).collect();
    let mut lessor = leading(at(0), leases, CONFIG);
    let (mut found, mut now, mut last) = (BTreeSet::new(), at(0), None::<Now>);
    while found.len() < 10_000 {
        now = lessor.next_deadline().unwrap().max(now);
        let expired = lessor.poll_expired(now);
        if expired.is_empty() {
            continue;
        }
        assert!(now >= at(6000), "an election timeout is added");
        assert!(expired.len() <= LEASE_EXPIRIES_PER_BATCH_MAX);
        assert!(last.is_none_or(|last| now.since(last) >= LEASE_EXPIRY_PAUSE));
        last = Some(now);
        for id in expired {
            lessor.on_change(now, &Change::Revoked(id));
            assert!(found.insert(id), "{id} twice");
        }
    }
    assert!(now.since(at(6000)) < Duration::from_millis(10_100), "a thousand a second: {:?}", now.since(at(6000)));
    assert_eq!((lessor.count(), lessor.next_deadline()), (0, None));
}

#[test]
fn only_a_leader_renews_and_expires() {
    let mut lessor = Lessor::new(CONFIG, vec![lease(7, 5), lease(3, 9)]);
    assert_eq!(lessor.renew(at(1), LeaseId(7)), Renewal::NotLeader);
    assert_eq!(lessor.remaining(at(60_000), LeaseId(7)).unwrap().seconds, 5);
    assert_eq!(lessor.list(), [LeaseId(3), LeaseId(7)]);
    assert!(lessor.poll_expired(at(60_000)).is_empty() && lessor.next_deadline().is_none());
    lessor.promote(at(60_000));
    assert!(lessor.settle());
    assert_eq!(lessor.list(), [LeaseId(7), LeaseId(3)]);
    assert_eq!(lessor.remaining(at(60_000), LeaseId(7)).unwrap().seconds, 6);
    assert_eq!(lessor.renew(at(61_000), LeaseId(7)), Renewal::Renewed(5));
    assert_eq!(lessor.poll_expired(at(66_068)), [LeaseId(7)]);
    assert_eq!(lessor.renew(at(66_069), LeaseId(7)), Renewal::Wait, "its revocation is under way");
    assert!(lessor.poll_expired(at(68_000)).is_empty());
    assert_eq!(
        lessor.poll_expired(at(66_068).after(LEASE_EXPIRY_RETRY).after(Duration::from_millis(68))),
        [LeaseId(7)]
    );
    lessor.demote();
    assert_eq!(lessor.renew(at(70_000), LeaseId(3)), Renewal::NotLeader);
    lessor.promote(at(70_000));
    // Without checkpoints nothing of before matters to a renewal.
    assert_eq!(lessor.renew(at(71_000), LeaseId(7)), Renewal::Renewed(5), "the new term has not decided anything");
}

#[test]
fn checkpoints_keep_the_remaining_time_over_a_change_of_leader() {
    let config = Config { checkpoints: true, ..CONFIG };
    let mut lessor = leading(at(0), vec![lease(1, 1000), lease(2, 200)], config);
    assert!(lessor.poll_checkpoints(at(299_000)).is_empty());
    let interval = Now(0).after(LEASE_CHECKPOINT_INTERVAL).after(Duration::from_millis(68));
    let noted = lessor.poll_checkpoints(interval);
    assert_eq!(noted, [(LeaseId(1), 701)], "the short one is never noted");
    lessor.on_change(interval, &Change::Checkpointed(LeaseId(1), 701));
    let stored = Lease { remaining_seconds: 701, ..lease(1, 1000) };
    let mut next = leading(at(500_000), vec![stored], config);
    assert_eq!(next.remaining(at(500_000), LeaseId(1)).unwrap().seconds, 702);
    // A renewal takes the checkpoint back before it is answered.
    assert_eq!(next.renew(at(501_000), LeaseId(1)), Renewal::Wait);
    assert_eq!(next.renew(at(501_000), LeaseId(1)), Renewal::Wait);
    assert_eq!(next.next_deadline(), Some(Now(0)));
    assert_eq!(next.poll_checkpoints(at(501_000)), [(LeaseId(1), 0)]);
    assert!(next.poll_checkpoints(at(501_000)).is_empty(), "once");
    next.on_change(at(501_100), &Change::Checkpointed(LeaseId(1), 0));
    assert_eq!(next.renew(at(501_100), LeaseId(1)), Renewal::Renewed(1000));
    assert_eq!(next.remaining(at(501_100), LeaseId(1)).unwrap().seconds, 1000);
}

/// What was noted and is not applied yet would cut short what a renewal promises, at the next change of leader.
#[test]
fn a_renewal_takes_back_what_is_being_noted() {
    let config = Config { checkpoints: true, ..CONFIG };
    let mut lessor = leading(at(0), vec![lease(1, 1000)], config);
    let interval = Now(0).after(LEASE_CHECKPOINT_INTERVAL).after(Duration::from_millis(68));
    assert_eq!(lessor.poll_checkpoints(interval), [(LeaseId(1), 701)]);
    assert_eq!(lessor.renew(interval, LeaseId(1)), Renewal::Wait);
    assert_eq!(lessor.poll_checkpoints(interval), [(LeaseId(1), 0)]);
    lessor.on_change(interval, &Change::Checkpointed(LeaseId(1), 701));
    assert_eq!(lessor.renew(interval, LeaseId(1)), Renewal::Wait);
    assert!(lessor.poll_checkpoints(interval).is_empty(), "once");
    lessor.on_change(interval, &Change::Checkpointed(LeaseId(1), 0));
    assert_eq!(lessor.renew(interval, LeaseId(1)), Renewal::Renewed(1000));
    // What another leader noted may be applied behind a renewal here.
    lessor.on_change(interval, &Change::Checkpointed(LeaseId(1), 501));
    assert_eq!(lessor.poll_checkpoints(interval), [(LeaseId(1), 0)]);
}

/// A leader of before may have noted something that is in the log and not applied when the next begins.
#[test]
fn a_new_leader_renews_when_everything_of_before_is_applied() {
    let mut lessor = Lessor::new(Config { checkpoints: true, ..CONFIG }, vec![lease(1, 1000)]);
    lessor.promote(at(0));
    assert_eq!(lessor.renew(at(1), LeaseId(1)), Renewal::Wait);
    lessor.on_change(at(2), &Change::Checkpointed(LeaseId(1), 400));
    assert!(lessor.poll_checkpoints(at(2)).is_empty(), "nothing was promised here");
    assert!(lessor.settle() && !lessor.settle());
    assert_eq!(lessor.renew(at(3), LeaseId(1)), Renewal::Wait);
    assert_eq!(lessor.poll_checkpoints(at(3)), [(LeaseId(1), 0)]);
    lessor.on_change(at(4), &Change::Checkpointed(LeaseId(1), 0));
    assert_eq!(lessor.renew(at(4), LeaseId(1)), Renewal::Renewed(1000));
}

/// A leader of before has taken a checkpoint back and answered a renewal; that entry is in the log and not applied yet.
#[test]
fn what_was_taken_back_before_gives_a_new_leader_the_whole_time() {
    let stored = Lease { remaining_seconds: 300, ..lease(1, 1000) };
    let mut lessor = Lessor::new(Config { checkpoints: true, ..CONFIG }, vec![stored]);
    lessor.promote(at(0));
    assert!(lessor.next_deadline().is_none() && lessor.poll_expired(at(400_000)).is_empty(), "not yet");
    lessor.on_change(at(5), &Change::Checkpointed(LeaseId(1), 0));
    lessor.settle();
    assert_eq!(lessor.remaining(at(5), LeaseId(1)).unwrap().seconds, 1001);
    assert!(lessor.poll_expired(at(400_000)).is_empty());
}

/// A command may be refused for lack of space, or lost: who renews again must not wait for it for ever.
#[test]
fn a_checkpoint_that_was_not_taken_back_is_taken_back_again() {
    let stored = Lease { remaining_seconds: 701, ..lease(1, 1000) };
    let mut lessor = leading(at(0), vec![stored], Config { checkpoints: true, ..CONFIG });
    assert_eq!(lessor.renew(at(0), LeaseId(1)), Renewal::Wait);
    assert_eq!(lessor.poll_checkpoints(at(0)), [(LeaseId(1), 0)]);
    assert_eq!(lessor.renew(at(100), LeaseId(1)), Renewal::Wait);
    assert!(lessor.poll_checkpoints(at(100)).is_empty());
    let later = at(0).after(LEASE_EXPIRY_RETRY);
    assert_eq!(lessor.renew(later, LeaseId(1)), Renewal::Wait);
    assert_eq!(lessor.poll_checkpoints(later), [(LeaseId(1), 0)]);
}

#[test]
fn the_shortest_time_to_live_is_etcds() {
    let of = |milliseconds| ttl_seconds_min(Duration::from_millis(milliseconds));
    assert_eq!((of(1000), of(100), of(2000), of(2001), of(50_000)), (2, 1, 3, 4, 75));
    assert_eq!((ttl_raised(-5, 2), ttl_raised(0, 2), ttl_raised(3, 2)), (2, 2, 3));
}

fn new_tree() -> Tree {
    const PAGES: u64 = 4096;
    Tree::create(Arena::anonymous(PAGES), tree::Config::default(), PAGES).unwrap()
}

#[test]
fn rows_round_trip_and_refusals_write_nothing() {
    let mut tree = new_tree();
    let mut txn = tree.begin();
    assert_eq!(grant(&mut txn, LeaseId(5), 10), Ok(lease(5, 10)));
    assert_eq!(grant(&mut txn, LeaseId(-5), LEASE_TTL_SECONDS_MAX), Ok(lease(-5, LEASE_TTL_SECONDS_MAX)));
    assert_eq!(grant(&mut txn, LeaseId(5), 11), Err(Error::Exists));
    assert_eq!(grant(&mut txn, LeaseId(6), LEASE_TTL_SECONDS_MAX + 1), Err(Error::TtlTooLarge));
    assert_eq!(grant(&mut txn, LeaseId(0), 1), Err(Error::NotFound));
    assert_eq!(checkpoint(&mut txn, LeaseId(5), 4), Ok(true));
    assert_eq!(checkpoint(&mut txn, LeaseId(6), 4), Ok(false));
    for key in ["b", "a", "", "ab"] {
        reattach(&mut txn, key.as_bytes(), LeaseId(0), LeaseId(5)).unwrap();
    }
    reattach(&mut txn, b"c", LeaseId(0), LeaseId(6)).unwrap();
    let view = txn.view();
    assert_eq!(all(&view).unwrap(), [lease(-5, LEASE_TTL_SECONDS_MAX), Lease { remaining_seconds: 4, ..lease(5, 10) }]);
    assert_eq!(attached(&view, LeaseId(5), None, 9).unwrap(), [&b""[..], b"a", b"ab", b"b"]);
    assert_eq!(attached(&view, LeaseId(5), Some(b"a"), 1).unwrap(), [b"ab"]);
    assert_eq!([-5, 5, 6, i64::MAX].map(|id| attached_count(&view, LeaseId(id)).unwrap()), [0, 4, 1, 0]);
    assert_eq!((exists(&view, LeaseId(0)), exists(&view, LeaseId(7))), (Ok(()), Err(Error::NotFound)));
    assert_eq!(
        reattach(&mut txn, b"x", LeaseId(5), LeaseId(0)),
        Err(Error::Damaged("a key was not attached to its lease"))
    );
    txn.commit(Stamp::default());
}
