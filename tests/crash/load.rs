//! Clients that write, read, delete and compact until their server is gone, and note what they were told.
//!
//! **Invariants**: a request is acknowledged, or without effect, or unanswered: never forgotten. Every value is unique.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use ringbolt::proto::etcdserverpb as pb;
use ringbolt::proto::mvccpb::KeyValue;

use crate::client::{CallError, Client, PATIENCE, Random, Server};
use crate::model::{Acknowledged, Action, Change, Read, Seen, State};
use crate::rounds::End;

/// Clients that are at work at once, on few connections.
const WRITERS: u64 = 24;
const READERS: u64 = 4;
const CONNECTIONS: u64 = 4;
const KEYS: u64 = 240;

struct Shared {
    seen: RefCell<Seen>,
    /// Wakes who waits for a number of acknowledged writes.
    progress: tokio::sync::Notify,
    /// Writers that have not ended.
    working: Cell<u64>,
    /// Asks the clients to end.
    quit: Cell<bool>,
    /// Below it, everything was checked: compactions go no further.
    checked: i64,
    round: u64,
}

/// Runs the clients until `stop_after` writes are acknowledged and the server has ended as `end` says.
pub(crate) async fn load(
    server: &mut Server,
    seed: u64,
    round: u64,
    checked: (i64, &State),
    stop_after: usize,
    end: End,
) -> Seen {
    let shared = Rc::new(Shared {
        seen: RefCell::new(Seen { floor: checked.0, ..Seen::default() }),
        progress: tokio::sync::Notify::new(),
        working: Cell::new(WRITERS),
        quit: Cell::new(false),
        checked: checked.0,
        round,
    });
    let mut random = Random::new(seed);
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        clients.push(Client::open(server.client).await.expect("a ready server listens"));
    }
    let mut tasks = Vec::new();
    for number in 0..WRITERS + READERS {
        let client = clients[usize::try_from(number % CONNECTIONS).expect("small")].clone();
        let worker = Worker {
            shared: Rc::clone(&shared),
            client,
            random: Random::new(random.next()),
            number,
            mods: checked.1.values().map(|kv| (kv.key.clone(), kv.mod_revision)).collect(),
        };
        tasks.push(if number < WRITERS {
            tokio::task::spawn_local(worker.write())
        } else {
            tokio::task::spawn_local(worker.read())
        });
    }
    while shared.seen.borrow().acknowledged.len() < stop_after && shared.working.get() > 0 {
        shared.progress.notified().await;
    }
    match end {
        End::Kill | End::KillStarting(_) => server.kill(),
        // The clients go on until the server has closed their connections.
        End::Stop => server.signal("TERM"),
        End::Quiet => shared.quit.set(true),
    }
    for task in tasks {
        task.await.expect("a client does not panic");
    }
    for client in clients {
        client.connection.close().await;
    }
    if end == End::Quiet {
        server.signal("TERM");
    }
    assert!(server.await_exit(PATIENCE).is_some(), "the server does not stop: {}", server.last_lines(12));
    shared.seen.take()
}

struct Worker {
    shared: Rc<Shared>,
    client: Client,
    random: Random,
    number: u64,
    /// Mod revisions as this client knows them, for compares.
    mods: std::collections::BTreeMap<Bytes, i64>,
}

/// What became of a request.
enum Fate {
    Acknowledged { revision: i64, succeeded: bool, before: Vec<Option<KeyValue>> },
    WithoutEffect,
    Unanswered,
}

impl Worker {
    async fn write(mut self) {
        self.write_on().await;
        self.shared.working.set(self.shared.working.get() - 1);
        self.shared.progress.notify_one();
    }

    async fn write_on(&mut self) {
        for count in 0.. {
            if self.shared.quit.get() {
                return;
            }
            if self.random.chance(1, 400) {
                if !self.compact().await {
                    return;
                }
                continue;
            }
            let action = self.action(count);
            match self.send(&action).await {
                Fate::Acknowledged { revision, succeeded, before } => {
                    self.learn(&action, revision);
                    let mut seen = self.shared.seen.borrow_mut();
                    seen.floor = seen.floor.max(revision);
                    seen.acknowledged.push(Acknowledged { action, revision, succeeded, before });
                    self.shared.progress.notify_one();
                }
                Fate::WithoutEffect => self.shared.seen.borrow_mut().without_effect += 1,
                Fate::Unanswered => {
                    self.shared.seen.borrow_mut().unanswered.push(action);
                    return;
                }
            }
        }
    }

    async fn read(mut self) {
        while !self.shared.quit.get() {
            let key = self.key();
            let floor = self.shared.seen.borrow().floor;
            let request = pb::RangeRequest { key: key.clone(), ..Default::default() };
            let Ok(answer) = self.client.range(&request).await else { return };
            let revision = answer.header.map_or(0, |header| header.revision);
            let kv = answer.kvs.into_iter().next();
            self.shared.seen.borrow_mut().reads.push(Read { revision, floor, key, kv });
        }
    }

    async fn compact(&mut self) -> bool {
        let revision = self.random.between(0, self.shared.checked);
        let request = pb::CompactionRequest { revision, physical: self.random.chance(1, 3) };
        let answer = self.client.compact(&request).await;
        let mut seen = self.shared.seen.borrow_mut();
        match answer {
            Ok(_) => seen.compacted = seen.compacted.max(revision),
            // Already compacted: somebody else was faster.
            Err(CallError::Status(status)) if status.code == crate::client::code::OUT_OF_RANGE => {}
            Err(_) => {
                seen.maybe_compacted.push(revision);
                return false;
            }
        }
        true
    }

    fn key(&mut self) -> Bytes {
        format!("key/{:04}", self.random.below(KEYS)).into()
    }

    fn value(&mut self, count: u64) -> Bytes {
        let length = match self.random.below(100) {
            0 => 60_000,
            1..=9 => 5000,
            _ => self.random.index(600),
        };
        let mut value = format!("{}/{}/{count}/{:x} ", self.shared.round, self.number, self.random.next()).into_bytes();
        value.resize(value.len() + length, b'v');
        value.into()
    }

    fn changes(&mut self, count: u64) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        for _ in 0..self.random.between(1, 5) {
            let key = self.key();
            if changes.iter().all(|(other, _)| *other != key) {
                let value = if self.random.chance(1, 4) { None } else { Some(self.value(count)) };
                changes.push((key, value));
            }
        }
        changes
    }

    fn action(&mut self, count: u64) -> Action {
        match self.random.below(10) {
            0..=4 => Action::Put(self.key(), self.value(count)),
            5 => Action::Delete(self.key(), None),
            6 if self.random.chance(1, 4) => {
                let start = self.random.below(KEYS);
                let end = start + self.random.below(6);
                Action::Delete(format!("key/{start:04}").into(), Some(format!("key/{end:04}").into()))
            }
            _ => {
                let key = self.key();
                let known = self.mods.get(&key).copied().unwrap_or(0);
                let mod_revision = if self.random.chance(3, 4) { known } else { 0 };
                let (then, otherwise) = (self.changes(count), self.changes(count));
                Action::Txn { key, mod_revision, then, otherwise }
            }
        }
    }

    fn learn(&mut self, action: &Action, revision: i64) {
        if let Action::Put(key, _) = action {
            self.mods.insert(key.clone(), revision);
        }
    }

    async fn send(&mut self, action: &Action) -> Fate {
        let fate = match action {
            Action::Put(key, value) => self.put(key, value).await,
            Action::Delete(key, end) => self.delete(key, end.as_ref()).await,
            Action::Txn { .. } => self.txn(action).await,
        };
        match fate {
            Ok(fate) => fate,
            // Whatever the reason: it may have been done.
            Err(CallError::Lost(_) | CallError::Status(_)) => Fate::Unanswered,
            Err(CallError::Malformed(what)) => panic!("{action:?}: {what}"),
        }
    }

    async fn put(&self, key: &Bytes, value: &Bytes) -> Result<Fate, CallError> {
        let request = pb::PutRequest { key: key.clone(), value: value.clone(), prev_kv: true, ..Default::default() };
        let answer = self.client.put(&request).await?;
        let revision = answer.header.map_or(0, |header| header.revision);
        Ok(Fate::Acknowledged { revision, succeeded: true, before: vec![answer.prev_kv] })
    }

    async fn delete(&self, key: &Bytes, end: Option<&Bytes>) -> Result<Fate, CallError> {
        let range_end = end.cloned().unwrap_or_default();
        let request = pb::DeleteRangeRequest { key: key.clone(), range_end, prev_kv: true };
        let answer = self.client.delete_range(&request).await?;
        if answer.deleted == 0 {
            return Ok(Fate::WithoutEffect);
        }
        let revision = answer.header.map_or(0, |header| header.revision);
        Ok(Fate::Acknowledged { revision, succeeded: true, before: answer.prev_kvs.into_iter().map(Some).collect() })
    }

    async fn txn(&self, action: &Action) -> Result<Fate, CallError> {
        use pb::response_op::Response;
        let answer = self.client.txn(&action.request()).await?;
        let revision = answer.header.map_or(0, |header| header.revision);
        let mut before = Vec::new();
        for op in answer.responses {
            match op.response {
                Some(Response::ResponsePut(put)) => before.push(put.prev_kv),
                Some(Response::ResponseDeleteRange(delete)) => before.extend(delete.prev_kvs.into_iter().map(Some)),
                other => return Err(CallError::Malformed(format!("an answer of another kind: {other:?}"))),
            }
        }
        if before.is_empty() {
            return Ok(Fate::WithoutEffect);
        }
        Ok(Fate::Acknowledged { revision, succeeded: answer.succeeded, before })
    }
}
