//! What a server on top of this module has to bring: something that serves calls and answers requests.

use super::exchange::Call;
use bytes::Bytes;
use std::future::Future;

/// An HTTP request with its whole body.
pub type HttpRequest = http::Request<Bytes>;

/// An HTTP answer with its whole body.
pub type HttpResponse = http::Response<Bytes>;

/// What serves the calls and requests of a connection, and says which there may be.
pub trait Handler: Clone + 'static {
    /// Serves one gRPC call to its end.
    fn call(&self, call: Call) -> impl Future<Output = ()> + 'static;

    /// Answers one HTTP request that is no call.
    fn request(&self, request: HttpRequest) -> impl Future<Output = HttpResponse> + 'static;

    /// Whether connections may speak HTTP/1.1.
    fn speaks_http1(&self) -> bool {
        true
    }

    /// Whether connections may speak HTTP/2.
    fn speaks_http2(&self) -> bool {
        true
    }

    /// Whether an HTTP/2 request is to be served as a call; any other is answered by `request`.
    fn is_call(&self, _request: &http::request::Parts) -> bool {
        true
    }
}
