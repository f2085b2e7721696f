//! The guards of a txn.
//!
//! Invariants
//! - A guard over a range holds if it holds for every live key of it; over no key, as for one missing key.
//! - A missing key has no value, so a guard on the value fails; every number of it is 0.
//! - Enum values that etcd does not know compare as it compares them: an unknown target is equal, an unknown result holds.

use std::cmp::Ordering;

use super::Error;
use super::bounds::KeyRange;
use super::row::{Values, Version};
use super::walk::{Direction, Mode, Step, Walk};
use crate::command::Compare;
use crate::command::compare::{CompareResult, CompareTarget, TargetUnion};
use crate::tree::View;

/// Whether all guards hold in what `view` shows now.
pub(super) fn all_hold(view: &View<'_>, compares: &[Compare]) -> Result<bool, Error> {
    for compare in compares {
        if !holds(view, compare)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn holds(view: &View<'_>, compare: &Compare) -> Result<bool, Error> {
    let range = KeyRange::new(&compare.key, &compare.range_end);
    let mut walk = Walk::new(view, &range, (Mode::Current, Direction::Ascending), None);
    let (mut any, mut values) = (false, Values::new(view));
    while let Step::Live(version) = walk.step()? {
        any = true;
        if !holds_for(compare, Some(&version), &mut values)? {
            return Ok(false);
        }
        if range.is_single() {
            break;
        }
    }
    Ok(any || holds_for(compare, None, &mut values)?)
}

fn holds_for(compare: &Compare, version: Option<&Version<'_>>, values: &mut Values<'_>) -> Result<bool, Error> {
    let number = |value: Option<i64>, given: i64| value.unwrap_or(0).cmp(&given);
    let ordering = match CompareTarget::try_from(compare.target) {
        Ok(CompareTarget::Version) => number(version.map(|found| found.head.version), given(compare)),
        Ok(CompareTarget::Create) => number(version.map(|found| found.head.create.0), given(compare)),
        Ok(CompareTarget::Mod) => number(version.map(|found| found.at.main.0), given(compare)),
        Ok(CompareTarget::Lease) => number(version.map(|found| found.head.lease.0), given(compare)),
        Ok(CompareTarget::Value) => match version {
            Some(found) => values.of(found)?.cmp(given_value(compare)),
            None => return Ok(false),
        },
        Err(_) => Ordering::Equal,
    };
    Ok(match CompareResult::try_from(compare.result) {
        Ok(CompareResult::Equal) => ordering.is_eq(),
        Ok(CompareResult::NotEqual) => ordering.is_ne(),
        Ok(CompareResult::Greater) => ordering.is_gt(),
        Ok(CompareResult::Less) => ordering.is_lt(),
        Err(_) => true,
    })
}

/// The number to compare with: 0 unless the union holds the field that the target names.
fn given(compare: &Compare) -> i64 {
    match (CompareTarget::try_from(compare.target), &compare.target_union) {
        (Ok(CompareTarget::Version), Some(TargetUnion::Version(number)))
        | (Ok(CompareTarget::Create), Some(TargetUnion::CreateRevision(number)))
        | (Ok(CompareTarget::Mod), Some(TargetUnion::ModRevision(number)))
        | (Ok(CompareTarget::Lease), Some(TargetUnion::Lease(number))) => *number,
        (Ok(_) | Err(_), _) => 0,
    }
}

/// The value to compare with: empty unless the union holds one.
fn given_value(compare: &Compare) -> &[u8] {
    if let Some(TargetUnion::Value(value)) = &compare.target_union { value } else { &[] }
}
