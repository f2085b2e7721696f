//! What the cluster did, as one list of revisions, and the checks against it.
//!
//! Every change that any member shows is entered under its revision; whoever shows the same revision later must show the
//! same change. Values carry the number of the operation that wrote them, so each revision belongs to one operation.
//! From that, linearizability needs no search: etcd's revision orders all writes, and a read names the revision it saw.
//!
//! What is verified
//! - *Agreement*: two members, or one before and after a crash, never show different changes at one revision.
//! - *Density*: each revision from 2 on has a change; a transaction's changes share one revision.
//! - *Durability*: an acknowledged write's revision holds exactly its changes, for ever.
//! - *Order*: a write acknowledged before another was asked has the lower revision.
//! - *Once*: no operation's value appears at two revisions.
//! - *Fresh reads*: a linearizable read shows a revision at least as high as any acknowledged before it was asked, and
//!   exactly the state of that revision: values, versions, create and mod revisions, leases, count.
//! - *Leases*: keys that nobody deletes go only together with every other key of their lease, in one revision.
//!
//! Deliberately not verified here: what compaction removed (mvcc's model tests do) and performance.

use std::collections::BTreeMap;

use crate::workload::is_leased_only;

/// One key's change in one revision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Change {
    /// The key.
    pub(crate) key: Vec<u8>,
    /// Its new value; `None` is a deletion.
    pub(crate) value: Option<Vec<u8>>,
    /// The lease that it hangs on from now on, 0 for none.
    pub(crate) lease: i64,
}

/// A key as a read shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Shown {
    /// The key.
    pub(crate) key: Vec<u8>,
    /// Its value.
    pub(crate) value: Vec<u8>,
    /// Revision that created it.
    pub(crate) create_revision: i64,
    /// Revision that wrote it last.
    pub(crate) mod_revision: i64,
    /// Writes since it was created.
    pub(crate) version: i64,
    /// The lease that it hangs on, 0 for none.
    pub(crate) lease: i64,
}

#[derive(Clone, Debug)]
struct Version {
    revision: i64,
    shown: Option<Shown>,
}

/// A broken promise, in words.
pub(crate) type Violation = String;

/// See the module's words.
#[derive(Debug)]
pub(crate) struct Chronicle {
    changes: BTreeMap<i64, Vec<Change>>,
    keys: BTreeMap<Vec<u8>, Vec<Version>>,
    writers: BTreeMap<Vec<u8>, i64>,
    /// The highest revision that any client was told of.
    pub(crate) acknowledged: i64,
}

impl Default for Chronicle {
    fn default() -> Self {
        Self { changes: BTreeMap::new(), keys: BTreeMap::new(), writers: BTreeMap::new(), acknowledged: 1 }
    }
}

impl Chronicle {
    /// The highest revision known.
    pub(crate) fn revision(&self) -> i64 {
        self.changes.keys().next_back().copied().unwrap_or(1)
    }

    /// Enters what `who` shows at `revision`, or checks it against what stands there. Callers go up by one.
    pub(crate) fn observe(&mut self, who: &str, revision: i64, changes: Vec<Change>) -> Result<(), Violation> {
        if let Some(known) = self.changes.get(&revision) {
            if *known != changes {
                return Err(format!("agreement: {who} shows {changes:?} at revision {revision}, others {known:?}"));
            }
            return Ok(());
        }
        if revision != self.revision() + 1 {
            return Err(format!("density: {who} shows revision {revision} after {}", self.revision()));
        }
        if changes.is_empty() {
            return Err(format!("density: {who} shows revision {revision} with no change"));
        }
        self.check_leases(who, revision, &changes)?;
        for change in &changes {
            if let Some(value) = &change.value
                && let Some(earlier) = self.writers.insert(value.clone(), revision)
                && earlier != revision
            {
                return Err(format!("once: {who} shows the value of revision {earlier} again at {revision}"));
            }
            self.enter(revision, change);
        }
        self.changes.insert(revision, changes);
        Ok(())
    }

    /// Keys that no client deletes are deleted with their lease: all of its keys, and nothing else, in their order.
    fn check_leases(&self, who: &str, revision: i64, changes: &[Change]) -> Result<(), Violation> {
        let gone = |change: &&Change| change.value.is_none() && is_leased_only(&change.key);
        let Some(change) = changes.iter().find(gone) else { return Ok(()) };
        let lease = self.shown_at(&change.key, revision - 1).map_or(0, |shown| shown.lease);
        let attached = self.attached(lease, revision - 1);
        let deleted = changes.iter().map(|change| (&change.key, change.value.is_none()));
        if lease == 0 || !deleted.eq(attached.into_iter().map(|key| (key, true))) {
            return Err(format!(
                "leases: {who} shows {changes:?} at revision {revision}: not the keys of lease {lease}"
            ));
        }
        Ok(())
    }

    /// The keys that hang on a lease at `revision`, in their order.
    pub(crate) fn attached(&self, lease: i64, revision: i64) -> Vec<&Vec<u8>> {
        let shown = self.keys.keys().filter_map(|key| Some((key, self.shown_at(key, revision)?)));
        shown.filter(|(_, shown)| shown.lease == lease).map(|(key, _)| key).collect()
    }

    fn enter(&mut self, revision: i64, change: &Change) {
        let versions = self.keys.entry(change.key.clone()).or_default();
        let before = versions.last().and_then(|version| version.shown.as_ref());
        let shown = change.value.as_ref().map(|value| Shown {
            key: change.key.clone(),
            value: value.clone(),
            create_revision: before.map_or(revision, |shown| shown.create_revision),
            mod_revision: revision,
            version: before.map_or(1, |shown| shown.version + 1),
            lease: change.lease,
        });
        versions.push(Version { revision, shown });
    }

    /// The changes of one revision, if it is known.
    pub(crate) fn changes(&self, revision: i64) -> Option<&[Change]> {
        self.changes.get(&revision).map(Vec::as_slice)
    }

    /// What stood under `key` at `revision`.
    pub(crate) fn shown_at(&self, key: &[u8], revision: i64) -> Option<&Shown> {
        let versions = self.keys.get(key)?;
        versions.iter().rev().find(|version| version.revision <= revision)?.shown.as_ref()
    }

    /// Everything in `[from, to)` at `revision`, in key order.
    pub(crate) fn range_at(&self, from: &[u8], to: &[u8], revision: i64) -> Vec<&Shown> {
        let keys = self.keys.range(from.to_vec()..to.to_vec());
        keys.filter_map(|(key, _)| self.shown_at(key, revision)).collect()
    }

    /// Checks an acknowledged write: asked when `floor` had been acknowledged, answered with `revision`, and meant to make
    /// `expected` (in any order).
    pub(crate) fn check_write(&mut self, floor: i64, revision: i64, expected: &[Change]) -> Result<(), Violation> {
        if revision <= floor {
            return Err(format!("order: a write asked after revision {floor} was acknowledged got {revision}"));
        }
        let Some(changes) = self.changes(revision) else {
            return Err(format!("durability: revision {revision} was acknowledged and nobody shows it"));
        };
        let missing = expected.iter().find(|change| !changes.contains(change));
        if missing.is_some() || changes.len() != expected.len() {
            return Err(format!("durability: revision {revision} was acknowledged as {expected:?}, holds {changes:?}"));
        }
        self.acknowledged = self.acknowledged.max(revision);
        Ok(())
    }

    /// Checks a read of `[from, to)` that showed `revision`; `floor` is what had been acknowledged when it was asked (0
    /// for a serializable read).
    pub(crate) fn check_read(
        &self,
        floor: i64,
        revision: i64,
        (from, to): (&[u8], &[u8]),
        shown: &[Shown],
    ) -> Result<(), Violation> {
        if revision < floor {
            return Err(format!("fresh reads: shows revision {revision} although {floor} had been acknowledged"));
        }
        let expected = self.range_at(from, to, revision);
        if !shown.iter().eq(expected.iter().copied()) {
            return Err(format!("fresh reads: at revision {revision} shows {shown:?}, holds {expected:?}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, value: &str) -> Change {
        Change { key: key.into(), value: Some(value.into()), lease: 0 }
    }

    #[test]
    fn a_consistent_story_passes_and_each_break_is_named() {
        let mut chronicle = Chronicle::default();
        chronicle.observe("a", 2, vec![put("x", "1")]).unwrap();
        chronicle.observe("b", 2, vec![put("x", "1")]).unwrap();
        chronicle.check_write(1, 2, &[put("x", "1")]).unwrap();
        chronicle.observe("a", 3, vec![Change { key: "x".into(), value: None, lease: 0 }]).unwrap();
        assert!(chronicle.shown_at(b"x", 3).is_none());
        chronicle.observe("a", 4, vec![put("x", "2")]).unwrap();
        assert_eq!(chronicle.shown_at(b"x", 4).map(|shown| (shown.create_revision, shown.version)), Some((4, 1)));

        let breaks = [
            chronicle.observe("b", 3, vec![put("x", "9")]),
            chronicle.observe("b", 6, vec![put("x", "9")]),
            chronicle.observe("b", 5, vec![]),
            chronicle.observe("b", 5, vec![put("y", "1")]),
            chronicle.check_write(4, 4, &[put("x", "2")]),
            chronicle.check_write(1, 9, &[put("x", "2")]),
            chronicle.check_write(1, 4, &[put("x", "3")]),
            chronicle.check_read(9, 4, (b"x", b"y"), &[]),
            chronicle.check_read(2, 4, (b"x", b"y"), &[]),
        ];
        let names: Vec<_> =
            breaks.iter().map(|broken| broken.as_ref().unwrap_err().split(':').next().unwrap()).collect();
        let mut leased = Chronicle::default();
        let on = |key: &str, value: &str| Change { lease: 7, ..put(key, value) };
        let gone = |key: &str| Change { key: key.into(), value: None, lease: 0 };
        leased.observe("a", 2, vec![on("key/900", "1")]).unwrap();
        leased.observe("a", 3, vec![on("key/901", "2")]).unwrap();
        assert!(leased.observe("a", 4, vec![gone("key/900")]).unwrap_err().starts_with("leases"));
        leased.observe("a", 4, vec![gone("key/900"), gone("key/901")]).unwrap();

        let expected = "agreement density density once order durability durability fresh reads fresh reads";
        assert_eq!(names.join(" "), expected);
    }
}
