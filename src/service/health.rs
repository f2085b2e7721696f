//! gRPC's own health service: one service, named "", that serves from the start.

use super::member::Member;
use super::server::Service;
use super::status::Error;
use crate::proto::grpc::health::v1::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
    health_check_response::ServingStatus,
};
use crate::rpc::{self, Answers, Call, Reply, Status};
use bytes::Bytes;

fn serving(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

/// The health of the server as a whole; no other service is known.
pub(super) async fn check<M: Member>(_: Service<M>, request: HealthCheckRequest, _: Bytes) -> Result<Bytes, Error> {
    if !request.service.is_empty() {
        return Err(Error::UnknownHealthService);
    }
    Ok(rpc::framed(&serving(ServingStatus::Serving)))
}

/// The health of all services there are.
pub(super) async fn list<M: Member>(_: Service<M>, _: HealthListRequest, _: Bytes) -> Result<Bytes, Error> {
    let statuses = [(String::new(), serving(ServingStatus::Serving))].into();
    Ok(rpc::framed(&HealthListResponse { statuses }))
}

/// Tells the health now, and when the server stops.
pub(super) async fn watch<M: Member>(service: Service<M>, call: Call) {
    let Call { head, mut requests, mut reply } = call;
    let watched = async {
        let (request, _) =
            service.request(&head, (&mut requests, Answers::Many), &mut reply, |_: &HealthCheckRequest| true).await?;
        let known = request.service.is_empty();
        let status = if known { ServingStatus::Serving } else { ServingStatus::ServiceUnknown };
        tell(&mut reply, status).await?;
        reply.guard(service.shutdown().begun()).await?;
        if known {
            tell(&mut reply, ServingStatus::NotServing).await?;
        }
        Ok::<(), Error>(())
    };
    let ended = watched.await;
    reply.finish(ended.map_or_else(Status::from, |()| Status::CANCELED));
}

async fn tell(reply: &mut Reply, status: ServingStatus) -> Result<(), Status> {
    reply.write(rpc::framed(&serving(status))).await
}
