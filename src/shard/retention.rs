//! What `--auto-compaction-mode` and `--auto-compaction-retention` ask to be compacted, and when.
//!
//! Invariants
//! - Pure: time and revisions are arguments. etcd's rules, number for number: a periodic compaction notes the revision ten
//!   times a period (an hour at most), compacts to what was noted a period ago, first after a whole period; one by
//!   revisions looks every five minutes.
//! - Only a leader compacts; what was noted meanwhile stays.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::AutoCompaction;
use crate::limits;
use crate::types::{Now, Revision};

/// What is kept, and what was done so far.
#[derive(Debug)]
pub(super) struct Retention {
    rule: Rule,
    /// When to look next.
    due: Now,
    /// The revision compacted last.
    last: Revision,
}

#[derive(Debug)]
enum Rule {
    Periodic(Periodic),
    /// So many revisions are kept.
    Revision(i64),
}

#[derive(Debug)]
struct Periodic {
    period: Duration,
    /// Revisions noted, the oldest first: at most those of one period.
    noted: VecDeque<Revision>,
    /// When the last compaction ended.
    succeeded: Now,
    /// The time from one compaction to the next: the whole period before the first.
    pause: Duration,
}

impl Periodic {
    /// Time between two compactions.
    fn interval(&self) -> Duration {
        self.period.min(limits::AUTO_COMPACTION_INTERVAL_MAX)
    }

    /// Time between two looks.
    fn step(&self) -> Duration {
        (self.interval() / limits::AUTO_COMPACTION_STEPS).max(Duration::from_millis(1))
    }

    fn note(&mut self, revision: Revision) {
        let kept = self.period.as_nanos() / self.step().as_nanos() + 1;
        self.noted.push_back(revision);
        while u128::try_from(self.noted.len()).is_ok_and(|noted| noted > kept) {
            self.noted.pop_front();
        }
    }
}

impl Retention {
    /// The rule of the flags; none if nothing is to be compacted.
    pub(super) fn new(wanted: AutoCompaction, now: Now, current: Revision) -> Option<Self> {
        let rule = match wanted {
            AutoCompaction::Off => return None,
            AutoCompaction::Revision(kept) => Rule::Revision(kept),
            AutoCompaction::Periodic(period) => {
                let period = period.to_std();
                Rule::Periodic(Periodic { period, noted: VecDeque::new(), succeeded: now, pause: period })
            }
        };
        let mut retention = Self { rule, due: now, last: Revision(0) };
        retention.rearm(now, current);
        Some(retention)
    }

    /// When to ask again.
    pub(super) fn due(&self) -> Now {
        self.due
    }

    /// The time has come: the revision to compact to, if there is one. `rearm` must follow, whatever came of it.
    pub(super) fn on_due(&mut self, now: Now, current: Revision, leads: bool) -> Option<Revision> {
        if !leads {
            return None;
        }
        match &mut self.rule {
            Rule::Periodic(periodic) => {
                let revision = *periodic.noted.front()?;
                if now.since(periodic.succeeded) < periodic.pause || revision == self.last {
                    return None;
                }
                periodic.pause = periodic.interval();
                Some(revision)
            }
            Rule::Revision(kept) => {
                let revision = Revision(current.0.saturating_sub(*kept));
                (revision.0 > 0 && revision != self.last).then_some(revision)
            }
        }
    }

    /// It was compacted, or was so before.
    pub(super) fn on_compacted(&mut self, now: Now, revision: Revision) {
        self.last = revision;
        if let Rule::Periodic(periodic) = &mut self.rule {
            periodic.succeeded = now;
        }
    }

    /// Notes where the store is, and when to look next.
    pub(super) fn rearm(&mut self, now: Now, current: Revision) {
        let pause = match &mut self.rule {
            Rule::Periodic(periodic) => {
                periodic.note(current);
                periodic.step()
            }
            Rule::Revision(_) => limits::AUTO_COMPACTION_REVISION_INTERVAL,
        };
        self.due = now.after(pause);
    }

    /// What the log says beside the revision: the mode's word, the flag's value under etcd's name, the pause after a failure.
    pub(super) fn words(&self) -> (&'static str, (&'static str, crate::log::Value), Duration) {
        match &self.rule {
            Rule::Periodic(periodic) => {
                ("periodic", ("compact-period", crate::log::Value::from(periodic.period)), periodic.step())
            }
            Rule::Revision(kept) => {
                let pause = limits::AUTO_COMPACTION_REVISION_INTERVAL;
                ("revision", ("revision-compaction-retention", crate::log::Value::from(*kept)), pause)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gotext::GoDuration;

    const MINUTE: u64 = 60_000_000_000;

    fn periodic(period: u64, now: Now, current: i64) -> Retention {
        let period = GoDuration(i64::try_from(period).unwrap());
        Retention::new(AutoCompaction::Periodic(period), now, Revision(current)).unwrap()
    }

    /// Walks looks of a store whose revision is 100 a minute; the compactions as (minute, revision).
    fn walk(retention: &mut Retention, looks: usize, leads: impl Fn(u64) -> bool) -> Vec<(u64, i64)> {
        let mut compactions = Vec::new();
        for _ in 0..looks {
            let now = retention.due();
            let current = Revision(i64::try_from(now.0 / (MINUTE / 100)).unwrap() + 1);
            if let Some(revision) = retention.on_due(now, current, leads(now.0 / MINUTE)) {
                compactions.push((now.0 / MINUTE, revision.0));
                retention.on_compacted(now, revision);
            }
            retention.rearm(now, current);
        }
        compactions
    }

    #[test]
    fn nothing_is_asked_for_nothing() {
        assert!(Retention::new(AutoCompaction::Off, Now(0), Revision(1)).is_none());
    }

    #[test]
    fn a_period_up_to_an_hour_is_compacted_once_a_period_to_what_was_then() {
        // Ten looks of six minutes an hour: the first compaction is after the hour, of where it began; the next ones are of a
        // period and a look ago, as in etcd, which looks before it notes.
        let mut retention = periodic(60 * MINUTE, Now(0), 1);
        let found = walk(&mut retention, 31, |_| true);
        assert_eq!(found, [(60, 1), (120, 5401), (180, 11401)]);
    }

    #[test]
    fn a_longer_period_is_compacted_every_hour() {
        let mut retention = periodic(3 * 60 * MINUTE, Now(0), 1);
        let found = walk(&mut retention, 51, |_| true);
        assert_eq!(found, [(180, 1), (240, 5401), (300, 11401)]);
    }

    #[test]
    fn a_short_period_is_looked_at_ten_times() {
        let mut retention = periodic(5_000_000_000, Now(7), 1);
        assert_eq!(retention.due(), Now(500_000_007));
        assert_eq!(walk(&mut retention, 9, |_| true), []);
        let now = retention.due();
        assert_eq!(retention.on_due(now, Revision(50), true), Some(Revision(1)));
    }

    #[test]
    fn a_failure_is_tried_again_at_the_next_look_and_the_same_revision_is_not() {
        let mut retention = periodic(10 * MINUTE, Now(0), 5);
        for _ in 0..9 {
            let now = retention.due();
            assert_eq!(retention.on_due(now, Revision(5), true), None);
            retention.rearm(now, Revision(5));
        }
        let now = retention.due();
        assert_eq!(retention.on_due(now, Revision(5), true), Some(Revision(5)));
        retention.rearm(now, Revision(5));
        let now = retention.due();
        assert_eq!(retention.on_due(now, Revision(5), true), Some(Revision(5)), "it failed, so it is tried again");
        retention.on_compacted(now, Revision(5));
        for _ in 0..30 {
            retention.rearm(retention.due(), Revision(5));
            let now = retention.due();
            assert_eq!(retention.on_due(now, Revision(5), true), None, "nothing is new");
        }
    }

    #[test]
    fn who_does_not_lead_notes_and_does_not_compact() {
        let mut retention = periodic(60 * MINUTE, Now(0), 1);
        let found = walk(&mut retention, 31, |minute| minute > 130);
        assert_eq!(found, [(132, 6601)]);
    }

    #[test]
    fn by_revisions_every_five_minutes() {
        let mut retention = Retention::new(AutoCompaction::Revision(700), Now(0), Revision(1)).unwrap();
        let found = walk(&mut retention, 4, |_| true);
        assert_eq!(found, [(10, 301), (15, 801), (20, 1301)]);
        let now = retention.due();
        assert_eq!(retention.on_due(now, Revision(2001), true), None, "the same as the last");
    }
}
