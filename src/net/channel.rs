//! A connection as what is above sees it: bytes in both directions, whatever they go through.
//!
//! Invariants
//! - A plain connection goes to its socket as directly as without this type: one comparison a call, no copy.

use super::secure::TlsStream;
use super::stream::Stream;
use futures_lite::io::{AsyncRead, AsyncWrite};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A connection of one executor.
#[derive(Debug)]
pub enum Channel {
    /// In plain.
    Plain(Stream),
    /// In plain, on a listener that might have been spoken to in TLS: what was read to find out comes first.
    Replayed(Box<(Vec<u8>, Stream)>),
    /// Through TLS.
    Tls(Box<TlsStream>),
}

impl Channel {
    /// Whether the client came through TLS.
    pub fn is_secure(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        let writer: &mut (dyn AsyncWrite + Unpin) = match self {
            Self::Plain(stream) => stream,
            Self::Replayed(replayed) => &mut replayed.1,
            Self::Tls(stream) => &mut **stream,
        };
        Pin::new(writer)
    }
}

impl AsyncRead for Channel {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Replayed(replayed) => {
                let (first, stream) = &mut **replayed;
                if first.is_empty() {
                    return Pin::new(stream).poll_read(context, buffer);
                }
                let count = first.len().min(buffer.len());
                buffer[..count].copy_from_slice(&first[..count]);
                first.drain(..count);
                Poll::Ready(Ok(count))
            }
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Channel {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, buffer),
            Self::Replayed(_) | Self::Tls(_) => self.writer().poll_write(context, buffer),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, buffers),
            Self::Replayed(_) | Self::Tls(_) => self.writer().poll_write_vectored(context, buffers),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(_) | Self::Replayed(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(context),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer().poll_close(context)
    }
}
