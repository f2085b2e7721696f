//! The choice among three metas, for every combination of what the three pages may be.

use super::world::Random;
use crate::limits::PAGE_BYTES;
use crate::tree::error::Error;
use crate::tree::meta::{Meta, MetaSlot, pick_meta};
use crate::tree::snapshot::Snapshot;
use crate::types::TxnId;

fn whole(sequence: u64, txn: u64) -> MetaSlot {
    let snapshot = Snapshot { txn: TxnId(txn), ..Snapshot::default() };
    MetaSlot::Whole(Meta { sequence, page_count: 64, map_digest: 0, snapshot })
}

/// What a page may be: not a meta, or the meta of a checkpoint that belongs there, with its transaction in order or not.
fn states(slot: u64) -> Vec<MetaSlot> {
    let mut states = vec![MetaSlot::Blank, MetaSlot::Damaged, MetaSlot::Unknown(2), MetaSlot::Unknown(7)];
    for sequence in (1..=9).filter(|sequence| sequence % 3 == slot) {
        states.push(whole(sequence, sequence * 10));
        states.push(whole(sequence, 55));
    }
    states
}

#[test]
fn the_choice_is_right_for_every_combination() {
    let mut combinations = 0;
    for a in states(0) {
        for b in states(1) {
            for c in states(2) {
                combinations += 1;
                check([a, b, c]);
            }
        }
    }
    assert_eq!(combinations, 1000);
}

fn check(slots: [MetaSlot; 3]) {
    let answer = pick_meta(&slots);
    let metas: Vec<Meta> = slots
        .iter()
        .filter_map(|slot| match slot {
            MetaSlot::Whole(meta) => Some(*meta),
            MetaSlot::Blank | MetaSlot::Damaged | MetaSlot::Unknown(_) => None,
        })
        .collect();
    let contradict = metas
        .iter()
        .any(|one| metas.iter().any(|two| one.sequence < two.sequence && one.snapshot.txn > two.snapshot.txn));
    let newest = metas.iter().max_by_key(|meta| meta.sequence);
    if slots.contains(&MetaSlot::Unknown(7)) {
        assert_eq!(answer, Err(Error::UnknownVersion { version: 7 }), "{slots:?}");
    } else if slots.contains(&MetaSlot::Unknown(2)) {
        assert_eq!(answer, Err(Error::UnknownVersion { version: 2 }), "{slots:?}");
    } else if let Some(newest) = newest {
        match answer {
            // The newest, and nothing below contradicts it.
            Ok(meta) => {
                assert_eq!(meta, *newest, "{slots:?}");
                assert!(metas.iter().all(|other| other.snapshot.txn <= meta.snapshot.txn), "{slots:?}");
            }
            Err(error) => {
                assert!(contradict, "{slots:?}: {error}");
                assert!(matches!(error, Error::Corrupt { .. }));
            }
        }
    } else if slots[0] == MetaSlot::Blank && slots[2] == MetaSlot::Blank {
        assert_eq!(answer, Err(Error::NoStore), "{slots:?}");
    } else {
        assert_eq!(answer, Err(Error::NoMeta), "{slots:?}");
    }
}

#[test]
fn a_meta_survives_the_page_and_nothing_else_does() {
    let mut random = Random::new(5);
    for sequence in 1..=6u64 {
        let snapshot = Snapshot { txn: TxnId(random.below(1000) + 1), ..Snapshot::default() };
        let meta = Meta { sequence, page_count: random.below(9999), map_digest: random.below(9999), snapshot };
        let mut page = [0; PAGE_BYTES];
        meta.encode(&mut page);
        assert_eq!(Meta::parse(&page, sequence % 3), MetaSlot::Whole(meta));
        assert_eq!(Meta::parse(&page, (sequence + 1) % 3), MetaSlot::Damaged, "in another's place");
        for _ in 0..200 {
            let mut page = page;
            page[random.size(PAGE_BYTES)] ^= 1 << random.below(8);
            assert_eq!(Meta::parse(&page, sequence % 3), MetaSlot::Damaged);
        }
        for sectors in 1..8 {
            let mut torn = [0; PAGE_BYTES];
            torn[..sectors * 512].copy_from_slice(&page[..sectors * 512]);
            assert_eq!(Meta::parse(&torn, sequence % 3), MetaSlot::Damaged);
        }
    }
    assert_eq!(Meta::parse(&[0; PAGE_BYTES], 1), MetaSlot::Blank);
}

#[test]
fn another_version_is_named() {
    let snapshot = Snapshot { txn: TxnId(4), ..Snapshot::default() };
    let mut page = [0; PAGE_BYTES];
    Meta { sequence: 1, page_count: 64, map_digest: 0, snapshot }.encode(&mut page);
    page[32..36].copy_from_slice(&9u32.to_le_bytes());
    crate::tree::page::seal(&mut page);
    assert_eq!(Meta::parse(&page, 1), MetaSlot::Unknown(9));
    assert!(Error::UnknownVersion { version: 9 }.to_string().contains("version 9"));
}
