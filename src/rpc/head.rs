//! The head of a gRPC call: its path, deadline and metadata, out of a request's header fields.
//!
//! Invariants
//! - What is refused here, with which HTTP status, code and text, is what grpc-go refuses, in its order.
//!
//! Must not know: which services there are, which metadata they look at.

use super::clock;
use super::status::{Code, Status};
use super::timeout;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode, Uri};
use std::time::Instant;

/// What a call said before its messages.
#[derive(Debug)]
pub struct Head {
    uri: Uri,
    headers: HeaderMap,
    deadline: Option<Instant>,
    /// The `grpc-encoding`, when it is one that we would have to undo.
    compression: Option<String>,
}

/// A request that is not a gRPC call, or not one that can be begun.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) http: StatusCode,
    pub(super) status: Status,
}

impl Refusal {
    fn new(http: StatusCode, code: Code, message: String) -> Self {
        Self { http, status: Status::new(code, message) }
    }
}

impl Head {
    /// Reads the head of a request.
    pub(super) fn parse(parts: Parts) -> Result<Self, Refusal> {
        let mut content_type = None;
        let mut deadline = Ok(None);
        let mut compression = None;
        for (name, value) in &parts.headers {
            match name.as_str() {
                "content-type" => content_type = Some(value),
                "grpc-timeout" => deadline = parse_deadline(value).map(Some),
                "grpc-encoding" if value != "identity" && !value.is_empty() => compression = Some(lossy(value)),
                _ => {}
            }
        }
        if !content_type.is_some_and(is_grpc) {
            let shown = content_type.map(lossy).unwrap_or_default();
            let message = format!("invalid gRPC request content-type {shown:?}");
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, message));
        }
        let deadline = deadline?;
        if parts.method != Method::POST {
            let message =
                format!("Received a HEADERS frame with :method {:?} which should be POST", parts.method.as_str());
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, Code::Internal, message));
        }
        if deadline.is_some_and(|(at, begun)| at <= begun) {
            return Err(Refusal { http: StatusCode::OK, status: Status::DEADLINE_EXCEEDED });
        }
        let deadline = deadline.map(|(at, _)| at);
        Ok(Self { uri: parts.uri, headers: parts.headers, deadline, compression })
    }

    /// The `:path`, such as `/package.Service/Method`.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// One header field's first value.
    pub fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        self.headers.get(name).map(HeaderValue::as_bytes)
    }

    /// When the caller stops waiting.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The compression of the messages, when there is one.
    pub(super) fn compression(&self) -> Option<&str> {
        self.compression.as_deref()
    }
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// `application/grpc`, or that with a `+format` or `;parameter` after it.
fn is_grpc(value: &HeaderValue) -> bool {
    match value.as_bytes().strip_prefix(b"application/grpc") {
        Some([]) => true,
        Some([first, ..]) => matches!(first, b'+' | b';'),
        None => false,
    }
}

/// The deadline and the time it was counted from.
fn parse_deadline(value: &HeaderValue) -> Result<(Instant, Instant), Refusal> {
    let begun = clock::now();
    let timeout = timeout::parse(&lossy(value)).map_err(|why| {
        Refusal::new(StatusCode::BAD_REQUEST, Code::Internal, format!("malformed grpc-timeout: {why}"))
    })?;
    Ok((begun + timeout, begun))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use std::time::Duration;

    fn head(method: &str, headers: &[(&str, &str)]) -> Result<Head, Refusal> {
        let mut request = Request::builder().method(method).uri("http://host/pkg.Service/Method");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Head::parse(request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_call_is_read() {
        let head = head(
            "POST",
            &[
                ("content-type", "application/grpc+proto"),
                ("grpc-timeout", "5S"),
                ("grpc-encoding", "identity"),
                ("hasleader", "true"),
            ],
        )
        .unwrap();
        assert_eq!(head.path(), "/pkg.Service/Method");
        assert!(head.deadline().unwrap() > clock::now() + Duration::from_secs(4));
        assert_eq!(head.header(&HeaderName::from_static("hasleader")), Some(&b"true"[..]));
        assert_eq!(head.header(&HeaderName::from_static("token")), None);
        assert_eq!(head.compression(), None);
    }

    #[test]
    fn what_is_not_a_call_is_refused_as_grpc_go_does() {
        let check = |method, headers: &[(&str, &str)], http, code, message: &str| {
            let refusal = head(method, headers).unwrap_err();
            assert_eq!((refusal.http.as_u16(), refusal.status.code), (http, code));
            assert_eq!(refusal.status.message, message);
        };
        check("POST", &[], 415, Code::InvalidArgument, "invalid gRPC request content-type \"\"");
        check(
            "POST",
            &[("content-type", "application/grpcx")],
            415,
            Code::InvalidArgument,
            "invalid gRPC request content-type \"application/grpcx\"",
        );
        check(
            "GET",
            &[("content-type", "application/grpc")],
            405,
            Code::Internal,
            "Received a HEADERS frame with :method \"GET\" which should be POST",
        );
        check(
            "POST",
            &[("content-type", "application/grpc"), ("grpc-timeout", "x")],
            400,
            Code::Internal,
            "malformed grpc-timeout: transport: timeout string is too short: \"x\"",
        );
        check(
            "POST",
            &[("content-type", "application/grpc"), ("grpc-timeout", "0n")],
            200,
            Code::DeadlineExceeded,
            "context deadline exceeded",
        );
    }
}
