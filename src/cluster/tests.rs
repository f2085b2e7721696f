//! A downgrade as it is stored.

use super::{Versions, set_downgrade};
use crate::command::DowngradeInfo;
use crate::identity::Version;
use crate::tree::{Arena, Config, RowError, Tree, TreeId};

fn new_tree() -> Tree {
    const PAGES: u64 = 1 << 12;
    Tree::create(Arena::anonymous(PAGES), Config::default(), PAGES).unwrap()
}

fn set(tree: &mut Tree, enabled: bool, target: &str) -> Result<Versions, RowError> {
    let mut txn = tree.begin();
    let stamp = txn.view().stamp();
    set_downgrade(&mut txn, &DowngradeInfo { enabled, target_version: target.to_owned() }).unwrap();
    let versions = Versions::of(&txn.view());
    txn.commit(stamp);
    versions
}

#[test]
fn the_versions_follow_the_downgrade() {
    let mut tree = new_tree();
    let lower = Version { major: 3, minor: 6 };
    let none = Versions { downgrade: None };
    assert_eq!(set(&mut tree, false, ""), Ok(none));
    assert_eq!((none.cluster(), none.storage()), (Version::OWN, Version::OWN));
    assert_eq!(set(&mut tree, true, "3.6.0"), Ok(Versions { downgrade: Some(lower) }));
    assert_eq!(set(&mut tree, true, "nonsense"), Ok(Versions { downgrade: Some(lower) }));
    assert_eq!(Versions { downgrade: Some(lower) }.cluster().to_string(), "3.6.0");
    assert_eq!(set(&mut tree, false, ""), Ok(none));
}

#[test]
fn a_row_that_is_none_is_refused() {
    for head in [&[][..], &[3], &[3, 6, 0], &[0x80; 12]] {
        let mut tree = new_tree();
        let mut txn = tree.begin();
        let stamp = txn.view().stamp();
        txn.insert(TreeId::System, b"downgrade", head, &[], false).unwrap();
        assert_eq!(Versions::of(&txn.view()), Err(RowError::Damaged("a downgrade")));
        txn.commit(stamp);
    }
}
