//! gRPC's own health service: one service, named "", that serves from the start.

use super::member::Member;
use super::observed::Observed;
use super::server::Service;
use super::status::Error;
use crate::metrics::Method;
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
    let mut observed = Observed::new(&service, Method::HealthWatch, Answers::Many);
    let watched = async {
        let (asked, told) = ((&mut requests, Answers::Many), (&mut reply, &mut observed));
        let (request, _) = service.request(&head, asked, told, |_: &HealthCheckRequest| true).await?;
        let known = request.service.is_empty();
        let status = if known { ServingStatus::Serving } else { ServingStatus::ServiceUnknown };
        tell((&mut reply, &observed), status).await?;
        reply.guard(service.shutdown().begun()).await?;
        if known {
            tell((&mut reply, &observed), ServingStatus::NotServing).await?;
        }
        Ok::<(), Error>(())
    };
    let status = watched.await.map_or_else(Status::from, |()| Status::CANCELED);
    observed.end(&status);
    reply.finish(status);
}

async fn tell<M: Member>((reply, observed): (&mut Reply, &Observed<M>), status: ServingStatus) -> Result<(), Status> {
    let framed = rpc::framed(&serving(status));
    observed.on_message(framed.len() - rpc::frame::PREFIX_BYTES);
    reply.write(framed).await
}
