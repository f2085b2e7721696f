//! A gzip message, unpacked in steps.
//!
//! Invariants
//! - A step reads and writes a bounded number of bytes, whatever the message does with them.
//! - What is unpacked is never more than a message may be, and grows with what was unpacked, not with what was promised.
//! - The packed bytes, the unpacked ones and the machine between them are counted in the connection's budget until the
//!   message is handed on or dropped.
//!
//! Must not know: frames, HTTP/2, the messages' schema. Pure.

use super::budget::{Budget, FrameError};
use crate::limits;
use bytes::{Buf, Bytes};
use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, ErrorKind, Read};

/// Bytes that are unpacked at a time.
const PIECE_BYTES: usize = 4096;

/// A message that is being unpacked.
#[derive(Debug)]
pub(super) struct Inflating {
    decoder: GzDecoder<Packed>,
    /// What was unpacked.
    plain: Vec<u8>,
    message_bytes_max: usize,
    /// Whether some beginning was one of gzip: grpc-go tells apart whether the first is.
    begun: bool,
    budget: Budget,
    counted: usize,
}

impl Drop for Inflating {
    fn drop(&mut self) {
        self.budget.give_back(self.counted);
    }
}

impl Inflating {
    /// Begins with a message as it came.
    pub(super) fn new(packed: Bytes, message_bytes_max: usize, budget: Budget) -> Result<Self, FrameError> {
        let counted = packed.len() + limits::INFLATE_MACHINE_BYTES;
        budget.take(counted)?;
        // Without an allowance nothing is read yet.
        let decoder = GzDecoder::new(Packed { rest: packed, allowance: 0 });
        Ok(Self { decoder, plain: Vec::new(), message_bytes_max, begun: false, budget, counted })
    }

    /// Goes on for one step; the message, once it is whole.
    pub(super) fn step(&mut self) -> Result<Option<Bytes>, FrameError> {
        self.decoder.get_mut().allowance = limits::INFLATE_STEP_BYTES;
        let mut piece = [0; PIECE_BYTES];
        for _ in 0..limits::INFLATE_STEP_BYTES / PIECE_BYTES {
            match self.decoder.read(&mut piece) {
                Ok(0) => {
                    // Members follow one another, as in any file of gzip's.
                    self.begun = true;
                    let packed = self.decoder.get_ref().clone();
                    if packed.rest.is_empty() {
                        return Ok(Some(Bytes::from(std::mem::take(&mut self.plain))));
                    }
                    self.decoder.reset(packed);
                }
                Ok(count) => self.keep(&piece[..count])?,
                // The step's packed bytes are used up.
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(self.broken(&error)),
            }
        }
        Ok(None)
    }

    fn keep(&mut self, piece: &[u8]) -> Result<(), FrameError> {
        if self.plain.len() + piece.len() > self.message_bytes_max {
            return Err(FrameError::InflatedTooLarge { max: self.message_bytes_max });
        }
        self.budget.take(piece.len())?;
        self.counted += piece.len();
        self.plain.extend_from_slice(piece);
        Ok(())
    }

    /// What is wrong, in the words of Go's gzip.
    fn broken(&self, error: &io::Error) -> FrameError {
        let in_body = self.decoder.header().is_some();
        let is_cut = error.kind() == ErrorKind::UnexpectedEof;
        let came_any = self.counted > limits::INFLATE_MACHINE_BYTES;
        let why = if is_cut {
            if came_any { "unexpected EOF" } else { "EOF" }
        } else if !in_body {
            "gzip: invalid header"
        } else if error.to_string().contains("checksum") {
            "gzip: invalid checksum"
        } else {
            "flate: corrupt input"
        };
        FrameError::Gzip { begun: self.begun || in_body, why }
    }
}

/// The packed bytes, of which so many may be read for now.
#[derive(Clone, Debug)]
struct Packed {
    rest: Bytes,
    allowance: usize,
}

impl BufRead for Packed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.allowance == 0 && !self.rest.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(&self.rest[..self.allowance.min(self.rest.len())])
    }

    fn consume(&mut self, count: usize) {
        self.rest.advance(count);
        self.allowance -= count;
    }
}

impl Read for Packed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let lent = self.fill_buf()?;
        let count = lent.len().min(out.len());
        out[..count].copy_from_slice(&lent[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// Fuzz target: any bytes are unpacked within the bound or are an error, in steps that are no more than the bytes are worth,
/// and the budget has back what it gave.
///
/// # Panics
/// When a rule of this file is broken.
pub fn fuzz_gzip(bytes: &[u8]) {
    const MESSAGE_BYTES_MAX: usize = 100_000;
    let budget = Budget::default();
    let packed = Bytes::copy_from_slice(bytes);
    let mut inflating = Inflating::new(packed, MESSAGE_BYTES_MAX, budget.clone()).expect("the budget is new");
    // A member is no shorter than its head and its sum.
    let turns = 2 + bytes.len() / 18 + (bytes.len() + MESSAGE_BYTES_MAX) / PIECE_BYTES;
    let ended = (0..turns).find_map(|_| inflating.step().transpose());
    let ended = ended.unwrap_or_else(|| panic!("{} bytes are not unpacked in {turns} steps", bytes.len()));
    assert!(
        ended.is_err() || ended.is_ok_and(|plain| plain.len() <= MESSAGE_BYTES_MAX),
        "no more than a message may be"
    );
    drop(inflating);
    assert_eq!(budget.taken(), 0, "the budget has back what it gave");
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(plain).unwrap();
        packed.finish().unwrap()
    }

    fn unpacked(packed: &[u8], max: usize, budget: &Budget) -> Result<Bytes, FrameError> {
        let mut inflating = Inflating::new(Bytes::copy_from_slice(packed), max, budget.clone())?;
        loop {
            if let Some(plain) = inflating.step()? {
                return Ok(plain);
            }
        }
    }

    proptest! {
        #[test]
        fn members_come_out_whole_and_cut_ones_do_not(
            members in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..60), 0usize..9000), 1..5),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut plain = Vec::new();
            let mut packed = Vec::new();
            let mut borders = vec![0];
            for (byte, noise, run) in members {
                let member = [noise, vec![byte; run]].concat();
                packed.extend(gzip(&member));
                borders.push(packed.len());
                plain.extend(member);
            }
            let budget = Budget::default();
            prop_assert_eq!(unpacked(&packed, plain.len(), &budget), Ok(Bytes::from(plain.clone())));
            if let Some(max) = plain.len().checked_sub(1) {
                prop_assert_eq!(unpacked(&packed, max, &budget), Err(FrameError::InflatedTooLarge { max }));
            }
            let cut = cut.index(packed.len());
            let whole = cut > 0 && borders.contains(&cut);
            prop_assert_eq!(unpacked(&packed[..cut], plain.len(), &budget).is_ok(), whole, "cut at {}", cut);
            prop_assert_eq!(budget.taken(), 0);
        }

        #[test]
        fn any_bytes_are_a_message_or_an_error(noise in prop::collection::vec(any::<u8>(), 0..300), place in any::<prop::sample::Index>()) {
            fuzz_gzip(&noise);
            let mut packed = gzip(&noise);
            let place = place.index(packed.len());
            packed[place] ^= 1 << (noise.len() % 8);
            fuzz_gzip(&packed);
        }
    }

    #[test]
    fn what_is_wrong_is_said_as_go_does() {
        let check = |packed: &[u8]| unpacked(packed, 1000, &Budget::default());
        let broken = |begun, why| Err(FrameError::Gzip { begun, why });
        let good = gzip(b"hello hello hello");
        let changed = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 0xff;
            bytes
        };
        assert_eq!(check(b""), broken(false, "EOF"));
        assert_eq!(check(&good[..5]), broken(false, "unexpected EOF"));
        assert_eq!(check(b"no gzip at all"), broken(false, "gzip: invalid header"));
        assert_eq!(check(&good[..good.len() - 9]), broken(true, "unexpected EOF"));
        assert_eq!(check(&good[..good.len() - 1]), broken(true, "unexpected EOF"));
        assert_eq!(check(&changed(good.len() - 5)), broken(true, "gzip: invalid checksum"));
        assert_eq!(check(&changed(10)), broken(true, "flate: corrupt input"));
        assert_eq!(check(&[&good[..], b"and a tail"].concat()), broken(true, "gzip: invalid header"));
    }

    #[test]
    fn a_bomb_ends_at_the_bound_and_at_the_budget() {
        let bomb = gzip(&vec![0; 30_000_000]);
        let budget = Budget::default();
        let mut inflating = Inflating::new(Bytes::from(bomb.clone()), 1_000_000, budget.clone()).unwrap();
        let ended = std::iter::from_fn(|| inflating.step().transpose().or(Some(Ok(Bytes::new())))).find(Result::is_err);
        assert_eq!(ended, Some(Err(FrameError::InflatedTooLarge { max: 1_000_000 })));
        assert!(inflating.plain.capacity() <= 2_000_000, "{} bytes", inflating.plain.capacity());
        drop(inflating);
        assert_eq!(budget.taken(), 0);
        budget.take(limits::PARTIAL_BYTES_PER_CONNECTION_MAX - 500_000).unwrap();
        assert_eq!(unpacked(&bomb, 1_000_000, &budget), Err(FrameError::Budget));
        budget.give_back(limits::PARTIAL_BYTES_PER_CONNECTION_MAX - 500_000);
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn members_without_content_take_many_small_steps() {
        let empty = gzip(b"");
        let packed = Bytes::from(empty.repeat(10_000));
        let mut inflating = Inflating::new(packed.clone(), 10, Budget::default()).unwrap();
        let steps = std::iter::from_fn(|| inflating.step().unwrap().is_none().then_some(())).count();
        assert!(steps + 1 >= packed.len() / limits::INFLATE_STEP_BYTES, "{steps} steps for {} bytes", packed.len());
    }
}
