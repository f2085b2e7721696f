//! One call on HTTP/2: its messages in, its answer out. The only file, with `connection.rs`, that names the h2 crate:
//! a machine made for gRPC may take their place and keep these types.
//!
//! Invariants
//! - Headers are sent at most once and before any message; trailers end the stream and are the last thing sent.
//! - Whoever waits for the client (its messages, its window) or for the server's work is released when the client
//!   resets the stream, its connection ends, or the call's deadline passes.
//! - What a slow reader makes us hold is at most `limits::SEND_BUFFER_BYTES_MAX` a stream beside one chunk, and together
//!   `limits::ANSWERS_UNREAD_PER_CONNECTION_MAX` and what was begun before that was reached.
//!
//! Must not know: services, schemas.

use super::budget::Held;
use super::calls::Open;
use super::clock::Alarm;
use super::context::Context as Shared;
use super::frame::{self, Budget, Deframer, FrameError, Packing};
use super::head::{GRPC, Head, Refusal};
use super::lane::{Lane, Ticket};
use super::pace::Pace;
use super::status::{self, Code, Status};
use crate::limits;
use bytes::Bytes;
use futures_lite::ready;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context, Poll};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// A call that has begun: what it said first, its messages, and the way to answer it.
#[derive(Debug)]
pub struct Call {
    /// Path, deadline, metadata.
    pub head: Head,
    /// The messages that the client sends.
    pub requests: Requests,
    /// What the client gets.
    pub reply: Reply,
}

/// How many messages answer a call that has one request: grpc-go reads that request differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answers {
    /// One: what may come after the request is not looked at.
    One,
    /// A stream of them: the client must have sent one request and be done.
    Many,
}

/// The messages of a call, as they arrive.
#[derive(Debug)]
pub struct Requests {
    stream: RecvStream,
    deframer: Deframer,
    /// Of unpacking a message: one at a time on an executor, and with rests.
    unpacking: Option<(Ticket, Pace)>,
    lane: Lane,
    /// The compression that the client announced, when it is not one of ours.
    unknown_compression: Option<String>,
    /// The code for a message that the client cut short: grpc-go has another one where a stream answers.
    cut: Code,
    /// The one request of a call with many answers, until it is known to be the only one.
    first: Option<Held>,
    ended: bool,
}

impl Requests {
    pub(super) fn new(stream: RecvStream, head: &Head, shared: &Shared, budget: Budget) -> Self {
        let (packing, unknown_compression) = match head.compression() {
            None => (Packing::Plain, None),
            Some("gzip") => (Packing::Gzip, None),
            Some(unknown) => (Packing::Plain, Some(unknown.to_owned())),
        };
        Self {
            stream,
            deframer: Deframer::new(packing, shared.config().message_bytes_max, budget),
            unpacking: None,
            lane: shared.unpacking().clone(),
            unknown_compression,
            first: None,
            ended: false,
            cut: Code::Unknown,
        }
    }

    /// The next message; `None` when the client has sent all.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        if let Some(name) = &self.unknown_compression {
            let text = format!("grpc: Decompressor is not installed for grpc-encoding {name:?}");
            return Poll::Ready(Err(Status::new(Code::Unimplemented, text)));
        }
        loop {
            if self.deframer.is_unpacking() {
                let (ticket, pace) = self.unpacking.get_or_insert_with(|| (self.lane.ticket(), Pace::start()));
                ready!(ticket.poll(context));
                ready!(pace.poll_rest(context));
            }
            let polled = self.deframer.poll();
            if !self.deframer.is_unpacking() {
                self.unpacking = None;
            }
            if let Some(message) = polled.map_err(|error| self.refuse(error))? {
                return Poll::Ready(Ok(Some(message)));
            }
            if self.deframer.is_unpacking() {
                continue;
            }
            if self.ended {
                self.deframer.finish().map_err(|error| self.refuse(error))?;
                return Poll::Ready(Ok(None));
            }
            match ready!(self.stream.poll_data(context)) {
                Some(Ok(chunk)) => {
                    // Given back at once: how much of a message may be held is the deframer's to judge.
                    self.stream.flow_control().release_capacity(chunk.len()).map_err(|_| Status::CANCELED)?;
                    self.deframer.push(chunk);
                }
                Some(Err(_)) => return Poll::Ready(Err(Status::CANCELED)),
                None => self.ended = true,
            }
        }
    }

    /// The one message of a call that has one.
    pub fn poll_only(&mut self, answers: Answers, context: &mut Context<'_>) -> Poll<Result<Bytes, Status>> {
        self.cut = match answers {
            Answers::One => Code::Unknown,
            Answers::Many => Code::Internal,
        };
        if answers == Answers::One {
            return self.poll_next(context).map(|next| next?.ok_or(Status::new(Code::Unknown, "EOF")));
        }
        loop {
            let next = ready!(self.poll_next(context))?;
            let violation = match (self.first.take(), next) {
                (None, Some(message)) => {
                    self.first = Some(self.deframer.hold(message).map_err(|error| self.refuse(error))?);
                    continue;
                }
                (Some(held), None) => return Poll::Ready(Ok(held.message())),
                (None, None) => "cardinality violation: received no request message from non-client-streaming RPC",
                (Some(_), Some(_)) => {
                    "cardinality violation: received multiple request messages for non-client-streaming RPC"
                }
            };
            return Poll::Ready(Err(Status::new(Code::Internal, violation)));
        }
    }

    fn refuse(&self, error: FrameError) -> Status {
        match error {
            FrameError::TooLarge { length, max } => Status::new(
                Code::ResourceExhausted,
                format!("grpc: received message larger than max ({length} vs. {max})"),
            ),
            FrameError::Compressed => {
                Status::new(Code::Internal, "grpc: compressed flag set with identity or empty encoding")
            }
            FrameError::Gzip { begun: false, why } => {
                Status::new(Code::Internal, format!("grpc: failed to decompress the message: {why}"))
            }
            FrameError::Gzip { begun: true, why } => {
                Status::new(Code::Internal, format!("grpc: failed to read decompressed data: {why}"))
            }
            FrameError::InflatedTooLarge { max } => Status::new(
                Code::ResourceExhausted,
                format!("grpc: received message after decompression larger than max {max}"),
            ),
            FrameError::Flag(flag) => {
                Status::new(Code::Internal, format!("grpc: received unexpected payload format {flag}"))
            }
            FrameError::Cut => Status::new(self.cut, "unexpected EOF"),
            FrameError::Budget => {
                Status::new(Code::ResourceExhausted, "grpc: too many unfinished messages on one connection")
            }
        }
    }
}

#[derive(Debug)]
enum Sending {
    /// Nothing was sent.
    Before(SendResponse<Bytes>),
    /// Headers were sent.
    Messages(SendStream<Bytes>),
    /// Trailers were sent, or the stream is gone.
    Done,
}

/// The way to answer a call.
#[derive(Debug)]
pub struct Reply {
    sending: Sending,
    content_type: HeaderValue,
    deadline: Option<Alarm>,
    /// The client left, or its deadline passed: nobody reads what would still be sent.
    given_up: bool,
    /// Of work in steps, from the first on.
    pace: Option<Pace>,
    open: Open,
}

impl Reply {
    pub(super) fn new(respond: SendResponse<Bytes>, head: &Head, open: Open) -> Self {
        let deadline = head.deadline().map(Alarm::at);
        let sending = Sending::Before(respond);
        Self { sending, content_type: head.content_type(), deadline, given_up: false, pace: None, open }
    }

    /// Does `work`, but no longer than the caller waits for it: `Err` when the client reset the stream or is gone, or
    /// when the deadline passed. The work is then dropped.
    pub async fn guard<F: Future>(&mut self, work: F) -> Result<F::Output, Status> {
        let mut work = pin!(work);
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll_given_up(context).map(Err),
        })
        .await
    }

    /// The one message of `requests`, no longer than the caller waits.
    pub async fn only(&mut self, requests: &mut Requests, answers: Answers) -> Result<Bytes, Status> {
        self.guard(poll_fn(|context| requests.poll_only(answers, context))).await?
    }

    /// The next message of `requests`.
    pub async fn next(&mut self, requests: &mut Requests) -> Result<Option<Bytes>, Status> {
        self.guard(poll_fn(|context| requests.poll_next(context))).await?
    }

    /// Waits until the client has read enough of its other answers to be given one more.
    pub async fn room(&mut self) -> Result<(), Status> {
        poll_fn(|context| match self.open.poll_room(context) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => self.poll_given_up(context).map(Err),
        })
        .await
    }

    /// Waits until the client takes more of this answer, so that no more of it is made than it takes.
    pub async fn demand(&mut self) -> Result<(), Status> {
        self.patiently(|reply, context| match reply.open.poll_room(context) {
            Poll::Ready(()) => reply.poll_room(context, 1).map_ok(drop),
            Poll::Pending => reply.poll_given_up(context).map(Err),
        })
        .await
    }

    /// Polls, but no longer than `limits::SEND_STALL_TIMEOUT`: then the client is given up.
    async fn patiently<T>(
        &mut self,
        mut poll: impl FnMut(&mut Self, &mut Context<'_>) -> Poll<Result<T, Status>>,
    ) -> Result<T, Status> {
        let mut stall = None;
        poll_fn(|context| match poll(self, context) {
            Poll::Pending => {
                let stall = stall.get_or_insert_with(|| Alarm::after(limits::SEND_STALL_TIMEOUT));
                self.given_up = stall.poll(context).is_ready();
                if self.given_up { Poll::Ready(Err(Status::CANCELED)) } else { Poll::Pending }
            }
            ready => ready,
        })
        .await
    }

    /// Between two steps of long work: lets others have their turn if it is time for that, and finds out whether anybody
    /// still waits.
    pub async fn turn(&mut self) -> Result<(), Status> {
        let mut pace = self.pace.take().unwrap_or_else(Pace::start);
        let rested = self.guard(pace.rest()).await;
        self.pace = Some(pace);
        rested
    }

    /// Ready when nobody waits for the answer any more, with the reason.
    fn poll_given_up(&mut self, context: &mut Context<'_>) -> Poll<Status> {
        let reset = match &mut self.sending {
            Sending::Before(respond) => respond.poll_reset(context).is_ready(),
            Sending::Messages(stream) => stream.poll_reset(context).is_ready(),
            Sending::Done => true,
        };
        let late = self.deadline.as_mut().is_some_and(|alarm| alarm.poll(context).is_ready());
        self.given_up = reset || late;
        match (reset, late) {
            (true, _) => Poll::Ready(Status::CANCELED),
            (false, true) => Poll::Ready(Status::DEADLINE_EXCEEDED),
            (false, false) => Poll::Pending,
        }
    }

    /// Answers a call with one message, made by `frame::open` and `frame::seal`, and success.
    pub async fn message(mut self, framed: Bytes) {
        let framed = self.open.count(framed);
        if framed.len() > limits::SEND_BUFFER_BYTES_MAX {
            return match self.write(framed).await {
                Ok(()) => self.finish(Status::OK),
                Err(status) => self.finish(status),
            };
        }
        if let Some(stream) = self.messages() {
            // Within the bound of what a stream may hold, so it need not wait for the window.
            let _ = stream.send_data(framed, false);
        }
        self.finish(Status::OK);
    }

    /// As `write`, for a part of an answer: it counts as unread until it is sent.
    pub async fn write_part(&mut self, bytes: Bytes) -> Result<(), Status> {
        let bytes = self.open.count(bytes);
        self.write(bytes).await
    }

    /// Sends bytes of framed messages as the client's window allows. A client that takes none of them for
    /// `limits::SEND_STALL_TIMEOUT` is given up.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), Status> {
        while !bytes.is_empty() {
            let wanted = bytes.len();
            let room = self.patiently(|reply, context| reply.poll_room(context, wanted)).await?;
            let part = bytes.split_to(room.min(bytes.len()));
            let stream = self.messages().ok_or(Status::CANCELED)?;
            stream.send_data(part, false).map_err(|_| Status::CANCELED)?;
            // Whoever is sent something may ask whether we are there: grpc-go's clients measure their link so.
            self.open.on_answer();
        }
        Ok(())
    }

    /// How many bytes may be sent now, once it is any.
    fn poll_room(&mut self, context: &mut Context<'_>, wanted: usize) -> Poll<Result<usize, Status>> {
        let Some(stream) = self.messages() else { return Poll::Ready(Err(Status::CANCELED)) };
        stream.reserve_capacity(wanted);
        loop {
            let Some(stream) = self.messages() else { return Poll::Ready(Err(Status::CANCELED)) };
            match stream.capacity() {
                0 => {}
                room => return Poll::Ready(Ok(room)),
            }
            match stream.poll_capacity(context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(Status::CANCELED)),
                Poll::Pending => return self.poll_given_up(context).map(Err),
            }
        }
    }

    /// Sends the headers if they were not sent, and gives the stream; `None` when it is gone.
    fn messages(&mut self) -> Option<&mut SendStream<Bytes>> {
        if let Sending::Before(respond) = &mut self.sending {
            self.open.on_answer();
            let mut response = Response::new(());
            response.headers_mut().insert(CONTENT_TYPE, self.content_type.clone());
            self.sending = match respond.send_response(response, false) {
                Ok(stream) => Sending::Messages(stream),
                Err(_) => Sending::Done,
            };
        }
        match &mut self.sending {
            Sending::Messages(stream) => Some(stream),
            Sending::Before(_) | Sending::Done => None,
        }
    }

    /// Ends the call: with trailers after messages, or with nothing but trailers.
    pub fn finish(mut self, status: Status) {
        self.open.on_answer();
        match std::mem::replace(&mut self.sending, Sending::Done) {
            Sending::Before(respond) => only_trailers(respond, StatusCode::OK, self.content_type.clone(), &status),
            // Trailers would wait behind messages that nobody takes, and those in our memory.
            Sending::Messages(mut stream) if self.given_up => stream.send_reset(Reason::CANCEL),
            Sending::Messages(mut stream) => {
                let mut trailers = HeaderMap::with_capacity(2);
                put_status(&mut trailers, &status);
                let _ = stream.send_trailers(trailers);
            }
            Sending::Done => {}
        }
    }
}

/// Answers a request that did not become a call.
pub(super) fn refuse(respond: SendResponse<Bytes>, refusal: &Refusal) {
    only_trailers(respond, refusal.http, GRPC, &refusal.status);
}

/// Sends the answer to a request that is no call: headers, body, end.
pub(super) async fn respond_plainly(mut respond: SendResponse<Bytes>, response: Response<Bytes>, open: Open) {
    let (parts, body) = response.into_parts();
    open.on_answer();
    // An error, here and below, means that the client is gone.
    let Ok(stream) = respond.send_response(Response::from_parts(parts, ()), body.is_empty()) else { return };
    if body.is_empty() {
        return;
    }
    let sending = Sending::Messages(stream);
    let mut reply = Reply { sending, content_type: GRPC, deadline: None, given_up: false, pace: None, open };
    if reply.write_part(body).await.is_ok()
        && let Some(stream) = reply.messages()
    {
        let _ = stream.send_data(Bytes::new(), true);
    }
}

fn only_trailers(mut respond: SendResponse<Bytes>, http: StatusCode, content_type: HeaderValue, status: &Status) {
    let mut response = Response::new(());
    *response.status_mut() = http;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    put_status(response.headers_mut(), status);
    // An error means that the client is gone.
    let _ = respond.send_response(response, true);
}

fn put_status(headers: &mut HeaderMap, status: &Status) {
    headers.insert(GRPC_STATUS, HeaderValue::from_static(status.code.text()));
    if !status.message.is_empty() {
        let message = HeaderValue::from_str(&status::percent_encoded(&status.message));
        assert!(message.is_ok(), "only printable ASCII is left of {:?}", status.message);
        headers.extend(message.map(|message| (GRPC_MESSAGE, message)));
    }
}

/// The frame of one protobuf message.
pub fn framed(message: &impl prost::Message) -> Bytes {
    let mut buffer = frame::open(message.encoded_len());
    message.encode(&mut buffer).expect("a vector grows");
    frame::seal(buffer)
}
