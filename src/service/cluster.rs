//! Cluster: the list of members. Changes of membership are still to come.

use super::header;
use super::member::{Member, MemberRecord};
use super::server::Service;
use super::status::Error;
use crate::proto::etcdserverpb::{Member as WireMember, MemberListRequest, MemberListResponse};
use crate::rpc;
use crate::types::Revision;
use bytes::Bytes;

/// The members; the header has no revision, as etcd's has none.
pub(super) async fn member_list<M: Member>(
    service: Service<M>,
    request: MemberListRequest,
    _: Bytes,
) -> Result<Bytes, Error> {
    let member = service.member();
    if request.linearizable {
        member.read_barrier().await?;
    }
    let members = member.members().into_iter().map(to_wire).collect();
    Ok(rpc::framed(&MemberListResponse { header: Some(header::at(member, Revision(0))), members }))
}

fn to_wire(record: MemberRecord) -> WireMember {
    WireMember {
        id: record.id.0,
        name: record.name,
        peer_ur_ls: record.peer_urls,
        client_ur_ls: record.client_urls,
        is_learner: record.is_learner,
    }
}
