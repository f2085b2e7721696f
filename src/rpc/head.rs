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
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri};
use std::time::Instant;

/// The content type of most answers.
pub(super) const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// What a call said before its messages.
#[derive(Debug)]
pub struct Head {
    uri: Uri,
    headers: HeaderMap,
    deadline: Option<Instant>,
    /// The `grpc-encoding`, when it is one that we would have to undo.
    compression: Option<String>,
    /// The content type of the answer, which repeats the request's format.
    content_type: HeaderValue,
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
        let mut metadata = Ok(());
        for (name, value) in &parts.headers {
            match name.as_str() {
                "content-type" => content_type = Some(value),
                "grpc-timeout" => deadline = parse_deadline(value).map(Some),
                "grpc-encoding" if value != "identity" && !value.is_empty() => compression = Some(lossy(value)),
                name if name.ends_with("-bin") => metadata = metadata.and_then(|()| check_binary(name, value)),
                _ => {}
            }
        }
        let Some(answered_with) = content_type.and_then(answer_type) else {
            let shown = content_type.map(lossy).unwrap_or_default();
            let message = format!("invalid gRPC request content-type {shown:?}");
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, message));
        };
        metadata?;
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
        Ok(Self { uri: parts.uri, headers: parts.headers, deadline, compression, content_type: answered_with })
    }

    /// The `:path`, such as `/package.Service/Method`. gRPC knows no query: what looks like one is part of it.
    pub fn path(&self) -> &str {
        self.uri.path_and_query().map_or("", PathAndQuery::as_str)
    }

    /// One header field's first value.
    pub fn header(&self, name: &HeaderName) -> Option<&[u8]> {
        self.headers.get(name).map(HeaderValue::as_bytes)
    }

    /// When the caller stops waiting.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The content type of the answer.
    pub(super) fn content_type(&self) -> HeaderValue {
        self.content_type.clone()
    }

    /// The compression of the messages, when there is one.
    pub(super) fn compression(&self) -> Option<&str> {
        self.compression.as_deref()
    }
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// The content type that answers one of gRPC's, `application/grpc` or that with `+format` or `;format` behind it.
fn answer_type(value: &HeaderValue) -> Option<HeaderValue> {
    match value.as_bytes().strip_prefix(b"application/grpc")? {
        [] | [b'+' | b';'] => Some(GRPC),
        [b'+' | b';', format @ ..] => HeaderValue::from_bytes(&[b"application/grpc+", format].concat()).ok(),
        _ => None,
    }
}

/// Binary metadata is base64, padded or not; nobody here reads it, but grpc-go refuses what is not.
fn check_binary(name: &str, value: &HeaderValue) -> Result<(), Refusal> {
    let bytes = value.as_bytes();
    let in_alphabet = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let padding = if bytes.len().is_multiple_of(4) {
        bytes.iter().rev().take(2).filter(|byte| **byte == b'=').count()
    } else {
        0
    };
    let text = &bytes[..bytes.len() - padding];
    let wrong = text.iter().position(|byte| !in_alphabet(*byte)).or((text.len() % 4 == 1).then_some(text.len()));
    let Some(place) = wrong else { return Ok(()) };
    let message = format!(
        "malformed binary metadata {:?} in header {name:?}: illegal base64 data at input byte {place}",
        lossy(value)
    );
    Err(Refusal::new(StatusCode::BAD_REQUEST, Code::Internal, message))
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
    fn the_answers_content_type_repeats_the_format() {
        for (asked, answered) in [
            ("application/grpc", "application/grpc"),
            ("application/grpc+", "application/grpc"),
            ("application/grpc+proto", "application/grpc+proto"),
            ("application/grpc;x=y", "application/grpc+x=y"),
        ] {
            let head = head("POST", &[("content-type", asked)]).unwrap();
            assert_eq!(head.content_type(), answered);
        }
    }

    #[test]
    fn binary_metadata_must_be_base64() {
        let with = |value| head("POST", &[("content-type", "application/grpc"), ("x-bin", value)]);
        for fine in ["", "QQ", "QQ==", "QUI", "QUI=", "QUJD"] {
            assert!(with(fine).is_ok(), "{fine}");
        }
        for (wrong, place) in [("!!!", 0), ("QU-D", 2), ("Q", 1)] {
            let refusal = with(wrong).unwrap_err();
            let text = format!(
                "malformed binary metadata {wrong:?} in header \"x-bin\": illegal base64 data at input byte {place}"
            );
            assert_eq!((refusal.http.as_u16(), &*refusal.status.message), (400, text.as_str()));
        }
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
