//! Calls whose two directions go at the same time: watches and keep-alives.
//!
//! **Invariants**: everything that comes back is kept in order until it is asked for.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use prost::Message;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::grpc::{Call, Connection, DEADLINE, Lost, frame};

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A message.
    Message(Bytes),
    /// The end, with its status.
    End(Option<u32>, String),
    /// The stream or the connection is gone.
    Lost(Lost),
}

/// An open call.
pub(crate) struct Duplex {
    sending: h2::SendStream<Bytes>,
    received: UnboundedReceiver<Received>,
    // It ends when nobody holds it.
    _connection: Connection,
}

impl Connection {
    /// Opens a call without sending a message.
    pub(crate) async fn duplex(&self, path: &str, metadata: &[(&str, &str)]) -> Result<Duplex, Lost> {
        let mut call = Call::raw(path, Bytes::new());
        for (name, value) in metadata {
            call = call.with(name, value.as_bytes());
        }
        let (response, sending) = self.open_stream(&call).await?;
        let (sender, received) = unbounded_channel();
        tokio::spawn(async move {
            if let Err(lost) = read(response, &sender).await {
                let _ = sender.send(Received::Lost(lost));
            }
        });
        Ok(Duplex { sending, received, _connection: self.clone() })
    }
}

async fn read(response: h2::client::ResponseFuture, sender: &UnboundedSender<Received>) -> Result<(), Lost> {
    let lost = |error: h2::Error| Lost(format!("stream: {error}"));
    let (head, mut body) = response.await.map_err(lost)?.into_parts();
    let mut data = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.map_err(lost)?;
        let _ = body.flow_control().release_capacity(chunk.len());
        data.extend_from_slice(&chunk);
        while let Some(length) = data.get(1..5) {
            let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
            let end = usize::try_from(length).expect("64-bit") + 5;
            if data.len() < end {
                break;
            }
            let message = data.split_to(end).freeze().slice(5..);
            let _ = sender.send(Received::Message(message));
        }
    }
    let trailers = body.trailers().await.map_err(lost)?.unwrap_or(head.headers);
    let text = |name: &str| trailers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let code = text("grpc-status").and_then(|code| code.parse().ok());
    let _ = sender.send(Received::End(code, text("grpc-message").unwrap_or_default()));
    Ok(())
}

impl Duplex {
    /// Sends a message.
    pub(crate) fn send(&mut self, message: &impl Message) {
        // A server may have ended the call: what it said of that counts.
        let _ = self.sending.send_data(frame(0, &message.encode_to_vec()), false);
    }

    /// Says that no message follows.
    pub(crate) fn finish(&mut self) {
        let _ = self.sending.send_data(Bytes::new(), true);
    }

    /// The next thing that comes back, within the usual patience.
    pub(crate) async fn next(&mut self) -> Received {
        let next = tokio::time::timeout(DEADLINE, poll_fn(|context| self.poll_next(context))).await;
        next.unwrap_or_else(|_| Received::Lost(Lost(format!("nothing within {DEADLINE:?}"))))
    }

    /// The next message, decoded.
    pub(crate) async fn message<M: Message + Default>(&mut self) -> M {
        match self.next().await {
            Received::Message(message) => M::decode(message).expect("the server's encoding"),
            other => panic!("{other:?} instead of a message"),
        }
    }

    /// The next thing that comes back, if it has; else whoever polls is woken for it.
    pub(crate) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Received> {
        let received = self.received.poll_recv(context);
        received.map(|received| received.unwrap_or(Received::Lost(Lost("nothing follows".to_owned()))))
    }
}
