//! The disk of one member: the log's files and the tree file, as plans leave them. Writes are whole or not there.

use std::collections::BTreeMap;

use crate::limits::PAGE_BYTES;
use crate::tree::{self, Arena, CheckpointPlan, GiveBack, GrowPlan, Tree};
use crate::types::{BootNonce, ClusterId, MemberId, PageNumber};
use crate::wal::{self, FileName, Identity, RecoverInput, Recovered, Step, Write};

/// What the tests ask of the tree.
pub(super) const TREE: tree::Config = tree::Config { grow_pages: 256, free_pages_kept: 256 };

/// Pages of a new tree file.
const TREE_PAGES: u64 = 1024;

/// The memory range.
const RESERVED: u64 = 60_000;

#[derive(Clone, Default)]
pub(super) struct Disk {
    wal: BTreeMap<FileName, Vec<u8>>,
    tree: Vec<u8>,
    /// Pages that the tree file may have; beyond it, growing fails.
    pub(super) tree_pages_max: u64,
    /// Whether a new segment finds no space.
    pub(super) wal_is_full: bool,
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

fn identity(member: MemberId) -> Identity {
    Identity { cluster: ClusterId(7), member }
}

pub(super) const WAL: wal::Config = wal::Config { segment_bytes: 256 * 1024, segments_spare: 2, segments_max: 24 };

impl Disk {
    pub(super) fn new() -> Self {
        Self { tree_pages_max: RESERVED, ..Self::default() }
    }

    pub(super) fn is_new(&self) -> bool {
        self.wal.is_empty()
    }

    pub(super) fn write(&mut self, write: &Write) {
        let file = self.wal.entry(write.file).or_default();
        let end = index(write.offset) + write.bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[index(write.offset)..end].copy_from_slice(&write.bytes);
    }

    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Create { file, bytes } => {
                self.wal.insert(*file, vec![0; index(*bytes)]);
            }
            Step::Write(write) => self.write(write),
            Step::Rename { from, to } => {
                let file = self.wal.remove(from).unwrap();
                self.wal.insert(*to, file);
            }
            Step::Remove(file) => {
                self.wal.remove(file);
            }
            Step::Sync(_) | Step::SyncDirectory => {}
        }
    }

    pub(super) fn new_log(&mut self, member: MemberId, boot: BootNonce) -> wal::Log {
        let created = wal::Log::create(WAL, identity(member), boot);
        created.steps.iter().for_each(|step| self.step(step));
        created.log
    }

    pub(super) fn recover_log(&mut self, member: MemberId, boot: BootNonce, tree: &Tree) -> Recovered {
        let stamp = tree.stamp();
        let names: Vec<_> = self.wal.keys().map(ToString::to_string).collect();
        let files = names.iter().map(String::as_str).zip(self.wal.values().map(Vec::as_slice)).collect();
        let mark = self.wal.get(&FileName::Mark).cloned().unwrap_or_default();
        let input = RecoverInput {
            config: WAL,
            identity: identity(member),
            boot,
            files,
            mark: &mark,
            tree_applied: stamp.applied_index,
            tree_term: stamp.applied_term,
            tree_installed: super::super::installed_index(&stamp),
            entries_kept: 1000,
        };
        let recovered = wal::recover(input).unwrap();
        recovered.repairs.iter().for_each(|step| self.step(step));
        recovered
    }

    pub(super) fn open_tree(&mut self) -> Tree {
        let pages = u64::try_from(self.tree.len() / PAGE_BYTES).unwrap();
        let mut arena = Arena::anonymous(RESERVED);
        if pages > 0 {
            arena.load(PageNumber(0), &self.tree);
            match Tree::open(arena, TREE, pages) {
                Ok(tree) => return tree,
                Err(tree::Error::NoStore) => arena = Arena::anonymous(RESERVED),
                Err(error) => panic!("{error}"),
            }
        }
        self.tree = vec![0; index(TREE_PAGES) * PAGE_BYTES];
        Tree::create(arena, TREE, TREE_PAGES).unwrap()
    }

    pub(super) fn checkpoint(&mut self, plan: &CheckpointPlan) {
        for range in plan.ranges() {
            for page in range.first.0..range.end().0 {
                let mut bytes = [0; PAGE_BYTES];
                plan.write_page(PageNumber(page), &mut bytes);
                self.page(PageNumber(page)).copy_from_slice(&bytes);
            }
        }
        let blocks: Vec<_> = plan.map_blocks().map(|(page, bytes)| (page, *bytes)).collect();
        for (page, bytes) in blocks.into_iter().chain([(plan.meta().0, *plan.meta().1)]) {
            self.page(page).copy_from_slice(&bytes);
        }
    }

    /// Whether there was space.
    pub(super) fn grow(&mut self, plan: &GrowPlan) -> bool {
        let end = plan.first_page.0 + plan.page_count;
        if end > self.tree_pages_max {
            return false;
        }
        self.tree.resize(self.tree.len().max(index(end) * PAGE_BYTES), 0);
        true
    }

    pub(super) fn give_back(&mut self, give_back: &GiveBack) {
        for range in &give_back.punch {
            (range.first.0..range.end().0).for_each(|page| self.page(PageNumber(page)).fill(0xee));
        }
        if let Some(tail) = give_back.truncate {
            self.tree.truncate(index(tail.first.0) * PAGE_BYTES);
        }
    }

    fn page(&mut self, page: PageNumber) -> &mut [u8] {
        let start = index(page.0) * PAGE_BYTES;
        &mut self.tree[start..start + PAGE_BYTES]
    }
}
