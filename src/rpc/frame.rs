//! gRPC's message framing: a flag byte, a length of four bytes big-endian, the message.
//!
//! Invariants
//! - A message that lies whole in one chunk is lent from it; only one that is spread over several is copied.
//! - Memory grows with the bytes that have arrived, never with the length that was promised.
//! - The partial bytes of all streams of a connection are counted in one budget, and given back when dropped; so is a
//!   message that is unpacked.
//!
//! Must not know: HTTP/2, the messages' schema. Pure: fed with chunks, asked for messages.

use super::budget::Held;
pub use super::budget::{Budget, FrameError};
use super::inflate::Inflating;
use bytes::{Buf, Bytes, BytesMut};

/// The flag and the length.
pub const PREFIX_BYTES: usize = 5;

/// The flag of a message as it is.
const PLAIN: u8 = 0;
/// The flag of one that is compressed.
const PACKED: u8 = 1;

/// How the messages of a stream may be packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Packing {
    /// Not at all.
    Plain,
    /// Those with the flag are of gzip.
    Gzip,
}

/// Takes messages out of the chunks of one stream.
#[derive(Debug)]
pub struct Deframer {
    /// Bytes of a message, or of its prefix, of which more must come.
    partial: BytesMut,
    /// The newest chunk, not yet looked at.
    chunk: Bytes,
    packing: Packing,
    /// A packed message, until it is asked for again.
    packed: Option<Held>,
    /// The message that is being unpacked.
    inflating: Option<Box<Inflating>>,
    message_bytes_max: usize,
    budget: Budget,
}

impl Drop for Deframer {
    fn drop(&mut self) {
        self.budget.give_back(self.partial.len());
    }
}

impl Deframer {
    /// A deframer for one stream of a connection.
    pub fn new(packing: Packing, message_bytes_max: usize, budget: Budget) -> Self {
        let (partial, chunk) = (BytesMut::new(), Bytes::new());
        Self { partial, chunk, packing, packed: None, inflating: None, message_bytes_max, budget }
    }

    /// Whether `poll` said that it has no message because it is not through with one that is here: it wants to be asked
    /// again, not to be given more. Asked again it works on it for a step; before that it has not begun.
    pub fn is_unpacking(&self) -> bool {
        self.packed.is_some() || self.inflating.is_some()
    }

    /// Keeps a message that must wait, counted with those of all streams of the connection.
    pub(super) fn hold(&self, message: Bytes) -> Result<Held, FrameError> {
        Held::new(message, &self.budget)
    }

    /// Hands in the next chunk. Only after `poll` said that it has no message, and is not unpacking one.
    pub fn push(&mut self, chunk: Bytes) {
        assert!(self.chunk.is_empty(), "the chunk before was not used up");
        self.chunk = chunk;
    }

    /// The next message, or `None` when more chunks are needed or there is more to unpack.
    pub fn poll(&mut self) -> Result<Option<Bytes>, FrameError> {
        if let Some(packed) = self.packed.take() {
            let message = packed.message();
            drop(packed);
            let inflating = Inflating::new(message, self.message_bytes_max, self.budget.clone())?;
            self.inflating = Some(Box::new(inflating));
        }
        let Some(mut inflating) = self.inflating.take() else {
            let Some((flag, message)) = self.framed()? else { return Ok(None) };
            if flag == PLAIN {
                return Ok(Some(message));
            }
            self.packed = Some(self.hold(message)?);
            return Ok(None);
        };
        let plain = inflating.step()?;
        if plain.is_none() {
            self.inflating = Some(inflating);
        }
        Ok(plain)
    }

    /// The next message as it came, and its flag.
    fn framed(&mut self) -> Result<Option<(u8, Bytes)>, FrameError> {
        if self.partial.is_empty() {
            let prefix = self.prefix_in(&self.chunk)?;
            let Some((flag, length)) = prefix.filter(|(_, length)| self.chunk.len() - PREFIX_BYTES >= *length) else {
                self.keep(self.chunk.len())?;
                return Ok(None);
            };
            self.chunk.advance(PREFIX_BYTES);
            return Ok(Some((flag, self.chunk.split_to(length))));
        }
        if self.partial.len() < PREFIX_BYTES {
            self.keep((PREFIX_BYTES - self.partial.len()).min(self.chunk.len()))?;
        }
        let Some((flag, length)) = self.prefix_in(&self.partial)? else { return Ok(None) };
        let missing = PREFIX_BYTES + length - self.partial.len();
        self.keep(missing.min(self.chunk.len()))?;
        if self.partial.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        self.budget.give_back(self.partial.len());
        let mut message = std::mem::take(&mut self.partial);
        message.advance(PREFIX_BYTES);
        Ok(Some((flag, message.freeze())))
    }

    /// Called when the stream has ended and `poll` has no more: an error if it ended inside a message. An end inside a
    /// prefix is one like any other to grpc-go, and so it is here.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.partial.len() < PREFIX_BYTES { Ok(()) } else { Err(FrameError::Cut) }
    }

    /// Moves `count` bytes of the chunk to the partial message.
    fn keep(&mut self, count: usize) -> Result<(), FrameError> {
        self.budget.take(count)?;
        self.partial.extend_from_slice(&self.chunk.split_to(count));
        Ok(())
    }

    /// The flag and the length that the prefix at the front of `bytes` says, once it is whole; checked before anything is
    /// kept.
    fn prefix_in(&self, bytes: &[u8]) -> Result<Option<(u8, usize)>, FrameError> {
        let Some((prefix, _)) = bytes.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
        let [flag, length @ ..] = *prefix;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > self.message_bytes_max {
            return Err(FrameError::TooLarge { length, max: self.message_bytes_max });
        }
        match (flag, self.packing) {
            (PLAIN, _) | (PACKED, Packing::Gzip) => Ok(Some((flag, length))),
            (PACKED, Packing::Plain) => Err(FrameError::Compressed),
            (other, _) => Err(FrameError::Flag(other)),
        }
    }
}

/// The prefix of an uncompressed message of `length` bytes.
///
/// # Panics
/// When the length does not fit four bytes; senders check against `limits::RESPONSE_BYTES_MAX` first.
pub fn prefix(length: usize) -> [u8; PREFIX_BYTES] {
    let [a, b, c, d] = u32::try_from(length).expect("checked against the limit of a message").to_be_bytes();
    [0, a, b, c, d]
}

/// A buffer for one message with room for its prefix in front, which `seal` fills.
pub fn open(message_bytes: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(PREFIX_BYTES + message_bytes);
    buffer.extend_from_slice(&[0; PREFIX_BYTES]);
    buffer
}

/// Fills the prefix of a buffer made by `open`: one frame, ready to be sent.
///
/// # Panics
/// When the buffer was not made by `open`, or the message is beyond four gigabytes.
pub fn seal(mut buffer: Vec<u8>) -> Bytes {
    assert!(buffer.len() >= PREFIX_BYTES, "opened with room for the prefix");
    let length = buffer.len() - PREFIX_BYTES;
    buffer[..PREFIX_BYTES].copy_from_slice(&prefix(length));
    Bytes::from(buffer)
}

/// Fuzz target: any bytes, in chunks of any size, are messages or an error, and cost no more memory than they are.
///
/// # Panics
/// When a rule of this file is broken.
pub fn fuzz_messages(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let budget = Budget::default();
    let mut deframer = Deframer::new(Packing::Plain, 1000, budget.clone());
    let mut taken = 0;
    for chunk in bytes.chunks(usize::from(*size).max(1)) {
        deframer.push(Bytes::copy_from_slice(chunk));
        loop {
            match deframer.poll() {
                Ok(Some(message)) => taken += message.len() + PREFIX_BYTES,
                Ok(None) => break,
                Err(_) => return,
            }
        }
        assert_eq!(budget.taken(), deframer.partial.len(), "the budget counts what is held");
    }
    assert_eq!(taken + deframer.partial.len(), bytes.len(), "no byte is lost or made");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use proptest::prelude::*;

    fn framed(messages: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = Vec::new();
        for message in messages {
            let mut buffer = open(message.len());
            buffer.extend_from_slice(message);
            stream.extend_from_slice(&seal(buffer));
        }
        stream
    }

    fn drain(deframer: &mut Deframer, chunk: &[u8], out: &mut Vec<Vec<u8>>) -> Result<(), FrameError> {
        deframer.push(Bytes::copy_from_slice(chunk));
        loop {
            match deframer.poll()? {
                Some(message) => out.push(message.to_vec()),
                None if deframer.is_unpacking() => {}
                None => return Ok(()),
            }
        }
    }

    proptest! {
        #[test]
        fn messages_come_out_whole_however_they_are_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
            cuts in prop::collection::vec(1usize..30, 1..40),
        ) {
            let budget = Budget::default();
            let mut deframer = Deframer::new(Packing::Gzip, 64, budget.clone());
            let stream = framed(&messages);
            let mut rest = stream.as_slice();
            let mut out = Vec::new();
            for cut in cuts.iter().cycle() {
                let (chunk, after) = rest.split_at((*cut).min(rest.len()));
                drain(&mut deframer, chunk, &mut out).unwrap();
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(deframer.finish(), Ok(()));
            prop_assert_eq!(out, messages);
            prop_assert_eq!(budget.taken(), 0);
        }

        #[test]
        fn any_bytes_are_messages_or_an_error(bytes in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..300)) {
            fuzz_messages(&bytes);
        }
    }

    #[test]
    fn a_message_in_one_chunk_is_lent_not_copied() {
        let chunk = Bytes::from(framed(&[b"hello".to_vec()]));
        let mut deframer = Deframer::new(Packing::Plain, 64, Budget::default());
        deframer.push(chunk.clone());
        let message = deframer.poll().unwrap().unwrap();
        assert_eq!(message.as_ptr(), chunk[PREFIX_BYTES..].as_ptr());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let check = |bytes: &[u8]| {
            let mut deframer = Deframer::new(Packing::Plain, 4, Budget::default());
            drain(&mut deframer, bytes, &mut Vec::new()).and_then(|()| deframer.finish())
        };
        assert_eq!(check(&[0, 0, 0, 0, 5]), Err(FrameError::TooLarge { length: 5, max: 4 }));
        assert_eq!(check(&[1, 0, 0, 0, 1, 9]), Err(FrameError::Compressed));
        assert_eq!(check(&[7, 0, 0, 0, 1, 9]), Err(FrameError::Flag(7)));
        assert_eq!(check(&[0, 0, 0]), Ok(()));
        assert_eq!(check(&[0, 0, 0, 0, 4, 1, 2, 3]), Err(FrameError::Cut));
        assert_eq!(check(&[0, 0, 0, 0, 0]), Ok(()));
        // The length is judged before the flag, as grpc-go does.
        assert_eq!(check(&[1, 0, 0, 0, 9]), Err(FrameError::TooLarge { length: 9, max: 4 }));
    }

    #[test]
    fn a_packed_message_comes_out_between_plain_ones() {
        use std::io::Write;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packed.write_all(&[7; 50_000]).unwrap();
        let packed = packed.finish().unwrap();
        let length = u8::try_from(packed.len()).unwrap();
        let stream = [&[0, 0, 0, 0, 1, 5][..], &[1, 0, 0, 0, length], &packed, &[0, 0, 0, 0, 0]].concat();
        for size in 1..=stream.len() {
            let budget = Budget::default();
            let mut deframer = Deframer::new(Packing::Gzip, 50_000, budget.clone());
            let mut out = Vec::new();
            for chunk in stream.chunks(size) {
                drain(&mut deframer, chunk, &mut out).unwrap();
            }
            assert_eq!((out.len(), &out[0][..], out[1].len(), out[2].len()), (3, &[5][..], 50_000, 0));
            assert_eq!(budget.taken(), 0);
        }
    }

    #[test]
    fn a_promised_length_takes_no_memory_and_the_budget_bounds_what_came() {
        let budget = Budget::default();
        let mut deframer = Deframer::new(Packing::Plain, 1 << 30, budget.clone());
        deframer.push(Bytes::from_static(&[0, 0x20, 0, 0, 0]));
        assert_eq!(deframer.poll(), Ok(None));
        assert!(deframer.partial.capacity() < 4096);
        budget.take(limits::PARTIAL_BYTES_PER_CONNECTION_MAX - 10).unwrap();
        deframer.push(Bytes::from_static(&[0; 6]));
        assert_eq!(deframer.poll(), Err(FrameError::Budget));
    }
}
