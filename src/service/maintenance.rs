//! Maintenance: Status and HashKV; of Alarm, the list. The rest is still to come.

use super::header;
use super::member::Member;
use super::server::Service;
use super::status::{Error, NO_LEADER};
use super::version;
use crate::limits;
use crate::mvcc::{HashKv, Work};
use crate::proto::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, DowngradeInfo, HashKvRequest, HashKvResponse, StatusRequest,
    StatusResponse, alarm_request::AlarmAction,
};
use crate::rpc;
use crate::types::Revision;
use bytes::Bytes;

/// Served by any member, with or without a leader.
pub(super) async fn status<M: Member>(service: Service<M>, _: StatusRequest, _: Bytes) -> Result<Bytes, Error> {
    let member = service.member();
    let status = member.status();
    let mut errors = Vec::new();
    if status.leader.0 == 0 {
        errors.push(NO_LEADER.to_owned());
    }
    errors.extend(
        alarms(member)
            .iter()
            .map(|alarm| format!("memberID:{} alarm:{}", alarm.member_id, alarm.alarm().as_str_name())),
    );
    Ok(rpc::framed(&StatusResponse {
        header: Some(header::now(member)),
        version: version::SERVER.to_owned(),
        db_size: signed(status.file_bytes),
        leader: status.leader.0,
        raft_index: status.committed.0,
        raft_term: status.term.0,
        raft_applied_index: status.applied.0,
        errors,
        db_size_in_use: signed(status.used_bytes),
        is_learner: status.is_learner,
        storage_version: version::STORAGE.to_owned(),
        db_size_quota: signed(status.quota_bytes),
        downgrade_info: Some(DowngradeInfo { enabled: false, target_version: String::new() }),
    }))
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The alarms of this member.
fn alarms(member: &impl Member) -> Vec<AlarmMember> {
    let status = member.status();
    let raised = [(status.alarm_no_space, AlarmType::Nospace), (status.alarm_corrupt, AlarmType::Corrupt)];
    let member_id = member.identity().member_id.0;
    let listed = raised.into_iter().filter(|(raised, _)| *raised);
    listed.map(|(_, alarm)| AlarmMember { member_id, alarm: alarm.into() }).collect()
}

/// Hashes the history in steps, so that other calls have their turn.
pub(super) async fn hash_kv<M: Member>(service: Service<M>, request: HashKvRequest, _: Bytes) -> Result<Bytes, Error> {
    let member = service.member();
    let pinned = member.pin();
    let mut hashing = HashKv::new(&pinned.view(), Revision(request.revision))?;
    let hashed = loop {
        if let Some(hashed) = hashing.step(&pinned.view(), &mut Work::cells(limits::HASH_CELLS_PER_STEP))? {
            break hashed;
        }
        glommio::executor().yield_now().await;
    };
    Ok(rpc::framed(&HashKvResponse {
        header: Some(header::at(member, header::revision(&pinned))),
        hash: hashed.hash,
        compact_revision: hashed.compact_revision.0,
        hash_revision: hashed.hash_revision.0,
    }))
}

/// The list of alarms; raising and disarming them is still to come.
pub(super) async fn alarm<M: Member>(service: Service<M>, request: AlarmRequest, _: Bytes) -> Result<Bytes, Error> {
    if request.action != i32::from(AlarmAction::Get) {
        return Err(Error::Unimplemented("unknown method Alarm for service etcdserverpb.Maintenance"));
    }
    let member = service.member();
    let wanted = |alarm: &AlarmMember| {
        (request.member_id == 0 || request.member_id == alarm.member_id)
            && (request.alarm == i32::from(AlarmType::None) || request.alarm == alarm.alarm)
    };
    let alarms = alarms(member).into_iter().filter(wanted).collect();
    Ok(rpc::framed(&AlarmResponse { header: Some(header::now(member)), alarms }))
}
