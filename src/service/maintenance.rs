//! Maintenance: Status and HashKV; Alarm stands in `alarm.rs`. The rest is still to come.

use super::alarm;
use super::header;
use super::member::Member;
use super::server::Service;
use super::status::{Error, NO_LEADER};
use crate::identity::{ETCD_STORAGE_VERSION, ETCD_VERSION};
use crate::limits;
use crate::metrics::Stopwatch;
use crate::mvcc::{HashKv, Work};
use crate::proto::etcdserverpb::{DowngradeInfo, HashKvRequest, HashKvResponse, StatusRequest, StatusResponse};
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
        storage_version: ETCD_STORAGE_VERSION.to_owned(),
        db_size_quota: signed(status.quota_bytes),
        downgrade_info: Some(DowngradeInfo { enabled: false, target_version: String::new() }),
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
    let mut hashing = HashKv::new(&pinned.view(), Revision(request.revision))?;
    let hashed = loop {
        if let Some(hashed) = hashing.step(&pinned.view(), &mut Work::cells(limits::HASH_CELLS_PER_STEP))? {
            break hashed;
        }
        glommio::executor().yield_now().await;
    };
    service.front().hash_revision.observe(watch.nanos());
    Ok(rpc::framed(&HashKvResponse {
        header: Some(header::at(member, header::revision(&pinned))),
        hash: hashed.hash,
        compact_revision: hashed.compact_revision.0,
        hash_revision: hashed.hash_revision.0,
    }))
}
