//! What the alarms that stand forbid.
//!
//! Invariants
//! - CORRUPT is judged before NOSPACE, as in etcd: a cluster that may be damaged takes no write at all.
//! - Reads of clients are never asked about here: they are not replicated.

use crate::command::AlarmType;
use crate::tree::{RowError, View};

use super::table::any_of;

/// What a command would do to the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Put something into it, if only perhaps.
    Adds,
    /// Change or remove what is there.
    Changes,
    /// Nothing that an alarm is about.
    Nothing,
}

/// Why a command is not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Some member found its data damaged.
    Corrupt,
    /// Some member has no space left.
    NoSpace,
}

/// Which kinds of alarm stand, of whatever member.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// NOSPACE.
    pub no_space: bool,
    /// CORRUPT.
    pub corrupt: bool,
}

impl Standing {
    /// Those of a root.
    pub fn of(view: &View<'_>) -> Result<Self, RowError> {
        Ok(Self { no_space: any_of(view, AlarmType::Nospace)?, corrupt: any_of(view, AlarmType::Corrupt)? })
    }

    /// Why a command with this effect is refused, if it is.
    pub fn refuses(self, effect: Effect) -> Option<Refusal> {
        match effect {
            Effect::Adds | Effect::Changes if self.corrupt => Some(Refusal::Corrupt),
            Effect::Adds if self.no_space => Some(Refusal::NoSpace),
            Effect::Adds | Effect::Changes | Effect::Nothing => None,
        }
    }
}
