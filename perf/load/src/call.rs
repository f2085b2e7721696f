//! A call that waits for its answer, and what is kept of it.

use crate::stream::Stream;

/// Bytes kept of each answer's beginning: the header and the numbers of the first pair.
pub(crate) const HEAD_BYTES: usize = 256;
/// Bytes kept of each answer's end: `more` and `count`.
pub(crate) const TAIL_BYTES: usize = 16;

/// A call on its way.
pub(crate) struct Call<T> {
    pub(crate) token: T,
    pub(crate) prefix: [u8; 5],
    pub(crate) received: u64,
    pub(crate) credit_due: u32,
    pub(crate) head: Vec<u8>,
    pub(crate) tail: [u8; TAIL_BYTES],
    pub(crate) status: Option<u32>,
    pub(crate) message: Option<String>,
    /// There is one if the call stays open.
    pub(crate) stream: Option<Box<Stream>>,
}

impl<T> Call<T> {
    /// A call that nothing was answered to; `head` is a buffer to be used again.
    pub(crate) fn new(token: T, mut head: Vec<u8>, stream: Option<Box<Stream>>) -> Self {
        head.clear();
        Self {
            token,
            prefix: [0; 5],
            received: 0,
            credit_due: 0,
            head,
            tail: [0; TAIL_BYTES],
            status: None,
            message: None,
            stream,
        }
    }

    /// Takes bytes of the answer to a unary call.
    pub(crate) fn take(&mut self, mut content: &[u8]) {
        if self.received < 5 {
            let at = usize::try_from(self.received).expect("below 5");
            let count = content.len().min(5 - at);
            self.prefix[at..at + count].copy_from_slice(&content[..count]);
            self.received += u64::try_from(count).expect("at most 5");
            content = &content[count..];
        }
        self.received += u64::try_from(content.len()).expect("usize is 64 bits");
        let count = content.len().min(HEAD_BYTES - self.head.len());
        self.head.extend_from_slice(&content[..count]);
        let count = content.len().min(TAIL_BYTES);
        self.tail.copy_within(count.., 0);
        self.tail[TAIL_BYTES - count..].copy_from_slice(&content[content.len() - count..]);
    }
}
