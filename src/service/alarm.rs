//! Maintenance.Alarm, and the alarms as Status and the health endpoints tell them.
//!
//! Invariants
//! - The list is read behind a barrier, so it shows every alarm that was acknowledged before; etcd sends it through the log
//!   for that, which here costs nothing to leave out.

use super::header;
use super::member::Member;
use super::server::Service;
use super::status::Error;
use crate::alarm;
use crate::command::alarm_request::AlarmAction;
use crate::command::{AlarmMember, AlarmRequest, AlarmResponse, AlarmType, Kind, Response};
use crate::metrics::{RequestKind, Stopwatch};
use crate::rpc::{self, Code, Status};
use bytes::Bytes;
use prost::Message;

/// Serves `Maintenance.Alarm`.
pub(super) async fn alarm<M: Member>(service: Service<M>, request: AlarmRequest, _: Bytes) -> Result<Bytes, Error> {
    let member = service.member();
    let (revision, alarms) = match AlarmAction::try_from(request.action) {
        Ok(AlarmAction::Get) => {
            let watch = Stopwatch::start();
            let waited = member.read_barrier().await;
            service.front().on_request(RequestKind::Alarm, waited.is_ok(), watch.nanos());
            waited?;
            let pinned = member.pin();
            (header::revision(&pinned), alarm::list(&pinned.view(), request.alarm)?)
        }
        Ok(AlarmAction::Activate | AlarmAction::Deactivate) => {
            let watch = Stopwatch::start();
            let proposed = member.propose(Kind::Alarm, request.encode_to_vec().into()).await;
            service.front().on_request(RequestKind::Alarm, proposed.is_ok(), watch.nanos());
            let outcome = proposed?;
            let Response::Alarm(response) = outcome.response else { unreachable!("an alarm's answer is of its kind") };
            (outcome.revision, response.alarms)
        }
        // etcd's server ends itself here; nobody can rely on that.
        Err(_) => return Err(Status::new(Code::InvalidArgument, "etcdserver: unknown alarm action").into()),
    };
    Ok(rpc::framed(&AlarmResponse { header: Some(header::at(member, revision)), alarms }))
}

/// All alarms, as this member has applied them.
pub(super) fn all(member: &impl Member) -> Result<Vec<AlarmMember>, Error> {
    Ok(alarm::list(&member.pin().view(), AlarmType::None.into())?)
}

/// Raises NOSPACE for this member if it does not stand yet, and waits until it does. A failure is nobody's concern: whoever
/// is refused next tries again.
pub(super) async fn raise_no_space(member: &impl Member) -> Result<(), Error> {
    let id = member.identity().member_id;
    if !alarm::is_raised(&member.pin().view(), id, AlarmType::Nospace)? {
        let (action, alarm) = (AlarmAction::Activate.into(), AlarmType::Nospace.into());
        let request = AlarmRequest { action, member_id: id.0, alarm };
        let _ = member.propose(Kind::Alarm, request.encode_to_vec().into()).await;
    }
    Ok(())
}

/// An alarm in the text form of its message, as `Status` and etcdctl show it.
pub(super) fn text(alarm: &AlarmMember) -> String {
    let member = (alarm.member_id != 0).then(|| format!("memberID:{}", alarm.member_id));
    let kind = match AlarmType::try_from(alarm.alarm) {
        Ok(AlarmType::None) => None,
        Ok(kind) => Some(format!("alarm:{}", kind.as_str_name())),
        Err(_) => Some(format!("alarm:{}", alarm.alarm)),
    };
    member.into_iter().chain(kind).collect::<Vec<_>>().join(" ")
}

/// The name by which `/health` excludes an alarm and tells it.
pub(super) fn name(alarm: &AlarmMember) -> Option<&'static str> {
    AlarmType::try_from(alarm.alarm).ok().map(|kind| kind.as_str_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_gos_messages() {
        let told = |member_id, alarm| text(&AlarmMember { member_id, alarm });
        assert_eq!(told(7, 1), "memberID:7 alarm:NOSPACE");
        assert_eq!(told(u64::MAX, 2), "memberID:18446744073709551615 alarm:CORRUPT");
        assert_eq!(told(0, 2), "alarm:CORRUPT");
        assert_eq!(told(1, 9), "memberID:1 alarm:9");
    }
}
