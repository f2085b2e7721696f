//! Random stores, clients and budgets.

use bytes::Bytes;

use super::client::{Client, TERM, at, config};
use crate::command::Command;
use crate::mvcc::check::check_txn;
use crate::mvcc::tests::model::Model;
use crate::mvcc::tests::random::Random;
use crate::mvcc::tests::support::{new_tree, pin, run};
use crate::mvcc::{Feed, Position, Progress, Want, compact_step};
use crate::tree::Tree;
use crate::types::{Now, Revision};
use crate::watch::{Bounds, Create, Hub};

struct World {
    tree: Tree,
    model: Model,
    hub: Hub,
    clients: Vec<Client>,
    random: Random,
    now: Now,
    /// Rows are removed only behind what this hub has seen, as the replica does it.
    compacting: bool,
    seed: u64,
}

#[derive(Default, Debug)]
struct Totals {
    compacted: u64,
    progress: u64,
    stalls: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let small = |random: &mut Random, below: u64| usize::try_from(1 + random.below(below)).unwrap();
        let bounds = Bounds {
            stream_bytes: 200 * small(&mut random, 40),
            stream_bytes_scarce: 100,
            shard_bytes: 20_000,
            batch_bytes: small(&mut random, 2000),
            step_cells: small(&mut random, 60),
            turn_cells: small(&mut random, 30),
        };
        Self {
            tree: new_tree(),
            model: Model::new(),
            hub: Hub::new(config(seed, bounds)),
            clients: Vec::new(),
            random,
            now: Now(0),
            compacting: false,
            seed,
        }
    }

    fn write(&mut self) {
        let command = self.random.command(self.model.current);
        if matches!(&command, Command::Txn(txn) if check_txn(txn, 1000).is_err()) {
            return;
        }
        let expected = self.model.apply(&command).is_ok();
        assert_eq!(run(&mut self.tree, &command, Want::Effect).is_ok(), expected);
        self.compacting |= matches!(command, Command::Compact(_));
    }

    fn work(&mut self) -> Progress {
        let pinned = pin(&self.tree);
        self.hub.work(&Feed::new(&pinned.view()), TERM).unwrap()
    }

    fn position(&self) -> Position {
        Position::of(&pin(&self.tree).stamp())
    }

    fn create(&mut self, client: usize) {
        let current = self.model.current;
        let back = i64::try_from(self.random.below(40)).unwrap();
        let id = if self.random.one_in(4) { i64::try_from(self.random.below(6)).unwrap() } else { 0 };
        let ranged = self.random.range(current);
        let request = Create {
            key: if self.random.one_in(10) { Bytes::new() } else { ranged.key },
            range_end: ranged.range_end,
            start: match self.random.below(4) {
                0 => at((current - back).max(-1)),
                1 => at(current + back / 8),
                _ => Revision(0),
            },
            notify: self.random.one_in(2),
            no_puts: self.random.one_in(6),
            no_deletions: self.random.one_in(6),
            previous: self.random.one_in(2),
            id,
            fragment: self.random.one_in(3),
        };
        let position = self.position();
        self.clients[client].asked.push(request.clone());
        let stream = self.clients[client].stream;
        self.hub.create(self.now, stream, request, position);
    }

    fn step(&mut self, totals: &mut Totals) {
        let some = usize::try_from(self.random.below(1 + u64::try_from(self.clients.len()).unwrap())).unwrap();
        let client = (some < self.clients.len()).then_some(some);
        match (self.random.below(24), client) {
            (0..8, _) => self.write(),
            (8..12, _) => _ = self.work(),
            (12, _) if self.clients.len() < 5 => self.clients.push(Client::open(&mut self.hub, self.now)),
            (13, Some(client)) if self.random.one_in(8) => {
                let client = self.clients.remove(client);
                self.hub.close(client.stream);
                assert!(!self.hub.has_room(client.stream) && self.hub.next_chunk(client.stream, TERM).is_none());
            }
            (14 | 15, Some(client)) => self.create(client),
            (16, Some(client)) => {
                let id = i64::try_from(self.random.below(6)).unwrap();
                let (stream, position) = (self.clients[client].stream, self.position());
                self.clients[client].canceling.push(id);
                self.hub.cancel(stream, id, position);
            }
            (17, Some(client)) => self.hub.progress(self.clients[client].stream),
            (18, _) => {
                self.now = Now(self.now.0 + 1_000_000_000 * self.random.below(8));
                self.hub.tick(self.now);
                assert!(self.hub.next_deadline().is_none_or(|due| due > self.now));
            }
            (19, _) if self.compacting => {
                let seen = self.hub.is_empty() || self.hub.through() >= self.position().compacted;
                // Now and then the hub is too slow, and must say so.
                if seen || self.random.one_in(20) {
                    self.compacting = compact_step(&mut self.tree, 5).unwrap() == Progress::More;
                }
            }
            (_, Some(client)) => {
                let chunks = self.random.below(4);
                self.clients[client].read(&mut self.hub, &self.model, chunks);
            }
            (_, None) => {}
        }
        totals.stalls += u64::try_from(self.hub.counts().1).unwrap();
        let most = 5 * (8_000 + 60_000);
        assert!(self.hub.queued_bytes() < most, "seed {}: {} bytes wait", self.seed, self.hub.queued_bytes());
    }

    fn finish(&mut self, totals: &mut Totals) {
        for round in 0.. {
            assert!(round < 100_000, "seed {}: it does not come to an end", self.seed);
            let done = self.work() == Progress::Done;
            let mut any = false;
            for client in &mut self.clients {
                any |= client.read(&mut self.hub, &self.model, 100);
            }
            if done && !any && !self.hub.has_work() {
                break;
            }
        }
        for client in &mut self.clients {
            self.hub.progress(client.stream);
            client.read(&mut self.hub, &self.model, 100);
            client.check(&self.model);
            (totals.compacted, totals.progress) =
                (totals.compacted + client.compacted, totals.progress + client.progress);
        }
        for client in self.clients.drain(..) {
            self.hub.close(client.stream);
        }
        assert!(self.hub.is_empty() && self.hub.queued_bytes() == 0 && self.hub.next_deadline().is_none());
    }
}

#[test]
fn every_watcher_is_told_what_a_naive_one_would_be() {
    let mut totals = Totals::default();
    for seed in 1..=150 {
        let mut world = World::new(seed);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..400 {
                world.step(&mut totals);
            }
            world.finish(&mut totals);
        }));
        assert!(outcome.is_ok(), "seed {seed}");
    }
    assert!(totals.compacted > 20 && totals.progress > 100 && totals.stalls > 1000, "{totals:?}");
}
