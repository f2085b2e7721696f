use super::*;

fn members(ids: &[u64]) -> Vec<MemberId> {
    ids.iter().copied().map(MemberId).collect()
}

#[test]
fn memberships_survive_their_encoding() {
    let membership = Membership::of_voters(&members(&[3, 1, 2])).unwrap();
    assert_eq!(membership.voters(), members(&[1, 2, 3]));
    assert_eq!(Membership::decode(&membership.encode()), Ok(membership.clone()));
    assert_eq!(Membership::from_library(&membership.to_library()), membership);
    let joint = Membership {
        voters: members(&[1, 2, 3]),
        learners: members(&[5]),
        voters_outgoing: members(&[1, 2, 4, 6]),
        learners_next: members(&[4]),
        auto_leave: true,
    };
    assert_eq!(Membership::decode(&joint.encode()), Ok(joint.clone()));
    assert_eq!(Membership::from_library(&joint.to_library()), joint);
    assert!(joint.is_voter(MemberId(6)) && joint.contains(MemberId(5)) && !joint.is_voter(MemberId(5)));
}

#[test]
fn impossible_memberships_do_not_exist() {
    assert!(Membership::of_voters(&[]).is_none());
    assert!(Membership::of_voters(&members(&[1, 1])).is_none());
    assert!(Membership::of_voters(&members(&[0, 1])).is_none());
    let many: Vec<_> = (1..=u64::try_from(RAFT_MEMBERS_MAX).unwrap() + 1).map(MemberId).collect();
    assert!(Membership::of_voters(&many).is_none());
}

#[test]
fn damaged_memberships_are_refused_or_valid() {
    let sound = Membership::of_voters(&members(&[1, 2, 3])).unwrap().encode();
    for at in 0..sound.len() {
        for value in 0..=255 {
            let mut bytes = sound.clone();
            bytes[at] = value;
            if let Ok(membership) = Membership::decode(&bytes) {
                assert!(membership.is_valid(), "byte {at} = {value}");
            }
        }
        assert_eq!(Membership::decode(&sound[..at]), Err(Malformed), "cut at {at}");
    }
}
