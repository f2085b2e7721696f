//! What a `RangeRequest` asks for, worked out once: the one place that knows etcd's rules for its fields.
//!
//! Invariants
//! - A plan is for one position of the store; its mode is `Current` if and only if it reads at the current revision.
//! - Checks stand in etcd's order: future revision, then compacted revision.

use super::bounds::KeyRange;
use super::row::Version;
use super::walk::{Direction, Mode};
use super::wire::Fields;
use super::{Error, Position};
use crate::command::RangeRequest;
use crate::command::range_request::{SortOrder, SortTarget};
use crate::types::Revision;

/// How an answer is ordered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Order {
    /// As the walk finds the keys.
    Keys(Direction),
    /// By another field; equal ones by key.
    By(SortTarget, Direction),
}

/// The inclusive bounds on revisions; 0 is no bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Filters {
    mod_min: i64,
    mod_max: i64,
    create_min: i64,
    create_max: i64,
}

impl Filters {
    fn any(&self) -> bool {
        *self != Self { mod_min: 0, mod_max: 0, create_min: 0, create_max: 0 }
    }

    fn admit(&self, version: &Version<'_>) -> bool {
        let above = |value: i64, min: i64| min == 0 || value >= min;
        let below = |value: i64, max: i64| max == 0 || value <= max;
        let (modified, created) = (version.at.main.0, version.head.create.0);
        below(modified, self.mod_max)
            && above(modified, self.mod_min)
            && below(created, self.create_max)
            && above(created, self.create_min)
    }
}

/// A range request against one position of the store.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Plan {
    /// Which keys.
    pub(super) range: KeyRange,
    /// As of when.
    pub(super) mode: Mode,
    /// What the header says: the current revision, whatever revision is read.
    pub(super) header: Revision,
    /// In which order.
    pub(super) order: Order,
    /// At most so many pairs are answered.
    pub(super) limit: Option<u64>,
    /// At most so many pairs are read before they are sorted: etcd's limit works before the sort when an order of NONE
    /// comes with a target.
    pub(super) window: Option<u64>,
    /// Only the count is wanted.
    pub(super) count_only: bool,
    /// What each pair shows.
    pub(super) fields: Fields,
    filters: Filters,
}

impl Plan {
    /// Checks the request's revision and works out the rest.
    pub(super) fn new(request: &RangeRequest, position: Position) -> Result<Self, Error> {
        position.assert_invariants();
        let mode = mode(Revision(request.revision), position)?;
        let target = SortTarget::try_from(request.sort_target).map_err(|_| Error::InvalidSortOption)?;
        let asked = SortOrder::try_from(request.sort_order).map_err(|_| Error::InvalidSortOption)?;
        let filters = Filters {
            mod_min: request.min_mod_revision,
            mod_max: request.max_mod_revision,
            create_min: request.min_create_revision,
            create_max: request.max_create_revision,
        };
        let limit = u64::try_from(request.limit).ok().filter(|limit| *limit > 0);
        let cut_first = asked == SortOrder::None && target != SortTarget::Key && !filters.any();
        assert!(limit != Some(0), "no limit is none");
        Ok(Self {
            range: KeyRange::new(&request.key, &request.range_end),
            mode,
            header: position.current,
            order: order(target, asked),
            limit,
            window: limit.filter(|_| cut_first).map(|limit| limit + 1),
            count_only: request.count_only,
            fields: fields(request, target),
            filters,
        })
    }

    /// Which way the walk over the keys goes.
    pub(super) fn direction(&self) -> Direction {
        match self.order {
            Order::Keys(direction) => direction,
            Order::By(..) => Direction::Ascending,
        }
    }

    /// Whether the filters let a pair through.
    pub(super) fn admits(&self, version: &Version<'_>) -> bool {
        self.filters.admit(version)
    }
}

/// Checks a revision that a read names.
fn mode(revision: Revision, position: Position) -> Result<Mode, Error> {
    if revision > position.current {
        return Err(Error::FutureRevision);
    }
    if revision.0 <= 0 || revision == position.current {
        return Ok(Mode::Current);
    }
    if revision < position.compacted {
        return Err(Error::Compacted);
    }
    Ok(Mode::Past(revision))
}

fn order(target: SortTarget, asked: SortOrder) -> Order {
    let direction = match asked {
        SortOrder::None | SortOrder::Ascend => Direction::Ascending,
        SortOrder::Descend => Direction::Descending,
    };
    match target {
        SortTarget::Key => Order::Keys(direction),
        SortTarget::Version | SortTarget::Create | SortTarget::Mod | SortTarget::Value => Order::By(target, direction),
    }
}

fn fields(request: &RangeRequest, target: SortTarget) -> Fields {
    if !request.keys_only {
        Fields::All
    } else if target == SortTarget::Value {
        Fields::NoValue
    } else {
        Fields::Index
    }
}
