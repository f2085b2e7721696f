//! gRPC over HTTP/2, low enough to send whatever bytes a test wants: path, metadata, frames and their flags.
//!
//! **Invariants**: what came back is told as it came (HTTP status, frames, trailers, reset); nothing is interpreted.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// No answer within this time counts as a hang.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// The connection or the stream ended without an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lost(pub(crate) String);

impl std::fmt::Display for Lost {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One request, byte for byte.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    /// The HTTP method, `POST` for gRPC.
    pub(crate) method: &'static str,
    /// `/service/method`.
    pub(crate) path: String,
    /// Further headers; a `content-type` here replaces the usual one.
    pub(crate) metadata: Vec<(String, Bytes)>,
    /// The whole request body, gRPC frame headers included.
    pub(crate) body: Bytes,
}

impl Call {
    /// A well-formed call with one message.
    pub(crate) fn new(path: &str, message: &impl Message) -> Self {
        Self::raw(path, frame(0, &message.encode_to_vec()))
    }

    /// A call with any body.
    pub(crate) fn raw(path: &str, body: Bytes) -> Self {
        Self { method: "POST", path: path.to_owned(), metadata: Vec::new(), body }
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: &str, value: &[u8]) -> Self {
        self.metadata.push((name.to_owned(), Bytes::copy_from_slice(value)));
        self
    }
}

/// A gRPC frame: flag, length, bytes.
pub(crate) fn frame(flag: u8, message: &[u8]) -> Bytes {
    let mut body = BytesMut::with_capacity(message.len() + 5);
    body.put_u8(flag);
    body.put_u32(u32::try_from(message.len()).expect("a test message is below 4 GiB"));
    body.put_slice(message);
    body.freeze()
}

/// One frame of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// 0 = plain, 1 = compressed.
    pub(crate) flag: u8,
    /// The message.
    pub(crate) bytes: Bytes,
}

/// Everything that came back for one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) http: u16,
    /// The content type, if any.
    pub(crate) content_type: String,
    /// `grpc-status`, of the trailers or, in an answer without a body, of the headers.
    pub(crate) code: Option<u32>,
    /// `grpc-message`, percent coding undone.
    pub(crate) text: String,
    /// The messages.
    pub(crate) frames: Vec<Frame>,
    /// Bytes behind the last whole frame.
    pub(crate) rest: Bytes,
}

/// An open HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct Connection {
    sender: SendRequest<Bytes>,
    driver: std::sync::Arc<Driver>,
}

struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A call that was sent and is not answered yet.
pub(crate) struct InFlight {
    response: ResponseFuture,
    // Dropping the sending side early would reset a stream whose body is still queued.
    _body: h2::SendStream<Bytes>,
    path: String,
}

impl Connection {
    /// Connects and shakes hands.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Lost> {
        let open = async {
            let stream = TcpStream::connect(address).await.map_err(|error| Lost(format!("connect: {error}")))?;
            stream.set_nodelay(true).map_err(|error| Lost(format!("nodelay: {error}")))?;
            let mut builder = h2::client::Builder::new();
            builder.initial_window_size(1 << 24).initial_connection_window_size(1 << 30).max_frame_size(1 << 20);
            builder.max_header_list_size(1 << 20);
            let shaken = builder.handshake(stream).await;
            shaken.map_err(|error| Lost(format!("handshake: {error}")))
        };
        let (sender, connection) = within("connect", open).await?;
        let driver = tokio::spawn(async move {
            // How the connection ended shows in every call that was on it.
            let _ = connection.await;
        });
        Ok(Self { sender, driver: std::sync::Arc::new(Driver(driver)) })
    }

    /// True once the connection is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.driver.0.is_finished()
    }

    /// Closes the connection and waits until it is closed. (A dropped one is closed when its runtime next has time.)
    pub(crate) async fn close(self) {
        self.driver.0.abort();
        while !self.driver.0.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    /// Sends a call without waiting for its answer.
    pub(crate) async fn send(&self, call: &Call) -> Result<InFlight, Lost> {
        let mut sender = within("stream", async {
            self.sender.clone().ready().await.map_err(|error| Lost(format!("connection: {error}")))
        })
        .await?;
        let request = request(call).map_err(|error| Lost(format!("request: {error}")))?;
        let sent = sender.send_request(request, false);
        let (response, mut body) = sent.map_err(|error| Lost(format!("send: {error}")))?;
        // A server may answer and close the stream before it took the body: its answer counts, not our error.
        let _ = body.send_data(call.body.clone(), true);
        Ok(InFlight { response, _body: body, path: call.path.clone() })
    }

    /// Opens a call that sends nothing yet.
    pub(super) async fn open_stream(&self, call: &Call) -> Result<(ResponseFuture, h2::SendStream<Bytes>), Lost> {
        let mut sender = within("stream", async {
            self.sender.clone().ready().await.map_err(|error| Lost(format!("connection: {error}")))
        })
        .await?;
        let request = request(call).map_err(|error| Lost(format!("request: {error}")))?;
        sender.send_request(request, false).map_err(|error| Lost(format!("send: {error}")))
    }

    /// Sends a call and waits for its answer.
    pub(crate) async fn call(&self, call: &Call) -> Result<Answer, Lost> {
        self.send(call).await?.answer().await
    }
}

impl InFlight {
    /// Waits for the whole answer.
    pub(crate) async fn answer(self) -> Result<Answer, Lost> {
        let path = self.path.clone();
        within(&path, self.read()).await
    }

    async fn read(self) -> Result<Answer, Lost> {
        let response = self.response.await.map_err(|error| Lost(format!("answer: {error}")))?;
        let (head, mut body) = response.into_parts();
        let mut data = BytesMut::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.map_err(|error| Lost(format!("answer: {error}")))?;
            // The windows are far larger than any answer of these tests; release keeps long connections open.
            let _ = body.flow_control().release_capacity(chunk.len());
            data.put(chunk);
        }
        let trailers = body.trailers().await.map_err(|error| Lost(format!("trailers: {error}")))?;
        let status = trailers.as_ref().unwrap_or(&head.headers);
        let (frames, rest) = split(data.freeze());
        Ok(Answer {
            http: head.status.as_u16(),
            content_type: text_of(&head.headers, "content-type").unwrap_or_default(),
            code: text_of(status, "grpc-status").and_then(|code| code.parse().ok()),
            text: percent_decoded(&text_of(status, "grpc-message").unwrap_or_default()),
            frames,
            rest,
        })
    }
}

async fn within<T>(what: &str, work: impl Future<Output = Result<T, Lost>>) -> Result<T, Lost> {
    match tokio::time::timeout(DEADLINE, work).await {
        Ok(done) => done,
        Err(_) => Err(Lost(format!("{what}: no answer within {DEADLINE:?}"))),
    }
}

fn request(call: &Call) -> Result<Request<()>, http::Error> {
    let mut builder = Request::builder().method(call.method).uri(format!("http://127.0.0.1{}", call.path));
    if !call.metadata.iter().any(|(name, _)| name == "content-type") {
        builder = builder.header("content-type", "application/grpc");
    }
    builder = builder.header("te", "trailers");
    for (name, value) in &call.metadata {
        builder = builder.header(name, value.as_ref());
    }
    builder.body(())
}

fn split(mut data: Bytes) -> (Vec<Frame>, Bytes) {
    let mut frames = Vec::new();
    while let Some(length) = data.get(1..5) {
        let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
        let end = usize::try_from(length).expect("64-bit") + 5;
        if data.len() < end {
            break;
        }
        let mut bytes = data.split_to(end);
        frames.push(Frame { flag: bytes[0], bytes: bytes.split_off(5) });
    }
    (frames, data)
}

fn text_of(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
