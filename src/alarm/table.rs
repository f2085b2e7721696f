//! The alarms as rows of their tree.
//!
//! ```text
//! Alarms   key: kind u32 BE, member u64 BE      head and body: empty
//! ```
//! A kind is the number of etcd's `AlarmType`. Numbers that it does not name are kept too, as etcd keeps them: a newer
//! release may have raised them.
//!
//! Invariants
//! - One row for each kind and member, however often it was raised; there are at most `ALARMS_MAX`.

use crate::command::alarm_request::AlarmAction;
use crate::command::{AlarmMember, AlarmRequest, AlarmType};
use crate::limits::ALARMS_MAX;
use crate::tree::{RowError, TreeId, Txn, View};
use crate::types::MemberId;

/// Bytes of a row's key.
const KEY_BYTES: usize = 12;

const DAMAGED: RowError = RowError::Damaged("an alarm");

/// What a command about alarms did.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Change {
    /// This alarm stands now, or does not any more; it may have been so before if it was to be raised.
    Told(AlarmMember),
    /// There was nothing to raise or to disarm.
    Nothing,
    /// As many alarms as are kept stand already.
    TooMany,
}

/// Carries out a request that raises or disarms; one that only asks changes nothing.
pub fn change(txn: &mut Txn<'_>, request: &AlarmRequest) -> Result<Change, RowError> {
    let alarm = AlarmMember { member_id: request.member_id, alarm: request.alarm };
    let key = key(&alarm);
    let is_there = txn.view().find(TreeId::Alarms, &key)?.is_some();
    Ok(match AlarmAction::try_from(request.action) {
        Ok(AlarmAction::Activate) if request.alarm == i32::from(AlarmType::None) => Change::Nothing,
        Ok(AlarmAction::Activate) if is_there => Change::Told(alarm),
        Ok(AlarmAction::Activate) if txn.view().weight(TreeId::Alarms) >= ALARMS_MAX => Change::TooMany,
        Ok(AlarmAction::Activate) => {
            txn.insert(TreeId::Alarms, &key, &[], &[], true)?;
            Change::Told(alarm)
        }
        Ok(AlarmAction::Deactivate) if is_there => {
            txn.remove(TreeId::Alarms, &key)?;
            Change::Told(alarm)
        }
        Ok(AlarmAction::Deactivate | AlarmAction::Get) | Err(_) => Change::Nothing,
    })
}

/// The alarms of a kind, those of all kinds for `AlarmType::None`; by kind, then by member.
pub fn list(view: &View<'_>, kind: i32) -> Result<Vec<AlarmMember>, RowError> {
    let mut alarms = Vec::new();
    let mut cursor = view.cursor(TreeId::Alarms);
    let all = kind == i32::from(AlarmType::None);
    let mut here = if all { cursor.seek_first()? } else { cursor.seek(&first_of(kind))? };
    while here {
        let alarm = parse(cursor.key()?.ok_or(DAMAGED)?)?;
        if !all && alarm.alarm != kind {
            break;
        }
        alarms.push(alarm);
        here = cursor.next()?;
    }
    Ok(alarms)
}

/// Whether a member's alarm stands.
pub fn is_raised(view: &View<'_>, member: MemberId, kind: AlarmType) -> Result<bool, RowError> {
    let alarm = AlarmMember { member_id: member.0, alarm: kind.into() };
    Ok(view.find(TreeId::Alarms, &key(&alarm))?.is_some())
}

/// Whether any member's alarm of this kind stands.
pub(super) fn any_of(view: &View<'_>, kind: AlarmType) -> Result<bool, RowError> {
    // As a rule there are none at all.
    if view.is_empty(TreeId::Alarms) {
        return Ok(false);
    }
    let kind = i32::from(kind);
    let mut cursor = view.cursor(TreeId::Alarms);
    if !cursor.seek(&first_of(kind))? {
        return Ok(false);
    }
    Ok(parse(cursor.key()?.ok_or(DAMAGED)?)?.alarm == kind)
}

fn key(alarm: &AlarmMember) -> [u8; KEY_BYTES] {
    let mut key = first_of(alarm.alarm);
    key[4..].copy_from_slice(&alarm.member_id.to_be_bytes());
    key
}

/// Sorts before every alarm of a kind, or is the first.
fn first_of(kind: i32) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..4].copy_from_slice(&kind.cast_unsigned().to_be_bytes());
    key
}

fn parse(key: &[u8]) -> Result<AlarmMember, RowError> {
    let (kind, member) = key.split_first_chunk::<4>().ok_or(DAMAGED)?;
    let member = <[u8; 8]>::try_from(member).map_err(|_| DAMAGED)?;
    let alarm = AlarmMember { member_id: u64::from_be_bytes(member), alarm: u32::from_be_bytes(*kind).cast_signed() };
    if alarm.alarm == i32::from(AlarmType::None) { Err(DAMAGED) } else { Ok(alarm) }
}
