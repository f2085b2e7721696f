//! What a restarted server must show: each acknowledged write, dense revisions, whole transactions, nothing else.
//!
//! **Invariants**: the model moves from one checked revision to the next; every revision in between is explained by
//! exactly one request of the round.

use std::collections::BTreeMap;

use bytes::Bytes;
use ringbolt::proto::etcdserverpb as pb;

use crate::client::{CallError, Client, Random, Server, code};
use crate::model::{Action, Change, Seen, State};

/// Revisions read back exactly, at most, for each round.
const READ_BACK_MAX: usize = 1500;

/// The store up to the last checked revision.
#[derive(Default)]
pub(crate) struct Checked {
    /// Its revision.
    pub(crate) revision: i64,
    /// Its keys.
    pub(crate) state: State,
    /// The highest compaction that is certain.
    pub(crate) compacted: i64,
    /// Figures for the record.
    pub(crate) totals: Totals,
}

/// What all rounds did.
#[derive(Default, Debug)]
pub(crate) struct Totals {
    /// Acknowledged writes.
    pub(crate) acknowledged: usize,
    /// Unanswered ones that were found done.
    pub(crate) unanswered_done: usize,
    /// Unanswered ones that were not.
    pub(crate) unanswered_lost: usize,
    /// Reads during the load.
    pub(crate) reads: usize,
    /// Keys read back at the revision of an acknowledged write.
    pub(crate) read_back: usize,
}

impl Checked {
    /// An empty store.
    pub(crate) fn new() -> Self {
        Self { revision: 1, ..Self::default() }
    }

    /// Checks the restarted server against what clients saw, and takes over its revision.
    pub(crate) async fn check(&mut self, server: &Server, seen: Seen, random: &mut Random) -> Result<(), String> {
        let client = Client::open(server.client).await.map_err(|lost| lost.to_string())?;
        let (current, found) = everything(&client, 0).await?;
        let mut acknowledged = BTreeMap::new();
        for write in &seen.acknowledged {
            let revision = write.revision;
            if revision <= self.revision || revision > current {
                return Err(format!(
                    "acknowledged at revision {revision}, but the store went from {} to {current}: {write:?}",
                    self.revision
                ));
            }
            if let Some(other) = acknowledged.insert(revision, write) {
                return Err(format!("two writes were told revision {revision}: {other:?} and {write:?}"));
            }
        }
        self.totals.acknowledged += acknowledged.len();
        self.totals.reads += seen.reads.len();
        let mut reads = seen.reads;
        reads.sort_by_key(|read| read.revision);
        let mut reads = reads.into_iter().peekable();
        let mut unanswered = seen.unanswered;
        let mut expected: Vec<(i64, Bytes)> = Vec::new();
        for revision in self.revision..=current {
            if revision > self.revision {
                let action = match acknowledged.get(&revision) {
                    Some(write) => {
                        told_right(write, &self.state, revision)?;
                        write.action.clone()
                    }
                    None => self.explain(&client, revision, &mut unanswered).await?,
                };
                expected.extend(action.changes(&self.state).into_iter().map(|(key, _)| (revision, key)));
                action.apply(&mut self.state, revision);
            }
            while let Some(read) = reads.next_if(|read| read.revision == revision) {
                if read.floor > revision || read.kv.as_ref() != self.state.get(&read.key) {
                    return Err(format!("stale or wrong read: {read:?}, expected {:?}", self.state.get(&read.key)));
                }
            }
        }
        if let Some(read) = reads.next() {
            return Err(format!("a read told a revision that is gone: {read:?}, the store is at {current}"));
        }
        self.totals.unanswered_lost += unanswered.len();
        same(&found, &self.state, current)?;
        self.read_back(&client, expected, current, random).await?;
        self.revision = current;
        self.check_compaction(&client, seen.compacted, &seen.maybe_compacted).await
    }

    /// The unanswered request that made this revision.
    async fn explain(
        &mut self,
        client: &Client,
        revision: i64,
        unanswered: &mut Vec<Action>,
    ) -> Result<Action, String> {
        let (_, after) = everything(client, revision).await?;
        let changes = difference(&self.state, &after);
        let found = unanswered.iter().position(|action| {
            let mut own = action.changes(&self.state);
            own.sort();
            !own.is_empty() && own == changes
        });
        let Some(index) = found else {
            return Err(format!("nobody asked for revision {revision}: {changes:?}; unanswered: {unanswered:?}"));
        };
        self.totals.unanswered_done += 1;
        Ok(unanswered.swap_remove(index))
    }

    /// Keys written in this round, read at the revisions of their writes.
    async fn read_back(
        &mut self,
        client: &Client,
        mut expected: Vec<(i64, Bytes)>,
        current: i64,
        random: &mut Random,
    ) -> Result<(), String> {
        while expected.len() > READ_BACK_MAX {
            let index = random.index(expected.len());
            expected.swap_remove(index);
        }
        self.totals.read_back += expected.len();
        for batch in expected.chunks(64) {
            let mut flying = Vec::new();
            for (revision, key) in batch {
                let request = pb::RangeRequest { key: key.clone(), revision: *revision, ..Default::default() };
                let client = client.clone();
                flying.push(tokio::task::spawn_local(async move { client.range(&request).await }));
            }
            for (task, (revision, key)) in flying.into_iter().zip(batch) {
                let answer = task.await.expect("no panic").map_err(|error| format!("{key:?}@{revision}: {error:?}"))?;
                let kv = answer.kvs.first();
                let right = match kv {
                    Some(kv) => kv.mod_revision == *revision && kv.key == *key,
                    None => answer.count == 0,
                };
                // The newest write of a key is in the state: there, all fields are known.
                let newest = self.state.get(key).filter(|newest| newest.mod_revision == *revision);
                if !right || newest.is_some_and(|newest| kv != Some(newest)) {
                    return Err(format!(
                        "{key:?} at revision {revision} of {current}: {answer:?}, expected {newest:?}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// The compacted revision is the highest one told, or that of an unanswered compaction, and nothing else.
    async fn check_compaction(&mut self, client: &Client, certain: i64, maybe: &[i64]) -> Result<(), String> {
        self.compacted = self.compacted.max(certain);
        // An unanswered compaction was done if the revision below its own is gone.
        for &revision in maybe {
            if revision > self.compacted && gone(client, revision - 1).await? {
                self.compacted = revision;
            }
        }
        let compacted = self.compacted;
        if compacted > 1 && !gone(client, compacted - 1).await? {
            return Err(format!("compacted at {compacted}, but the revision before it is still there"));
        }
        if compacted > 0 && gone(client, compacted).await? {
            return Err(format!("compacted at {compacted}, but that revision itself is gone"));
        }
        Ok(())
    }
}

async fn gone(client: &Client, revision: i64) -> Result<bool, String> {
    let request = pb::RangeRequest { key: "key/0000".into(), revision, ..Default::default() };
    match client.range(&request).await {
        Ok(_) => Ok(false),
        Err(CallError::Status(status)) if status.code == code::OUT_OF_RANGE => Ok(true),
        Err(error) => Err(format!("read at revision {revision}: {error:?}")),
    }
}

fn told_right(write: &crate::model::Acknowledged, state: &State, revision: i64) -> Result<(), String> {
    let changes = write.action.changes(state);
    let before: Vec<_> = changes.iter().map(|(key, _)| state.get(key).cloned()).collect();
    if changes.is_empty() || write.before != before || write.succeeded != write.action.succeeds(state) {
        return Err(format!("at revision {revision} told {write:?}, but before it there was {before:?}"));
    }
    Ok(())
}

/// All keys at a revision (0 = now), with the store's current revision.
pub(crate) async fn everything(client: &Client, revision: i64) -> Result<(i64, State), String> {
    let all = Bytes::from_static(b"\0");
    let request = pb::RangeRequest { key: all.clone(), range_end: all, revision, ..Default::default() };
    let answer = client.range(&request).await.map_err(|error| format!("everything at {revision}: {error:?}"))?;
    let current = answer.header.map_or(0, |header| header.revision);
    let state: State = answer.kvs.into_iter().map(|kv| (kv.key.clone(), kv)).collect();
    let count = i64::try_from(state.len()).expect("few keys");
    if answer.count != count || answer.more {
        return Err(format!("count {} and more {} for {count} keys", answer.count, answer.more));
    }
    Ok((current, state))
}

fn difference(before: &State, after: &State) -> Vec<Change> {
    let mut changes: Vec<Change> =
        before.keys().filter(|&key| !after.contains_key(key)).map(|key| (key.clone(), None)).collect();
    for (key, kv) in after {
        if before.get(key).is_none_or(|old| old.mod_revision != kv.mod_revision) {
            changes.push((key.clone(), Some(kv.value.clone())));
        }
    }
    changes.sort();
    changes
}

fn same(found: &State, expected: &State, revision: i64) -> Result<(), String> {
    for key in found.keys().chain(expected.keys()) {
        if found.get(key) != expected.get(key) {
            return Err(format!(
                "{key:?} at revision {revision} is {:.500?}, expected {:.500?}",
                found.get(key),
                expected.get(key)
            ));
        }
    }
    Ok(())
}
