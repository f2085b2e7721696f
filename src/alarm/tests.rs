//! The rows against a set, the decision against its words, and rows that are none.

use std::collections::BTreeSet;

use super::{Change, Effect, Refusal, Standing, change, is_raised, list};
use crate::command::{AlarmMember, AlarmRequest, AlarmType};
use crate::limits::ALARMS_MAX;
use crate::mvcc::tests::random::Random;
use crate::mvcc::tests::support::{new_tree, pin};
use crate::tree::{RowError, Tree, TreeId};
use crate::types::MemberId;

const ACTIVATE: i32 = 1;
const DEACTIVATE: i32 = 2;

fn run(tree: &mut Tree, action: i32, member_id: u64, alarm: i32) -> Change {
    let mut txn = tree.begin();
    let stamp = txn.view().stamp();
    let done = change(&mut txn, &AlarmRequest { action, member_id, alarm }).unwrap();
    txn.commit(stamp);
    done
}

#[test]
fn rows_are_a_set_of_kinds_and_members() {
    for seed in 1..=20 {
        let mut random = Random::new(seed);
        let (mut tree, mut model) = (new_tree(), BTreeSet::new());
        for _ in 0..200 {
            let member = [0, 1, 2, u64::MAX][usize::try_from(random.below(4)).unwrap()];
            let kind = [0, 1, 2, 3, -1, i32::MAX][usize::try_from(random.below(6)).unwrap()];
            let action = i32::try_from(random.below(4)).unwrap();
            let told = Change::Told(AlarmMember { member_id: member, alarm: kind });
            let place = (kind.cast_unsigned(), member);
            let expected = match action {
                ACTIVATE if kind != 0 => {
                    model.insert(place);
                    told
                }
                DEACTIVATE if model.remove(&place) => told,
                _ => Change::Nothing,
            };
            assert_eq!(run(&mut tree, action, member, kind), expected, "seed {seed}");
            let pinned = pin(&tree);
            let view = pinned.view();
            let of = |wanted: i32| {
                let rows = model.iter().filter(|(kind, _)| wanted == 0 || kind.cast_signed() == wanted);
                rows.map(|(kind, member)| AlarmMember { member_id: *member, alarm: kind.cast_signed() })
                    .collect::<Vec<_>>()
            };
            for wanted in [0, 1, 2, 3, -1, 77] {
                assert_eq!(list(&view, wanted).unwrap(), of(wanted), "seed {seed}, kind {wanted}");
            }
            let expected = Standing { no_space: !of(1).is_empty(), corrupt: !of(2).is_empty() };
            assert_eq!(Standing::of(&view).unwrap(), expected, "seed {seed}");
            let raised = is_raised(&view, MemberId(member), AlarmType::Corrupt).unwrap();
            assert_eq!(raised, model.contains(&(2, member)), "seed {seed}");
        }
    }
}

#[test]
fn corrupt_stops_all_writes_and_no_space_what_adds() {
    for bits in 0..4 {
        let (no_space, corrupt) = (bits & 1 != 0, bits & 2 != 0);
        let refused = |effect| Standing { no_space, corrupt }.refuses(effect);
        let when = |holds: bool, refusal| holds.then_some(refusal);
        assert_eq!(refused(Effect::Adds), when(corrupt, Refusal::Corrupt).or(when(no_space, Refusal::NoSpace)));
        assert_eq!(refused(Effect::Changes), when(corrupt, Refusal::Corrupt));
        assert_eq!(refused(Effect::Nothing), None);
    }
}

#[test]
fn there_are_no_more_than_the_bound() {
    let mut tree = new_tree();
    for member in 0..ALARMS_MAX {
        assert!(matches!(run(&mut tree, ACTIVATE, member, 3), Change::Told(_)));
    }
    assert_eq!(run(&mut tree, ACTIVATE, ALARMS_MAX, 3), Change::TooMany);
    assert!(matches!(run(&mut tree, ACTIVATE, 0, 3), Change::Told(_)), "one that stands is told again");
    assert!(matches!(run(&mut tree, DEACTIVATE, 0, 3), Change::Told(_)));
    assert!(matches!(run(&mut tree, ACTIVATE, ALARMS_MAX, 3), Change::Told(_)));
}

#[test]
fn a_row_that_is_none_is_damage() {
    for key in [&b""[..], b"short", &[0; 13], &[0; 12]] {
        let mut tree = new_tree();
        let mut txn = tree.begin();
        let stamp = txn.view().stamp();
        txn.insert(TreeId::Alarms, key, &[], &[], true).unwrap();
        txn.commit(stamp);
        assert_eq!(list(&pin(&tree).view(), 0), Err(RowError::Damaged("an alarm")));
    }
}
