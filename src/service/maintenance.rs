//! Maintenance: Status, HashKV, Defragment and MoveLeader. `alarm.rs`, `snapshot.rs` and `downgrade.rs` have the rest.

use super::member::Member;
use super::server::Service;
use super::status::{Error, NO_LEADER};
use super::{alarm, downgrade, header};
use crate::identity::ETCD_VERSION;
use crate::limits;
use crate::metrics::Stopwatch;
use crate::mvcc::{HashKv, Work};
use crate::proto::etcdserverpb::{
    DefragmentRequest, DefragmentResponse, DowngradeInfo, HashKvRequest, HashKvResponse, MoveLeaderRequest,
    MoveLeaderResponse, StatusRequest, StatusResponse,
};
use crate::rpc::{self, Pace};
use crate::types::Revision;
use bytes::Bytes;

/// Served by any member, with or without a leader.
pub(super) async fn status<M: Member>(service: Service<M>, _: StatusRequest, _: Bytes) -> Result<Bytes, Error> {
    let member = service.member();
    let status = member.status();
    let versions = downgrade::now(member)?;
    let mut errors = Vec::new();
    if status.leader.0 == 0 {
        errors.push(NO_LEADER.to_owned());
    }
    errors.extend(alarm::all(member)?.iter().map(alarm::text));
    Ok(rpc::framed(&StatusResponse {
        header: Some(header::now(member)),
        version: ETCD_VERSION.to_owned(),
        db_size: signed(status.file_bytes),
        leader: status.leader.0,
        raft_index: status.committed.0,
        raft_term: status.term.0,
        raft_applied_index: status.applied.0,
        errors,
        db_size_in_use: signed(status.used_bytes),
        is_learner: status.is_learner,
        storage_version: versions.storage().to_string(),
        db_size_quota: signed(status.quota_bytes),
        downgrade_info: Some(DowngradeInfo {
            enabled: versions.downgrade.is_some(),
            target_version: versions.downgrade.map_or_else(String::new, |target| target.to_string()),
        }),
    }))
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Hashes the history in steps, so that other calls have their turn.
pub(super) async fn hash_kv<M: Member>(service: Service<M>, request: HashKvRequest, _: Bytes) -> Result<Bytes, Error> {
    let member = service.member();
    let watch = Stopwatch::start();
    let pinned = member.pin();
    let (mut hashing, mut pace) = (HashKv::new(&pinned.view(), Revision(request.revision))?, Pace::start());
    let hashed = loop {
        if let Some(hashed) = hashing.step(&pinned.view(), &mut Work::cells(limits::HASH_CELLS_PER_STEP))? {
            break hashed;
        }
        pace.rest().await;
    };
    service.front().hash_revision.observe(watch.nanos());
    Ok(rpc::framed(&HashKvResponse {
        header: Some(header::at(member, header::revision(&pinned))),
        hash: hashed.hash,
        compact_revision: hashed.compact_revision.0,
        hash_revision: hashed.hash_revision.0,
    }))
}

/// There is nothing to do: space that was freed is used again at once, and goes back to the file system online.
pub(super) async fn defragment<M: Member>(service: Service<M>, _: DefragmentRequest, _: Bytes) -> Result<Bytes, Error> {
    service.front().defragmentations.observe(0);
    Ok(rpc::framed(&DefragmentResponse { header: None }))
}

/// Hands the leadership to another member. To hand it to the one that has it is done already; nobody else has a vote yet.
pub(super) async fn move_leader<M: Member>(
    service: Service<M>,
    request: MoveLeaderRequest,
    _: Bytes,
) -> Result<Bytes, Error> {
    let (leader, own) = (service.member().status().leader, service.member().identity().member_id);
    if leader != own {
        return Err(Error::NotLeader);
    }
    if request.target_id != own.0 {
        return Err(Error::BadTransferee);
    }
    Ok(rpc::framed(&MoveLeaderResponse { header: None }))
}
