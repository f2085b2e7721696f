//! The HTTP endpoints: health, version, metrics.
//!
//! Invariants
//! - Bodies, status codes and headers are those that etcd's Go server gives, final newlines included.
//!
//! Must not know: gRPC. The JSON gateway will stand beside this file.

use super::entry::Entry;
use super::member::Member;
use super::server::Service;
use super::status::Error;
use super::{alarm, downgrade, metrics as page, vars};
use crate::command::{AlarmType, RangeRequest};
use crate::identity::{ETCD_VERSION, split_host_port};
use crate::metrics::{self, RequestKind, Stopwatch};
use crate::mvcc::{Scan, Work};
use crate::net::Traffic;
use crate::rpc::{HttpRequest as Request, HttpResponse as Response};
use ::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CONTENT_TYPE, HOST,
    HeaderValue, LOCATION, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use ::http::{Method, StatusCode};
use bytes::Bytes;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Answers one request that came in as `entry` says.
pub(super) async fn answer<M: Member>(service: Service<M>, request: Request, entry: Entry) -> Response {
    if entry.traffic == Traffic::Metrics {
        return match request.uri().path() {
            "/version" => error(StatusCode::NOT_FOUND, "404 page not found"),
            _ => route(&service, &request).await,
        };
    }
    let access = service.access();
    // A page of another site can make a browser call any address, but not as any host over TLS.
    if !entry.secure {
        let host = host_of(&request);
        if !access.allows_host(&host) {
            access.tell_of_host(&host);
            return error(StatusCode::MISDIRECTED_REQUEST, &misdirected(&host));
        }
    }
    let origin = access.origin_answer(request.headers().get(ORIGIN));
    let mut response = if *request.method() == Method::OPTIONS {
        Response::new(Bytes::new())
    } else {
        route(&service, &request).await
    };
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE"));
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let allowed = HeaderValue::from_static("accept, content-type, authorization");
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    response
}

/// The host that a request is for, without its port.
fn host_of(request: &Request) -> String {
    let header = || request.headers().get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
    let named = request.uri().authority().map(|authority| authority.as_str().to_owned()).or_else(header);
    let named = named.unwrap_or_default();
    split_host_port(&named).map(|(host, _)| host.to_owned()).unwrap_or(named)
}

/// What a client is told that named a host which is not allowed.
fn misdirected(host: &str) -> String {
    format!(
        "\nThe request is for the host {host:?}, which this server does not answer to over plain HTTP.\n\n\
         Use TLS, or name the host in the server's flag: --host-whitelist {host:?}\n\n\
         This keeps other sites' pages from reaching the server by DNS rebinding (CVE-2018-5702).\n"
    )
}

async fn route<M: Member>(service: &Service<M>, request: &Request) -> Response {
    let path = request.uri().path();
    match path {
        "/metrics" => {
            let text = page::render(service);
            typed(text, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"))
        }
        "/health" | "/version" | "/livez" | "/readyz" | "/debug/vars" if *request.method() != Method::GET => {
            not_allowed()
        }
        "/health" => health(service, &Query::of(request)).await,
        "/version" => version(service),
        "/debug/vars" => typed(vars::render(service), HeaderValue::from_static("application/json; charset=utf-8")),
        "/livez" => checks(service, ("livez", &LIVEZ), &Query::of(request)).await,
        "/readyz" => checks(service, ("readyz", &READYZ), &Query::of(request)).await,
        _ => match named_check(path) {
            Some(_) if *request.method() != Method::GET => not_allowed(),
            Some((group, check)) => {
                checks(service, (group, &[check]), &Query { exclude: Vec::new(), ..Query::of(request) }).await
            }
            None if path.contains("//") => redirect(path),
            None => error(StatusCode::NOT_FOUND, "404 page not found"),
        },
    }
}

/// What the query of a health request says.
#[derive(Debug, Default)]
struct Query {
    exclude: Vec<String>,
    serializable: bool,
    verbose: bool,
}

impl Query {
    fn of(request: &Request) -> Self {
        let mut query = Self::default();
        let mut serializable = None;
        for pair in request.uri().query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // A pair that is not encoded as it should be is left out, as Go does.
            let (Some(name), Some(value)) = (unescaped(name), unescaped(value)) else { continue };
            match name.as_str() {
                "exclude" if !value.is_empty() => query.exclude.push(value),
                "serializable" => {
                    serializable.get_or_insert(value == "true");
                }
                "verbose" => query.verbose = true,
                _ => {}
            }
        }
        query.serializable = serializable.unwrap_or(false);
        query
    }

    fn excludes(&self, name: &str) -> bool {
        self.exclude.iter().any(|excluded| excluded == name)
    }
}

/// A part of a query without its encoding.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// `/health`: alarms, then the leader, then a read.
async fn health<M: Member>(service: &Service<M>, query: &Query) -> Response {
    let reason = match judge(service, query).await {
        Ok(None) => {
            service.front().health_success.count();
            return typed(r#"{"health":"true","reason":""}"#, TEXT);
        }
        Ok(Some(reason)) => reason,
        Err(why) => format!("RANGE ERROR:{}", service.status_of(why).message),
    };
    service.front().health_failures.count();
    let output = format!(r#"{{"health":"false","reason":"{reason}"}}"#);
    if let Some(logger) = service.member().logger() {
        logger.warn("/health error", &[("output", output.clone().into()), ("status-code", 503u64.into())]);
    }
    error(StatusCode::SERVICE_UNAVAILABLE, &output)
}

/// Why the member is not healthy, if it is not.
async fn judge<M: Member>(service: &Service<M>, query: &Query) -> Result<Option<String>, Error> {
    let alarms = alarm::all(service.member())?;
    let mut names = alarms.iter().map(|alarm| alarm::name(alarm).unwrap_or("UNKNOWN"));
    if let Some(name) = names.find(|name| !query.excludes(name)) {
        return Ok(Some(format!("ALARM {name}")));
    }
    if service.member().status().leader.0 == 0 && !query.serializable {
        return Ok(Some("RAFT NO LEADER".to_owned()));
    }
    read(service, query.serializable).await?;
    Ok(None)
}

/// Reads one key, as a client would.
async fn read<M: Member>(service: &Service<M>, serializable: bool) -> Result<(), Error> {
    let watch = Stopwatch::start();
    let outcome = read_one(service, serializable).await;
    service.front().on_request(RequestKind::Range, outcome.is_ok(), watch.nanos());
    outcome
}

async fn read_one<M: Member>(service: &Service<M>, serializable: bool) -> Result<(), Error> {
    if !serializable {
        service.member().read_barrier().await?;
    }
    let watch = Stopwatch::start();
    let pinned = service.member().pin();
    let everything = Bytes::from_static(b"\0");
    let request = RangeRequest {
        key: everything.clone(),
        range_end: everything,
        limit: 1,
        keys_only: true,
        ..RangeRequest::default()
    };
    let mut scan = Scan::new(&pinned.view(), &request)?;
    scan.encode_whole(&pinned.view(), &mut Vec::new(), usize::MAX, &mut Work::unbounded())?;
    service.front().on_range(true, watch.nanos());
    Ok(())
}

/// One of the named checks behind `/livez` and `/readyz`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Check {
    DataCorruption,
    SerializableRead,
    LinearizableRead,
    NonLearner,
}

const LIVEZ: [Check; 1] = [Check::SerializableRead];
const READYZ: [Check; 4] = [Check::DataCorruption, Check::SerializableRead, Check::LinearizableRead, Check::NonLearner];

/// The check that a path below `/livez` or `/readyz` names.
fn named_check(path: &str) -> Option<(&'static str, Check)> {
    let (group, name) = path.strip_prefix('/')?.split_once('/')?;
    let (group, checks): (_, &[Check]) = match group {
        "livez" => ("livez", &LIVEZ),
        "readyz" => ("readyz", &READYZ),
        _ => return None,
    };
    checks.iter().copied().find(|check| check.name() == name).map(|check| (group, check))
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::DataCorruption => "data_corruption",
            Self::SerializableRead => "serializable_read",
            Self::LinearizableRead => "linearizable_read",
            Self::NonLearner => "non_learner",
        }
    }

    /// Why it fails, if it does.
    async fn run<M: Member>(self, service: &Service<M>) -> Option<String> {
        match self {
            Self::DataCorruption => match alarm::all(service.member()) {
                Ok(alarms) => {
                    let corrupt = alarms.iter().any(|alarm| alarm.alarm == i32::from(AlarmType::Corrupt));
                    corrupt.then(|| "alarm activated: CORRUPT".to_owned())
                }
                Err(why) => Some(service.status_of(why).message.into_owned()),
            },
            Self::NonLearner => service.member().status().is_learner.then(|| "not supported for learner".to_owned()),
            Self::SerializableRead | Self::LinearizableRead => {
                let result = read(service, self == Self::SerializableRead).await;
                result.err().map(|why| service.status_of(why).message.into_owned())
            }
        }
    }
}

async fn checks<M: Member>(service: &Service<M>, (group, checks): (&'static str, &[Check]), query: &Query) -> Response {
    let (mut lines, mut failed) = (String::new(), false);
    for check in checks.iter().filter(|check| !query.excludes(check.name())) {
        let failure = check.run(service).await;
        let counted = metrics::Check { group, name: check.name() };
        service.registry().on_check(service.front(), counted, failure.is_none());
        match failure {
            None => lines.push_str(&format!("[+]{} ok\n", check.name())),
            Some(why) => {
                failed = true;
                lines.push_str(&format!("[-]{} failed: {why}\n", check.name()));
            }
        }
    }
    if failed {
        tell_of_failure(service, group, &lines);
        return error(StatusCode::SERVICE_UNAVAILABLE, &lines);
    }
    if !query.verbose {
        lines.clear();
    }
    lines.push_str("ok\n");
    let mut response = typed(lines, TEXT);
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whoever looks after the member sees in its log what the prober saw.
fn tell_of_failure<M: Member>(service: &Service<M>, group: &str, lines: &str) {
    if let Some(logger) = service.member().logger() {
        let path = format!("/{group}");
        let fields = [("path", path.into()), ("reason", lines.to_owned().into()), ("status-code", 503u64.into())];
        logger.error("Health check error", &fields);
    }
}

fn typed(body: impl Into<Bytes>, content_type: HeaderValue) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn version<M: Member>(service: &Service<M>) -> Response {
    let versions = match downgrade::now(service.member()) {
        Ok(versions) => versions,
        Err(damage) => return error(StatusCode::INTERNAL_SERVER_ERROR, &service.status_of(damage).message),
    };
    let (cluster, storage) = (versions.cluster(), versions.storage());
    let json = format!(r#"{{"etcdserver":"{ETCD_VERSION}","etcdcluster":"{cluster}","storage":"{storage}"}}"#);
    typed(json, HeaderValue::from_static("application/json"))
}

/// As Go's `http.Error` writes it.
fn error(status: StatusCode, text: &str) -> Response {
    let mut response = typed(format!("{text}\n"), TEXT);
    *response.status_mut() = status;
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn not_allowed() -> Response {
    let mut response = error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
    response
}

/// As Go's mux does with a path that has empty parts.
fn redirect(path: &str) -> Response {
    let cleaned = path.split('/').filter(|part| !part.is_empty()).fold(String::new(), |all, part| all + "/" + part);
    let cleaned = if cleaned.is_empty() { "/".to_owned() } else { cleaned };
    let Ok(location) = HeaderValue::from_str(&cleaned) else {
        return error(StatusCode::NOT_FOUND, "404 page not found");
    };
    let mut response = typed(
        format!("<a href=\"{}\">Temporary Redirect</a>.\n\n", cleaned.replace('"', "&#34;")),
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    response
}
