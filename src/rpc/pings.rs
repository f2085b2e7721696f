//! The keepalive policy towards clients: which pings come too often, found by looking at the frames as they are read.
//!
//! The HTTP/2 machine answers pings without telling anyone, so the bytes on their way to it are scanned: nine bytes of
//! header a frame, the payload skipped.
//!
//! Invariants
//! - The rules are grpc-go's: after an answer was sent the next ping is free; otherwise one that comes before its
//!   interval is a strike, and one strike beyond the forgiven ones ends the connection.
//! - No clock: every time is an argument.
//!
//! Must not know: sockets, streams.

use crate::limits;
use std::time::{Duration, Instant};

const HEADER_BYTES: usize = 9;
const PREFACE_BYTES: usize = 24;
const KIND_HEADERS: u8 = 1;
const KIND_PING: u8 = 6;
const FLAG_ACK: u8 = 1;

/// Walks the frame headers of a connection's incoming bytes.
#[derive(Debug)]
pub(super) struct FrameScan {
    header: [u8; HEADER_BYTES],
    have: usize,
    skip: usize,
    /// Pings seen and not yet taken.
    pings: u32,
    /// The highest stream that the client opened.
    stream_last: u32,
}

impl FrameScan {
    /// A scan that begins at the connection's preface.
    pub(super) fn new() -> Self {
        Self { header: [0; HEADER_BYTES], have: 0, skip: PREFACE_BYTES, pings: 0, stream_last: 0 }
    }

    /// The highest stream that the client opened.
    pub(super) fn stream_last(&self) -> u32 {
        self.stream_last
    }

    /// Pings (not answers to ours) since the last time this was asked.
    pub(super) fn take_pings(&mut self) -> u32 {
        std::mem::take(&mut self.pings)
    }

    /// Looks at the next bytes read.
    pub(super) fn look(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let taken = (HEADER_BYTES - self.have).min(bytes.len());
            self.header[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEADER_BYTES {
                self.have = 0;
                self.on_header();
            }
        }
    }

    fn on_header(&mut self) {
        let [a, b, c, kind, flags, s0, s1, s2, s3] = self.header;
        assert_eq!(self.skip, 0, "a header follows the payload before it");
        self.skip = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        match kind {
            KIND_PING if flags & FLAG_ACK == 0 => self.pings += 1,
            KIND_HEADERS => self.stream_last = self.stream_last.max(u32::from_be_bytes([s0 & 0x7f, s1, s2, s3])),
            _ => {}
        }
    }
}

/// What to do about a ping.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// End the connection: "too_many_pings".
    TooMany,
}

/// Counts strikes.
#[derive(Debug)]
pub(super) struct PingPolicy {
    /// The least time between two pings while calls are open.
    interval_min: Duration,
    last: Option<Instant>,
    strikes: u32,
}

impl PingPolicy {
    /// No ping came yet.
    pub(super) fn new(interval_min: Duration) -> Self {
        Self { interval_min, last: None, strikes: 0 }
    }

    /// A ping came at `now`; `calls_open` then, and whether anything was `answered` since the ping before.
    pub(super) fn on_ping(&mut self, now: Instant, calls_open: usize, answered: bool) -> Verdict {
        let last = self.last.replace(now);
        if answered {
            self.strikes = 0;
            return Verdict::Fine;
        }
        let interval = if calls_open == 0 { limits::PING_INTERVAL_IDLE_MIN } else { self.interval_min };
        if last.is_some_and(|last| now.duration_since(last) < interval) {
            self.strikes += 1;
        }
        if self.strikes > limits::PING_STRIKES_MAX { Verdict::TooMany } else { Verdict::Fine }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn pings_are_found_however_the_bytes_are_cut() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, 0, &[]));
        bytes.extend(frame(KIND_PING, 0, 0, &[0; 8]));
        bytes.extend(frame(KIND_HEADERS, 4, 7, b"abcdef"));
        bytes.extend(frame(KIND_PING, FLAG_ACK, 0, &[0; 8]));
        bytes.extend(frame(0, 1, 7, &[KIND_PING; 300]));
        bytes.extend(frame(KIND_PING, 0, 0, &[0; 8]));
        for size in 1..40 {
            let mut scan = FrameScan::new();
            for chunk in bytes.chunks(size) {
                scan.look(chunk);
            }
            assert_eq!((scan.take_pings(), scan.stream_last()), (2, 7), "in chunks of {size}");
            assert_eq!(scan.take_pings(), 0);
        }
    }

    /// The base of all times in these tests.
    fn origin() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made any other way")]
        Instant::now()
    }

    #[test]
    fn three_early_pings_are_too_many() {
        let (mut policy, mut now) = (PingPolicy::new(limits::PING_INTERVAL_MIN), origin());
        assert_eq!(policy.on_ping(now, 1, false), Verdict::Fine);
        for expected in [Verdict::Fine, Verdict::Fine, Verdict::TooMany] {
            now += limits::PING_INTERVAL_MIN - Duration::from_nanos(1);
            assert_eq!(policy.on_ping(now, 1, false), expected);
        }
    }

    #[test]
    fn pings_in_time_or_after_an_answer_are_free() {
        let (mut policy, mut now) = (PingPolicy::new(limits::PING_INTERVAL_MIN), origin());
        for _ in 0..20 {
            now += limits::PING_INTERVAL_MIN;
            assert_eq!(policy.on_ping(now, 1, false), Verdict::Fine);
        }
        for _ in 0..20 {
            assert_eq!(policy.on_ping(now, 1, true), Verdict::Fine);
        }
        // Without an open call the interval is hours.
        for expected in [Verdict::Fine, Verdict::Fine, Verdict::TooMany] {
            now += limits::PING_INTERVAL_MIN;
            assert_eq!(policy.on_ping(now, 0, false), expected);
        }
    }

    #[test]
    fn the_interval_is_the_one_that_was_set() {
        let (mut policy, mut now) = (PingPolicy::new(Duration::from_secs(60)), origin());
        assert_eq!(policy.on_ping(now, 1, false), Verdict::Fine);
        for expected in [Verdict::Fine, Verdict::Fine, Verdict::TooMany] {
            now += limits::PING_INTERVAL_MIN;
            assert_eq!(policy.on_ping(now, 1, false), expected);
        }
    }
}
