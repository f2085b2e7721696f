//! The cluster's version, and the downgrade that lowers it.
//!
//! ```text
//! System   key: `downgrade`      head: major and minor of the target as varints; no row: no downgrade
//! ```
//! etcd's leader looks every few seconds whether the cluster's version has to follow a downgrade that was enabled or
//! canceled, and each member then rewrites its storage. Here nothing has to be rewritten, so the version follows at once:
//! while a downgrade is enabled, the cluster's version and that of the storage (which snapshots carry) are its target.
//!
//! Invariants
//! - The version is a function of replicated state alone.

use crate::codec::{Reader, put_varint};
use crate::command::DowngradeInfo;
use crate::identity::Version;
use crate::tree::{RowError, TreeId, Txn, View};

const DOWNGRADE_KEY: &[u8] = b"downgrade";

const DAMAGED: RowError = RowError::Damaged("a downgrade");

/// The versions that a root tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Versions {
    /// What the cluster is on its way down to.
    pub downgrade: Option<Version>,
}

impl Versions {
    /// As a root has them.
    pub fn of(view: &View<'_>) -> Result<Self, RowError> {
        let Some(cell) = view.find(TreeId::System, DOWNGRADE_KEY)? else { return Ok(Self { downgrade: None }) };
        let mut reader = Reader::new(cell.head);
        let mut number = || reader.varint().map_err(|_| DAMAGED);
        let (major, minor) = (number()?, number()?);
        if !reader.is_empty() {
            return Err(DAMAGED);
        }
        Ok(Self { downgrade: Some(Version { major, minor }) })
    }

    /// The version that all members keep to.
    pub fn cluster(&self) -> Version {
        self.downgrade.unwrap_or(Version::OWN)
    }

    /// The version of the schema of what is stored.
    pub fn storage(&self) -> Version {
        self.cluster()
    }
}

/// Carries out a command about a downgrade. A target that is no version changes nothing.
pub fn set_downgrade(txn: &mut Txn<'_>, info: &DowngradeInfo) -> Result<(), RowError> {
    if !info.enabled {
        txn.remove(TreeId::System, DOWNGRADE_KEY)?;
        return Ok(());
    }
    if let Some(target) = Version::parse(&info.target_version) {
        let mut head = Vec::with_capacity(20);
        put_varint(&mut head, target.major);
        put_varint(&mut head, target.minor);
        txn.insert(TreeId::System, DOWNGRADE_KEY, &head, &[], false)?;
    }
    Ok(())
}
