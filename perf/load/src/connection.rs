//! One HTTP/2 connection of a gRPC client: frames out of and into byte buffers; unary calls, and streams that stay open.
//!
//! Invariants
//! - A call is put on the wire whole, or waits in `waiting` until the server's windows and stream limit admit it.
//! - `calls[i]` belongs to stream `first_id + 2 i`; the front is never an ended call.
//! - What the server sends is credited back when half of a window is used, as client libraries do.
//!
//! It must not know what is measured, nor read the clock.

use crate::call::{Call, TAIL_BYTES};
use crate::frame::{
    ACK, END_HEADERS, END_STREAM, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, PADDED, PRIORITY, WINDOW_DEFAULT, broken,
    frame_header, kind, message_prefix, word,
};
use crate::hpack::{Decoder, Encoder};
use crate::socket::Socket;
use crate::stream::{Inbox, Stream};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
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
pub(crate) struct Connection<T, S = TcpStream> {
    pub(crate) socket: S,
    /// Messages that have arrived on open streams; whoever feeds the connection empties it.
    pub(crate) inbox: Inbox,
    /// Streams that are open.
    open: usize,
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

impl<T, S: Socket> Connection<T, S> {
    /// Takes a connected socket, says hello and waits for the server's settings; non-blocking afterwards.
    pub(crate) fn open(
        socket: S,
        authority: &str,
        paths: &'static [&'static str],
        windows: Windows,
    ) -> io::Result<Self> {
        socket.tcp().set_nodelay(true)?;
        let mut connection = Self {
            socket,
            inbox: Inbox::default(),
            open: 0,
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
        self.socket.tcp().set_nonblocking(true)?;
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

    /// Opens a stream, which must be within the server's limit, and returns its number; `give` is how messages go out on it.
    pub(crate) fn open_stream(&mut self, path_id: usize, token: T) -> io::Result<u32> {
        if self.in_flight >= self.in_flight_max {
            return Err(broken("the server does not admit so many streams"));
        }
        self.open += 1;
        Ok(self.start_call(path_id, token, Some(Box::new(Stream::new(self.stream_window)))))
    }

    /// Sends a message on an open stream once the windows admit it; `flush` puts it on the wire. An ended stream takes nothing.
    pub(crate) fn give(&mut self, id: u32, message: &[u8]) {
        if let Some(stream) = self.call_mut(id).and_then(|call| call.stream.as_mut()) {
            stream.give(message);
        }
        self.pump(id);
    }

    fn pump(&mut self, id: u32) {
        let index = self.index(id);
        let Some(Some(call)) = self.calls.get_mut(index) else { return };
        if let Some(stream) = call.stream.as_mut() {
            stream.pump(id, &mut self.send_window, &mut self.out);
        }
    }

    fn pump_all(&mut self) {
        if self.open > 0 {
            for id in (self.first_id..self.next_id).step_by(2) {
                self.pump(id);
            }
        }
    }

    /// Sends the headers of a call.
    fn start_call(&mut self, path_id: usize, token: T, stream: Option<Box<Stream>>) -> u32 {
        let id = self.next_id;
        self.next_id += 2;
        let header_at = self.out.len();
        self.out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        self.encoder.encode(path_id, self.paths[path_id], &mut self.out);
        let block_length = self.out.len() - header_at - FRAME_HEADER_BYTES;
        assert!(block_length <= FRAME_BYTES_MAX, "request headers are short");
        let header = frame_header(block_length, kind::HEADERS, END_HEADERS, id);
        self.out[header_at..header_at + FRAME_HEADER_BYTES].copy_from_slice(&header);
        self.in_flight += 1;
        let head = self.heads.pop().unwrap_or_default();
        self.calls.push_back(Some(Call::new(token, head, stream)));
        id
    }

    fn send(&mut self, path_id: usize, message: &[u8], token: T) {
        let id = self.start_call(path_id, token, None);
        let first = message.len().min(FRAME_BYTES_MAX - 5);
        let flag = |last: bool| if last { END_STREAM } else { 0 };
        self.out.extend_from_slice(&frame_header(first + 5, kind::DATA, flag(first == message.len()), id));
        self.out.extend_from_slice(&message_prefix(message.len()));
        self.out.extend_from_slice(&message[..first]);
        let mut rest = &message[first..];
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(FRAME_BYTES_MAX));
            self.out.extend_from_slice(&frame_header(part.len(), kind::DATA, flag(after.is_empty()), id));
            self.out.extend_from_slice(part);
            rest = after;
        }
        self.send_window -= i64::try_from(message.len() + 5).expect("a message fits");
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
                self.pump_all();
            }
            kind::WINDOW_UPDATE => {
                if let Some(stream) = self.call_mut(id).and_then(|call| call.stream.as_mut()) {
                    stream.window += i64::from(word(payload));
                    self.pump(id);
                }
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
        let index = self.index(id);
        let status = self.decoder.decode(&self.block[1..]).map_err(|error| broken(error.0))?;
        let end = self.block[0] != 0;
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
                4 => {
                    let more = i64::from(value) - self.stream_window;
                    self.stream_window = i64::from(value);
                    let streams = self.calls.iter_mut().flatten().filter_map(|call| call.stream.as_mut());
                    streams.for_each(|stream| stream.window += more);
                }
                _ => {}
            }
        }
        self.settings_seen = true;
        self.put_frame(kind::SETTINGS, ACK, 0, &[]);
        self.send_waiting();
        self.pump_all();
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
        let index = self.index(id);
        let Some(Some(call)) = self.calls.get_mut(index) else { return };
        match call.stream.as_mut() {
            Some(stream) => stream.take(id, content, &mut self.inbox),
            None => call.take(content),
        }
        call.credit_due += flow_bytes;
        if call.credit_due > threshold {
            let credit = std::mem::take(&mut call.credit_due);
            self.put_frame(kind::WINDOW_UPDATE, 0, id, &credit.to_be_bytes());
        }
    }

    fn index(&self, id: u32) -> usize {
        usize::try_from(id.wrapping_sub(self.first_id) / 2).expect("31 bits")
    }

    fn call_mut(&mut self, id: u32) -> Option<&mut Call<T>> {
        let index = self.index(id);
        self.calls.get_mut(index)?.as_mut()
    }

    fn end_call(&mut self, id: u32, answers: &mut Vec<Answer<T>>) {
        let index = self.index(id);
        let Some(call) = self.calls.get_mut(index).and_then(Option::take) else { return };
        while matches!(self.calls.front(), Some(None)) {
            self.calls.pop_front();
            self.first_id += 2;
        }
        self.in_flight -= 1;
        self.open -= usize::from(call.stream.is_some());
        let promised = u64::from(word(&call.prefix[1..]));
        let length = call.received.saturating_sub(5);
        let mut status = call.status.unwrap_or(STATUS_INTERNAL);
        let mut message = call.message;
        if status == 0 && call.stream.is_none() && (call.received < 5 || length != promised) {
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

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
