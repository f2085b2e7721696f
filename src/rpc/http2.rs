//! Plain HTTP requests over HTTP/2, as clients send them where TLS let them choose the protocol.
//!
//! Invariants
//! - A request's body is bounded and read before the handler is asked, as with HTTP/1.1.
//!
//! Must not know: which paths there are.

use super::calls::Open;
use super::clock::Alarm;
use super::exchange::respond_plainly;
use super::handler::{Handler, HttpRequest, HttpResponse};
use crate::limits;
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::request::Parts;
use std::future::poll_fn;
use std::task::Poll;

/// Answers one request.
pub(super) async fn answer<H: Handler>(
    (parts, body): (Parts, RecvStream),
    (respond, open): (SendResponse<Bytes>, Open),
    handler: H,
) {
    let mut response = match collect(body).await {
        Some(body) => {
            poll_fn(|context| open.poll_room(context)).await;
            handler.request(HttpRequest::from_parts(parts, body)).await
        }
        None => {
            let mut refused = HttpResponse::new(Bytes::from_static(b"http: request body too large\n"));
            *refused.status_mut() = http::StatusCode::PAYLOAD_TOO_LARGE;
            refused
        }
    };
    let length = HeaderValue::from(response.body().len());
    response.headers_mut().insert(CONTENT_LENGTH, length);
    respond_plainly(respond, response, open).await;
}

/// The whole body; nothing if it is too large, or does not come.
async fn collect(mut stream: RecvStream) -> Option<Bytes> {
    let mut alarm = Alarm::after(limits::HTTP1_IDLE_TIMEOUT);
    let mut whole = BytesMut::new();
    loop {
        let next = poll_fn(|context| match stream.poll_data(context) {
            Poll::Pending => alarm.poll(context).map(|()| Some(None)),
            Poll::Ready(next) => Poll::Ready(next.map(Result::ok)),
        });
        match next.await {
            None => return Some(whole.freeze()),
            Some(Some(chunk)) if whole.len() + chunk.len() <= limits::HTTP1_BODY_BYTES_MAX => {
                let _ = stream.flow_control().release_capacity(chunk.len());
                whole.extend_from_slice(&chunk);
            }
            Some(Some(_) | None) => return None,
        }
    }
}
