//! Entry points for fuzzers: arbitrary bytes through every decoder of the tree. None may panic.
//!
//! A page is taken as it would be from a disk whose checksums happen to fit, put into an otherwise sound store, read in
//! every way, and changed.

use crate::limits::{PAGE_BYTES, TREE_FILE_PAGES_MIN, TREE_HEAD_BYTES_MAX};
use crate::types::{PageNumber, TxnId};

use super::bitmap::Bitmap;
use super::freemap::{GroupState, digest, encode, reserved_below};
use super::key::TreeId;
use super::meta::{Meta, MetaSlot, pick_meta};
use super::node::Node;
use super::page::{Arena, Page, put_identity, seal};
use super::snapshot::{Root, Snapshot, Stamp};
use super::store::{Config, Tree};
use super::view::View;

/// Where the fuzzer's page lies.
const FUZZED: PageNumber = PageNumber(400);

fn page_of(bytes: &[u8]) -> Page {
    let mut page = [0; PAGE_BYTES];
    let length = bytes.len().min(PAGE_BYTES);
    page[..length].copy_from_slice(&bytes[..length]);
    page
}

/// Takes `bytes` for the root page of a tree.
pub fn fuzz_page(bytes: &[u8]) {
    let mut page = page_of(bytes);
    put_identity(&mut page, FUZZED, TxnId(1));
    seal(&mut page);
    let node = Node::new(&page);
    let tree = TreeId::from_number(node.tree()).unwrap_or(TreeId::Keys);
    let Some(mut store) = store_with(&page, tree) else { return };
    let shared = store.shared();
    let reader = shared.reader(crate::types::ShardId(0));
    let pinned = reader.pin();
    read_everything(pinned.view(), tree, bytes);
    if has_runs(node) {
        // A run that overlaps the page itself is only found by its checksum, which a removal does not read.
        return;
    }
    change_everything(&mut store, tree, node, bytes);
    read_everything(pinned.view(), tree, bytes);
}

/// Takes `bytes` for three meta pages, and the first for a block of the free map.
pub fn fuzz_meta(bytes: &[u8]) {
    let mut arena = Arena::anonymous(TREE_FILE_PAGES_MIN);
    let mut slots = [MetaSlot::Blank; 3];
    for (number, chunk) in (0u64..3).zip(bytes.chunks(PAGE_BYTES)) {
        let mut page = page_of(chunk);
        // Half of the inputs carry sound checksums and numbers.
        if chunk.first().is_some_and(|byte| byte % 2 == 0) {
            put_identity(&mut page, PageNumber(number), TxnId(1));
            seal(&mut page);
        }
        arena.load(PageNumber(number), &page);
        slots[super::page::index(number)] = Meta::parse(&page, number);
    }
    // Whatever is chosen must be one of them; an error is as good.
    if let Ok(meta) = pick_meta(&slots) {
        assert!(slots.contains(&MetaSlot::Whole(meta)), "the meta chosen is one of the three");
    }
    let mut page = page_of(bytes);
    put_identity(&mut page, PageNumber(3), TxnId(1));
    seal(&mut page);
    arena.load(PageNumber(3), &page);
    if let Ok(store) = Tree::open(arena, Config::default(), TREE_FILE_PAGES_MIN) {
        store.assert_invariants();
        let reader = store.shared().reader(crate::types::ShardId(0));
        TreeId::ALL.into_iter().for_each(|tree| read_everything(reader.pin().view(), tree, bytes));
    }
}

/// A store whose only page is the fuzzer's.
fn store_with(page: &Page, tree: TreeId) -> Option<Tree> {
    let node = Node::new(page);
    let mut snapshot = Snapshot { txn: TxnId(1), ..Snapshot::default() };
    snapshot.roots[tree.index()] = Root { page: FUZZED, birth: TxnId(1), weight: node.weight(), level: node.level() };
    let (mut live, mut holes) = (Bitmap::default(), Bitmap::default());
    live.grow(TREE_FILE_PAGES_MIN);
    holes.grow(TREE_FILE_PAGES_MIN);
    let used = reserved_below(TREE_FILE_PAGES_MIN).chain([FUZZED.0]);
    used.for_each(|used| assert!(live.insert(used), "pages are used once"));
    let group = GroupState { slot: 0, txn: TxnId(1) };
    let meta = Meta { sequence: 1, page_count: TREE_FILE_PAGES_MIN, map_digest: digest(&[group]), snapshot };
    let mut arena = Arena::anonymous(TREE_FILE_PAGES_MIN);
    let mut block = [0; PAGE_BYTES];
    encode(&mut block, 0, 0, TxnId(1), (&live, &holes));
    arena.load(PageNumber(3), &block);
    meta.encode(&mut block);
    arena.load(PageNumber(1), &block);
    arena.load(FUZZED, page);
    Tree::open(arena, Config::default(), TREE_FILE_PAGES_MIN).ok()
}

fn has_runs(node: Node<'_>) -> bool {
    (0..node.count()).any(|at| {
        let body_run = if node.level() == 0 { node.leaf_cell(at).and_then(|cell| cell.body_run) } else { None };
        body_run.is_some() || node.cell_key(at).is_some_and(|key| key.run.is_some())
    })
}

/// A key made of fuzzed bytes.
fn key_of(bytes: &[u8], at: usize) -> Vec<u8> {
    bytes.iter().skip(at).take(at % 40).copied().collect()
}

/// Answers do not matter; that there are any does.
fn read_everything(view: View<'_>, tree: TreeId, bytes: &[u8]) {
    let steps = 2 * PAGE_BYTES;
    let mut cursor = view.cursor(tree);
    let mut more = cursor.seek_first();
    for _ in 0..steps {
        if !matches!(more, Ok(true)) || cursor.cell().is_err() {
            break;
        }
        more = cursor.next();
    }
    let mut more = cursor.seek_last();
    for _ in 0..steps {
        if !matches!(more, Ok(true)) || cursor.key().is_err() {
            break;
        }
        more = cursor.prev_weighted();
    }
    for at in [0, 1, 13, 57, 100] {
        let key = key_of(bytes, at);
        if let (Ok(rank), Ok(_)) = (view.rank(tree, &key), view.find(tree, &key)) {
            assert!(rank <= view.weight(tree), "a rank of {rank} among {}", view.weight(tree));
        }
        // Any answer will do.
        let _ = cursor.seek_weighted(&key);
    }
    if let Ok(report) = view.check() {
        assert!(report.weighted <= report.cells, "weighted cells are cells");
    }
}

/// Overwrites, removes and adds cells around those that are there.
fn change_everything(store: &mut Tree, tree: TreeId, node: Node<'_>, bytes: &[u8]) {
    let mut txn = store.begin();
    for at in 0..node.count().min(64) {
        let own = node.cell_key(at).map(|key| key.inline.to_vec());
        let key = own.unwrap_or_else(|| key_of(bytes, at));
        let head = &bytes[..bytes.len().min(at % TREE_HEAD_BYTES_MAX)];
        let body = &bytes[..bytes.len().min(at * 40)];
        let result = match at % 4 {
            0 => txn.remove(tree, &key),
            1 => txn.set_weighted(tree, &key, at % 8 == 1),
            2 => txn.insert(tree, &key, head, body, at % 8 == 2),
            _ => txn.insert(tree, &key_of(bytes, at * 7), head, body, false),
        };
        if result.is_err() {
            return;
        }
    }
    txn.commit(Stamp::default());
    store.assert_invariants();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::world::Random;

    /// A sound page of a tree, to start from.
    fn seed_pages(random: &mut Random) -> Vec<Page> {
        let mut out = vec![];
        for (tree, count) in [(TreeId::Keys, 20), (TreeId::Revisions, 60), (TreeId::LeaseKeys, 5), (TreeId::Keys, 400)]
        {
            let mut store = Tree::create(Arena::anonymous(4096), Config::default(), 4096).unwrap();
            let mut txn = store.begin();
            for _ in 0..count {
                let mut key = random.bytes(4);
                key.resize(4 + random.size(20), 7);
                let body = vec![1; random.size(150)];
                txn.insert(tree, &key, &body[..body.len().min(9)], &body, random.one_in(2)).unwrap();
            }
            txn.commit(Stamp::default());
            let plan = store.plan_checkpoint().unwrap();
            for range in plan.ranges() {
                for page in range.first.0..range.end().0 {
                    let mut bytes = [0; PAGE_BYTES];
                    plan.write_page(PageNumber(page), &mut bytes);
                    out.push(bytes);
                }
            }
            out.push(*plan.meta().1);
            out.push(*plan.map_blocks().next().unwrap().1);
        }
        out
    }

    #[test]
    fn no_bytes_make_the_decoders_panic() {
        for seed in 1..=30 {
            println!("seed {seed}");
            let mut random = Random::new(seed);
            let seeds = seed_pages(&mut random);
            for page in seeds.iter().take(12).chain(seeds.iter().rev().take(4)) {
                fuzz_page(page);
                for _ in 0..12 {
                    let mut page = *page;
                    for _ in 0..1 + random.below(3) {
                        // Headers and slots more often than cells.
                        let bound = [48, 48, 300, PAGE_BYTES][random.size(4)];
                        page[random.size(bound)] = if random.one_in(2) { random.byte() } else { random.byte() % 4 };
                    }
                    fuzz_page(&page);
                    fuzz_meta(&page);
                }
            }
            let length = random.size(3 * PAGE_BYTES);
            let noise = random.bytes(length);
            fuzz_page(&noise);
            fuzz_meta(&noise);
            fuzz_meta(&seeds.concat()[..3 * PAGE_BYTES]);
        }
    }

    #[test]
    fn a_sound_page_passes_the_fuzzer_s_store() {
        let mut random = Random::new(7);
        let page = seed_pages(&mut random)[0];
        let mut page = page;
        put_identity(&mut page, FUZZED, TxnId(1));
        seal(&mut page);
        let store = store_with(&page, TreeId::Keys).unwrap();
        assert_eq!(store.check().unwrap().node_pages, 1);
    }
}
