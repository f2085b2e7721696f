//! Leases in the world: clients that keep them alive or let them lapse, and looks at what members have.

use ringbolt::lease::{self, Lease};
use ringbolt::replica::{Input, LeaseAnswer, LeaseAsk};
use ringbolt::types::{LeaseId, Now, ShardId};
use std::collections::BTreeMap;

use super::{Event, MS, World};
use crate::chronicle::Violation;
use crate::leases::{Look, Table};
use crate::planted::Bug;

/// Full tables are compared at every so many indexes, and when leases come or go.
const TABLE_EVERY: u64 = 8;

/// What somebody wants to know of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    /// Its time again; `true` behind everything that is committed.
    Renewal(bool),
    /// How long it lives; the client that asks.
    TimeToLive(usize),
}

/// A question about a lease under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) node: usize,
    id: i64,
    wish: Wish,
}

/// The leases of a member's newest root.
fn all(run: &crate::node::Run) -> Result<Vec<Lease>, lease::Error> {
    lease::all(&run.reader.pin().view())
}

impl World {
    fn world_time(&self) -> u64 {
        self.now + self.nodes[0].leapt_ns
    }

    /// The term that a member leads in.
    pub(super) fn leads(&self, at: usize) -> Option<u64> {
        let run = self.nodes[at].run.as_ref().filter(|_| self.nodes[at].is_leader())?;
        Some(run.replica.status().leadership.term.0)
    }

    // ---- what members have ----

    /// A member has started: what it shows is what its disk kept.
    pub(super) fn look_at_start(&mut self, at: usize) -> Result<(), Violation> {
        let Some(run) = self.nodes[at].run.as_mut() else { return Ok(()) };
        let stamp = run.reader.latest_stamp();
        let Ok(leases) = all(run) else { return Ok(()) };
        run.leases = leases.into_iter().map(|lease| (lease.id.0, lease)).collect();
        (run.leases_at, run.leases_term) = (0, stamp.applied_term.0);
        Ok(())
    }

    /// Compares what a member has applied since the last look.
    pub(super) fn look_at_leases(&mut self, at: usize) -> Result<(), Violation> {
        let Some(run) = self.nodes[at].run.as_mut().filter(|_| self.options.leases) else { return Ok(()) };
        let pinned = run.reader.pin();
        let stamp = pinned.stamp();
        let index = stamp.applied_index.0;
        if index == run.leases_at {
            return Ok(());
        }
        let table = lease::all(&pinned.view()).and_then(|leases| {
            let changed = !leases.iter().eq(run.leases.values());
            if !changed && index % TABLE_EVERY != 0 {
                return Ok(None);
            }
            let row = |lease: Lease| {
                let keys = lease::attached(&pinned.view(), lease.id, None, usize::MAX)?;
                Ok((lease.id.0, (lease, keys)))
            };
            leases.into_iter().map(row).collect::<Result<Table, lease::Error>>().map(Some)
        });
        drop(pinned);
        let table = match table {
            Ok(table) => table,
            Err(error) => return self.refuse(at, format!("a look at leases found {error:?}")),
        };
        run.leases_at = index;
        let Some(table) = table else {
            run.leases_term = stamp.applied_term.0;
            return Ok(());
        };
        let before = std::mem::replace(&mut run.leases, table.iter().map(|(id, row)| (*id, row.0)).collect());
        let terms = (run.leases_term, stamp.applied_term.0);
        run.leases_term = stamp.applied_term.0;
        let clocks: Vec<Now> = self.nodes.iter().map(|node| node.local(self.now)).collect();
        let look = Look {
            who: format!("member {}", at + 1),
            leading: self.leads(at),
            local: clocks[at],
            clocks: &clocks,
            terms,
            before: &before,
            table,
            index,
            revision: stamp.revision.0.max(1),
        };
        let world = self.world_time();
        self.ledger.observe(look, world, &self.chronicle)
    }

    /// A member begins to lead.
    pub(super) fn begin_to_lead(&mut self, at: usize, term: u64) -> Result<(), Violation> {
        let local = self.nodes[at].local(self.now);
        let Some(run) = self.nodes[at].run.as_ref() else { return Ok(()) };
        let Ok(after) = all(run) else { return Ok(()) };
        let timeout = run.election_timeout;
        self.ledger.on_leading((term, at), local, &run.leases, &after, timeout)
    }

    fn shown(&self, at: usize) -> BTreeMap<i64, Lease> {
        self.nodes[at].run.as_ref().map(|run| run.leases.clone()).unwrap_or_default()
    }

    /// A grant was acknowledged by `at`.
    pub(super) fn granted(&mut self, at: usize, id: i64) -> Result<(), Violation> {
        self.look_at_leases(at)?;
        let shown = self.shown(at);
        if self.ledger.on_granted(id, &shown)? {
            self.schedule(MS, Event::Keep(id));
        }
        Ok(())
    }

    /// A revocation was acknowledged by `at` with this revision.
    pub(super) fn revoked(&mut self, at: usize, id: i64, revision: i64, floor: i64) -> Result<(), Violation> {
        self.look_at_leases(at)?;
        let shown = self.shown(at);
        self.ledger.on_revoked(id, &shown, (revision, floor), &self.chronicle)
    }

    /// A lease is not there, says `at`.
    pub(super) fn lease_not_found(&mut self, at: usize, id: i64) -> Result<(), Violation> {
        self.look_at_leases(at)?;
        let shown = self.shown(at);
        self.ledger.on_not_found(id, &shown)
    }

    /// Whether a lease that nobody keeps alive is still there.
    pub(super) fn waits_for_expiry(&self) -> bool {
        let runs = self.nodes.iter().filter_map(|node| node.run.as_ref());
        self.options.leases && runs.flat_map(|run| run.leases.keys()).any(|id| self.ledger.lapses(*id))
    }

    /// What must be there at the end is there.
    pub(super) fn check_leases_at_end(&mut self) -> Result<(), Violation> {
        for at in 0..self.nodes.len() {
            self.look_at_leases(at)?;
            if self.nodes[at].run.is_some() && self.options.leases {
                let shown = self.shown(at);
                self.ledger.check_end(&format!("member {}", at + 1), &shown)?;
            }
        }
        (self.report.expired, self.report.renewed) = (self.ledger.expired, self.ledger.renewed);
        self.report.checkpointed = self.ledger.checkpointed;
        Ok(())
    }

    // ---- clients ----

    /// The client that keeps a lease alive asks a member that takes itself for the leader, now and then another.
    pub(super) fn keep(&mut self, id: i64) -> Result<(), Violation> {
        let Some(every) = self.ledger.keeps(id) else { return Ok(()) };
        self.schedule(every, Event::Keep(id));
        let leaders: Vec<usize> = (0..self.nodes.len()).filter(|at| self.nodes[*at].is_leader()).collect();
        let any = leaders.is_empty() || self.extra.chance(100);
        let at = if any { self.extra.index(self.nodes.len()) } else { leaders[self.extra.index(leaders.len())] };
        self.ask_lease(Question { node: at, id, wish: Wish::Renewal(false) })
    }

    /// Somebody asks a member how long a lease lives.
    pub(super) fn ask_time_to_live(&mut self, at: usize, client: usize, id: i64) -> Result<(), Violation> {
        let question = Question { node: at, id, wish: Wish::TimeToLive(client) };
        self.read_then_ask(question)
    }

    fn ask_lease(&mut self, question: Question) -> Result<(), Violation> {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.questions.insert(ticket, question);
        let ask = match question.wish {
            Wish::Renewal(_) => LeaseAsk::Renew(LeaseId(question.id)),
            Wish::TimeToLive(_) => LeaseAsk::Remaining(LeaseId(question.id)),
        };
        if self.nodes[question.node].run.is_none() {
            self.drop_question(ticket);
            return Ok(());
        }
        self.input(question.node, Input::Lease { origin: ShardId(0), asks: vec![(ticket, ask)] })
    }

    /// Asks once everything that is committed is applied.
    fn read_then_ask(&mut self, question: Question) -> Result<(), Violation> {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.questions.insert(ticket, question);
        self.input(question.node, Input::Read { origin: ShardId(0), tickets: vec![ticket] })
    }

    /// A read that was asked for a question is ready; whether it was one.
    pub(super) fn lease_read_ready(&mut self, ticket: u64) -> Result<bool, Violation> {
        let Some(question) = self.questions.remove(&ticket) else { return Ok(false) };
        self.ask_lease(question)?;
        Ok(true)
    }

    /// A question goes without an answer.
    pub(super) fn drop_question(&mut self, ticket: u64) {
        if let Some(Question { wish: Wish::TimeToLive(client), .. }) = self.questions.remove(&ticket) {
            let after = self.extra.between(MS, 4 * MS);
            self.schedule(after, Event::Client(client));
        }
    }

    /// The questions to a member that is gone.
    pub(super) fn drop_questions(&mut self, at: usize) {
        let gone: Vec<u64> =
            self.questions.iter().filter(|(_, question)| question.node == at).map(|(ticket, _)| *ticket).collect();
        gone.into_iter().for_each(|ticket| self.drop_question(ticket));
    }

    /// A member answers.
    pub(super) fn lease_answered(&mut self, at: usize, ticket: u64, answer: LeaseAnswer) -> Result<(), Violation> {
        let Some(Question { id, wish, .. }) = self.questions.get(&ticket).copied() else {
            return Err(format!("leases: an answer to no question: {answer:?}"));
        };
        self.look_at_leases(at)?;
        let (local, world) = (self.nodes[at].local(self.now), self.world_time());
        let mut answer = answer;
        // The bug: what a member says that does not lead is taken for a renewal.
        if answer == LeaseAnswer::NotLeader && self.options.bug == Some(Bug::RenewedByAnybody) {
            answer = LeaseAnswer::Renewed(self.shown(at).get(&id).map_or(0, |lease| lease.ttl_seconds));
        }
        self.drop_question(ticket);
        match (wish, answer) {
            (Wish::Renewal(_), LeaseAnswer::Renewed(seconds)) => {
                let led = self.nodes[at].run.as_ref().and_then(|run| run.led);
                let term = self.leads(at).or(led);
                self.ledger.on_renewed(id, seconds, (term.unwrap_or(0), term.is_some()), local, world)
            }
            (Wish::Renewal(false), LeaseAnswer::NotFound) => {
                self.read_then_ask(Question { node: at, id, wish: Wish::Renewal(true) })
            }
            (_, LeaseAnswer::NotFound) => self.lease_not_found(at, id),
            (Wish::Renewal(_), LeaseAnswer::NotLeader | LeaseAnswer::TooMany) => Ok(()),
            (Wish::TimeToLive(_), LeaseAnswer::Remaining(remaining)) => {
                let leading = self.leads(at);
                self.ledger.on_remaining(LeaseId(id), (remaining.seconds, remaining.granted_seconds), leading, local)
            }
            (wish, answer) => Err(format!("leases: {wish:?} was answered with {answer:?}")),
        }
    }

    // ---- time ----

    /// Every clock leaps minutes ahead, as if nothing had happened meanwhile.
    pub(super) fn leap(&mut self) -> Result<(), Violation> {
        let leap = self.extra.between(100, 350) * 1000 * MS;
        self.nodes.iter_mut().for_each(|node| node.leapt_ns += leap);
        for at in 0..self.nodes.len() {
            self.input(at, Input::Tick)?;
            for shard in 0..self.nodes[at].run.as_ref().map_or(0, |run| run.shards.len()) {
                self.ring(at, shard);
            }
        }
        self.schedule_about(self.options.leap_every_ns, Event::Leap);
        Ok(())
    }
}
