//! KV's reads: Range and RangeStream, encoded from the pages of one pinned root into frames.
//!
//! Invariants
//! - An answer is read from one root, whatever it takes to send it.
//! - A small answer is encoded in one buffer. A large one is measured first, so that its frame's length is exact, then
//!   encoded a chunk at a time as the client's window opens: it is never in memory whole.
//! - Between steps other calls have their turn, and a client that left is noticed.
//!
//! Benchmark: benches/front.rs.

use super::header;
use super::member::Member;
use super::observed::Observed;
use super::server::Service;
use super::slow::{Answer, Noted};
use super::status::Error;
use crate::command::{RangeRequest, ResponseHeader};
use crate::limits;
use crate::metrics::{Method, RequestKind, Stopwatch};
use crate::mvcc::{self, Progress, Scan, SortedChunks, Tail, Work, check};
use crate::rpc::{Answers, Call, Reply, Status, frame};
use crate::tree::Pinned;
use bytes::Bytes;
use prost::encoding::{self, WireType};

/// `RangeResponse.header`.
const HEADER: u32 = 1;
/// `RangeStreamResponse.range_response`.
const RANGE_RESPONSE: u32 = 1;

/// Serves `KV.Range`.
pub(super) async fn range<M: Member>(service: Service<M>, call: Call) {
    let Call { head, mut requests, mut reply } = call;
    let mut observed = Observed::new(&service, Method::KvRange, Answers::One);
    let read = async {
        let serves = |request: &RangeRequest| request.serializable;
        let (asked, told) = ((&mut requests, Answers::One), (&mut reply, &mut observed));
        let (request, message) = service.request(&head, asked, told, serves).await?;
        let noted = Noted::begin(Method::KvRange, &message);
        check::check_range(&request)?;
        let watch = Stopwatch::start();
        let begun = begin(&service, &mut reply, &request).await;
        service.front().on_request(RequestKind::Range, begun.is_ok(), watch.nanos());
        note(&service, noted, &begun);
        begun
    };
    let status = match read.await {
        Ok(Begun::Whole(framed)) => {
            observed.on_message(framed.len() - frame::PREFIX_BYTES);
            observed.end(&Status::OK);
            return reply.message(framed).await;
        }
        Ok(Begun::Large(large)) => {
            let sent = Box::pin(large.send(&mut reply, &observed)).await;
            sent.map_or_else(|error| service.status_of(error), |()| Status::OK)
        }
        Err(error) => service.status_of(error),
    };
    observed.end(&status);
    reply.finish(status);
}

/// What the log may have to say of a range.
fn note<M: Member>(service: &Service<M>, noted: Noted, begun: &Result<Begun, Error>) {
    let text;
    let answer = match begun {
        Ok(Begun::Whole(framed)) => Answer::Framed(framed),
        Ok(Begun::Large(large)) => Answer::Large(large.scan.tail().count, large.scan.encoded_length()),
        Err(error) => {
            text = Status::from(error.clone()).message;
            Answer::Error(&text)
        }
    };
    noted.end_as_read(service, answer);
}

/// Serves `KV.RangeStream`: the same answer in messages that a client merges.
pub(super) async fn range_stream<M: Member>(service: Service<M>, call: Call) {
    let Call { head, mut requests, mut reply } = call;
    let mut observed = Observed::new(&service, Method::KvRangeStream, Answers::Many);
    let streamed = async {
        let (asked, told) = ((&mut requests, Answers::Many), (&mut reply, &mut observed));
        let (request, _) = service.request(&head, asked, told, |_: &RangeRequest| false).await?;
        check::check_range_stream(&request)?;
        if SortedChunks::concern(&request) {
            return stream_sorted(&service, (&mut reply, &observed), request).await;
        }
        match begin(&service, &mut reply, &request).await? {
            Begun::Whole(framed) => {
                let message = as_stream_message(&framed[frame::PREFIX_BYTES..]);
                observed.on_message(message.len() - frame::PREFIX_BYTES);
                Ok(reply.write(message).await?)
            }
            Begun::Large(mut large) => {
                let tail = large.scan.tail();
                large.send_messages((&mut reply, &observed), Some(tail)).await
            }
        }
    };
    let status = streamed.await.map_or_else(|error| service.status_of(error), |()| Status::OK);
    observed.end(&status);
    reply.finish(status);
}

/// A range whose first look at the store is done.
enum Begun {
    /// The framed answer.
    Whole(Bytes),
    /// Too large for one buffer.
    Large(Box<Large>),
}

/// A large answer, measured, ready to be encoded in chunks.
struct Large {
    scan: Scan,
    pinned: Pinned,
    header: ResponseHeader,
}

/// Waits for the right to read, pins, and answers at once what is small.
async fn begin<M: Member>(service: &Service<M>, reply: &mut Reply, request: &RangeRequest) -> Result<Begun, Error> {
    let member = service.member();
    if !request.serializable {
        reply.guard(member.read_barrier()).await??;
    }
    let watch = Stopwatch::start();
    let begun = look_up(member, reply, request).await;
    service.front().on_range(begun.is_ok(), watch.nanos());
    begun
}

async fn look_up<M: Member>(member: &M, reply: &mut Reply, request: &RangeRequest) -> Result<Begun, Error> {
    let pinned = member.pin();
    let mut scan = Scan::new(&pinned.view(), request)?;
    let header = header::at(member, scan.revision());
    if let Some(framed) = try_whole(&mut scan, &pinned, &header)? {
        return Ok(Begun::Whole(framed));
    }
    prepare(&mut scan, &pinned, reply).await?;
    Ok(Begun::Large(Box::new(Large { scan, pinned, header })))
}

async fn prepare(scan: &mut Scan, pinned: &Pinned, reply: &mut Reply) -> Result<(), Error> {
    while scan.prepare(&pinned.view(), &mut Work::cells(limits::RANGE_CELLS_PER_STEP))? == Progress::More {
        reply.turn().await?;
    }
    Ok(())
}

/// Streams a range whose chunks are sorted each by itself.
async fn stream_sorted<M: Member>(
    service: &Service<M>,
    (reply, observed): (&mut Reply, &Observed<M>),
    request: RangeRequest,
) -> Result<(), Error> {
    let member = service.member();
    if !request.serializable {
        reply.guard(member.read_barrier()).await??;
    }
    let mut pinned = member.pin();
    let mut chunks = SortedChunks::new(request, service.settings().request_bytes_max);
    loop {
        let watch = Stopwatch::start();
        let mut scan = Scan::new(&pinned.view(), chunks.request())?;
        prepare(&mut scan, &pinned, reply).await?;
        service.front().on_range(true, watch.nanos());
        let end = chunks.on_chunk(&scan);
        let tail = match &end {
            None => None,
            Some(end) => Some(Tail { count: end.tail.count + count(&pinned, &end.rest, reply).await?, ..end.tail }),
        };
        let header = header::at(member, scan.revision());
        let mut part = Large { scan, pinned, header };
        part.send_messages((reply, observed), tail).await?;
        if tail.is_some() {
            return Ok(());
        }
        pinned = part.pinned;
    }
}

/// How many keys a request names, if there is one.
async fn count(pinned: &Pinned, request: &Option<RangeRequest>, reply: &mut Reply) -> Result<i64, Error> {
    let Some(request) = request else { return Ok(0) };
    let mut scan = Scan::new(&pinned.view(), request)?;
    prepare(&mut scan, pinned, reply).await?;
    Ok(scan.tail().count)
}

fn try_whole(scan: &mut Scan, pinned: &Pinned, header: &ResponseHeader) -> Result<Option<Bytes>, mvcc::Error> {
    let mut out = frame::open(limits::RANGE_SMALL_BYTES);
    encoding::message::encode(HEADER, header, &mut out);
    let mut work = Work::cells(limits::RANGE_CELLS_PER_STEP);
    let tail = scan.encode_whole(&pinned.view(), &mut out, limits::RANGE_WHOLE_BYTES_MAX, &mut work)?;
    Ok(tail.map(|tail| {
        tail.put(&mut out);
        frame::seal(out)
    }))
}

impl Large {
    /// Sends the answer as one message of the length that the first pass found.
    async fn send<M: Member>(mut self, reply: &mut Reply, observed: &Observed<M>) -> Result<(), Error> {
        let mut head = Vec::new();
        encoding::message::encode(HEADER, &self.header, &mut head);
        let tail = self.scan.tail();
        let around = head.len() + tail.encoded_length();
        let pairs = usize::try_from(self.scan.encoded_length()).unwrap_or(usize::MAX);
        let length = pairs.saturating_add(around);
        if length > limits::RESPONSE_BYTES_MAX {
            return Err(Error::ResponseTooLarge(length));
        }
        observed.on_message(length);
        let mut out = Vec::with_capacity(2 * limits::RANGE_CHUNK_BYTES);
        out.extend_from_slice(&frame::prefix(length));
        out.extend_from_slice(&head);
        let mut sent = 0;
        loop {
            let progress = self.encode(&mut out)?;
            if progress == Progress::Done {
                tail.put(&mut out);
            }
            if progress == Progress::Done || out.len() >= limits::RANGE_CHUNK_BYTES {
                sent += out.len();
                let chunk = std::mem::replace(&mut out, Vec::with_capacity(2 * limits::RANGE_CHUNK_BYTES));
                reply.write(Bytes::from(chunk)).await?;
            }
            if progress == Progress::Done {
                assert_eq!(sent, frame::PREFIX_BYTES + length, "the frame is as long as its prefix says");
                return Ok(());
            }
            reply.turn().await?;
        }
    }

    /// Sends the answer as several messages; the last one has header and tail, if there is one.
    async fn send_messages<M: Member>(
        &mut self,
        (reply, observed): (&mut Reply, &Observed<M>),
        tail: Option<Tail>,
    ) -> Result<(), Error> {
        let mut part = Vec::new();
        loop {
            let progress = self.encode(&mut part)?;
            if progress == Progress::Done
                && let Some(tail) = tail
            {
                encoding::message::encode(HEADER, &self.header, &mut part);
                tail.put(&mut part);
            }
            if progress == Progress::Done || part.len() >= limits::RANGE_CHUNK_BYTES {
                let message = as_stream_message(&part);
                observed.on_message(message.len() - frame::PREFIX_BYTES);
                reply.write(message).await?;
                part.clear();
            }
            if progress == Progress::Done {
                return Ok(());
            }
            reply.turn().await?;
        }
    }

    /// Encodes until the chunk is full or a step's work is done.
    fn encode(&mut self, out: &mut Vec<u8>) -> Result<Progress, mvcc::Error> {
        let room = limits::RANGE_CHUNK_BYTES.saturating_sub(out.len()).max(1);
        self.scan.next_chunk(&self.pinned.view(), out, room, &mut Work::cells(limits::RANGE_CELLS_PER_STEP))
    }
}

/// An encoded `RangeResponse` as the framed message of a stream.
fn as_stream_message(response: &[u8]) -> Bytes {
    let mut out = frame::open(response.len() + 11);
    encoding::encode_key(RANGE_RESPONSE, WireType::LengthDelimited, &mut out);
    prost::encode_length_delimiter(response.len(), &mut out).expect("a vector grows");
    out.extend_from_slice(response);
    frame::seal(out)
}
