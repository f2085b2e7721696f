//! Fuzz entry for a whole connection: the first bytes that tell the protocol, HTTP/2 frames, header blocks, gRPC's
//! messages, HTTP/1.1. Whatever comes, it ends, and with it every call that it began.

use super::{Answers, Call, Config, Context, Handler, HttpRequest, HttpResponse, Shutdown, serve};
use bytes::Bytes;
use futures_lite::FutureExt;
use futures_lite::io::{AsyncRead, AsyncWrite};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task;

/// Turns of the executor within which a connection must have come to its end: work counted, not time.
const TURNS_PER_BYTE: usize = 50;
const TURNS_AT_LEAST: usize = 100_000;

/// A client that has said everything beforehand and never listens.
struct Client {
    bytes: Bytes,
    /// Bytes of one read.
    chunk: usize,
}

impl AsyncRead for Client {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut task::Context<'_>, out: &mut [u8]) -> task::Poll<io::Result<usize>> {
        let count = self.chunk.min(out.len()).min(self.bytes.len());
        out[..count].copy_from_slice(&self.bytes.split_to(count));
        task::Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Client {
    fn poll_write(self: Pin<&mut Self>, _: &mut task::Context<'_>, bytes: &[u8]) -> task::Poll<io::Result<usize>> {
        task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> task::Poll<io::Result<()>> {
        task::Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> task::Poll<io::Result<()>> {
        task::Poll::Ready(Ok(()))
    }
}

/// Sends each request back; clones of the token are the calls that are open.
#[derive(Clone)]
struct Echo(Rc<()>);

impl Handler for Echo {
    fn call(&self, call: Call) -> impl Future<Output = ()> + 'static {
        let Call { mut requests, mut reply, .. } = call;
        let open = Rc::clone(&self.0);
        async move {
            let _open = open;
            match reply.only(&mut requests, Answers::One).await {
                Ok(message) => reply.message(super::frame::seal([&[0; 5][..], &message].concat())).await,
                Err(status) => reply.finish(status),
            }
        }
    }

    fn request(&self, request: HttpRequest) -> impl Future<Output = HttpResponse> + 'static {
        std::future::ready(HttpResponse::new(request.into_body()))
    }
}

/// Serves a client that sends `bytes`, the first of which says how many come with one read. On a glommio executor.
///
/// # Panics
/// When the connection does not end within a bounded number of turns, or leaves calls open.
pub async fn fuzz_connection(bytes: &[u8]) {
    let Some((chunk, bytes)) = bytes.split_first() else { return };
    let turns = TURNS_AT_LEAST + bytes.len().saturating_mul(TURNS_PER_BYTE);
    let client = Client { bytes: Bytes::copy_from_slice(bytes), chunk: usize::from(*chunk).max(1) };
    let context = Context::new(Config::default(), Shutdown::default());
    let calls = Rc::new(());
    let served = async {
        // How the client's side broke is nobody's concern.
        let _ = serve(client, Echo(Rc::clone(&calls)), context.clone()).await;
        true
    };
    let patience = async {
        for _ in 0..turns {
            glommio::executor().yield_now().await;
        }
        false
    };
    assert!(served.or(patience).await, "a connection of {} bytes does not end", bytes.len());
    for _ in 0..turns {
        if Rc::strong_count(&calls) == 1 {
            return;
        }
        glommio::executor().yield_now().await;
    }
    panic!("{} calls are open after their connection's end", Rc::strong_count(&calls) - 1);
}
