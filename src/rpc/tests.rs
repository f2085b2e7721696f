//! Connections on loopback: the h2 crate's client, or raw bytes, against a handler that echoes.

use super::test_client::{Answer, TestClient, framed_bytes, read, request_to};
use super::*;
use crate::limits;
use crate::net::{Address, Bound, Connection};
use bytes::{BufMut, Bytes, BytesMut};
use futures_lite::io::{AsyncReadExt, AsyncWriteExt};
use glommio::{LocalExecutor, LocalExecutorBuilder, Placement, Task};
use http::StatusCode;
use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;

/// Echoes what `/echo/Unary` is sent; `/echo/Never` waits for ever; `/echo/Big` sends the number of bytes asked for.
#[derive(Clone, Default)]
struct Echo {
    /// Calls whose work was dropped before it was done.
    dropped: Rc<Cell<u32>>,
}

struct OnDrop(Rc<Cell<u32>>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

impl Handler for Echo {
    fn call(&self, call: Call) -> impl Future<Output = ()> + 'static {
        let handler = self.clone();
        async move { handler.serve(call).await }
    }

    fn request(&self, request: HttpRequest) -> impl Future<Output = HttpResponse> + 'static {
        let body = format!("{} {}", request.method(), request.uri().path());
        async move { HttpResponse::new(Bytes::from(body)) }
    }
}

impl Echo {
    async fn serve(self, call: Call) {
        let Call { head, mut requests, mut reply } = call;
        match head.path() {
            "/echo/Unary" => match reply.only(&mut requests, Answers::One).await {
                Ok(message) => reply.message(framed_bytes(&message)).await,
                Err(status) => reply.finish(status),
            },
            "/echo/Never" => {
                let dropped = OnDrop(self.dropped.clone());
                let waited = reply
                    .guard(async move {
                        std::future::pending::<()>().await;
                        drop(dropped);
                    })
                    .await;
                reply.finish(waited.err().unwrap_or(Status::OK));
            }
            "/echo/Big" => {
                let message = reply.only(&mut requests, Answers::One).await.unwrap();
                let length = usize::try_from(u32::from_be_bytes(message[..4].try_into().unwrap())).unwrap();
                reply.message(framed_bytes(&vec![7; length])).await;
            }
            "/echo/Stream" => {
                let ended = loop {
                    match reply.next(&mut requests).await {
                        Ok(Some(message)) => reply.write(framed_bytes(&message)).await.unwrap(),
                        Ok(None) => break Status::new(Code::DataLoss, "100% lost"),
                        Err(status) => break status,
                    }
                };
                reply.finish(ended);
            }
            other => reply.finish(Status::new(Code::Unimplemented, format!("unknown service {other}"))),
        }
    }
}

/// A server on a port of its own, and the way to connect to it.
struct Server {
    address: Address,
    context: Context,
    echo: Echo,
    _accepting: Task<()>,
}

impl Server {
    fn start(config: Config) -> Self {
        let bound = Bound::bind(&Address::Tcp("127.0.0.1:0".parse().unwrap())).unwrap();
        let address = bound.address().clone();
        let mut listener = bound.attach().unwrap();
        let context = Context::new(config, Shutdown::default());
        let echo = Echo::default();
        let (shared, handler) = (context.clone(), echo.clone());
        let _accepting = glommio::spawn_local(async move {
            loop {
                let stream = listener.accept().await.unwrap().attach().unwrap();
                let served = serve(stream, handler.clone(), shared.clone());
                glommio::spawn_local(async move { drop(served.await) }).detach();
            }
        });
        Self { address, context, echo, _accepting }
    }

    fn connect(&self) -> crate::net::Stream {
        let Address::Tcp(address) = self.address else { panic!("a TCP server") };
        Connection::from_tcp(std::net::TcpStream::connect(address).unwrap()).unwrap().attach().unwrap()
    }

    async fn client(&self) -> TestClient {
        TestClient::connect(self.connect()).await
    }
}

async fn unary(client: &TestClient, path: &str, message: &[u8]) -> Answer {
    client.send(request_to(path), framed_bytes(message)).await.unwrap()
}

fn run<F: Future<Output = ()> + 'static>(work: impl FnOnce() -> F + Send + 'static) {
    let executor: LocalExecutor = LocalExecutorBuilder::new(Placement::Unbound).make().unwrap();
    executor.run(async move { work().await });
}

#[test]
fn a_unary_call_is_answered() {
    run(|| async {
        let server = Server::start(Config::default());
        let client = server.client().await;
        for length in [0, 1, 1000, 20_000, 1_500_000] {
            let message: Vec<u8> = (0..length).map(|index: u32| index.to_be_bytes()[3]).collect();
            let answer = unary(&client, "/echo/Unary", &message).await;
            assert_eq!((answer.http.as_u16(), answer.code(), answer.message()), (200, "0", ""));
            assert_eq!(answer.data, framed_bytes(&message));
        }
        let stats = server.context.cells();
        assert_eq!((stats.calls_begun.get(), stats.calls_ended.get()), (5, 5));
    });
}

#[test]
fn a_waiting_call_holds_up_no_other_and_reset_or_deadline_ends_it() {
    run(|| async {
        let server = Server::start(Config::default());
        let client = server.client().await;
        let mut send = client.send.clone().ready().await.unwrap();
        let (_response, mut stream) = send.send_request(request_to("/echo/Never").body(()).unwrap(), true).unwrap();
        let late = client.send(request_to("/echo/Never").header("grpc-timeout", "20m"), Bytes::new());
        let answer = unary(&client, "/echo/Unary", b"x").await;
        assert_eq!(answer.code(), "0");
        let late = late.await.unwrap();
        assert_eq!((late.code(), late.message()), ("4", "context deadline exceeded"));
        assert_eq!(server.echo.dropped.get(), 1);
        stream.send_reset(h2::Reason::CANCEL);
        while server.echo.dropped.get() < 2 {
            unary(&client, "/echo/Unary", b"y").await;
        }
        assert_eq!(server.context.cells().calls_begun.get(), server.context.cells().calls_ended.get());
    });
}

#[test]
fn a_slow_reader_is_fed_as_its_window_allows() {
    run(|| async {
        let server = Server::start(Config::default());
        let mut builder = h2::client::Builder::new();
        let client = TestClient::connect_with(server.connect(), builder.initial_window_size(1000)).await;
        let length = 3_000_000u32;
        let answer = unary(&client, "/echo/Big", &length.to_be_bytes()).await;
        assert_eq!(answer.code(), "0");
        assert_eq!(answer.data.len(), usize::try_from(length).unwrap() + frame::PREFIX_BYTES);
        assert_eq!(answer.data[..5], frame::prefix(3_000_000));
    });
}

#[test]
fn messages_stream_both_ways_and_trailers_are_escaped() {
    run(|| async {
        let server = Server::start(Config::default());
        let client = server.client().await;
        let mut body = BytesMut::new();
        for message in ["one", "two", ""] {
            body.put(framed_bytes(message.as_bytes()));
        }
        let answer = client.send(request_to("/echo/Stream"), body.clone().freeze()).await.unwrap();
        assert_eq!(answer.data, body);
        assert_eq!((answer.code(), answer.message()), ("15", "100%25 lost"));
    });
}

#[test]
fn bad_calls_are_refused_in_grpc_gos_words() {
    run(|| async {
        let config = Config { message_bytes_max: 10, ..Config::default() };
        let server = Server::start(config);
        let client = server.client().await;
        let check = async |request: http::request::Builder, body: &[u8], http: u16, code: &str, message: &str| {
            let answer = client.send(request, Bytes::copy_from_slice(body)).await.unwrap();
            assert_eq!((answer.http.as_u16(), answer.code(), answer.message()), (http, code, message));
        };
        let echo = || request_to("/echo/Unary");
        let unknown = "grpc: Decompressor is not installed for grpc-encoding \"snappy\"";
        let larger = "grpc: received message larger than max (11 vs. 10)";
        check(echo(), &[0, 0, 0, 0, 11], 200, "8", larger).await;
        check(echo(), &[1, 0, 0, 0, 1, 0], 200, "13", "grpc: compressed flag set with identity or empty encoding")
            .await;
        for flag in [0, 1] {
            let body = [flag, 0, 0, 0, 1, 0];
            check(echo().header("grpc-encoding", "snappy"), &body, 200, "12", unknown).await;
            let stream = request_to("/echo/Stream").header("grpc-encoding", "snappy");
            check(stream, &body, 200, "12", unknown).await;
        }
        let no_gzip = "grpc: failed to decompress the message: unexpected EOF";
        check(echo().header("grpc-encoding", "gzip"), &[1, 0, 0, 0, 1, 0], 200, "13", no_gzip).await;
        check(echo(), &[9, 0, 0, 0, 1, 0], 200, "13", "grpc: received unexpected payload format 9").await;
        check(echo(), &[], 200, "2", "EOF").await;
        check(echo(), &[0, 0, 0], 200, "2", "EOF").await;
        check(echo(), &[0, 0, 0, 0, 5, 1], 200, "2", "unexpected EOF").await;
        check(echo(), &[0, 0, 0, 0, 0, 1, 2, 3], 200, "0", "").await;
        check(request_to("/nowhere/At"), &[0; 5], 200, "12", "unknown service /nowhere/At").await;
        let bare = http::Request::post("http://localhost/echo/Unary");
        check(bare, &[0; 5], 415, "3", "invalid gRPC request content-type \"\"").await;
        let wrong_method = echo().method("PUT");
        check(wrong_method, &[0; 5], 405, "13", "Received a HEADERS frame with :method \"PUT\" which should be POST")
            .await;
        assert_eq!(unary(&client, "/echo/Unary", b"still here").await.code(), "0");
    });
}

#[test]
fn the_shutdown_lets_open_calls_end_and_begins_no_more() {
    run(|| async {
        let server = Server::start(Config::default());
        let client = server.client().await;
        let mut send = client.send.clone().ready().await.unwrap();
        let (response, mut stream) = send.send_request(request_to("/echo/Unary").body(()).unwrap(), false).unwrap();
        unary(&client, "/echo/Unary", b"the call above has begun").await;
        server.context.shutdown().begin();
        stream.send_data(framed_bytes(b"late"), true).unwrap();
        let answer = read(response.await.unwrap()).await.unwrap();
        assert_eq!((answer.code(), &answer.data[5..]), ("0", &b"late"[..]));
        drop((client.send, send, stream));
        client.driver.await.unwrap();
        let stats = server.context.cells();
        assert_eq!(stats.calls_begun.get(), stats.calls_ended.get());
    });
}

#[test]
fn a_connection_that_dies_takes_its_calls_with_it() {
    run(|| async {
        let server = Server::start(Config::default());
        let client = server.client().await;
        let mut send = client.send.clone().ready().await.unwrap();
        let (_response, _stream) = send.send_request(request_to("/echo/Never").body(()).unwrap(), false).unwrap();
        unary(&client, "/echo/Unary", b"x").await;
        client.driver.cancel().await;
        drop((client.send, send, _response, _stream));
        while server.context.cells().connections_ended.get() < 1 || server.echo.dropped.get() < 1 {
            glommio::executor().yield_now().await;
        }
    });
}

#[test]
fn http1_is_served_on_the_same_port() {
    run(|| async {
        let server = Server::start(Config::default());
        let mut stream = server.connect();
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 4096];
        let count = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nGET /health"), "{answer}");
        // Kept alive, and asked to close.
        stream.write_all(b"POST /v2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert!(String::from_utf8_lossy(&rest).ends_with("POST /v2"));
    });
}

#[test]
fn garbage_ends_its_own_connection_alone() {
    run(|| async {
        let server = Server::start(Config::default());
        let client = server.client().await;
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let after_preface: [&[u8]; 4] = [
            b"",
            &[0xff; 64],
            &[0, 0, 4, 9, 0, 0, 0, 0, 0, 1, 2, 3, 4],
            &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff],
        ];
        for garbage in after_preface {
            let mut stream = server.connect();
            stream.write_all(&[preface, garbage].concat()).await.unwrap();
            stream.close().await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.ok();
        }
        for garbage in [&b"\x16\x03\x01\x00\xa5"[..], b"PRI * HTTP/2.0\r\n\r\nXX", b"\0\0\0\0", b"GET"] {
            let mut stream = server.connect();
            stream.write_all(garbage).await.unwrap();
            stream.close().await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.ok();
        }
        assert_eq!(unary(&client, "/echo/Unary", b"unharmed").await.code(), "0");
    });
}

#[test]
fn a_flood_of_pings_is_told_so() {
    run(|| async {
        let server = Server::start(Config::default());
        let mut stream = server.connect();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        for _ in 0..5 {
            bytes.extend_from_slice(&[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        }
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.ends_with(b"\0\0\0\x0btoo_many_pings"), "ENHANCE_YOUR_CALM and the text: {answer:?}");
    });
}

/// `--grpc-keepalive-interval` and `--grpc-keepalive-timeout`: who is silent is asked, and let go without an answer.
#[test]
fn a_silent_client_is_asked_and_let_go() {
    run(|| async {
        let moment = std::time::Duration::from_millis(20);
        let keepalive = Keepalive { interval: moment, timeout: moment, ..Keepalive::default() };
        let server = Server::start(Config { keepalive, ..Config::default() });
        let mut stream = server.connect();
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        stream.write_all(&bytes).await.unwrap();
        let mut answer = Vec::new();
        // The end comes by itself, cleanly or not.
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.windows(9).any(|frame| frame == [0, 0, 8, 6, 0, 0, 0, 0, 0]), "a ping: {answer:?}");
    });
}

#[test]
fn header_floods_are_bounded() {
    run(|| async {
        let server = Server::start(Config::default());
        let client = server.client().await;
        let big = "x".repeat(usize::try_from(limits::HEADER_LIST_BYTES_MAX).unwrap());
        let flooded = client.send(request_to("/echo/Unary").header("metadata", big), framed_bytes(b"x")).await;
        assert!(flooded.is_err() || flooded.unwrap().http == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert_eq!(unary(&client, "/echo/Unary", b"x").await.code(), "0");
    });
}

#[test]
fn a_unix_socket_serves_as_well_and_its_file_goes() {
    run(|| async {
        let path = std::env::temp_dir().join(format!("ringbolt-rpc-{}.sock", std::process::id()));
        let bound = Bound::bind(&Address::Unix(path.clone())).unwrap();
        assert!(Bound::bind(&Address::Unix(path.clone())).is_err(), "in use");
        let mut listener = bound.attach().unwrap();
        let client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        // The second bind knocked to find out that the first one lives.
        drop(listener.accept().await.unwrap());
        let served = listener.accept().await.unwrap().attach().unwrap();
        let shared = Context::new(Config::default(), Shutdown::default());
        let server = glommio::spawn_local(serve(served, Echo::default(), shared));
        let mut stream = Connection::from_unix(client).unwrap().attach().unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.ends_with(b"GET /"));
        server.await.unwrap();
        drop(listener);
        assert!(!path.exists());
    });
}

/// Random bytes from a seed (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }

    fn byte(&mut self) -> u8 {
        self.next(256).to_be_bytes()[7]
    }

    /// Frames that are nearly right: true kinds, small streams, any flags and payloads, now and then a wrong length.
    fn frames(&mut self) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        for _ in 0..self.next(30) {
            let payload: Vec<u8> = match self.next(3) {
                // A true header block, of a call without body.
                0 => [&[0x83, 0x86, 0x44, 11][..], b"/echo/Unary", &[0x5f, 16], b"application/grpc"].concat(),
                1 => vec![0; 8],
                _ => (0..self.next(40)).map(|_| self.byte()).collect(),
            };
            let length = if self.next(10) == 0 { self.next(1 << 15) } else { u64::try_from(payload.len()).unwrap() };
            bytes.extend_from_slice(&length.to_be_bytes()[5..]);
            bytes.extend_from_slice(&[self.next(11).to_be_bytes()[7], self.byte(), 0, 0, 0]);
            bytes.push(self.next(8).to_be_bytes()[7]);
            bytes.extend_from_slice(&payload);
        }
        bytes
    }
}

#[test]
fn random_frames_end_at_worst_their_own_connection() {
    run(|| async {
        let server = Server::start(Config::default());
        let client = server.client().await;
        for seed in 1..300 {
            let bytes = Random(seed).frames();
            let mut stream = server.connect();
            // The server may have ended the connection before it has read all.
            let _ = stream.write_all(&bytes).await;
            let _ = stream.close().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
            assert_eq!(unary(&client, "/echo/Unary", b"x").await.code(), "0", "seed {seed}");
        }
        drop(client);
        let stats = || server.context.cells();
        while stats().connections_ended.get() < stats().connections_begun.get()
            || stats().calls_ended.get() < stats().calls_begun.get()
        {
            glommio::executor().yield_now().await;
        }
    });
}

#[test]
fn a_reader_whose_deadline_passes_is_reset_and_holds_nothing() {
    run(|| async {
        let server = Server::start(Config::default());
        let mut builder = h2::client::Builder::new();
        let client = TestClient::connect_with(server.connect(), builder.initial_window_size(1000)).await;
        let mut send = client.send.clone().ready().await.unwrap();
        let head = request_to("/echo/Big").header("grpc-timeout", "30m").body(()).unwrap();
        let (response, mut stream) = send.send_request(head, false).unwrap();
        stream.send_data(framed_bytes(&1_000_000u32.to_be_bytes()), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        // The window is never opened again.
        let mut received = 0;
        let ended = loop {
            match body.data().await {
                Some(Ok(chunk)) => received += chunk.len(),
                Some(Err(error)) => break error.reason(),
                None => panic!("the answer came whole"),
            }
        };
        assert_eq!((received, ended), (1000, Some(h2::Reason::CANCEL)));
        let stats = server.context.cells();
        assert_eq!(stats.calls_begun.get(), stats.calls_ended.get());
    });
}

/// A client that never stops sending frames that nobody answers.
struct Endless {
    opening: &'static [u8],
}

impl futures_lite::io::AsyncRead for Endless {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buffer: &mut [u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        if !self.opening.is_empty() {
            let count = buffer.len().min(self.opening.len());
            buffer[..count].copy_from_slice(&self.opening[..count]);
            self.opening = &self.opening[count..];
            return std::task::Poll::Ready(Ok(count));
        }
        // Frames of a kind that nobody knows, nine zeros but for it.
        let whole = buffer.len() / 9 * 9;
        assert!(whole > 0, "a read of at least a frame's header");
        buffer[..whole].chunks_mut(9).for_each(|frame| frame.copy_from_slice(&[0, 0, 0, 0x42, 0, 0, 0, 0, 0]));
        std::task::Poll::Ready(Ok(whole))
    }
}

impl futures_lite::io::AsyncWrite for Endless {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buffer: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Ok(buffer.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_close(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

#[test]
fn a_client_that_never_pauses_leaves_others_their_turn() {
    let executor = LocalExecutorBuilder::new(Placement::Unbound).make().unwrap();
    executor.run(async {
        let opening = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        let context = Context::new(Config::default(), Shutdown::default());
        let serving = glommio::spawn_local(serve(Endless { opening }, Echo::default(), context.clone()));
        for _ in 0..100 {
            glommio::executor().yield_now().await;
        }
        assert!(context.cells().received_bytes.get() > 0, "it is being read");
        serving.cancel().await;
    });
}
