//! Maintenance.Downgrade: whether the cluster can be brought down a version, the decision, and its cancellation.
//!
//! Invariants
//! - What is decided on is read behind a barrier; what is decided is replicated.
//! - An answer tells the version that the cluster had before, as etcd's does, whose leader changes it later.

use super::header;
use super::member::Member;
use super::server::Service;
use super::status::{DowngradeRefusal as Refusal, Error};
use crate::cluster::Versions;
use crate::command::{DowngradeInfo, Kind};
use crate::identity::Version;
use crate::proto::etcdserverpb::downgrade_request::DowngradeAction;
use crate::proto::etcdserverpb::{DowngradeRequest, DowngradeResponse};
use crate::rpc;
use bytes::Bytes;
use prost::Message;

/// Serves `Maintenance.Downgrade`.
pub(super) async fn downgrade<M: Member>(
    service: Service<M>,
    request: DowngradeRequest,
    _: Bytes,
) -> Result<Bytes, Error> {
    let member = service.member();
    let version = match DowngradeAction::try_from(request.action) {
        Ok(DowngradeAction::Validate) => validate(member, &request.version).await?.0,
        Ok(DowngradeAction::Enable) => {
            let (version, target) = validate(member, &request.version).await?;
            set(member, Some(target)).await?;
            version
        }
        Ok(DowngradeAction::Cancel) => {
            member.read_barrier().await?;
            let versions = now(member)?;
            // To cancel nothing is a success.
            if versions.downgrade.is_some() {
                set(member, None).await?;
            }
            versions.cluster()
        }
        Err(_) => return Err(Refusal::UnknownAction.into()),
    };
    Ok(rpc::framed(&DowngradeResponse { header: Some(header::now(member)), version: version.short() }))
}

/// The versions that this member has applied.
pub(super) fn now(member: &impl Member) -> Result<Versions, Error> {
    Ok(Versions::of(&member.pin().view())?)
}

/// The cluster's version and the target, if that is where the cluster can go.
async fn validate(member: &impl Member, target: &str) -> Result<(Version, Version), Error> {
    let target = Version::parse(target).ok_or(Refusal::WrongFormat)?;
    member.read_barrier().await?;
    let versions = now(member)?;
    if versions.cluster().one_lower() != Some(target) {
        return Err(Refusal::InvalidTarget.into());
    }
    if versions.downgrade.is_some() {
        return Err(Refusal::InProgress.into());
    }
    Ok((versions.cluster(), target))
}

async fn set(member: &impl Member, target: Option<Version>) -> Result<(), Error> {
    let target_version = target.map_or_else(String::new, |target| target.to_string());
    let info = DowngradeInfo { enabled: target.is_some(), target_version };
    member.propose(Kind::Downgrade, info.encode_to_vec().into()).await?;
    Ok(())
}
