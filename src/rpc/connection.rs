//! One connection from its first byte to its last: which protocol it speaks, and the task that drives HTTP/2.
//!
//! One task drives the machine; each call is a task of its own, so a slow one holds up nobody. The driver gathers what
//! the calls of one turn send and writes it at once (see `wire.rs`).
//!
//! Invariants
//! - Whatever a client sends ends at worst this connection.
//! - When the shutdown begins no new call is begun, those open are answered, then the connection ends.
//! - A connection that ends takes its calls with it: they see their streams as reset.
//!
//! Must not know: services.

use super::calls::{Calls, Open};
use super::clock::{self, Alarm};
use super::context::Context as Shared;
use super::exchange::{self, Call, Reply, Requests};
use super::frame::Budget;
use super::handler::Handler;
use super::head::Head;
use super::pings::{PingPolicy, Verdict};
use super::shutdown::Seat;
use super::wire::Wire;
use super::{http1, http2};
use crate::limits;
use bytes::Bytes;
use futures_lite::io::{AsyncRead, AsyncWrite};
use futures_lite::ready;
use h2::server::{Builder, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Request;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a TLS connection begins with, and no other.
const TLS_HANDSHAKE: u8 = 0x16;

/// Serves one connection to its end. An error says how the client's side of it broke; nobody needs to act on it.
pub async fn serve<T, H>(io: T, handler: H, shared: Shared) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Handler,
{
    shared.cells().connections_begun.count();
    let wire = Wire::new(io, shared.clone());
    let served = match sniff(&wire, &shared).await {
        Ok(Protocol::Http2) if handler.speaks_http2() => serve_http2(wire, handler, &shared).await,
        Ok(Protocol::Http1) if handler.speaks_http1() => http1::serve(wire, handler, &shared).await,
        Ok(Protocol::Tls) => Err(io::Error::other(SpokeTls)),
        Ok(Protocol::Http1 | Protocol::Http2 | Protocol::None) => Ok(()),
        Err(error) => Err(error),
    };
    shared.cells().connections_ended.count();
    served
}

/// The client began a TLS handshake where none is expected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpokeTls;

impl fmt::Display for SpokeTls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("client sent a TLS handshake to a listener without TLS")
    }
}

impl std::error::Error for SpokeTls {}

/// What a connection's first bytes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protocol {
    Http2,
    Http1,
    /// A handshake of TLS.
    Tls,
    /// The client left, or the server stops, before it was said.
    None,
}

/// Reads until the preface of HTTP/2 is there or cannot be any more; what was read is put back.
async fn sniff<T: AsyncRead + AsyncWrite + Unpin>(wire: &Wire<T>, shared: &Shared) -> io::Result<Protocol> {
    let mut alarm = Alarm::after(limits::SNIFF_TIMEOUT);
    let seat = shared.shutdown().seat();
    let mut first = Vec::with_capacity(PREFACE.len());
    let protocol = poll_fn(|context| {
        loop {
            let had = first.len();
            let polled = wire.poll_bytes(context, PREFACE.len() - had, |bytes| first.extend_from_slice(bytes));
            match polled {
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if first.len() == had => return Poll::Ready(Ok(Protocol::None)),
                Poll::Ready(Ok(())) if first[0] == TLS_HANDSHAKE => return Poll::Ready(Ok(Protocol::Tls)),
                Poll::Ready(Ok(())) if !PREFACE.starts_with(&first) => return Poll::Ready(Ok(Protocol::Http1)),
                Poll::Ready(Ok(())) if first.len() == PREFACE.len() => return Poll::Ready(Ok(Protocol::Http2)),
                Poll::Ready(Ok(())) => {}
                Poll::Pending => break,
            }
        }
        if seat.poll(context).is_ready() || alarm.poll(context).is_ready() {
            return Poll::Ready(Ok(Protocol::None));
        }
        Poll::Pending
    })
    .await?;
    wire.unread(&first);
    Ok(protocol)
}

async fn serve_http2<T, H>(wire: Wire<T>, handler: H, shared: &Shared) -> io::Result<()>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Handler,
{
    wire.scan_frames();
    let machine = builder(shared).handshake::<_, Bytes>(wire.clone()).await.map_err(into_io)?;
    let mut driver = Driver::new(machine, wire.clone(), handler, shared.clone());
    let driven = poll_fn(|context| driver.poll(context)).await;
    let calls = Rc::clone(&driver.calls);
    drop(driver);
    calls.on_end();
    poll_fn(|context| wire.poll_close(context)).await?;
    linger(&wire).await;
    driven
}

/// Reads on until the client has closed too, or a while has gone: closing a socket that holds unread bytes resets the
/// connection, and what was sent last, the reason of its end, is lost on the way. etcd's gRPC lingers as long.
async fn linger<T: AsyncRead + AsyncWrite + Unpin>(wire: &Wire<T>) {
    let mut alarm = Alarm::after(limits::LINGER);
    poll_fn(|context| match alarm.poll(context) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => wire.poll_discard(context),
    })
    .await;
}

fn builder(shared: &Shared) -> Builder {
    let mut builder = Builder::new();
    builder
        .initial_window_size(limits::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::CONNECTION_WINDOW_BYTES)
        .max_concurrent_streams(shared.config().streams_max.min(limits::STREAMS_PER_CONNECTION_MAX))
        .max_header_list_size(limits::HEADER_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(limits::STREAMS_RESET_UNSEEN_MAX)
        .max_concurrent_reset_streams(limits::STREAMS_RESET_REMEMBERED_MAX)
        .max_send_buffer_size(limits::SEND_BUFFER_BYTES_MAX);
    builder
}

fn into_io(error: h2::Error) -> io::Error {
    if error.is_io() {
        return error.into_io().unwrap_or_else(|| io::ErrorKind::Other.into());
    }
    io::Error::other(error)
}

/// Whether the client is there: asked after a long silence.
#[derive(Debug)]
enum Silence {
    /// Silence is measured from `reads`.
    Quiet { alarm: Alarm, reads: u64 },
    /// The client was asked and has until `alarm` to say anything.
    Asked { alarm: Alarm, reads: u64 },
}

/// The task that drives one HTTP/2 connection.
struct Driver<T, H> {
    machine: h2::server::Connection<Wire<T>, Bytes>,
    ping_pong: Option<PingPong>,
    wire: Wire<T>,
    handler: H,
    shared: Shared,
    calls: Rc<Calls>,
    budget: Budget,
    pings: PingPolicy,
    silence: Silence,
    shutdown: Option<Seat>,
    /// Too many pings came; the client is told so once a frame may begin.
    farewell_due: bool,
    /// The machine is done; what is gathered must still leave.
    ended: Option<io::Result<()>>,
}

impl<T, H> Driver<T, H>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Handler,
{
    fn new(mut machine: h2::server::Connection<Wire<T>, Bytes>, wire: Wire<T>, handler: H, shared: Shared) -> Self {
        let reads = wire.reads();
        Self {
            ping_pong: machine.ping_pong(),
            machine,
            wire,
            handler,
            calls: Rc::default(),
            budget: shared.budget(),
            pings: PingPolicy::new(shared.config().keepalive.client_interval_min),
            silence: Silence::Quiet { alarm: Alarm::after(shared.config().keepalive.interval), reads },
            shutdown: Some(shared.shutdown().seat()),
            shared,
            farewell_due: false,
            ended: None,
        }
    }

    /// One turn: take what came, begin its calls, send what is ready.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended.is_none() {
            self.wire.begin_turn();
            self.poll_shutdown(context);
            self.ended = match self.poll_machine(context) {
                Poll::Ready(ended) => Some(ended),
                Poll::Pending => self.poll_health(context),
            };
            if self.calls.on_sent(&self.shared) {
                context.waker().wake_by_ref();
            }
        }
        ready!(self.wire.end_turn(context))?;
        self.ended.take().map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_machine(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        for _ in 0..limits::CALLS_PER_TURN_MAX {
            match ready!(self.machine.poll_accept(context)) {
                Some(Ok((request, respond))) => self.begin(request, respond),
                Some(Err(error)) => return Poll::Ready(Err(into_io(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Begins a call, as a task of its own.
    fn begin(&self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let (parts, stream) = request.into_parts();
        if !self.handler.is_call(&parts) {
            let open = Open::new(&self.calls, &self.shared);
            let answering = http2::answer((parts, stream), (respond, open), self.handler.clone());
            glommio::spawn_local(answering).detach();
            return;
        }
        match Head::parse(parts) {
            Ok(head) => {
                let open = Open::new(&self.calls, &self.shared);
                let requests = Requests::new(stream, &head, &self.shared, self.budget.clone());
                let reply = Reply::new(respond, &head, open);
                glommio::spawn_local(self.handler.call(Call { head, requests, reply })).detach();
            }
            Err(refusal) => {
                self.calls.on_answer();
                exchange::refuse(respond, &refusal);
            }
        }
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) {
        if self.shutdown.as_ref().is_some_and(|seat| seat.poll(context).is_ready()) {
            self.shutdown = None;
            self.machine.graceful_shutdown();
        }
    }

    /// Pings of the client and of ours: `Some` when the connection must end for them.
    fn poll_health(&mut self, context: &mut Context<'_>) -> Option<io::Result<()>> {
        for _ in 0..self.wire.take_pings() {
            let answered = self.calls.take_answered();
            if self.pings.on_ping(clock::now(), self.calls.open(), answered) == Verdict::TooMany {
                self.farewell_due = true;
            }
        }
        if self.farewell_due && self.said_too_many_pings() {
            return Some(Ok(()));
        }
        self.poll_keepalive(context)
    }

    /// The farewell that grpc clients understand: they ping more slowly from then on. The h2 crate cannot send its text.
    /// `false` while a frame is half gathered, since the socket is full: the machine has asked to be woken then.
    fn said_too_many_pings(&self) -> bool {
        const TEXT: &[u8] = b"too_many_pings";
        let mut frame = vec![0, 0, 8 + 14, 7, 0, 0, 0, 0, 0];
        frame.extend_from_slice(&self.wire.stream_last().to_be_bytes());
        frame.extend_from_slice(&u32::from(Reason::ENHANCE_YOUR_CALM).to_be_bytes());
        frame.extend_from_slice(TEXT);
        self.wire.append_frame(&frame)
    }

    fn poll_keepalive(&mut self, context: &mut Context<'_>) -> Option<io::Result<()>> {
        let reads_now = self.wire.reads();
        if let Some(ping_pong) = &mut self.ping_pong {
            // Its answer counts as any other byte read; this only takes it out.
            let _ = ping_pong.poll_pong(context);
        }
        let config = self.shared.config().keepalive;
        loop {
            let (alarm, reads, asked) = match &mut self.silence {
                Silence::Quiet { alarm, reads } => (alarm, *reads, false),
                Silence::Asked { alarm, reads } => (alarm, *reads, true),
            };
            if alarm.poll(context).is_pending() {
                return None;
            }
            let spoke = reads != reads_now;
            if asked && !spoke {
                return Some(Err(io::ErrorKind::TimedOut.into()));
            }
            self.silence = if spoke {
                Silence::Quiet { alarm: Alarm::after(config.interval), reads: reads_now }
            } else {
                self.ask();
                Silence::Asked { alarm: Alarm::after(config.timeout), reads: reads_now }
            };
        }
    }

    fn ask(&mut self) {
        if let Some(ping_pong) = &mut self.ping_pong {
            // An error means that one is under way: as good.
            let _ = ping_pong.send_ping(Ping::opaque());
        }
    }
}
