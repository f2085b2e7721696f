//! What a server on top of this module has to bring: something that serves calls and answers requests.

use super::exchange::Call;
use bytes::Bytes;
use std::future::Future;

/// An HTTP/1.1 request with its whole body.
pub type HttpRequest = http::Request<Bytes>;

/// An HTTP/1.1 answer with its whole body.
pub type HttpResponse = http::Response<Bytes>;

/// What serves the calls and requests of a connection.
pub trait Handler: Clone + 'static {
    /// Serves one gRPC call to its end.
    fn call(&self, call: Call) -> impl Future<Output = ()> + 'static;

    /// Answers one HTTP/1.1 request.
    fn request(&self, request: HttpRequest) -> impl Future<Output = HttpResponse> + 'static;
}
