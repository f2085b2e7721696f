//! Leaves and branches as they are read: cells, search, and the check that a page's structure is whole.
//!
//! Invariants
//! - Every accessor is total: whatever the bytes, it answers or returns `None`, so that a page that rots after it was
//!   checked is an error and not a panic.
//! - `validate` accepts only pages whose cells lie apart from header and slots, in ascending order, with counts, free
//!   bytes and weights that add up; what `edit.rs` asserts holds for every page that passed.
//!
//! It must not know where pages come from.

use std::cmp::Ordering;

use crate::limits::{
    PAGE_BYTES, TREE_BODY_INLINE_BYTES_MAX, TREE_HEAD_BYTES_MAX, TREE_KEY_INLINE_BYTES_MAX, TREE_KEY_PREFIX_BYTES,
    TREE_LEVELS_MAX,
};
use crate::types::{PageNumber, TxnId};

use super::error::Error;
use super::key::TreeId;
use super::page::{Page, bytes_at, field, header, kind};

/// Flags of a cell.
pub(super) mod flag {
    /// The cell counts in its page's weight.
    pub(in super::super) const WEIGHTED: u8 = 1;
    /// The body lies in a run.
    pub(in super::super) const BODY_RUN: u8 = 2;
    /// The whole key lies in a run; the cell keeps a prefix of it.
    pub(in super::super) const KEY_RUN: u8 = 4;
}

/// Bytes of a slot: where its cell starts and whether that is weighted, then a hint at its key.
pub(super) const SLOT_BYTES: usize = 6;
/// The bit of a slot that says its cell is weighted, so that ranks need not touch the cells of a leaf.
pub(super) const SLOT_WEIGHTED: u16 = 0x8000;
/// The bits of a slot that say where its cell starts.
const SLOT_OFFSET: u16 = 0x0fff;
/// The longest shared prefix that a page notes: within what the cells of huge keys hold.
pub(super) const SHARED_PREFIX_MAX: usize = TREE_KEY_PREFIX_BYTES - 4;
/// More cells than any file has: sums of weights never overflow.
const WEIGHT_MAX: u64 = 1 << 48;
/// Bytes for slots and cells.
pub(super) const PAGE_ROOM: usize = PAGE_BYTES - field::END;
/// Where the key starts in a leaf's cell: flags, head length, key length, body length.
pub(super) const LEAF_KEY: usize = 6;
/// Where the key starts in a branch's cell: flags, 0, key length, child, birth, weight.
pub(super) const BRANCH_KEY: usize = 28;
/// Bytes of a reference to a run: page, birth, length, checksum.
pub(super) const RUN_BYTES: usize = 24;

/// A run of pages outside the tree's nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RunRef {
    /// Its first page.
    pub(super) page: PageNumber,
    /// The transaction that wrote it.
    pub(super) birth: TxnId,
    /// Its bytes.
    pub(super) length: u32,
    /// CRC-32C of its bytes.
    pub(super) checksum: u32,
}

impl RunRef {
    /// As it stands in a cell.
    pub(super) fn to_bytes(self) -> [u8; RUN_BYTES] {
        let mut out = [0; RUN_BYTES];
        out[..8].copy_from_slice(&self.page.0.to_le_bytes());
        out[8..16].copy_from_slice(&self.birth.0.to_le_bytes());
        out[16..20].copy_from_slice(&self.length.to_le_bytes());
        out[20..].copy_from_slice(&self.checksum.to_le_bytes());
        out
    }

    fn parse(bytes: &[u8], at: usize) -> Option<Self> {
        Some(Self {
            page: PageNumber(u64::from_le_bytes(bytes_at(bytes, at)?)),
            birth: TxnId(u64::from_le_bytes(bytes_at(bytes, at + 8)?)),
            length: u32::from_le_bytes(bytes_at(bytes, at + 16)?),
            checksum: u32::from_le_bytes(bytes_at(bytes, at + 20)?),
        })
    }
}

/// Opens runs; the store, or a test's stand-in.
pub(super) trait Runs {
    /// The bytes of a run, checked.
    fn run(&self, run: &RunRef) -> Result<&[u8], Error>;
}

/// The part of a cell that names its key.
#[derive(Clone, Copy, Debug)]
pub(super) struct CellKey<'a> {
    /// The cell's flags.
    pub(super) flags: u8,
    /// The whole key, or the prefix of one in a run.
    pub(super) inline: &'a [u8],
    /// Where the whole key lies.
    pub(super) run: Option<RunRef>,
}

impl<'a> CellKey<'a> {
    /// The whole key: opens the run if there is one.
    pub(super) fn resolve<R: Runs>(&self, runs: &'a R) -> Result<&'a [u8], Error> {
        match &self.run {
            Some(run) => runs.run(run),
            None => Ok(self.inline),
        }
    }

    /// How the key compares with `probe`, if that can be told without opening a run.
    fn compare_inline(&self, probe: &[u8]) -> Option<Ordering> {
        if self.run.is_none() {
            return Some(self.inline.cmp(probe));
        }
        // The whole key is longer than this prefix of it.
        let shared = probe.len().min(self.inline.len());
        match self.inline[..shared].cmp(&probe[..shared]) {
            Ordering::Equal if probe.len() <= self.inline.len() => Some(Ordering::Greater),
            Ordering::Equal => None,
            unequal @ (Ordering::Less | Ordering::Greater) => Some(unequal),
        }
    }
}

/// A leaf's cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeafCell<'a> {
    /// Its key.
    pub(super) key: CellKey<'a>,
    /// Its head.
    pub(super) head: &'a [u8],
    /// Its body, unless that lies in a run.
    pub(super) body: &'a [u8],
    /// The run that holds the body.
    pub(super) body_run: Option<RunRef>,
    /// All its bytes.
    pub(super) bytes: &'a [u8],
}

/// A branch's cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct BranchCell<'a> {
    /// The separator: no key below the child is smaller. Empty in the first cell, which has no lower bound.
    pub(super) key: CellKey<'a>,
    /// The child.
    pub(super) child: PageNumber,
    /// The transaction that made the child's page.
    pub(super) birth: TxnId,
    /// Weighted cells below the child.
    pub(super) weight: u64,
    /// All its bytes.
    pub(super) bytes: &'a [u8],
}

/// A page read as a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    page: &'a Page,
}

impl<'a> Node<'a> {
    /// Reads `page` as a node; whether it is a whole one is for `validate` to say.
    pub(super) fn new(page: &'a Page) -> Self {
        Self { page }
    }

    /// The page itself.
    pub(super) fn page(self) -> &'a Page {
        self.page
    }

    /// The page's number.
    pub(super) fn number(self) -> PageNumber {
        super::page::number(self.page)
    }

    /// The transaction that made the page.
    pub(super) fn birth(self) -> TxnId {
        super::page::birth(self.page)
    }

    /// The kind of page.
    pub(super) fn kind(self) -> u8 {
        self.page[field::KIND]
    }

    /// 0 for a leaf.
    pub(super) fn level(self) -> u8 {
        self.page[field::LEVEL]
    }

    /// The tree's number.
    pub(super) fn tree(self) -> u8 {
        self.page[field::TREE]
    }

    /// Cells in the page.
    pub(super) fn count(self) -> usize {
        usize::from(u16::from_le_bytes(header::<{ field::COUNT }, 2>(self.page)))
    }

    /// Weighted cells in and below the page.
    pub(super) fn weight(self) -> u64 {
        u64::from_le_bytes(header::<{ field::WEIGHT }, 8>(self.page))
    }

    /// Where the lowest cell starts.
    pub(super) fn heap(self) -> usize {
        usize::from(u16::from_le_bytes(header::<{ field::HEAP }, 2>(self.page)))
    }

    /// Bytes between the cells that belong to none.
    pub(super) fn garbage(self) -> usize {
        usize::from(u16::from_le_bytes(header::<{ field::GARBAGE }, 2>(self.page)))
    }

    /// Where the last cell was inserted.
    pub(super) fn last_insert(self) -> usize {
        usize::from(u16::from_le_bytes(header::<{ field::LAST_INSERT }, 2>(self.page)))
    }

    /// Bytes taken by slots and cells.
    pub(super) fn used(self) -> usize {
        self.count() * SLOT_BYTES + PAGE_BYTES.saturating_sub(self.heap()).saturating_sub(self.garbage())
    }

    /// Bytes left for slots and cells, gaps between cells included.
    pub(super) fn room(self) -> usize {
        PAGE_ROOM.saturating_sub(self.used())
    }

    /// Where cell `at` starts.
    pub(super) fn slot(self, at: usize) -> Option<usize> {
        if at >= self.count() {
            return None;
        }
        Some(usize::from(self.slot_word(at)? & SLOT_OFFSET))
    }

    /// The first half of slot `at`.
    pub(super) fn slot_word(self, at: usize) -> Option<u16> {
        Some(u16::from_le_bytes(bytes_at(self.page, field::END + at * SLOT_BYTES)?))
    }

    /// The hint of slot `at`: the key's bytes after the shared prefix, as a number that compares as they do.
    pub(super) fn hint(self, at: usize) -> Option<u32> {
        Some(u32::from_le_bytes(bytes_at(self.page, field::END + at * SLOT_BYTES + 2)?))
    }

    /// Bytes that all keys share.
    pub(super) fn prefix(self) -> usize {
        usize::from(u16::from_le_bytes(header::<{ field::PREFIX }, 2>(self.page)))
    }

    /// The first cell with a key: a branch's first has none.
    pub(super) fn first_key(self) -> usize {
        usize::from(self.level() > 0)
    }

    /// The key of cell `at`, as much of it as the cell holds.
    pub(super) fn inline_part(self, at: usize) -> Option<&'a [u8]> {
        Some(self.inline_key(at)?.1)
    }

    /// Flags and inline key of cell `at`: what a search looks at.
    fn inline_key(self, at: usize) -> Option<(u8, &'a [u8])> {
        let key_at = if self.level() == 0 { LEAF_KEY } else { BRANCH_KEY };
        let cell = self.page.get(self.slot(at)?..)?;
        let [flags, _, low, high] = *cell.first_chunk::<4>()?;
        let key = cell.get(key_at..key_at + usize::from(u16::from_le_bytes([low, high])))?;
        Some((flags, key))
    }

    /// Cell `at` of a leaf.
    pub(super) fn leaf_cell(self, at: usize) -> Option<LeafCell<'a>> {
        let start = self.slot(at)?;
        let cell = self.page.get(start..)?;
        let [flags, head, key_low, key_high, body_low, body_high] = *cell.first_chunk::<LEAF_KEY>()?;
        let rest = &cell[LEAF_KEY..];
        let (inline, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([key_low, key_high])))?;
        let (head, rest) = rest.split_at_checked(usize::from(head))?;
        let (body, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes([body_low, body_high])))?;
        let (body_run, rest) = take_run(rest, flags & flag::BODY_RUN != 0)?;
        let (key_run, rest) = take_run(rest, flags & flag::KEY_RUN != 0)?;
        let bytes = &cell[..cell.len() - rest.len()];
        Some(LeafCell { key: CellKey { flags, inline, run: key_run }, head, body, body_run, bytes })
    }

    /// Cell `at` of a branch.
    pub(super) fn branch_cell(self, at: usize) -> Option<BranchCell<'a>> {
        let cell = self.page.get(self.slot(at)?..)?;
        let [flags, _, low, high] = *cell.first_chunk::<4>()?;
        let child = PageNumber(u64::from_le_bytes(bytes_at(cell, 4)?));
        let birth = TxnId(u64::from_le_bytes(bytes_at(cell, 12)?));
        let weight = u64::from_le_bytes(bytes_at(cell, 20)?);
        let (inline, rest) = cell.get(BRANCH_KEY..)?.split_at_checked(usize::from(u16::from_le_bytes([low, high])))?;
        let (run, rest) = take_run(rest, flags & flag::KEY_RUN != 0)?;
        let bytes = &cell[..cell.len() - rest.len()];
        Some(BranchCell { key: CellKey { flags, inline, run }, child, birth, weight, bytes })
    }

    /// The key of cell `at`, in a leaf or a branch.
    pub(super) fn cell_key(self, at: usize) -> Option<CellKey<'a>> {
        if self.level() == 0 { Some(self.leaf_cell(at)?.key) } else { Some(self.branch_cell(at)?.key) }
    }

    /// All bytes of cell `at`, in a leaf or a branch.
    pub(super) fn cell_bytes(self, at: usize) -> Option<&'a [u8]> {
        if self.level() == 0 { Some(self.leaf_cell(at)?.bytes) } else { Some(self.branch_cell(at)?.bytes) }
    }

    /// What cell `at` adds to the page's weight.
    pub(super) fn cell_weight(self, at: usize) -> Option<u64> {
        if self.level() == 0 { Some(u64::from(self.is_weighted(at)?)) } else { Some(self.branch_cell(at)?.weight) }
    }

    /// Whether cell `at` of a leaf is weighted.
    pub(super) fn is_weighted(self, at: usize) -> Option<bool> {
        if at >= self.count() {
            return None;
        }
        Some(self.slot_word(at)? & SLOT_WEIGHTED != 0)
    }

    /// The error for a cell that cannot be read.
    pub(super) fn torn_cell(self) -> Error {
        Error::Corrupt { page: self.number(), what: "cell" }
    }

    /// The first cell with a key that is not below `probe`, and whether it equals it.
    ///
    /// The hints alone lead to the one or few cells that can decide; only those are touched.
    pub(super) fn search<R: Runs>(self, runs: &R, probe: &[u8]) -> Result<(usize, bool), Error> {
        let (first, count, prefix) = (self.first_key(), self.count(), self.prefix());
        if first >= count {
            return Ok((count, false));
        }
        let hint = hint_of(probe, prefix);
        let slots = self.page.get(field::END..field::END + count * SLOT_BYTES).ok_or_else(|| self.torn_cell())?;
        let (slots, _) = slots.as_chunks::<SLOT_BYTES>();
        let mut low = partition(slots, first, |slot| slot < hint);
        // Whichever cell is near stands for all of them in what they share.
        let sample = self.inline_part(low.min(count - 1)).and_then(|key| key.get(..prefix));
        match sample.ok_or_else(|| self.torn_cell())?.cmp(&probe[..prefix.min(probe.len())]) {
            Ordering::Less => return Ok((count, false)),
            Ordering::Greater => return Ok((first, false)),
            Ordering::Equal => {}
        }
        let mut high = match slots.get(low + 1) {
            Some(next) if slot_hint(next) == hint => partition(slots, low, |slot| slot <= hint),
            Some(_) | None => low + usize::from(slots.get(low).is_some_and(|slot| slot_hint(slot) == hint)),
        };
        while low < high {
            let middle = low.midpoint(high);
            match self.compare(runs, middle, probe)? {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok((middle, true)),
                Ordering::Greater => high = middle,
            }
        }
        Ok((low, false))
    }

    /// The child of a branch that `probe` belongs to.
    pub(super) fn search_child<R: Runs>(self, runs: &R, probe: &[u8]) -> Result<usize, Error> {
        let (at, exact) = self.search(runs, probe)?;
        Ok(if exact { at } else { at.saturating_sub(1) })
    }

    /// How the key of a cell compares with `probe`.
    fn compare<R: Runs>(self, runs: &R, at: usize, probe: &[u8]) -> Result<Ordering, Error> {
        let (flags, inline) = self.inline_key(at).ok_or_else(|| self.torn_cell())?;
        if flags & flag::KEY_RUN == 0 {
            return Ok(inline.cmp(probe));
        }
        let key = self.cell_key(at).ok_or_else(|| self.torn_cell())?;
        match key.compare_inline(probe) {
            Some(order) => Ok(order),
            None => Ok(key.resolve(runs)?.cmp(probe)),
        }
    }

    /// Whether the page is a whole node, apart from its checksum and its place in a tree.
    pub(super) fn validate(self) -> Result<(), &'static str> {
        TreeId::from_number(self.tree()).ok_or("tree number")?;
        match (self.kind(), self.level()) {
            (kind::LEAF, 0) => {}
            (kind::BRANCH, level) if level > 0 && usize::from(level) < TREE_LEVELS_MAX => {}
            _ => return Err("kind and level"),
        }
        let slots_end = field::END + self.count() * SLOT_BYTES;
        if self.count() == 0 || slots_end > self.heap() || self.heap() > PAGE_BYTES {
            return Err("cell count");
        }
        let (mut bytes, mut weight) = (0usize, 0u64);
        for at in 0..self.count() {
            if self.slot(at).is_none_or(|slot| slot < self.heap()) {
                return Err("cell offset");
            }
            bytes += self.validate_cell(at)?;
            self.validate_slot(at)?;
            weight = weight.checked_add(self.cell_weight(at).ok_or("cell")?).ok_or("weight")?;
        }
        if bytes + self.garbage() != PAGE_BYTES - self.heap() {
            return Err("free bytes");
        }
        if weight != self.weight() || weight > WEIGHT_MAX {
            return Err("weight");
        }
        self.validate_order()
    }

    /// Checks one cell's lengths; its bytes.
    fn validate_cell(self, at: usize) -> Result<usize, &'static str> {
        if self.level() == 0 {
            let cell = self.leaf_cell(at).ok_or("cell")?;
            let body_fits =
                cell.body.len() <= TREE_BODY_INLINE_BYTES_MAX && (cell.body_run.is_none() || cell.body.is_empty());
            if !body_fits || cell.head.len() > TREE_HEAD_BYTES_MAX {
                return Err("leaf cell");
            }
            validate_key(&cell.key)?;
            return Ok(cell.bytes.len());
        }
        let cell = self.branch_cell(at).ok_or("cell")?;
        let first_is_open = at > 0 || (cell.key.inline.is_empty() && cell.key.flags == 0);
        let flags_known = cell.key.flags & !flag::KEY_RUN == 0;
        if !first_is_open || !flags_known || cell.bytes[1] != 0 || cell.child == PageNumber(0) {
            return Err("branch cell");
        }
        validate_key(&cell.key)?;
        Ok(cell.bytes.len())
    }

    /// Checks what a slot says of its cell.
    fn validate_slot(self, at: usize) -> Result<(), &'static str> {
        let weighted = self.level() == 0 && self.page[self.slot(at).ok_or("cell")?] & flag::WEIGHTED != 0;
        let mut hint = 0;
        if at >= self.first_key() {
            let key = self.inline_part(at).ok_or("cell")?;
            let first = self.inline_part(self.first_key()).ok_or("cell")?;
            let shared = key.get(..self.prefix()).ok_or("shared prefix")?;
            if self.prefix() > SHARED_PREFIX_MAX || !first.starts_with(shared) {
                return Err("shared prefix");
            }
            hint = hint_of(key, self.prefix());
        }
        let flags = self.slot_word(at).ok_or("cell")? & !SLOT_OFFSET;
        let right = flags == if weighted { SLOT_WEIGHTED } else { 0 } && self.hint(at) == Some(hint);
        if right { Ok(()) } else { Err("slot") }
    }

    /// Checks that keys ascend, as far as that shows without opening runs.
    fn validate_order(self) -> Result<(), &'static str> {
        for at in self.first_key() + 1..self.count() {
            let (before, after) = (self.cell_key(at - 1).ok_or("cell")?, self.cell_key(at).ok_or("cell")?);
            // With a run behind it, the inline part stands for something not below it.
            let order = before.compare_inline(after.inline);
            let ascending = match (order, after.run.is_some()) {
                (Some(Ordering::Less) | None, _) => true,
                (Some(Ordering::Equal), huge) => huge,
                (Some(Ordering::Greater), huge) => huge && before.inline.starts_with(after.inline),
            };
            if !ascending {
                return Err("key order");
            }
        }
        Ok(())
    }
}

/// The hint in a slot.
fn slot_hint(slot: &[u8; SLOT_BYTES]) -> u32 {
    let [_, _, hint @ ..] = *slot;
    u32::from_le_bytes(hint)
}

/// The first slot from `first` on whose hint is not `below`. Written so that it compiles without branches: which way a probe
/// goes is anyone's guess.
fn partition(slots: &[[u8; SLOT_BYTES]], first: usize, below: impl Fn(u32) -> bool) -> usize {
    let (mut base, mut size) = (first, slots.len().saturating_sub(first));
    while size > 1 {
        let half = size / 2;
        let is_below = slots.get(base + half - 1).is_some_and(|slot| below(slot_hint(slot)));
        base = if is_below { base + half } else { base };
        size -= half;
    }
    base + usize::from(slots.get(base).is_some_and(|slot| below(slot_hint(slot))))
}

/// Four bytes of a key after the shared prefix, as a number; zeros stand for missing bytes, so that of two keys
/// the greater never has the smaller hint.
pub(super) fn hint_of(key: &[u8], prefix: usize) -> u32 {
    let rest = key.get(prefix..).unwrap_or(&[]);
    match rest.first_chunk::<4>() {
        Some(bytes) => u32::from_be_bytes(*bytes),
        None => {
            let mut bytes = [0; 4];
            bytes[..rest.len()].copy_from_slice(rest);
            u32::from_be_bytes(bytes)
        }
    }
}

/// A run reference at the start of `bytes`, if the flags say there is one, and what follows it.
fn take_run(bytes: &[u8], present: bool) -> Option<(Option<RunRef>, &[u8])> {
    if !present {
        return Some((None, bytes));
    }
    Some((Some(RunRef::parse(bytes, 0)?), bytes.get(RUN_BYTES..)?))
}

/// Checks a key's lengths.
fn validate_key(key: &CellKey<'_>) -> Result<(), &'static str> {
    let fits = match key.run {
        None => key.inline.len() <= TREE_KEY_INLINE_BYTES_MAX,
        Some(run) => {
            let whole = usize::try_from(run.length).map_err(|_| "key length")?;
            key.inline.len() == TREE_KEY_PREFIX_BYTES && whole > TREE_KEY_INLINE_BYTES_MAX
        }
    };
    if fits { Ok(()) } else { Err("key length") }
}
