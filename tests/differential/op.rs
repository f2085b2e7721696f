//! One operation of a differential run, and what is compared of its answer.
//!
//! **Invariants**: an operation is a value that can be sent again as it is; an answer's ids and raft term are blanked,
//! nothing else is.

use bytes::Bytes;
use prost::Message;
use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Answer, Call, Lost};

/// What is sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// KV.Range.
    Range(pb::RangeRequest),
    /// KV.RangeStream; its messages are merged before the comparison.
    RangeStream(pb::RangeRequest),
    /// KV.Put.
    Put(pb::PutRequest),
    /// KV.DeleteRange.
    DeleteRange(pb::DeleteRangeRequest),
    /// KV.Txn.
    Txn(pb::TxnRequest),
    /// KV.Compact.
    Compact(pb::CompactionRequest),
    /// Maintenance.HashKV.
    HashKv(pb::HashKvRequest),
    /// Maintenance.Status, the fields that two servers with one history share.
    Status,
    /// Cluster.MemberList.
    MemberList(pb::MemberListRequest),
    /// Maintenance.Alarm.
    Alarm(pb::AlarmRequest),
    /// Anything else: bad paths, frames, metadata, bytes.
    Raw {
        /// What is wrong with it.
        what: &'static str,
        /// The call.
        call: Call,
        /// Whether it could change something if a server took it.
        writes: bool,
    },
    /// Both servers are stopped (or killed) and started again.
    Restart {
        /// SIGKILL instead of SIGTERM.
        kill: bool,
    },
}

impl Op {
    /// True if it changes nothing, so that its order among its like does not matter.
    pub(crate) fn is_read(&self) -> bool {
        match self {
            Self::Range(_) | Self::RangeStream(_) | Self::HashKv(_) | Self::Status | Self::MemberList(_) => true,
            Self::Raw { writes, .. } => !writes,
            Self::Alarm(request) => request.action == 0,
            Self::Put(_) | Self::DeleteRange(_) | Self::Txn(_) | Self::Compact(_) | Self::Restart { .. } => false,
        }
    }

    /// The kind, for statistics.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Range(_) => "range",
            Self::RangeStream(_) => "range stream",
            Self::Put(_) => "put",
            Self::DeleteRange(_) => "delete range",
            Self::Txn(_) => "txn",
            Self::Compact(_) => "compact",
            Self::HashKv(_) => "hash kv",
            Self::Status => "status",
            Self::MemberList(_) => "member list",
            Self::Alarm(_) => "alarm",
            Self::Raw { .. } => "bad input",
            Self::Restart { .. } => "restart",
        }
    }

    /// The call that carries it; `None` for a restart.
    pub(crate) fn call(&self) -> Option<Call> {
        let call = match self {
            Self::Range(request) => Call::new("/etcdserverpb.KV/Range", request),
            Self::RangeStream(request) => Call::new("/etcdserverpb.KV/RangeStream", request),
            Self::Put(request) => Call::new("/etcdserverpb.KV/Put", request),
            Self::DeleteRange(request) => Call::new("/etcdserverpb.KV/DeleteRange", request),
            Self::Txn(request) => Call::new("/etcdserverpb.KV/Txn", request),
            Self::Compact(request) => Call::new("/etcdserverpb.KV/Compact", request),
            Self::HashKv(request) => Call::new("/etcdserverpb.Maintenance/HashKV", request),
            Self::Status => Call::new("/etcdserverpb.Maintenance/Status", &pb::StatusRequest {}),
            Self::MemberList(request) => Call::new("/etcdserverpb.Cluster/MemberList", request),
            Self::Alarm(request) => Call::new("/etcdserverpb.Maintenance/Alarm", request),
            Self::Raw { call, .. } => call.clone(),
            Self::Restart { .. } => return None,
        };
        Some(call)
    }
}

/// An answer as it is compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// HTTP status and content type.
    pub(crate) http: (u16, String),
    /// gRPC status.
    pub(crate) code: Option<u32>,
    /// gRPC message.
    pub(crate) text: String,
    /// Number of messages, where it is fixed.
    pub(crate) messages: Option<usize>,
    /// The message, ids blanked.
    pub(crate) body: Body,
    /// Bytes of the messages that no known field accounts for.
    pub(crate) unknown_bytes: usize,
}

/// A decoded message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// There is none.
    Nothing,
    /// Range and RangeStream.
    Range(pb::RangeResponse),
    /// Put.
    Put(pb::PutResponse),
    /// DeleteRange.
    DeleteRange(pb::DeleteRangeResponse),
    /// Txn.
    Txn(pb::TxnResponse),
    /// Compact.
    Compact(pb::CompactionResponse),
    /// HashKV.
    HashKv(pb::HashKvResponse),
    /// Status.
    Status(pb::StatusResponse),
    /// MemberList.
    MemberList(pb::MemberListResponse),
    /// Alarm.
    Alarm(pb::AlarmResponse),
    /// A message of another method, or one that does not decode.
    Bytes(Bytes),
}

impl Body {
    /// The header of the answer.
    pub(crate) fn header(&self) -> Option<&pb::ResponseHeader> {
        match self {
            Self::Range(body) => body.header.as_ref(),
            Self::Put(body) => body.header.as_ref(),
            Self::DeleteRange(body) => body.header.as_ref(),
            Self::Txn(body) => body.header.as_ref(),
            Self::Compact(body) => body.header.as_ref(),
            Self::HashKv(body) => body.header.as_ref(),
            Self::Status(body) => body.header.as_ref(),
            Self::MemberList(body) => body.header.as_ref(),
            Self::Alarm(body) => body.header.as_ref(),
            Self::Nothing | Self::Bytes(_) => None,
        }
    }
}

/// Makes an answer comparable. A lost call is an answer too: the other server must lose it as well.
pub(crate) fn seen(path: &str, answer: Result<Answer, Lost>) -> Seen {
    let answer = match answer {
        Ok(answer) => answer,
        Err(Lost(text)) => {
            let (http, body) = ((0, String::new()), Body::Nothing);
            return Seen { http, code: None, text, messages: None, body, unknown_bytes: 0 };
        }
    };
    let streamed = path.ends_with("/RangeStream");
    let whole = answer.frames.iter().map(|frame| frame.bytes.as_ref()).collect::<Vec<_>>().concat();
    let plain = answer.frames.iter().all(|frame| frame.flag == 0) && answer.rest.is_empty();
    let (body, unknown_bytes) = match (answer.frames.is_empty(), plain) {
        (true, true) => (Body::Nothing, 0),
        (false, true) => decode(path, streamed, whole),
        (_, false) => (Body::Bytes(format!("{:?} {:?}", answer.frames, answer.rest).into()), 0),
    };
    Seen {
        http: (answer.http, answer.content_type),
        code: answer.code,
        text: answer.text,
        messages: (!streamed).then_some(answer.frames.len()),
        body,
        unknown_bytes,
    }
}

fn decode(path: &str, streamed: bool, bytes: Vec<u8>) -> (Body, usize) {
    if streamed {
        // Merged nested messages are shorter when encoded again, so unknown bytes cannot be counted here.
        return match pb::RangeStreamResponse::decode(bytes.as_slice()) {
            Ok(merged) => (Body::Range(range(merged.range_response.unwrap_or_default())), 0),
            Err(_) => (Body::Bytes(bytes.into()), 0),
        };
    }
    let decoded = match path {
        "/etcdserverpb.KV/Range" => body(&bytes, Body::Range, range),
        "/etcdserverpb.KV/Put" => body(&bytes, Body::Put, |mut message: pb::PutResponse| {
            blank(&mut message.header);
            message
        }),
        "/etcdserverpb.KV/DeleteRange" => body(&bytes, Body::DeleteRange, |mut message: pb::DeleteRangeResponse| {
            blank(&mut message.header);
            message
        }),
        "/etcdserverpb.KV/Txn" => body(&bytes, Body::Txn, txn),
        "/etcdserverpb.KV/Compact" => body(&bytes, Body::Compact, |mut message: pb::CompactionResponse| {
            blank(&mut message.header);
            message
        }),
        "/etcdserverpb.Maintenance/HashKV" => body(&bytes, Body::HashKv, |mut message: pb::HashKvResponse| {
            blank(&mut message.header);
            message
        }),
        "/etcdserverpb.Maintenance/Status" => body(&bytes, Body::Status, status),
        "/etcdserverpb.Maintenance/Alarm" => body(&bytes, Body::Alarm, |mut message: pb::AlarmResponse| {
            blank(&mut message.header);
            // etcd lists them in the order of a Go map.
            message.alarms.sort_by_key(|alarm| (alarm.alarm, alarm.member_id));
            message
        }),
        "/etcdserverpb.Cluster/MemberList" => body(&bytes, Body::MemberList, members),
        _ => None,
    };
    decoded.unwrap_or_else(|| (Body::Bytes(bytes.into()), 0))
}

fn body<M: Message + Default>(bytes: &[u8], wrap: fn(M) -> Body, blanked: impl Fn(M) -> M) -> Option<(Body, usize)> {
    let message = M::decode(bytes).ok()?;
    let unknown = bytes.len() - message.encoded_len().min(bytes.len());
    Some((wrap(blanked(message)), unknown))
}

fn blank(header: &mut Option<pb::ResponseHeader>) {
    if let Some(header) = header {
        // Present or absent is compared, the number is not.
        header.cluster_id = header.cluster_id.min(1);
        header.member_id = header.member_id.min(1);
        header.raft_term = header.raft_term.min(1);
    }
}

fn range(mut message: pb::RangeResponse) -> pb::RangeResponse {
    blank(&mut message.header);
    message
}

fn txn(mut message: pb::TxnResponse) -> pb::TxnResponse {
    use pb::response_op::Response;
    blank(&mut message.header);
    message.responses = std::mem::take(&mut message.responses)
        .into_iter()
        .map(|op| pb::ResponseOp {
            response: op.response.map(|response| match response {
                Response::ResponseRange(inner) => Response::ResponseRange(range(inner)),
                Response::ResponseTxn(inner) => Response::ResponseTxn(txn(inner)),
                Response::ResponsePut(mut inner) => {
                    blank(&mut inner.header);
                    Response::ResponsePut(inner)
                }
                Response::ResponseDeleteRange(mut inner) => {
                    blank(&mut inner.header);
                    Response::ResponseDeleteRange(inner)
                }
            }),
        })
        .collect();
    message
}

fn status(mut message: pb::StatusResponse) -> pb::StatusResponse {
    blank(&mut message.header);
    for number in [&mut message.leader, &mut message.raft_index, &mut message.raft_term] {
        *number = (*number).min(1);
    }
    message.raft_applied_index = message.raft_applied_index.min(1);
    // Sizes are each store's own; that there are some is shared.
    message.db_size = message.db_size.min(1);
    message.db_size_in_use = message.db_size_in_use.min(1);
    // Alarms come in the order of a Go map, and a library puts one blank or two into their texts.
    message.errors.iter_mut().for_each(|error| *error = error.replace("  ", " "));
    message.errors.sort();
    message
}

fn members(mut message: pb::MemberListResponse) -> pb::MemberListResponse {
    blank(&mut message.header);
    for member in &mut message.members {
        member.id = member.id.min(1);
        // The addresses differ by port alone, which the process helper chose.
        member.peer_ur_ls.iter_mut().chain(&mut member.client_ur_ls).for_each(|url| {
            url.truncate(url.rfind(':').unwrap_or(0));
        });
    }
    message
}
