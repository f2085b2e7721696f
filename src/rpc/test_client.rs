//! A gRPC client for tests, on the h2 crate's client.

use super::budget::Budget;
use super::context::{Config, Context};
use super::frame::{self, Deframer, Packing};
use super::shutdown::Shutdown;
use super::wire::Wire;
use bytes::{Bytes, BytesMut};
use futures_lite::io::{AsyncRead, AsyncWrite};
use glommio::Task;
use http::HeaderMap;

/// One connection.
pub(crate) struct TestClient {
    pub(super) send: h2::client::SendRequest<Bytes>,
    pub(super) driver: Task<Result<(), h2::Error>>,
}

/// A whole answer, as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) http: http::StatusCode,
    pub(super) data: Bytes,
    pub(super) status: HeaderMap,
}

impl Answer {
    pub(super) fn code(&self) -> &str {
        self.status.get("grpc-status").map_or("absent", |value| value.to_str().unwrap())
    }

    pub(super) fn message(&self) -> &str {
        self.status.get("grpc-message").map_or("", |value| value.to_str().unwrap())
    }
}

impl TestClient {
    pub(crate) async fn connect<T: AsyncRead + AsyncWrite + Unpin + 'static>(io: T) -> Self {
        Self::connect_with(io, &mut h2::client::Builder::new()).await
    }

    pub(super) async fn connect_with<T>(io: T, builder: &mut h2::client::Builder) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let wire = Wire::new(io, Context::new(Config::default(), Shutdown::default()));
        let (send, connection) = builder.handshake::<_, Bytes>(wire).await.unwrap();
        Self { send, driver: glommio::spawn_local(connection) }
    }

    pub(super) async fn send(&self, request: http::request::Builder, body: Bytes) -> Result<Answer, h2::Error> {
        let mut send = self.send.clone().ready().await?;
        let (response, mut stream) = send.send_request(request.body(()).unwrap(), false)?;
        stream.send_data(body, true)?;
        read(response.await?).await
    }

    /// A call with one request: code, text and messages of the answer.
    pub(crate) async fn call(
        &self,
        path: &str,
        metadata: &[(&str, &[u8])],
        request: &impl prost::Message,
    ) -> (String, String, Vec<Bytes>) {
        let mut head = request_to(path);
        for (name, value) in metadata {
            head = head.header(*name, *value);
        }
        answered(self.send(head, super::framed(request)).await.unwrap())
    }

    /// The same with bytes that need be no message.
    pub(crate) async fn raw(&self, path: &str, body: &[u8]) -> (String, String, Vec<Bytes>) {
        answered(self.send(request_to(path), Bytes::copy_from_slice(body)).await.unwrap())
    }
}

fn answered(answer: Answer) -> (String, String, Vec<Bytes>) {
    let mut deframer = Deframer::new(Packing::Plain, usize::MAX, Budget::default());
    deframer.push(answer.data.clone());
    let mut messages = Vec::new();
    while let Some(message) = deframer.poll().unwrap() {
        messages.push(message);
    }
    deframer.finish().unwrap();
    (answer.code().to_owned(), answer.message().to_owned(), messages)
}

pub(super) fn request_to(path: &str) -> http::request::Builder {
    let request = http::Request::post(format!("http://localhost{path}"));
    request.header("content-type", "application/grpc").header("te", "trailers")
}

pub(super) async fn read(response: http::Response<h2::RecvStream>) -> Result<Answer, h2::Error> {
    let (parts, mut body) = response.into_parts();
    let mut data = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        body.flow_control().release_capacity(chunk.len())?;
        data.extend_from_slice(&chunk);
    }
    let status = body.trailers().await?.unwrap_or(parts.headers);
    Ok(Answer { http: parts.status, data: data.freeze(), status })
}

/// A message in its frame.
pub(super) fn framed_bytes(message: &[u8]) -> Bytes {
    let mut buffer = frame::open(message.len());
    buffer.extend_from_slice(message);
    frame::seal(buffer)
}
