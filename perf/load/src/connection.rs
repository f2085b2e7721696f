//! One HTTP/2 connection of a gRPC client: frames out of and into byte buffers, unary calls only.
//!
//! Invariants
//! - A call is put on the wire whole, or waits in `waiting` until the server's windows and stream limit admit it.
//! - `calls[i]` belongs to stream `first_id + 2 i`; the front is never an ended call.
//! - What the server sends is credited back when half of a window is used, as client libraries do.
//!
//! It must not know what is measured, nor read the clock.

use crate::hpack::{Decoder, Encoder};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEADER_BYTES: usize = 9;
/// The largest frame that may be sent without the server's leave; its own larger limit is not used.
const FRAME_BYTES_MAX: usize = 16_384;
const WINDOW_DEFAULT: u32 = 65_535;
/// Bytes kept of each answer's beginning: the header and the numbers of the first pair.
pub(crate) const HEAD_BYTES: usize = 256;
/// Bytes kept of each answer's end: `more` and `count`.
pub(crate) const TAIL_BYTES: usize = 16;

mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const GOAWAY: u8 = 7;
    pub(crate) const WINDOW_UPDATE: u8 = 8;
    pub(crate) const CONTINUATION: u8 = 9;
}
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// gRPC status that is reported when the server broke the stream or the protocol.
const STATUS_INTERNAL: u32 = 13;

/// A call's answer.
pub(crate) struct Answer<T> {
    /// What the caller gave with the call.
    pub(crate) token: T,
    /// gRPC status.
    pub(crate) status: u32,
    /// gRPC message, or what was wrong.
    pub(crate) message: Option<String>,
    /// The message's length without its five-byte prefix.
    pub(crate) length: u64,
    /// Its first bytes.
    pub(crate) head: Vec<u8>,
    /// Its last bytes, the newest last.
    pub(crate) tail: [u8; TAIL_BYTES],
}

struct Call<T> {
    token: T,
    prefix: [u8; 5],
    received: u64,
    credit_due: u32,
    head: Vec<u8>,
    tail: [u8; TAIL_BYTES],
    status: Option<u32>,
    message: Option<String>,
}

struct Waiting<T> {
    path_id: usize,
    message: Vec<u8>,
    token: T,
}

/// Window sizes that the client grants.
#[derive(Clone, Copy)]
pub(crate) struct Windows {
    pub(crate) connection: u32,
    pub(crate) stream: u32,
}

/// A connection; `T` travels with each call.
pub(crate) struct Connection<T> {
    pub(crate) socket: TcpStream,
    paths: &'static [&'static str],
    encoder: Encoder,
    decoder: Decoder,
    out: Vec<u8>,
    out_at: usize,
    leftover: Vec<u8>,
    /// DATA payload still to come: stream, bytes, bytes of padding, whether it ends the stream.
    data: Option<(u32, usize, usize, bool)>,
    block: Vec<u8>,
    calls: VecDeque<Option<Call<T>>>,
    first_id: u32,
    next_id: u32,
    in_flight: usize,
    in_flight_max: usize,
    waiting: VecDeque<Waiting<T>>,
    send_window: i64,
    stream_window: i64,
    windows: Windows,
    credit_due: u32,
    settings_seen: bool,
    heads: Vec<Vec<u8>>,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_owned())
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"))
}

impl<T> Connection<T> {
    /// Takes a connected socket, says hello and waits for the server's settings; non-blocking afterwards.
    pub(crate) fn open(
        socket: TcpStream,
        authority: &str,
        paths: &'static [&'static str],
        windows: Windows,
    ) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        let mut connection = Self {
            socket,
            paths,
            encoder: Encoder::new(authority, paths.len()),
            decoder: Decoder::new(),
            out: Vec::new(),
            out_at: 0,
            leftover: Vec::new(),
            data: None,
            block: Vec::new(),
            calls: VecDeque::new(),
            first_id: 1,
            next_id: 1,
            in_flight: 0,
            in_flight_max: usize::MAX,
            waiting: VecDeque::new(),
            send_window: i64::from(WINDOW_DEFAULT),
            stream_window: i64::from(WINDOW_DEFAULT),
            windows,
            credit_due: 0,
            settings_seen: false,
            heads: Vec::new(),
        };
        connection.hello()?;
        Ok(connection)
    }

    fn hello(&mut self) -> io::Result<()> {
        self.out.extend_from_slice(PREFACE);
        let mut settings = vec![0, 2, 0, 0, 0, 0]; // ENABLE_PUSH 0
        settings.extend_from_slice(&[0, 4]); // INITIAL_WINDOW_SIZE
        settings.extend_from_slice(&self.windows.stream.to_be_bytes());
        self.put_frame(kind::SETTINGS, 0, 0, &settings);
        if self.windows.connection > WINDOW_DEFAULT {
            let more = self.windows.connection - WINDOW_DEFAULT;
            self.put_frame(kind::WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
        }
        self.socket.write_all(&self.out)?;
        self.out.clear();
        let mut buffer = [0; 4096];
        while !self.settings_seen {
            let count = self.socket.read(&mut buffer)?;
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            self.feed(&buffer[..count], &mut Vec::new())?;
        }
        self.socket.set_nonblocking(true)?;
        self.flush()
    }

    /// Starts a call of method `path_id` with a protobuf message; `flush` puts it on the wire.
    pub(crate) fn call(&mut self, path_id: usize, message: &[u8], token: T) {
        if self.waiting.is_empty() && self.admits(message.len()) {
            self.send(path_id, message, token);
        } else {
            self.waiting.push_back(Waiting { path_id, message: message.to_vec(), token });
        }
    }

    fn admits(&self, message_length: usize) -> bool {
        let bytes = i64::try_from(message_length + 5).expect("a message fits");
        assert!(bytes <= self.stream_window, "a request of {bytes} bytes does not fit the server's stream window");
        self.in_flight < self.in_flight_max && bytes <= self.send_window
    }

    fn send(&mut self, path_id: usize, message: &[u8], token: T) {
        let id = self.next_id;
        self.next_id += 2;
        let header_at = self.out.len();
        self.out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        self.encoder.encode(path_id, self.paths[path_id], &mut self.out);
        let block_length = self.out.len() - header_at - FRAME_HEADER_BYTES;
        assert!(block_length <= FRAME_BYTES_MAX, "request headers are short");
        let header = frame_header(block_length, kind::HEADERS, END_HEADERS, id);
        self.out[header_at..header_at + FRAME_HEADER_BYTES].copy_from_slice(&header);
        let length = u32::try_from(message.len()).expect("a message is below 4 GiB");
        let mut prefix = [0; 5];
        prefix[1..].copy_from_slice(&length.to_be_bytes());
        let first = message.len().min(FRAME_BYTES_MAX - 5);
        let flag = |last: bool| if last { END_STREAM } else { 0 };
        self.out.extend_from_slice(&frame_header(first + 5, kind::DATA, flag(first == message.len()), id));
        self.out.extend_from_slice(&prefix);
        self.out.extend_from_slice(&message[..first]);
        let mut rest = &message[first..];
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(FRAME_BYTES_MAX));
            self.out.extend_from_slice(&frame_header(part.len(), kind::DATA, flag(after.is_empty()), id));
            self.out.extend_from_slice(part);
            rest = after;
        }
        self.send_window -= i64::from(length) + 5;
        self.in_flight += 1;
        let mut head = self.heads.pop().unwrap_or_default();
        head.clear();
        self.calls.push_back(Some(Call {
            token,
            prefix: [0; 5],
            received: 0,
            credit_due: 0,
            head,
            tail: [0; TAIL_BYTES],
            status: None,
            message: None,
        }));
    }

    fn send_waiting(&mut self) {
        while let Some(next) = self.waiting.front() {
            if !self.admits(next.message.len()) {
                return;
            }
            let next = self.waiting.pop_front().expect("seen above");
            self.send(next.path_id, &next.message, next.token);
        }
    }

    /// Gives an answer's buffer back for reuse.
    pub(crate) fn recycle(&mut self, head: Vec<u8>) {
        self.heads.push(head);
    }

    /// Writes what can be written without waiting.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while self.out_at < self.out.len() {
            match self.socket.write(&self.out[self.out_at..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => self.out_at += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.out_at = 0;
        Ok(())
    }

    /// Takes bytes from the server; appends the answers that they complete.
    pub(crate) fn feed(&mut self, received: &[u8], answers: &mut Vec<Answer<T>>) -> io::Result<()> {
        let joined;
        let mut bytes = received;
        if !self.leftover.is_empty() {
            let mut all = std::mem::take(&mut self.leftover);
            all.extend_from_slice(bytes);
            joined = all;
            bytes = &joined;
        }
        loop {
            if let Some((id, length, padding, end)) = self.data.take() {
                let count = length.min(bytes.len());
                let (part, rest) = bytes.split_at(count);
                bytes = rest;
                let content = count.saturating_sub(padding.saturating_sub(length - count));
                self.on_data(id, &part[..content], count);
                if count < length {
                    self.data = Some((id, length - count, padding, end));
                    return Ok(());
                }
                if end {
                    self.end_call(id, answers);
                }
            }
            let Some(header) = bytes.get(..FRAME_HEADER_BYTES) else { break };
            let length = usize::try_from(word(header) >> 8).expect("24 bits");
            let (kind, flags, id) = (header[3], header[4], word(&header[5..]) & 0x7fff_ffff);
            if kind == kind::DATA && flags & PADDED == 0 {
                self.data = Some((id, length, 0, flags & END_STREAM != 0));
                bytes = &bytes[FRAME_HEADER_BYTES..];
                continue;
            }
            let Some(payload) = bytes.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + length) else { break };
            self.on_frame(kind, flags, id, payload, answers)?;
            bytes = &bytes[FRAME_HEADER_BYTES + length..];
        }
        self.leftover.extend_from_slice(bytes);
        Ok(())
    }

    fn on_frame(
        &mut self,
        kind: u8,
        flags: u8,
        id: u32,
        mut payload: &[u8],
        answers: &mut Vec<Answer<T>>,
    ) -> io::Result<()> {
        let mut padding = 0;
        if flags & PADDED != 0 && matches!(kind, kind::DATA | kind::HEADERS) {
            padding = usize::from(*payload.first().ok_or_else(|| broken("empty padded frame"))?);
            payload = &payload[1..];
        }
        match kind {
            kind::DATA => {
                let content = payload.len().checked_sub(padding).ok_or_else(|| broken("padding"))?;
                self.on_data(id, &payload[..content], payload.len() + 1);
                if flags & END_STREAM != 0 {
                    self.end_call(id, answers);
                }
            }
            kind::HEADERS | kind::CONTINUATION => {
                let skip = if kind == kind::HEADERS && flags & PRIORITY != 0 { 5 } else { 0 };
                let end = payload.len().checked_sub(padding).ok_or_else(|| broken("padding"))?;
                let part = payload.get(skip..end).ok_or_else(|| broken("headers cut short"))?;
                self.on_headers(kind, flags, id, part, answers)?;
            }
            kind::RST_STREAM => {
                if let Some(call) = self.call_mut(id) {
                    call.status = Some(STATUS_INTERNAL);
                    call.message = Some(format!("stream reset with code {}", word(payload)));
                    self.end_call(id, answers);
                }
            }
            kind::SETTINGS if flags & ACK == 0 => self.on_settings(payload)?,
            kind::PING if flags & ACK == 0 => self.put_frame(kind::PING, ACK, 0, payload),
            kind::GOAWAY => return Err(broken(&format!("GOAWAY with code {}", word(&payload[4..])))),
            kind::WINDOW_UPDATE if id == 0 => {
                self.send_window += i64::from(word(payload));
                self.send_waiting();
            }
            _ => {}
        }
        Ok(())
    }

    fn on_headers(
        &mut self,
        kind: u8,
        flags: u8,
        id: u32,
        part: &[u8],
        answers: &mut Vec<Answer<T>>,
    ) -> io::Result<()> {
        if kind == kind::HEADERS {
            self.block.clear();
            // The flag of the first frame is remembered in front of the block: CONTINUATION has no END_STREAM.
            self.block.push(flags & END_STREAM);
        }
        self.block.extend_from_slice(part);
        if flags & END_HEADERS == 0 {
            return Ok(());
        }
        let status = self.decoder.decode(&self.block[1..]).map_err(|error| broken(error.0))?;
        let end = self.block[0] != 0;
        let index = usize::try_from(id.wrapping_sub(self.first_id) / 2).expect("31 bits");
        if let Some(Some(call)) = self.calls.get_mut(index) {
            if let Some(grpc) = status.grpc {
                call.status = Some(grpc);
                call.message.clone_from(&status.message);
            }
            if status.http.is_some_and(|code| code != 200) {
                call.status.get_or_insert(STATUS_INTERNAL);
                call.message.get_or_insert_with(|| format!("HTTP status {:?}", status.http));
            }
        }
        if end {
            self.end_call(id, answers);
        }
        Ok(())
    }

    fn on_settings(&mut self, payload: &[u8]) -> io::Result<()> {
        for setting in payload.chunks_exact(6) {
            let value = word(&setting[2..]);
            match setting[1] {
                1 if !self.settings_seen => self.encoder.limit_table(usize::try_from(value).expect("32 bits")),
                3 => self.in_flight_max = usize::try_from(value).expect("32 bits"),
                4 => self.stream_window = i64::from(value),
                _ => {}
            }
        }
        self.settings_seen = true;
        self.put_frame(kind::SETTINGS, ACK, 0, &[]);
        self.send_waiting();
        Ok(())
    }

    fn on_data(&mut self, id: u32, content: &[u8], flow_bytes: usize) {
        let flow_bytes = u32::try_from(flow_bytes).expect("a frame is below 16 MiB");
        self.credit_due += flow_bytes;
        if self.credit_due > self.windows.connection / 2 {
            let credit = std::mem::take(&mut self.credit_due);
            self.put_frame(kind::WINDOW_UPDATE, 0, 0, &credit.to_be_bytes());
        }
        let threshold = self.windows.stream / 2;
        let Some(call) = self.call_mut(id) else { return };
        call.take(content);
        call.credit_due += flow_bytes;
        if call.credit_due > threshold {
            let credit = std::mem::take(&mut call.credit_due);
            self.put_frame(kind::WINDOW_UPDATE, 0, id, &credit.to_be_bytes());
        }
    }

    fn call_mut(&mut self, id: u32) -> Option<&mut Call<T>> {
        let index = usize::try_from(id.wrapping_sub(self.first_id) / 2).expect("31 bits");
        self.calls.get_mut(index)?.as_mut()
    }

    fn end_call(&mut self, id: u32, answers: &mut Vec<Answer<T>>) {
        let index = usize::try_from(id.wrapping_sub(self.first_id) / 2).expect("31 bits");
        let Some(call) = self.calls.get_mut(index).and_then(Option::take) else { return };
        while matches!(self.calls.front(), Some(None)) {
            self.calls.pop_front();
            self.first_id += 2;
        }
        self.in_flight -= 1;
        let promised = u64::from(word(&call.prefix[1..]));
        let length = call.received.saturating_sub(5);
        let mut status = call.status.unwrap_or(STATUS_INTERNAL);
        let mut message = call.message;
        if status == 0 && (call.received < 5 || length != promised) {
            status = STATUS_INTERNAL;
            message = Some(format!("message of {length} bytes where {promised} were promised"));
        }
        answers.push(Answer { token: call.token, status, message, length, head: call.head, tail: call.tail });
        self.send_waiting();
    }

    fn put_frame(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        self.out.extend_from_slice(&frame_header(payload.len(), kind, flags, id));
        self.out.extend_from_slice(payload);
    }
}

impl<T> Call<T> {
    fn take(&mut self, mut content: &[u8]) {
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

fn frame_header(length: usize, kind: u8, flags: u8, id: u32) -> [u8; FRAME_HEADER_BYTES] {
    let length = u32::try_from(length).expect("a frame is below 16 MiB").to_be_bytes();
    let id = id.to_be_bytes();
    [length[1], length[2], length[3], kind, flags, id[0], id[1], id[2], id[3]]
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
