//! A call that stays open: messages go out while the server's windows last, and come in one by one.
//!
//! Invariants
//! - Messages leave in the order they were given; what the windows do not admit waits in `unsent`.
//! - A message enters the inbox when its last byte is there, without its five-byte prefix.

use crate::frame::{FRAME_BYTES_MAX, frame_header, kind, message_prefix, word};

const PREFIX_BYTES: usize = 5;

/// Messages that have arrived: one buffer for all, so that none costs an allocation.
#[derive(Default)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    /// Stream and end of each message.
    ends: Vec<(u32, usize)>,
}

impl Inbox {
    fn push(&mut self, id: u32, message: &[u8]) {
        self.bytes.extend_from_slice(message);
        self.ends.push((id, self.bytes.len()));
    }

    /// The messages with their streams, in the order of arrival.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (u32, &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |&(id, end)| (id, &self.bytes[std::mem::replace(&mut start, end)..end]))
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// What an open call has beside an ordinary one.
pub(crate) struct Stream {
    /// Bytes that the server admits on this stream.
    pub(crate) window: i64,
    unsent: Vec<u8>,
    partial: Vec<u8>,
}

impl Stream {
    pub(crate) fn new(window: i64) -> Self {
        Self { window, unsent: Vec::new(), partial: Vec::new() }
    }

    /// Gives a message; `pump` sends it.
    pub(crate) fn give(&mut self, message: &[u8]) {
        self.unsent.extend_from_slice(&message_prefix(message.len()));
        self.unsent.extend_from_slice(message);
    }

    /// Appends the frames that both windows admit.
    pub(crate) fn pump(&mut self, id: u32, connection_window: &mut i64, out: &mut Vec<u8>) {
        let mut sent = 0;
        while sent < self.unsent.len() {
            let admitted = usize::try_from(self.window.min(*connection_window)).unwrap_or(0);
            let count = (self.unsent.len() - sent).min(FRAME_BYTES_MAX).min(admitted);
            if count == 0 {
                break;
            }
            out.extend_from_slice(&frame_header(count, kind::DATA, 0, id));
            out.extend_from_slice(&self.unsent[sent..sent + count]);
            let used = i64::try_from(count).expect("a frame is short");
            self.window -= used;
            *connection_window -= used;
            sent += count;
        }
        self.unsent.drain(..sent);
    }

    /// Takes bytes of the server's messages.
    pub(crate) fn take(&mut self, id: u32, content: &[u8], inbox: &mut Inbox) {
        if self.partial.is_empty() {
            let used = whole_messages(id, content, inbox);
            self.partial.extend_from_slice(&content[used..]);
        } else {
            self.partial.extend_from_slice(content);
            let used = whole_messages(id, &self.partial, inbox);
            self.partial.drain(..used);
        }
    }
}

/// Moves the messages that are complete to the inbox; returns the bytes that they took.
fn whole_messages(id: u32, bytes: &[u8], inbox: &mut Inbox) -> usize {
    let mut at = 0;
    while let Some(prefix) = bytes.get(at..at + PREFIX_BYTES) {
        let length = usize::try_from(word(&prefix[1..])).expect("32 bits");
        let Some(message) = bytes.get(at + PREFIX_BYTES..at + PREFIX_BYTES + length) else { break };
        inbox.push(id, message);
        at += PREFIX_BYTES + length;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_may_be_cut_anywhere() {
        let mut bytes = Vec::new();
        for message in [&b"one"[..], b"", b"three"] {
            bytes.extend_from_slice(&message_prefix(message.len()));
            bytes.extend_from_slice(message);
        }
        for cut in 0..bytes.len() {
            let (mut stream, mut inbox) = (Stream::new(0), Inbox::default());
            stream.take(7, &bytes[..cut], &mut inbox);
            stream.take(7, &bytes[cut..], &mut inbox);
            let found: Vec<_> = inbox.messages().collect();
            assert_eq!(found, [(7, &b"one"[..]), (7, b""), (7, b"three")]);
        }
    }

    #[test]
    fn windows_hold_messages_back() {
        let (mut stream, mut window, mut out) = (Stream::new(6), 100, Vec::new());
        stream.give(b"abc");
        stream.pump(1, &mut window, &mut out);
        assert_eq!((out.len(), stream.window, window, stream.unsent.len()), (9 + 6, 0, 94, 2));
        stream.window = 50;
        stream.pump(1, &mut window, &mut out);
        assert_eq!(out[out.len() - 2..], *b"bc");
        assert_eq!((stream.window, window), (48, 92));
    }
}
