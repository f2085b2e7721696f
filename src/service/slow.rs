//! What the log says of requests that took long, in etcd's shape: `request stats` of a call, `apply request took too long` of
//! a read.
//!
//! Invariants
//! - Nothing of a request is looked at unless it was slow, or the log is at its most detailed.
//! - Values are never logged, only their sizes.

use super::member::Member;
use super::server::Service;
use crate::command::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse, request_op};
use crate::gotext::push_fmt;
use crate::log::{Level, Value};
use crate::metrics::{Method, Stopwatch, unix_micros};
use crate::proto::etcdserverpb::{DeleteRangeResponse, RangeResponse};
use crate::rpc::frame;
use bytes::Bytes;
use prost::Message;
use std::time::Duration;

/// A call on its way, for as long as it is not known whether it is slow.
pub(super) struct Noted {
    method: Method,
    message: Bytes,
    watch: Stopwatch,
}

/// How a call was answered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer<'a> {
    /// With this framed message.
    Framed(&'a [u8]),
    /// With one that is not in memory whole: so many keys, so many bytes.
    Large(i64, u64),
    /// With an error.
    Error(&'a str),
}

/// What the log says of one.
#[derive(PartialEq, Eq, Debug, Default)]
struct Stats {
    request_count: i64,
    request_size: i64,
    response_count: i64,
    response_size: i64,
    content: String,
}

impl Noted {
    /// A decoded request begins to be worked on.
    pub(super) fn begin(method: Method, message: &Bytes) -> Self {
        Self { method, message: message.clone(), watch: Stopwatch::start() }
    }

    /// It is answered.
    pub(super) fn end<M: Member>(self, service: &Service<M>, answer: Answer<'_>) {
        self.tell_of_call(service, self.took(), answer);
    }

    /// The same of a call that is a read: both are judged by one look at the clock.
    pub(super) fn end_as_read<M: Member>(self, service: &Service<M>, answer: Answer<'_>) {
        let took = self.took();
        self.tell_of_read(service, took, answer);
        self.tell_of_call(service, took, answer);
    }

    fn tell_of_call<M: Member>(&self, service: &Service<M>, took: Duration, answer: Answer<'_>) {
        let Some(logger) = service.member().logger() else { return };
        let level = if logger.enabled(Level::Debug) {
            Level::Debug
        } else if took > service.settings().slow_request {
            Level::Warn
        } else {
            return;
        };
        let began = unix_micros().saturating_sub(u64::try_from(took.as_micros()).unwrap_or(0));
        let stats = stats(self.method, &self.message, answer);
        let fields = [
            ("start time", Value::Moment(began)),
            ("time spent", took.into()),
            ("remote", service.remote().into()),
            ("response type", self.method.path().into()),
            ("request count", stats.request_count.into()),
            ("request size", stats.request_size.into()),
            ("response count", stats.response_count.into()),
            ("response size", stats.response_size.into()),
            ("request content", stats.content.into()),
        ];
        if level == Level::Debug {
            logger.debug("request stats", &fields);
        } else {
            logger.warn("request stats", &fields);
        }
    }

    /// The read of this call is done, the wait for its turn included: says so if it took long.
    pub(super) fn end_of_read<M: Member>(&self, service: &Service<M>, answer: Answer<'_>) {
        self.tell_of_read(service, self.took(), answer);
    }

    fn tell_of_read<M: Member>(&self, service: &Service<M>, took: Duration, answer: Answer<'_>) {
        let expected = service.settings().slow_apply;
        if took <= expected {
            return;
        }
        service.front().slow_reads.count();
        let Some(logger) = service.member().logger() else { return };
        let (prefix, content) = describe(self.method, &self.message);
        let response = match answer {
            Answer::Framed(framed) if self.method == Method::KvTxn => format!("size:{}", message_of(framed).len()),
            Answer::Framed(framed) => {
                let message = message_of(framed);
                let kvs = RangeResponse::decode(message).map_or(0, |response| response.kvs.len());
                format!("range_response_count:{kvs} size:{}", message.len())
            }
            Answer::Large(_, bytes) => format!("size:{bytes}"),
            Answer::Error(_) => String::new(),
        };
        let mut fields = vec![
            ("took", took.into()),
            ("expected-duration", expected.into()),
            ("prefix", prefix.into()),
            ("request", content.into()),
            ("response", response.into()),
        ];
        if let Answer::Error(error) = answer {
            fields.push(("error", error.to_owned().into()));
        }
        logger.warn("apply request took too long", &fields);
    }

    fn took(&self) -> Duration {
        Duration::from_nanos(self.watch.nanos())
    }
}

/// The message in a frame.
fn message_of(framed: &[u8]) -> &[u8] {
    framed.get(frame::PREFIX_BYTES..).unwrap_or_default()
}

fn size(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// The prefix and the request of a read, as etcd words them.
fn describe(method: Method, message: &Bytes) -> (&'static str, String) {
    if method == Method::KvTxn {
        return ("read-only txn ", TxnRequest::decode(message.clone()).map_or(String::new(), |txn| txn_text(&txn)));
    }
    ("read-only range ", RangeRequest::decode(message.clone()).map_or(String::new(), |range| range_text(&range)))
}

/// Counts and sizes by etcd's rules, which tell only KV's requests apart.
fn stats(method: Method, message: &Bytes, answer: Answer<'_>) -> Stats {
    let (answer, response_size, large_count) = match answer {
        Answer::Framed(framed) => (message_of(framed), size(message_of(framed).len()), 0),
        Answer::Large(count, bytes) => (&[][..], i64::try_from(bytes).unwrap_or(i64::MAX), count),
        Answer::Error(_) => (&[][..], 0, 0),
    };
    let of = |request_count: i64, response_count: i64, content: String| Stats {
        request_count,
        request_size: size(message.len()),
        response_count,
        response_size,
        content,
    };
    let bytes = message.clone();
    if method == Method::KvRange {
        let count = RangeResponse::decode(answer).map_or(0, |response| response.count);
        let content = RangeRequest::decode(bytes).map_or(String::new(), |request| range_text(&request));
        return of(0, count.max(large_count), content);
    }
    if method == Method::KvPut {
        return of(1, 0, PutRequest::decode(bytes).map_or(String::new(), |request| put_text(&request)));
    }
    if method == Method::KvDeleteRange {
        let deleted = DeleteRangeResponse::decode(answer).map_or(0, |response| response.deleted);
        let content = DeleteRangeRequest::decode(bytes).map_or(String::new(), |request| delete_text(&request));
        return of(0, deleted, content);
    }
    if method == Method::KvTxn {
        let Ok(request) = TxnRequest::decode(bytes) else { return of(0, 0, String::new()) };
        let succeeded = TxnResponse::decode(answer).is_ok_and(|response| response.succeeded);
        let done = if succeeded { &request.success } else { &request.failure };
        let bytes = done.iter().map(Message::encoded_len).sum();
        return Stats { request_size: size(bytes), ..of(size(done.len()), 0, txn_text(&request)) };
    }
    Stats { request_count: -1, request_size: -1, response_count: -1, response_size: -1, ..Stats::default() }
}

// ---- requests as Go's protobuf prints them, without values ----

/// Collects `name:value` with blanks between them.
#[derive(Default)]
struct Text(String);

impl Text {
    fn name(&mut self, name: &str) -> &mut String {
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        self.0.push_str(name);
        self.0.push(':');
        &mut self.0
    }

    fn bytes(mut self, name: &str, bytes: &[u8]) -> Self {
        if !bytes.is_empty() {
            push_quoted(self.name(name), bytes);
        }
        self
    }

    fn number(mut self, name: &str, number: i64) -> Self {
        if number != 0 {
            push_fmt(self.name(name), format_args!("{number}"));
        }
        self
    }

    fn truth(mut self, name: &str, truth: bool) -> Self {
        if truth {
            self.name(name).push_str("true");
        }
        self
    }

    fn word(mut self, name: &str, word: &str) -> Self {
        self.name(name).push_str(word);
        self
    }

    fn message(mut self, name: &str, inner: &str) -> Self {
        push_fmt(self.name(name), format_args!("{{{inner}}}"));
        self
    }
}

fn push_quoted(out: &mut String, bytes: &[u8]) {
    out.push('"');
    for byte in bytes {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x20..=0x7e => out.push(char::from(*byte)),
            _ => push_fmt(out, format_args!("\\x{byte:02x}")),
        }
    }
    out.push('"');
}

fn range_text(request: &RangeRequest) -> String {
    let orders = ["NONE", "ASCEND", "DESCEND"];
    let targets = ["KEY", "VERSION", "CREATE", "MOD", "VALUE"];
    let named =
        |names: &[&'static str], number: i32| usize::try_from(number).ok().and_then(|at| names.get(at).copied());
    let mut text = Text::default()
        .bytes("key", &request.key)
        .bytes("range_end", &request.range_end)
        .number("limit", request.limit)
        .number("revision", request.revision);
    if request.sort_order != 0 {
        text = text.word("sort_order", named(&orders, request.sort_order).unwrap_or("UNKNOWN"));
    }
    if request.sort_target != 0 {
        text = text.word("sort_target", named(&targets, request.sort_target).unwrap_or("UNKNOWN"));
    }
    text.truth("serializable", request.serializable)
        .truth("keys_only", request.keys_only)
        .truth("count_only", request.count_only)
        .number("min_mod_revision", request.min_mod_revision)
        .number("max_mod_revision", request.max_mod_revision)
        .number("min_create_revision", request.min_create_revision)
        .number("max_create_revision", request.max_create_revision)
        .0
}

fn put_text(request: &PutRequest) -> String {
    Text::default()
        .bytes("key", &request.key)
        .number("value_size", size(request.value.len()))
        .number("lease", request.lease)
        .truth("prev_kv", request.prev_kv)
        .truth("ignore_value", request.ignore_value)
        .truth("ignore_lease", request.ignore_lease)
        .0
}

fn delete_text(request: &DeleteRangeRequest) -> String {
    Text::default()
        .bytes("key", &request.key)
        .bytes("range_end", &request.range_end)
        .truth("prev_kv", request.prev_kv)
        .0
}

/// The comparisons by their keys and the operations; those of txns in the txn by their number.
fn txn_text(request: &TxnRequest) -> String {
    let mut text = Text::default();
    for compare in &request.compare {
        text = text
            .message("compare", &Text::default().bytes("key", &compare.key).bytes("range_end", &compare.range_end).0);
    }
    for (name, operations) in [("success", &request.success), ("failure", &request.failure)] {
        for operation in operations {
            text = text.message(name, &operation_text(operation));
        }
    }
    text.0
}

fn operation_text(operation: &RequestOp) -> String {
    use request_op::Request as R;
    match &operation.request {
        None => String::new(),
        Some(R::RequestRange(request)) => Text::default().message("request_range", &range_text(request)).0,
        Some(R::RequestPut(request)) => Text::default().message("request_put", &put_text(request)).0,
        Some(R::RequestDeleteRange(request)) => {
            Text::default().message("request_delete_range", &delete_text(request)).0
        }
        Some(R::RequestTxn(request)) => {
            let operations = request.success.len() + request.failure.len();
            Text::default().message("request_txn", &Text::default().number("operations", size(operations)).0).0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Compare;

    fn key(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn requests_are_told_without_their_values() {
        let put =
            PutRequest { key: key("a\n\u{1}\""), value: key("secret"), lease: 7, prev_kv: true, ..Default::default() };
        assert_eq!(put_text(&put), r#"key:"a\n\x01\"" value_size:6 lease:7 prev_kv:true"#);
        let range = RangeRequest {
            key: key("a"),
            range_end: key("b"),
            limit: 5,
            sort_order: 2,
            sort_target: 3,
            ..Default::default()
        };
        assert_eq!(range_text(&range), r#"key:"a" range_end:"b" limit:5 sort_order:DESCEND sort_target:MOD"#);
        let txn = TxnRequest {
            compare: vec![Compare { key: key("c"), ..Default::default() }],
            success: vec![RequestOp { request: Some(request_op::Request::RequestPut(put)) }],
            failure: vec![RequestOp {
                request: Some(request_op::Request::RequestRange(RangeRequest { key: key("r"), ..Default::default() })),
            }],
        };
        let text = txn_text(&txn);
        assert!(text.starts_with(r#"compare:{key:"c"} success:{request_put:{key:"#), "{text}");
        assert!(text.ends_with(r#"failure:{request_range:{key:"r"}}"#) && !text.contains("secret"), "{text}");
    }

    #[test]
    fn counts_and_sizes_follow_etcds_rules() {
        let put = PutRequest { key: key("a"), value: key("v"), ..Default::default() };
        let message = Bytes::from(put.encode_to_vec());
        let found = stats(Method::KvPut, &message, Answer::Framed(&[0, 0, 0, 0, 3, 1, 2, 3]));
        assert_eq!((found.request_count, found.request_size, found.response_size), (1, 6, 3));
        let response = crate::rpc::framed(&RangeResponse { count: 9, ..Default::default() });
        let found = stats(Method::KvRange, &Bytes::new(), Answer::Framed(&response));
        assert_eq!((found.request_count, found.response_count), (0, 9));
        let found = stats(Method::KvRange, &Bytes::new(), Answer::Large(5, 7));
        assert_eq!((found.response_count, found.response_size), (5, 7));
        let found = stats(Method::LeaseGrant, &message, Answer::Framed(&[]));
        assert_eq!(
            (found.request_count, found.request_size, found.response_count, found.response_size),
            (-1, -1, -1, -1)
        );
        let found = stats(Method::KvTxn, &Bytes::from_static(&[255]), Answer::Error("x"));
        assert_eq!((found.request_count, found.content.as_str()), (0, ""));
    }
}
