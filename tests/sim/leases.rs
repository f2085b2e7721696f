//! What is known of leases, and the checks against it.
//!
//! Time in two kinds: a member's own clock (`Now`), which may run fast or slow, and the world's, in nanoseconds.
//!
//! What is verified
//! - *Tables*: members, or one before and after a crash, have the same leases with the same keys at the same index; the keys
//!   are those that the chronicle says.
//! - *Not early*: a leader has a lease expire only after its time has passed on its own clock since the grant, the last
//!   renewal that it answered, or since it began to lead (and an election timeout more).
//! - *Kept alive*: a lease that was granted or renewed does not vanish before its time would have passed on the fastest clock
//!   there is, whoever crashed or led meanwhile.
//! - *Nothing lost*: what was granted is there until it was revoked or has expired; then it is gone for ever.
//! - *Renewals*: answered by who leads, never for a lease whose expiry is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ringbolt::command::{Kind, LeaseExpiry};
use ringbolt::lease::Lease;
use ringbolt::proto::etcdserverpb as pb;
use ringbolt::types::{LeaseId, Now};

use crate::chronicle::{Chronicle, Violation};
use crate::rng::Rng;
use crate::workload::{Operation, Workload, write};

const SECOND: u64 = 1_000_000_000;
/// Leases that are there at a time.
const LEASES_MAX: usize = 12;
/// Rounding of clocks.
const SLACK_NS: u64 = 1_000_000;

/// The leases of one root with their keys, in the order of their ids.
pub(crate) type Table = BTreeMap<i64, (Lease, Vec<Vec<u8>>)>;

/// One lease.
#[derive(Debug, Default)]
struct Held {
    ttl_seconds: i64,
    /// Somebody was told that it is there.
    acknowledged: bool,
    /// A client renews it.
    kept: bool,
    revoke_asked: bool,
    gone: bool,
    /// The world's time from which on its whole time was promised.
    promised: Option<u64>,
    /// By term: before this its leader must not have it expire, by its own clock.
    due: BTreeMap<u64, Now>,
    /// Terms whose leaders have proposed its expiry.
    expiring: BTreeSet<u64>,
}

/// One look at a member's leases.
pub(crate) struct Look<'a> {
    /// Who shows them.
    pub(crate) who: String,
    /// The term that this member leads in, if it does, and its clock.
    pub(crate) leading: Option<u64>,
    /// What its clock shows.
    pub(crate) local: Now,
    /// What every member's clock shows.
    pub(crate) clocks: &'a [Now],
    /// The terms of what it applied since the last look.
    pub(crate) terms: (u64, u64),
    /// What it showed at the last look.
    pub(crate) before: &'a BTreeMap<i64, Lease>,
    /// What it shows.
    pub(crate) table: Table,
    /// At this index.
    pub(crate) index: u64,
    /// At this revision.
    pub(crate) revision: i64,
}

/// See the module's words.
#[derive(Debug)]
pub(crate) struct Ledger {
    rng: Rng,
    held: BTreeMap<i64, Held>,
    tables: BTreeMap<u64, Table>,
    /// Who leads in a term, by place.
    leaders: BTreeMap<u64, usize>,
    /// Leases last for minutes: time leaps.
    long: bool,
    /// The fastest clock, parts per thousand.
    pub(crate) fastest_per_mille: u64,
    /// Leases that expired, and renewals answered.
    pub(crate) expired: u64,
    /// Renewals answered.
    pub(crate) renewed: u64,
    /// Checkpoints of remaining time that were seen.
    pub(crate) checkpointed: u64,
}

fn span(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// What a lease has when somebody begins to lead.
fn left(lease: &Lease) -> i64 {
    if lease.remaining_seconds > 0 { lease.remaining_seconds } else { lease.ttl_seconds }
}

impl Ledger {
    /// Nothing granted yet.
    pub(crate) fn new(rng: Rng, long: bool, fastest_per_mille: u64) -> Self {
        Self {
            rng,
            held: BTreeMap::new(),
            tables: BTreeMap::new(),
            leaders: BTreeMap::new(),
            long,
            fastest_per_mille,
            expired: 0,
            renewed: 0,
            checkpointed: 0,
        }
    }

    // ---- the workload ----

    /// Sometimes an operation about leases. A lease that is to be kept alive is named beside it.
    pub(crate) fn draw(&mut self, workload: &mut Workload, world: u64) -> Option<Operation> {
        if !self.rng.chance(350) {
            return None;
        }
        let there: Vec<i64> = self.there().collect();
        if there.is_empty() || (there.len() < LEASES_MAX && self.rng.chance(150)) {
            return Some(self.grant(world));
        }
        let id = there[self.rng.index(there.len())];
        Some(match self.rng.below(100) {
            0..60 => workload.leased_put(id),
            60..75 => workload.leased_put(0),
            75..80 if !self.held[&id].kept => {
                self.held.get_mut(&id).expect("it is there").revoke_asked = true;
                write(Kind::LeaseRevoke, &pb::LeaseRevokeRequest { id })
            }
            _ => Operation::TimeToLive(id),
        })
    }

    fn grant(&mut self, world: u64) -> Operation {
        let id = i64::try_from(self.rng.bits() >> 1).expect("63 bits");
        let seconds =
            if self.long && self.rng.chance(600) { self.rng.between(400, 2000) } else { self.rng.between(2, 5) };
        let ttl_seconds = i64::try_from(seconds).expect("small");
        let held = Held { ttl_seconds, kept: self.rng.chance(400), promised: Some(world), ..Held::default() };
        self.held.insert(id, held);
        write(Kind::LeaseGrant, &pb::LeaseGrantRequest { id, ttl: ttl_seconds })
    }

    /// Leases that somebody was told of and that nobody saw go.
    fn there(&self) -> impl Iterator<Item = i64> {
        self.held.iter().filter(|(_, held)| held.acknowledged && !held.gone && !held.revoke_asked).map(|(id, _)| *id)
    }

    /// Whether a client still renews this lease, and how often at least.
    pub(crate) fn keeps(&self, id: i64) -> Option<u64> {
        let held = self.held.get(&id).filter(|held| held.kept && !held.gone)?;
        Some(span(held.ttl_seconds.min(5)).as_nanos().try_into().unwrap_or(SECOND) / 5)
    }

    /// Whether nobody keeps this lease alive, so that it must expire.
    pub(crate) fn lapses(&self, id: i64) -> bool {
        self.held.get(&id).is_none_or(|held| !held.kept || !held.acknowledged)
    }

    // ---- what members do ----

    /// The member at `place` begins to lead. `before` and `after` are its leases around the moment.
    pub(crate) fn on_leading(
        &mut self,
        (term, place): (u64, usize),
        local: Now,
        before: &BTreeMap<i64, Lease>,
        after: &[Lease],
        election_timeout: Duration,
    ) -> Result<(), Violation> {
        if self.leaders.insert(term, place).is_some_and(|other| other != place) {
            return Err(format!("leases: two leaders in term {term}"));
        }
        for lease in after {
            let Some(held) = self.held.get_mut(&lease.id.0) else { continue };
            let old = before.get(&lease.id.0);
            let seconds = old.map_or(left(lease), |old| left(old).min(left(lease)));
            let more = if old.is_some() { election_timeout } else { Duration::ZERO };
            held.due.insert(term, local.after(span(seconds)).after(more));
        }
        Ok(())
    }

    /// The leader of `term` wrote these bytes to its log: what it has expire must be up.
    pub(crate) fn on_append(&mut self, term: u64, local: Now, bytes: &[u8]) -> Result<(), Violation> {
        let mut head = vec![Kind::LeaseExpire.code(), 16];
        head.extend_from_slice(&term.to_le_bytes());
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == head[0]) {
            rest = &rest[at..];
            let expiry =
                rest.starts_with(&head).then(|| rest.get(2..18).and_then(|bytes| LeaseExpiry::decode(bytes).ok()));
            rest = &rest[1..];
            let Some(expiry) = expiry.flatten() else { continue };
            let Some(held) = self.held.get_mut(&expiry.id.0) else { continue };
            held.expiring.insert(term);
            if held.due.get(&term).is_none_or(|due| local < *due) {
                let due = held.due.get(&term);
                return Err(format!(
                    "not early: the leader of term {term} has lease {} expire at {local:?}, due at {due:?}",
                    expiry.id
                ));
            }
        }
        Ok(())
    }

    /// A look at a member after it has applied something.
    pub(crate) fn observe(&mut self, look: Look<'_>, world: u64, chronicle: &Chronicle) -> Result<(), Violation> {
        for (id, (lease, _)) in &look.table {
            if look.before.get(id).is_some_and(|before| before.remaining_seconds != lease.remaining_seconds) {
                self.checkpointed += 1;
            }
            if !look.before.contains_key(id) {
                self.appeared(&look, lease)?;
            }
        }
        let vanished = look.before.keys().filter(|id| !look.table.contains_key(*id));
        for id in vanished.copied().collect::<Vec<_>>() {
            self.vanished(&look, id, world)?;
        }
        self.check_table(look, chronicle)
    }

    fn appeared(&mut self, look: &Look<'_>, lease: &Lease) -> Result<(), Violation> {
        let Some(held) = self.held.get_mut(&lease.id.0) else {
            return Err(format!("nothing lost: {} shows lease {} that nobody asked for", look.who, lease.id));
        };
        if held.ttl_seconds != lease.ttl_seconds {
            return Err(format!("nothing lost: {} shows {lease:?} instead of {held:?}", look.who));
        }
        if let Some(term) = look.leading {
            // A restart finds leases before it leads: those have their time from then.
            held.due.entry(term).or_insert(look.local.after(span(lease.ttl_seconds)));
        }
        Ok(())
    }

    fn vanished(&mut self, look: &Look<'_>, id: i64, world: u64) -> Result<(), Violation> {
        let fastest = self.fastest_per_mille;
        let Some(held) = self.held.get_mut(&id) else { return Ok(()) };
        if std::mem::replace(&mut held.gone, true) || held.revoke_asked {
            return Ok(());
        }
        self.expired += 1;
        let told = |what: &str| {
            Err(format!("{what}: {} has no lease {id} any more at index {}: {held:?}", look.who, look.index))
        };
        // The log may have it in two pieces; then its leader's clock must be past the time at least.
        let up = |(term, due): (&u64, &Now)| self.leaders.get(term).is_some_and(|place| look.clocks[*place] >= *due);
        let terms = look.terms.0..=look.terms.1;
        if held.expiring.range(terms.clone()).next().is_none() && !held.due.range(terms).any(up) {
            return told("not early: no leader had it expire");
        }
        if let Some(promised) = held.promised {
            let passed = u128::from(world - promised) * u128::from(fastest) / 1000;
            if passed + u128::from(SLACK_NS) < span(held.ttl_seconds).as_nanos() {
                return told("kept alive");
            }
        }
        Ok(())
    }

    fn check_table(&mut self, look: Look<'_>, chronicle: &Chronicle) -> Result<(), Violation> {
        let mut attached: BTreeMap<i64, Vec<&Vec<u8>>> = look.table.keys().map(|id| (*id, Vec::new())).collect();
        for shown in chronicle.range_at(b"key/", b"key0", look.revision).into_iter().filter(|shown| shown.lease != 0) {
            let Some(keys) = attached.get_mut(&shown.lease) else {
                return Err(format!("tables: {} has {shown:?} on a lease that is gone", look.who));
            };
            keys.push(&shown.key);
        }
        if let Some((id, (_, keys))) = look.table.iter().find(|(id, (_, keys))| !attached[*id].iter().copied().eq(keys))
        {
            return Err(format!("tables: {} has {keys:?} on lease {id}, not {:?}", look.who, attached[id]));
        }
        let known = self.tables.entry(look.index).or_insert_with(|| look.table.clone());
        if *known != look.table {
            return Err(format!("tables: {} has {:?} at index {}, others {known:?}", look.who, look.table, look.index));
        }
        Ok(())
    }

    // ---- what clients are told ----

    /// A grant was acknowledged. Whether somebody keeps it alive.
    pub(crate) fn on_granted(&mut self, id: i64, shown: &BTreeMap<i64, Lease>) -> Result<bool, Violation> {
        let held = self.held.get_mut(&id).expect("it was asked for");
        held.acknowledged = true;
        if !held.gone && !shown.contains_key(&id) {
            return Err(format!("nothing lost: the grant of lease {id} was acknowledged, and it is not there"));
        }
        Ok(held.kept)
    }

    /// A revocation was acknowledged with this revision.
    pub(crate) fn on_revoked(
        &mut self,
        id: i64,
        shown: &BTreeMap<i64, Lease>,
        (revision, floor): (i64, i64),
        chronicle: &Chronicle,
    ) -> Result<(), Violation> {
        let held = self.held.get_mut(&id).expect("it was asked for");
        held.gone = true;
        let keys = chronicle.attached(id, revision);
        if shown.contains_key(&id) || !keys.is_empty() || revision < floor {
            return Err(format!(
                "leases: the revocation of {id} was acknowledged at {revision}, and {keys:?} are left"
            ));
        }
        Ok(())
    }

    /// A lease was renewed by the leader of `term`; `leads` says whether it did lead.
    pub(crate) fn on_renewed(
        &mut self,
        id: i64,
        seconds: i64,
        (term, leads): (u64, bool),
        local: Now,
        world: u64,
    ) -> Result<(), Violation> {
        let newest = self.leaders.keys().next_back().copied();
        let held = self.held.get_mut(&id).expect("it was asked for");
        let gone = held.gone && !held.revoke_asked && newest == Some(term);
        if !leads || gone || held.expiring.contains(&term) || seconds != held.ttl_seconds {
            return Err(format!(
                "renewals: lease {id} was renewed for {seconds} s in term {term}, leading: {leads}: {held:?}"
            ));
        }
        self.renewed += 1;
        let due = held.due.entry(term).or_insert(local);
        *due = (*due).max(local.after(span(seconds)));
        // Who was replaced and does not know it can promise nothing.
        if newest == Some(term) {
            held.promised = Some(world);
        }
        Ok(())
    }

    /// A lease was not found, even behind everything that was committed; or a put was told so.
    pub(crate) fn on_not_found(&self, id: i64, shown: &BTreeMap<i64, Lease>) -> Result<(), Violation> {
        let held = &self.held[&id];
        if held.acknowledged && !held.gone || shown.contains_key(&id) {
            return Err(format!("nothing lost: lease {id} is not found: {held:?}"));
        }
        Ok(())
    }

    /// A member says how long a lease lives; a leader says so of `term`.
    pub(crate) fn on_remaining(
        &self,
        id: LeaseId,
        (seconds, granted): (i64, i64),
        leading: Option<u64>,
        local: Now,
    ) -> Result<(), Violation> {
        let held = &self.held[&id.0];
        let due = leading.and_then(|term| held.due.get(&term));
        let least = due.map_or(0, |due| due.since(local).as_secs());
        let long = seconds > held.ttl_seconds + 1;
        if granted != held.ttl_seconds || seconds < i64::try_from(least).unwrap_or(0) || long {
            return Err(format!("time to live: {seconds} of {granted} s at {local:?}, due {due:?}: {held:?}"));
        }
        Ok(())
    }

    /// Every lease that must be in the table of a member that has applied everything.
    pub(crate) fn check_end(&self, who: &str, table: &BTreeMap<i64, Lease>) -> Result<(), Violation> {
        let lost = self.held.iter().find(|(id, held)| held.acknowledged && !held.gone && !table.contains_key(*id));
        if let Some((id, held)) = lost {
            return Err(format!("nothing lost: {who} has no lease {id} at the end: {held:?}"));
        }
        let back = table.keys().find(|id| self.held.get(*id).is_none_or(|held| held.gone));
        back.map_or(Ok(()), |id| Err(format!("nothing lost: {who} has lease {id} again, which was gone")))
    }
}
