use protobuf::Message as _;

use super::*;
use crate::raft::Random;

fn random_change(random: &mut Random) -> Change {
    let steps = (0..random.below(5)).map(|_| {
        let member = MemberId(1 + random.bits() / 2);
        match random.below(3) {
            0 => Step::AddVoter(member),
            1 => Step::Remove(member),
            _ => Step::AddLearner(member),
        }
    });
    let steps = steps.collect();
    let transition = match random.below(3) {
        0 => Transition::Auto,
        1 => Transition::Implicit,
        _ => Transition::Explicit,
    };
    let context = (0..random.below(40)).map(|_| random.bits().to_le_bytes()[0]).collect();
    Change { transition, steps, context }
}

#[test]
fn a_change_is_encoded_as_the_library_would() {
    for seed in 0..3000 {
        let change = random_change(&mut Random::new(seed));
        let mut library = change.to_library();
        library.context = change.context.clone();
        let expected = library.write_to_bytes().unwrap();
        assert_eq!(change.encode(), expected, "seed {seed}");
        assert_eq!(Change::decode(&change.encode()), Ok(change), "seed {seed}");
    }
}

#[test]
fn no_bytes_are_the_change_that_ends_joint_consensus() {
    let change = Change::decode(&Bytes::new()).unwrap();
    assert_eq!(change, Change::default());
    assert!(change.to_library().leave_joint());
}

#[test]
fn damaged_changes_never_panic() {
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let mut bytes = random_change(&mut random).encode().to_vec();
        if bytes.is_empty() {
            continue;
        }
        let at = usize::try_from(random.below(u64::try_from(bytes.len()).unwrap())).unwrap();
        bytes[at] = random.bits().to_le_bytes()[0];
        if let Ok(change) = Change::decode(&Bytes::from(bytes)) {
            assert!(change.steps.len() <= RAFT_MEMBERS_MAX);
        }
    }
}
