//! HTTP/2 frames: their kinds, flags and headers.

use std::io::{self, ErrorKind};

pub(crate) const FRAME_HEADER_BYTES: usize = 9;
/// The largest frame that may be sent without the server's leave; its own larger limit is not used.
pub(crate) const FRAME_BYTES_MAX: usize = 16_384;
pub(crate) const WINDOW_DEFAULT: u32 = 65_535;

pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITY: u8 = 32;

/// The nine bytes in front of a payload.
pub(crate) fn frame_header(length: usize, kind: u8, flags: u8, id: u32) -> [u8; FRAME_HEADER_BYTES] {
    let length = u32::try_from(length).expect("a frame is below 16 MiB").to_be_bytes();
    let id = id.to_be_bytes();
    [length[1], length[2], length[3], kind, flags, id[0], id[1], id[2], id[3]]
}

/// What gRPC puts in front of a message: not compressed, its length.
pub(crate) fn message_prefix(length: usize) -> [u8; 5] {
    let mut prefix = [0; 5];
    prefix[1..].copy_from_slice(&u32::try_from(length).expect("a message is below 4 GiB").to_be_bytes());
    prefix
}

/// The first four bytes as a number.
pub(crate) fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"))
}

pub(crate) fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}
