//! HTTP/1.1 on the same port, through hyper: small requests, small answers.
//!
//! Invariants
//! - A request's body is bounded and read before the handler is asked; an answer is whole in memory.
//! - A connection that has said nothing for `limits::HTTP1_IDLE_TIMEOUT` is ended.
//!
//! Must not know: which paths there are.

use super::clock::Alarm;

use super::context::Context as Shared;
use super::handler::{Handler, HttpRequest, HttpResponse};
use super::wire::Wire;
use crate::limits;
use bytes::Bytes;
use futures_lite::io::{AsyncRead, AsyncWrite};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

/// Serves HTTP/1.1 until the client leaves, is silent for too long, or the shutdown has begun and its request is
/// answered.
pub(super) async fn serve<T, H>(wire: Wire<T>, handler: H, shared: &Shared) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Handler,
{
    let service = service_fn(|request| answer(request, handler.clone()));
    let mut builder = Builder::new();
    builder
        .max_buf_size(limits::HTTP1_BUFFER_BYTES)
        .header_read_timeout(None)
        .half_close(true)
        .title_case_headers(true);
    let mut connection = pin!(builder.serve_connection(wire.clone(), service));
    let mut alarm = Alarm::after(limits::HTTP1_IDLE_TIMEOUT);
    let mut reads = wire.reads();
    let seat = shared.shutdown().seat();
    let mut draining = false;
    poll_fn(|context| {
        if !draining && seat.poll(context).is_ready() {
            draining = true;
            connection.as_mut().graceful_shutdown();
        }
        if let Poll::Ready(served) = connection.as_mut().poll(context) {
            return Poll::Ready(served.map_err(io::Error::other));
        }
        while alarm.poll(context).is_ready() {
            if wire.reads() == reads {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            reads = wire.reads();
            alarm = Alarm::after(limits::HTTP1_IDLE_TIMEOUT);
        }
        Poll::Pending
    })
    .await
}

async fn answer<H: Handler>(
    request: http::Request<Incoming>,
    handler: H,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let response = match Limited::new(body, limits::HTTP1_BODY_BYTES_MAX).collect().await {
        Ok(body) => handler.request(HttpRequest::from_parts(parts, body.to_bytes())).await,
        Err(_) => {
            let mut refused = HttpResponse::new(Bytes::from_static(b"http: request body too large\n"));
            *refused.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
            refused
        }
    };
    Ok(response.map(Full::new))
}
