//! Changes within pages that belong to the running transaction: cells in, out, compacted, moved to a new neighbour.
//!
//! Invariants
//! - Count, free bytes and weight in the header follow every change; a page that was valid before is valid after.
//! - Bytes outside cells are never read again, so they are not cleared.
//!
//! It must not know about trees, parents or free space: one or two pages at a time.

use crate::limits::{PAGE_BYTES, TREE_LEVELS_MAX};
use crate::types::{PageNumber, TxnId};

use super::freemap::META_PAGES;
use super::node::{
    BRANCH_KEY, LEAF_KEY, Node, PAGE_ROOM, RUN_BYTES, RunRef, SHARED_PREFIX_MAX, SLOT_BYTES, SLOT_WEIGHTED, flag,
    hint_of,
};
use super::page::{Page, field, kind, put_header, put_identity, short};

/// A part of a page that passed the check when it was read, or that this module wrote.
fn sound<T>(part: Option<T>) -> T {
    part.expect("pages are checked before they are edited, and indexes lie below the count")
}

/// What a new node is.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeIdentity {
    /// The tree's number.
    pub(super) tree: u8,
    /// 0 for a leaf.
    pub(super) level: u8,
    /// The page's number.
    pub(super) number: PageNumber,
    /// The running transaction.
    pub(super) birth: TxnId,
}

/// Makes `page` an empty node.
pub(super) fn init(page: &mut Page, identity: NodeIdentity) {
    assert!(usize::from(identity.level) < TREE_LEVELS_MAX, "level {} is none", identity.level);
    assert!(identity.number.0 >= META_PAGES, "page {} holds a meta", identity.number);
    page[..field::END].fill(0);
    page[field::KIND] = if identity.level == 0 { kind::LEAF } else { kind::BRANCH };
    page[field::LEVEL] = identity.level;
    page[field::TREE] = identity.tree;
    put_identity(page, identity.number, identity.birth);
    put_heap(page, PAGE_BYTES);
}

fn put_count(page: &mut Page, count: usize) {
    put_header::<{ field::COUNT }, 2>(page, short(count).to_le_bytes());
}

fn put_heap(page: &mut Page, heap: usize) {
    put_header::<{ field::HEAP }, 2>(page, short(heap).to_le_bytes());
}

fn put_garbage(page: &mut Page, garbage: usize) {
    put_header::<{ field::GARBAGE }, 2>(page, short(garbage).to_le_bytes());
}

fn put_weight(page: &mut Page, weight: u64) {
    put_header::<{ field::WEIGHT }, 8>(page, weight.to_le_bytes());
}

/// Notes where a cell was inserted.
pub(super) fn put_last_insert(page: &mut Page, at: usize) {
    put_header::<{ field::LAST_INSERT }, 2>(page, short(at).to_le_bytes());
}

fn add_weight(page: &mut Page, added: u64, removed: u64) {
    let weight = Node::new(page).weight();
    assert!(weight >= removed, "a page weighs at least what its cells weigh: {weight} against {removed}");
    put_weight(page, weight - removed + added);
}

/// The weight that a cell's bytes stand for.
fn weight_of(level: u8, cell: &[u8]) -> u64 {
    if level == 0 {
        return u64::from(cell[0] & flag::WEIGHTED);
    }
    let mut weight = [0; 8];
    weight.copy_from_slice(&cell[20..BRANCH_KEY]);
    u64::from_le_bytes(weight)
}

/// Points slot `at` to the cell at `start`. The hint is right once the page's prefix is.
fn put_slot(page: &mut Page, at: usize, start: usize) {
    let is_leaf = page[field::LEVEL] == 0;
    let weighted = if is_leaf && page[start] & flag::WEIGHTED != 0 { SLOT_WEIGHTED } else { 0 };
    let slot = field::END + at * SLOT_BYTES;
    page[slot..slot + 2].copy_from_slice(&(short(start) | weighted).to_le_bytes());
    put_hint(page, at);
}

fn put_prefix(page: &mut Page, prefix: usize) {
    assert!(prefix <= SHARED_PREFIX_MAX, "a shared prefix of {prefix} bytes");
    put_header::<{ field::PREFIX }, 2>(page, short(prefix).to_le_bytes());
}

/// Writes the hint of slot `at`; a branch's first cell has none.
fn put_hint(page: &mut Page, at: usize) {
    let node = Node::new(page);
    let hint = if at < node.first_key() { 0 } else { hint_of(sound(node.inline_part(at)), node.prefix()) };
    let slot = field::END + at * SLOT_BYTES;
    page[slot + 2..slot + SLOT_BYTES].copy_from_slice(&hint.to_le_bytes());
}

/// Bytes that two keys share, as far as a page notes.
fn shared_prefix(one: &[u8], two: &[u8]) -> usize {
    one.iter().zip(two).take(SHARED_PREFIX_MAX).take_while(|(a, b)| a == b).count()
}

/// Notes what all keys share: what the first and the last do. And all hints after it.
fn refresh_hints(page: &mut Page) {
    let node = Node::new(page);
    let (first, count) = (node.first_key(), node.count());
    if first >= count {
        return put_prefix(page, 0);
    }
    let key = |at| sound(node.inline_part(at));
    let prefix = shared_prefix(key(first), key(count - 1));
    put_prefix(page, prefix);
    (0..count).for_each(|at| put_hint(page, at));
}

/// Cell `at` is new: shortens the shared prefix to what it shares with its neighbour.
fn fit_prefix(page: &mut Page, at: usize) {
    let node = Node::new(page);
    if at < node.first_key() {
        return;
    }
    let neighbour = if at + 1 < node.count() { at + 1 } else { at.saturating_sub(1) };
    if neighbour < node.first_key() || neighbour == at {
        return refresh_hints(page);
    }
    let key = |at| sound(node.inline_part(at));
    if shared_prefix(key(at), key(neighbour)) < node.prefix() {
        refresh_hints(page);
    }
}

/// Copies a node: header, slots and cells, not the bytes between.
pub(super) fn copy(from: &Page, to: &mut Page) {
    let node = Node::new(from);
    let (slots, heap) = (field::END + node.count() * SLOT_BYTES, node.heap());
    assert!(slots <= heap, "slots end before the cells of a checked page");
    to[..slots].copy_from_slice(&from[..slots]);
    to[heap..].copy_from_slice(&from[heap..]);
}

/// Inserts a cell before cell `at`, compacting the page if its free bytes lie scattered.
///
/// # Panics
/// If the cell does not fit: the caller asks `Node::room` first.
pub(super) fn insert(page: &mut Page, scratch: &mut Page, at: usize, cell: &[u8]) {
    let node = Node::new(page);
    let (count, level) = (node.count(), node.level());
    assert!(at <= count, "cell {at} of {count}");
    assert!(cell.len() + SLOT_BYTES <= node.room(), "a cell of {} bytes fits into {}", cell.len(), node.room());
    assert!(cell.len() >= LEAF_KEY, "a cell has its lengths");
    if field::END + (count + 1) * SLOT_BYTES + cell.len() > node.heap() {
        compact(page, scratch);
    }
    let start = Node::new(page).heap() - cell.len();
    assert!(start >= field::END + (count + 1) * SLOT_BYTES, "cells stay clear of the slots");
    page[start..start + cell.len()].copy_from_slice(cell);
    let slot = field::END + at * SLOT_BYTES;
    page.copy_within(slot..field::END + count * SLOT_BYTES, slot + SLOT_BYTES);
    put_heap(page, start);
    put_count(page, count + 1);
    put_slot(page, at, start);
    fit_prefix(page, at);
    add_weight(page, weight_of(level, cell), 0);
}

/// Appends a cell to a page whose free bytes lie together. The caller refreshes the hints.
fn append(page: &mut Page, cell: &[u8]) {
    let node = Node::new(page);
    let (count, level, start) = (node.count(), node.level(), node.heap() - cell.len());
    let slot = field::END + count * SLOT_BYTES;
    assert!(slot + SLOT_BYTES <= start, "an appended cell fits");
    page[start..start + cell.len()].copy_from_slice(cell);
    put_heap(page, start);
    put_count(page, count + 1);
    put_slot(page, count, start);
    add_weight(page, weight_of(level, cell), 0);
}

/// Removes cell `at`.
pub(super) fn remove(page: &mut Page, at: usize) {
    let node = Node::new(page);
    let (count, heap, garbage) = (node.count(), node.heap(), node.garbage());
    assert!(at < count, "cell {at} of {count}");
    let start = sound(node.slot(at));
    let length = sound(node.cell_bytes(at)).len();
    let weight = sound(node.cell_weight(at));
    let slot = field::END + at * SLOT_BYTES;
    page.copy_within(slot + SLOT_BYTES..field::END + count * SLOT_BYTES, slot);
    put_count(page, count - 1);
    add_weight(page, 0, weight);
    assert!(garbage + length <= PAGE_BYTES - heap, "cells do not overlap");
    if start == heap {
        put_heap(page, heap + length);
    } else {
        put_garbage(page, garbage + length);
    }
    if count == 1 {
        put_heap(page, PAGE_BYTES);
        put_garbage(page, 0);
    }
}

/// Moves all cells together at the end of the page.
fn compact(page: &mut Page, scratch: &mut Page) {
    scratch.copy_from_slice(page);
    let old = Node::new(scratch);
    let mut start = PAGE_BYTES;
    for at in 0..old.count() {
        let cell = sound(old.cell_bytes(at));
        start -= cell.len();
        page[start..start + cell.len()].copy_from_slice(cell);
        let slot = field::END + at * SLOT_BYTES;
        let weighted = sound(old.slot_word(at)) & SLOT_WEIGHTED;
        page[slot..slot + 2].copy_from_slice(&(short(start) | weighted).to_le_bytes());
    }
    assert!(start == old.heap() + old.garbage(), "compacting frees exactly the garbage");
    put_heap(page, start);
    put_garbage(page, 0);
}

/// A cell that is to be inserted while its page splits.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewCell<'a> {
    /// Before which old cell.
    pub(super) at: usize,
    /// Its bytes.
    pub(super) bytes: &'a [u8],
}

impl NewCell<'_> {
    /// Bytes of cell `at` in the sequence of the old cells with the new one among them.
    fn virtual_cell<'a>(&'a self, old: Node<'a>, at: usize) -> &'a [u8] {
        match at.cmp(&self.at) {
            std::cmp::Ordering::Less => sound(old.cell_bytes(at)),
            std::cmp::Ordering::Equal => self.bytes,
            std::cmp::Ordering::Greater => sound(old.cell_bytes(at - 1)),
        }
    }
}

/// How many of the old cells and the new one stay in the left page. Ascending inserts leave the left page full, descending
/// ones the right page; others halve the bytes.
pub(super) fn split_point(old: Node<'_>, new: NewCell<'_>) -> usize {
    let count = old.count();
    assert!(count > 0 && new.at <= count, "cell {} of {count}", new.at);
    let total: usize = old.used() + new.bytes.len() + SLOT_BYTES;
    assert!(total > PAGE_ROOM, "a page that has room is not split");
    let size = |at: usize| new.virtual_cell(old, at).len() + SLOT_BYTES;
    let left_of_new: usize = (0..new.at).map(size).sum();
    let with_new = left_of_new + size(new.at);
    if new.at > 0 && old.last_insert() + 1 == new.at && total - left_of_new <= PAGE_ROOM {
        return new.at;
    }
    if new.at < count && old.last_insert() == new.at && with_new <= PAGE_ROOM {
        return new.at + 1;
    }
    let (mut left, mut at) = (0, 0);
    while left < total / 2 {
        left += size(at);
        at += 1;
    }
    // The cell that crosses the middle goes where it leaves the smaller difference and fits.
    let last = size(at - 1);
    if at > 1 && (left > PAGE_ROOM || left - total / 2 > last / 2) && total - (left - last) <= PAGE_ROOM {
        at -= 1;
    }
    assert!(at >= 1 && at <= count, "both pages get a cell");
    at
}

/// Splits `left` at `keep` into itself and the empty node `right`, with the new cell among the cells.
pub(super) fn split(left: &mut Page, right: &mut Page, scratch: &mut Page, keep: usize, new: NewCell<'_>) {
    let count = Node::new(left).count();
    assert!(keep >= 1 && keep <= count, "both pages get a cell");
    assert!(Node::new(right).count() == 0, "the right page is new");
    put_last_insert(right, new.at.saturating_sub(keep));
    if keep == count && new.at == count {
        append(right, new.bytes);
        return refresh_hints(right);
    }
    scratch.copy_from_slice(left);
    let old = Node::new(scratch);
    put_count(left, 0);
    put_heap(left, PAGE_BYTES);
    put_garbage(left, 0);
    put_weight(left, 0);
    put_last_insert(left, new.at.min(keep));
    for at in 0..keep {
        append(left, new.virtual_cell(old, at));
    }
    for at in keep..=count {
        append(right, new.virtual_cell(old, at));
    }
    refresh_hints(left);
    refresh_hints(right);
    assert!(Node::new(left).count() + Node::new(right).count() == count + 1, "every cell is on one side");
}

/// Appends all cells of `from` to `page`, which has room; `first` stands in for the first cell.
pub(super) fn append_all(page: &mut Page, scratch: &mut Page, from: Node<'_>, first: &[u8]) {
    assert!(from.level() == Node::new(page).level(), "neighbours stand on one level");
    assert!(from.count() > 0, "an empty page leaves its tree at once");
    let taken = from.used() - sound(from.cell_bytes(0)).len() + first.len();
    assert!(taken <= Node::new(page).room(), "the cells to append fit");
    compact(page, scratch);
    append(page, first);
    for at in 1..from.count() {
        append(page, sound(from.cell_bytes(at)));
    }
    refresh_hints(page);
}

/// Points cell `at` of a branch to a page and says what lies below it; whether that was news.
pub(super) fn set_child(page: &mut Page, at: usize, child: Child) -> bool {
    let node = Node::new(page);
    assert!(node.level() > 0, "only branches have children");
    let start = sound(node.slot(at));
    let cell = sound(node.branch_cell(at));
    let old = Child { page: cell.child, birth: cell.birth, weight: cell.weight };
    if old == child {
        return false;
    }
    page[start + 4..start + 12].copy_from_slice(&child.page.0.to_le_bytes());
    page[start + 12..start + 20].copy_from_slice(&child.birth.0.to_le_bytes());
    page[start + 20..start + BRANCH_KEY].copy_from_slice(&child.weight.to_le_bytes());
    add_weight(page, child.weight, old.weight);
    true
}

/// Sets or clears the weight of cell `at` of a leaf.
pub(super) fn set_weighted(page: &mut Page, at: usize, weighted: bool) {
    let node = Node::new(page);
    assert!(node.level() == 0, "only a leaf's cells are weighted one by one");
    let start = sound(node.slot(at));
    let old = u64::from(page[start] & flag::WEIGHTED);
    page[start] = (page[start] & !flag::WEIGHTED) | u8::from(weighted);
    put_slot(page, at, start);
    add_weight(page, u64::from(weighted), old);
}

/// Writes a cell over cell `at`, which has the same key and length.
pub(super) fn overwrite(page: &mut Page, at: usize, cell: &[u8]) {
    let node = Node::new(page);
    let (level, start) = (node.level(), sound(node.slot(at)));
    let old = sound(node.cell_bytes(at));
    assert!(old.len() == cell.len(), "a cell of {} bytes over one of {}", cell.len(), old.len());
    let old_weight = sound(node.cell_weight(at));
    page[start..start + cell.len()].copy_from_slice(cell);
    put_slot(page, at, start);
    add_weight(page, weight_of(level, cell), old_weight);
}

/// Has cell `at` of a leaf name the run `new` where it named `old`.
pub(super) fn replace_run(page: &mut Page, at: usize, old: RunRef, new: RunRef) {
    let node = Node::new(page);
    let start = sound(node.slot(at));
    let cell = sound(node.leaf_cell(at));
    let key_runs = if cell.key.run.is_some() { RUN_BYTES } else { 0 };
    let end = start + cell.bytes.len();
    let place = if cell.body_run == Some(old) { end - key_runs - RUN_BYTES } else { end - RUN_BYTES };
    assert!(page[place..place + RUN_BYTES] == old.to_bytes(), "the cell names the old run");
    page[place..place + RUN_BYTES].copy_from_slice(&new.to_bytes());
}

/// What a branch says of a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Child {
    /// Its page.
    pub(super) page: PageNumber,
    /// The transaction that made that page.
    pub(super) birth: TxnId,
    /// Weighted cells below it.
    pub(super) weight: u64,
}

impl Child {
    /// A node as its parent names it.
    pub(super) fn of(node: Node<'_>) -> Self {
        Self { page: node.number(), birth: node.birth(), weight: node.weight() }
    }
}

/// The key of a branch's cell: flags, inline bytes, and the run's reference.
#[derive(Clone, Debug, Default)]
pub(super) struct SeparatorBytes {
    /// `KEY_RUN`, or nothing.
    pub(super) flags: u8,
    /// Length of the inline key; the run's reference follows it.
    pub(super) inline_length: usize,
    /// Inline key and reference.
    pub(super) bytes: Vec<u8>,
}

impl SeparatorBytes {
    /// The separator of a branch's first cell: none.
    pub(super) fn set_open(&mut self) {
        self.flags = 0;
        self.inline_length = 0;
        self.bytes.clear();
    }

    /// Takes the key of a cell of a branch.
    pub(super) fn set_from_cell(&mut self, cell: &[u8]) {
        self.flags = cell[0];
        self.inline_length = usize::from(u16::from_le_bytes([cell[2], cell[3]]));
        self.bytes.clear();
        self.bytes.extend_from_slice(&cell[BRANCH_KEY..]);
        assert!(self.bytes.len() >= self.inline_length, "a cell holds its key");
    }

    /// Writes a branch's cell with this key.
    pub(super) fn write_cell(&self, child: Child, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&[self.flags, 0]);
        out.extend_from_slice(&short(self.inline_length).to_le_bytes());
        out.extend_from_slice(&child.page.0.to_le_bytes());
        out.extend_from_slice(&child.birth.0.to_le_bytes());
        out.extend_from_slice(&child.weight.to_le_bytes());
        out.extend_from_slice(&self.bytes);
        assert!(out.len() >= BRANCH_KEY, "a cell has its fixed part");
    }
}
