//! A store beside a plain model of it and a simulated file. Every random choice comes from one seed.

use std::collections::BTreeMap;

use crate::limits::{PAGE_BYTES, TREE_FILE_PAGES_MIN};
use crate::tree::{
    Arena, CheckpointDone, CheckpointPlan, Config, Error, Pinned, Reader, Stamp, Tree, TreeId, Txn, View,
};
use crate::types::{PageNumber, RaftIndex, ShardId};

/// xorshift64.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % bound
    }

    pub(crate) fn size(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(u64::try_from(bound).unwrap())).unwrap()
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    pub(crate) fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.byte()).collect()
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
    pub(super) weighted: bool,
}

pub(super) type ModelTree = BTreeMap<Vec<u8>, Entry>;
pub(super) type Model = BTreeMap<TreeId, ModelTree>;

/// The file that checkpoints write.
#[derive(Clone, Debug, Default)]
pub(super) struct Image {
    pub(super) bytes: Vec<u8>,
}

impl Image {
    pub(super) fn new(pages: u64) -> Self {
        Self { bytes: vec![0; usize::try_from(pages).unwrap() * PAGE_BYTES] }
    }

    pub(super) fn pages(&self) -> u64 {
        u64::try_from(self.bytes.len() / PAGE_BYTES).unwrap()
    }

    pub(super) fn page_mut(&mut self, page: PageNumber) -> &mut [u8] {
        let start = usize::try_from(page.0).unwrap() * PAGE_BYTES;
        &mut self.bytes[start..start + PAGE_BYTES]
    }

    pub(super) fn resize(&mut self, pages: u64) {
        self.bytes.resize(usize::try_from(pages).unwrap() * PAGE_BYTES, 0);
    }

    /// Everything that a plan writes, in order, the meta last.
    pub(super) fn writes(plan: &CheckpointPlan) -> Vec<(PageNumber, Vec<u8>)> {
        let mut out = Vec::new();
        for range in plan.ranges() {
            for page in range.first.0..range.end().0 {
                let mut bytes = [0; PAGE_BYTES];
                plan.write_page(PageNumber(page), &mut bytes);
                out.push((PageNumber(page), bytes.to_vec()));
            }
        }
        out.extend(plan.map_blocks().map(|(page, bytes)| (page, bytes.to_vec())));
        out.push((plan.meta().0, plan.meta().1.to_vec()));
        out
    }

    pub(super) fn apply(&mut self, plan: &CheckpointPlan) {
        for (page, bytes) in Self::writes(plan) {
            self.page_mut(page).copy_from_slice(&bytes);
        }
    }

    /// Truncates and punches, with bytes that would be noticed.
    pub(super) fn give_back(&mut self, done: &CheckpointDone) {
        for range in &done.give_back.punch {
            for page in range.first.0..range.end().0 {
                self.page_mut(PageNumber(page)).fill(0xee);
            }
        }
        if let Some(tail) = done.give_back.truncate {
            assert_eq!(tail.end().0, self.pages());
            self.resize(tail.first.0);
        }
    }

    pub(super) fn open(&self, reserved: u64) -> Result<Tree, Error> {
        self.open_with(reserved, CONFIG)
    }

    fn open_with(&self, reserved: u64, config: Config) -> Result<Tree, Error> {
        let mut arena = Arena::anonymous(reserved);
        arena.load(PageNumber(0), &self.bytes);
        Tree::open(arena, config, self.pages())
    }
}

/// Gives back as soon as it can.
pub(super) const CONFIG: Config = Config { grow_pages: 64, free_pages_kept: 64 };
/// Gives back now and then, so that most checkpoints overlap with transactions and not with growth.
const ROOMY: Config = Config { grow_pages: 64, free_pages_kept: 500 };
pub(super) const TREES: [TreeId; 3] = [TreeId::Keys, TreeId::Revisions, TreeId::LeaseKeys];

pub(super) struct World {
    pub(super) random: Random,
    pub(super) tree: Tree,
    pub(super) reader: Reader,
    pub(super) model: Model,
    pub(super) image: Image,
    pub(super) pins: Vec<(Pinned, Model)>,
    pub(super) plan: Option<(CheckpointPlan, Model)>,
    /// What the last finished checkpoint made durable.
    pub(super) durable: Option<Model>,
    pub(super) applied: u64,
    pub(super) huge_keys: bool,
    /// Distinct short keys are drawn from this many.
    pub(super) key_space: u64,
}

pub(super) const RESERVED: u64 = 40_000;

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self::with(seed, ROOMY)
    }

    pub(super) fn with(seed: u64, config: Config) -> Self {
        let tree = Tree::create(Arena::anonymous(RESERVED), config, TREE_FILE_PAGES_MIN).unwrap();
        let reader = tree.shared().reader(ShardId(0));
        let model = TREES.into_iter().map(|tree| (tree, ModelTree::new())).collect();
        let random = Random::new(seed);
        let image = Image::new(TREE_FILE_PAGES_MIN);
        Self {
            random,
            tree,
            reader,
            model,
            image,
            pins: vec![],
            plan: None,
            durable: None,
            applied: 0,
            huge_keys: seed.is_multiple_of(3),
            key_space: 400,
        }
    }

    /// Goes on from what a file holds, after everything else was lost.
    pub(super) fn resume(random: Random, image: Image, model: Model) -> Self {
        let tree = image.open_with(RESERVED, ROOMY).unwrap();
        let reader = tree.shared().reader(ShardId(0));
        let applied = tree.stamp().applied_index.0;
        let (pins, plan, durable) = (vec![], None, Some(model.clone()));
        Self { random, tree, reader, model, image, pins, plan, durable, applied, huge_keys: true, key_space: 400 }
    }

    pub(super) fn key(&mut self) -> Vec<u8> {
        let random = &mut self.random;
        match random.below(6) {
            0 => random.below(self.key_space).to_be_bytes().to_vec(),
            1 | 2 => format!("/registry/pods/ns-{}/pod-{}", random.below(4), random.below(self.key_space)).into_bytes(),
            3 => vec![b'a'; random.size(8)],
            4 if self.huge_keys => {
                let length = 480 + random.size(60);
                let mut key = vec![b'h'; length];
                key.extend(random.below(9).to_be_bytes());
                key
            }
            5 if self.huge_keys => {
                let mut key = vec![b'h'; 5000];
                key.extend(random.below(30).to_be_bytes());
                key
            }
            _ => format!("k{}", random.below(self.key_space)).into_bytes(),
        }
    }

    pub(super) fn body(&mut self) -> Vec<u8> {
        let length = match self.random.below(30) {
            0 => 900 + self.random.size(250),
            1 => 1024 + self.random.size(9000),
            2 => 4096 * (1 + self.random.size(2)),
            3..=5 => self.random.size(600),
            _ => self.random.size(60),
        };
        let byte = self.random.byte();
        let mut body = vec![byte; length];
        let tip = self.random.bytes(length.min(8));
        body[..tip.len()].copy_from_slice(&tip);
        body
    }

    pub(super) fn entry(&mut self) -> Entry {
        let head = {
            let length = self.random.size(20);
            self.random.bytes(length)
        };
        Entry { head, body: self.body(), weighted: self.random.one_in(2) }
    }

    /// A key that is there, if there is one.
    pub(super) fn present(&mut self, tree: TreeId) -> Option<Vec<u8>> {
        let probe = self.key();
        let cells = &self.model[&tree];
        cells.range(probe.clone()..).next().or_else(|| cells.iter().next()).map(|(key, _)| key.clone())
    }

    pub(super) fn grow(&mut self, wanted: u64) {
        let plan = match self.tree.plan_grow(wanted) {
            Some(plan) => plan,
            None => {
                self.finish_checkpoint();
                self.tree.plan_grow(wanted).expect("the reserve is large enough")
            }
        };
        let end = plan.first_page.0 + plan.page_count;
        if end > self.image.pages() {
            self.image.resize(end);
        }
        self.tree.on_grow_done(&plan);
    }

    /// One transaction of up to `operations`, growing the file first if it is short.
    pub(super) fn transact(&mut self, operations: u64, removes: u64) {
        if self.tree.pages_free() < 60 {
            self.grow(400);
        }
        let steps: Vec<_> = (0..1 + self.random.below(operations)).map(|_| self.step(removes)).collect();
        let mut model = self.model.clone();
        let abort = self.random.one_in(8);
        let mut txn = self.tree.begin();
        let mut refused = false;
        for step in &steps {
            if apply(&mut txn, &mut model, step) == Err(Error::OutOfPages) {
                refused = true;
                break;
            }
        }
        if self.random.one_in(4) {
            compare(txn.view(), &model, &mut self.random);
        }
        if abort || refused {
            drop(txn);
            if refused {
                self.grow(400);
            }
            return;
        }
        self.applied += 1;
        txn.commit(Stamp { applied_index: RaftIndex(self.applied), ..Stamp::default() });
        self.model = model;
    }

    /// Moves some pages below a random one, which changes nothing that a reader sees.
    pub(super) fn sweep(&mut self) {
        let ceiling = self.random.below(self.tree.file_pages());
        self.tree.editor.space.set_ceiling(ceiling);
        let mut sweep = crate::tree::sweep::Sweep::new(ceiling);
        while !sweep.is_over() {
            let mut txn = self.tree.begin();
            let swept = txn.sweep(&mut sweep, 1 + self.random.below(9));
            if self.random.one_in(4) {
                drop(txn);
                return;
            }
            self.applied += 1;
            txn.commit(Stamp { applied_index: RaftIndex(self.applied), ..Stamp::default() });
            if swept.is_err() {
                assert_eq!(swept, Err(Error::OutOfPages));
                self.grow(400);
            }
        }
    }

    pub(super) fn step(&mut self, removes: u64) -> Step {
        let tree = TREES[self.random.size(TREES.len())];
        match self.random.below(10) {
            roll if roll < removes => match self.present(tree) {
                Some(key) => Step::Remove(tree, key),
                None => Step::Remove(tree, self.key()),
            },
            9 => {
                let weighted = self.random.one_in(2);
                let key = self.present(tree).unwrap_or_else(|| self.key());
                Step::Weigh(tree, key, weighted)
            }
            _ => {
                let key = if self.random.one_in(3) { self.present(tree) } else { None };
                let key = key.unwrap_or_else(|| self.key());
                Step::Insert(tree, key, self.entry())
            }
        }
    }

    pub(super) fn begin_checkpoint(&mut self) {
        if self.plan.is_none() {
            self.plan = self.tree.plan_checkpoint().map(|plan| (plan, self.model.clone()));
        }
    }

    /// Writes what was planned, reopens the store from the file beside the running one, and compares.
    pub(super) fn finish_checkpoint(&mut self) {
        let Some((plan, model)) = self.plan.take() else { return };
        self.image.apply(&plan);
        let reopened = self.image.open(RESERVED).unwrap();
        assert!(!reopened.stats().map_rebuilt);
        assert_eq!(reopened.txn(), plan.txn());
        reopened.check().unwrap();
        reopened.assert_invariants();
        let reader = reopened.shared().reader(ShardId(1));
        compare(reader.pin().view(), &model, &mut self.random);
        assert_eq!(reader.latest_stamp(), plan.stamp());
        let done = self.tree.on_checkpoint_done(plan);
        self.durable = Some(model);
        self.image.give_back(&done);
    }

    pub(super) fn verify(&mut self) {
        self.tree.check().unwrap();
        self.tree.assert_invariants();
        compare(self.reader.pin().view(), &self.model, &mut self.random);
        assert_eq!(self.reader.latest_stamp().applied_index, RaftIndex(self.applied));
    }

    pub(super) fn verify_pins(&mut self) {
        for (pin, model) in &self.pins {
            compare(pin.view(), model, &mut self.random);
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Insert(TreeId, Vec<u8>, Entry),
    Remove(TreeId, Vec<u8>),
    Weigh(TreeId, Vec<u8>, bool),
}

/// Does one step in a transaction and in the model.
pub(super) fn apply(txn: &mut Txn<'_>, model: &mut Model, step: &Step) -> Result<(), Error> {
    match step {
        Step::Insert(tree, key, entry) => {
            let is_new = txn.insert(*tree, key, &entry.head, &entry.body, entry.weighted)?;
            let old = model.get_mut(tree).unwrap().insert(key.clone(), entry.clone());
            assert_eq!(is_new, old.is_none());
        }
        Step::Remove(tree, key) => {
            let was_there = txn.remove(*tree, key)?;
            let old = model.get_mut(tree).unwrap().remove(key);
            assert_eq!(was_there, old.is_some());
        }
        Step::Weigh(tree, key, weighted) => {
            let was_there = txn.set_weighted(*tree, key, *weighted)?;
            let entry = model.get_mut(tree).unwrap().get_mut(key);
            assert_eq!(was_there, entry.is_some());
            if let Some(entry) = entry {
                entry.weighted = *weighted;
            }
        }
    }
    Ok(())
}

fn same(view: View<'_>, cursor: &crate::tree::Cursor<'_>, key: &[u8], entry: &Entry) {
    let _ = view;
    let cell = cursor.cell().unwrap().expect("the cursor stands at a cell");
    assert_eq!(cell.key, key);
    assert_eq!(cursor.key().unwrap(), Some(cell.key));
    assert_eq!((cell.head, cell.body, cell.weighted), (&entry.head[..], &entry.body[..], entry.weighted));
}

/// Compares everything a view can say with the model.
pub(super) fn compare(view: View<'_>, model: &Model, random: &mut Random) {
    for (tree, cells) in model {
        let mut cursor = view.cursor(*tree);
        let mut more = cursor.seek_first().unwrap();
        for (key, entry) in cells {
            assert!(more, "cells end before {key:?}");
            same(view, &cursor, key, entry);
            more = cursor.next().unwrap();
        }
        assert!(!more, "cells go on after the model's");
        let mut more = cursor.seek_last().unwrap();
        for (key, entry) in cells.iter().rev() {
            assert!(more);
            same(view, &cursor, key, entry);
            more = cursor.prev().unwrap();
        }
        assert!(!more);
        compare_weighted(view, *tree, cells);
        for _ in 0..6 {
            compare_at(view, *tree, cells, random);
        }
    }
}

fn compare_weighted(view: View<'_>, tree: TreeId, cells: &ModelTree) {
    let weighted: Vec<_> = cells.iter().filter(|(_, entry)| entry.weighted).collect();
    assert_eq!(view.weight(tree), u64::try_from(weighted.len()).unwrap());
    let mut cursor = view.cursor(tree);
    let mut more = cursor.seek_weighted(&[]).unwrap();
    for (key, entry) in &weighted {
        assert!(more);
        same(view, &cursor, key, entry);
        more = cursor.next_weighted().unwrap();
    }
    assert!(!more);
    let mut more = cursor.seek_last().unwrap();
    if more && !cursor.cell().unwrap().unwrap().weighted {
        more = cursor.prev_weighted().unwrap();
    }
    for (key, entry) in weighted.iter().rev() {
        assert!(more);
        same(view, &cursor, key, entry);
        more = cursor.prev_weighted().unwrap();
    }
    assert!(!more);
}

/// Point questions around a random cell.
fn compare_at(view: View<'_>, tree: TreeId, cells: &ModelTree, random: &mut Random) {
    let Some((key, _)) = cells.iter().nth(random.size(cells.len().max(1))) else { return };
    let mut probe = key.clone();
    if random.one_in(2) && !probe.is_empty() {
        let at = random.size(probe.len());
        probe[at] = probe[at].wrapping_add(1);
    } else if random.one_in(4) {
        probe.insert(0, random.byte());
    }
    let wanted = probe.clone();
    let found = view.find(tree, &probe).unwrap();
    assert_eq!(found.map(|cell| cell.body), cells.get(&wanted).map(|entry| &entry.body[..]));
    let rank = cells.range(..wanted.clone()).filter(|(_, entry)| entry.weighted).count();
    assert_eq!(view.rank(tree, &probe).unwrap(), u64::try_from(rank).unwrap());
    let mut cursor = view.cursor(tree);
    let next = cells.range(wanted.clone()..).next();
    assert_eq!(cursor.seek(&probe).unwrap(), next.is_some());
    assert_eq!(cursor.key().unwrap(), next.map(|(key, _)| key.clone()).as_deref());
    let back = cursor.prev().unwrap();
    let before = cells.range(..wanted.clone()).next_back();
    assert_eq!(back, next.is_some() && before.is_some());
    assert_eq!(cursor.seek_below(&probe).unwrap(), before.is_some());
    assert_eq!(cursor.key().unwrap(), before.map(|(key, _)| key.clone()).as_deref());
    let next = cells.range(wanted..).find(|(_, entry)| entry.weighted);
    assert_eq!(cursor.seek_weighted(&probe).unwrap(), next.is_some());
    assert_eq!(cursor.key().unwrap(), next.map(|(key, _)| key.clone()).as_deref());
}
