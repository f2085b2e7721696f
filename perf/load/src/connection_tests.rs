//! Frames as a server may cut them: at any byte, padded, with continued headers.

use super::*;
use std::io::Write;
use std::net::TcpListener;

const PATHS: &[&str] = &["/a"];
const WINDOWS: Windows = Windows { connection: 200, stream: 100 };

/// A connection whose peer has sent its settings and stays silent.
fn connected(settings: &[u8]) -> (Connection<u32>, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut peer = listener.accept().unwrap().0;
    peer.write_all(&frame_header(settings.len(), kind::SETTINGS, 0, 0)).unwrap();
    peer.write_all(settings).unwrap();
    (Connection::open(socket, "h", PATHS, WINDOWS).unwrap(), peer)
}

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, id: u32, payload: &[u8]) {
    out.extend_from_slice(&frame_header(payload.len(), kind, flags, id));
    out.extend_from_slice(payload);
}

/// An answer of 300 bytes in padded and plain DATA, and trailers in two parts.
fn answer(id: u32) -> Vec<u8> {
    let body: Vec<u8> = (0..=u8::MAX).chain(0..44).collect();
    let mut message = vec![0, 0, 0, 1, 44];
    message.extend_from_slice(&body);
    let mut bytes = Vec::new();
    frame(&mut bytes, kind::HEADERS, END_HEADERS, id, &[0x88]);
    let mut padded = vec![3];
    padded.extend_from_slice(&message[..7]);
    padded.extend_from_slice(&[0; 3]);
    frame(&mut bytes, kind::DATA, PADDED, id, &padded);
    frame(&mut bytes, kind::PING, 0, 0, &[9; 8]);
    frame(&mut bytes, kind::DATA, 0, id, &message[7..]);
    let trailers = b"\x00\x0bgrpc-status\x010";
    frame(&mut bytes, kind::HEADERS, END_STREAM, id, &trailers[..6]);
    frame(&mut bytes, kind::CONTINUATION, END_HEADERS, id, &trailers[6..]);
    bytes
}

#[test]
fn answers_may_be_cut_anywhere() {
    let (mut connection, _peer) = connected(&[]);
    let bytes = answer(1);
    for cut in 0..bytes.len() {
        let id = connection.next_id;
        connection.call(0, b"x", 7);
        let bytes = answer(id);
        let mut answers = Vec::new();
        connection.feed(&bytes[..cut], &mut answers).unwrap();
        assert!(answers.is_empty());
        connection.feed(&bytes[cut..], &mut answers).unwrap();
        let answer = answers.pop().unwrap();
        assert_eq!((answer.token, answer.status, answer.length, answers.len()), (7, 0, 300, 0), "{:?}", answer.message);
        assert_eq!(answer.head[..3], [0, 1, 2]);
        assert_eq!(answer.tail[TAIL_BYTES - 2..], [42, 43]);
        assert_eq!((connection.in_flight, connection.calls.len()), (0, 0));
        connection.out.clear();
    }
}

#[test]
fn a_message_cut_short_is_an_error() {
    let (mut connection, _peer) = connected(&[]);
    connection.call(0, b"x", 7);
    let mut bytes = Vec::new();
    frame(&mut bytes, kind::DATA, 0, 1, &[0, 0, 0, 0, 2, 1]);
    frame(&mut bytes, kind::HEADERS, END_STREAM | END_HEADERS, 1, b"\x00\x0bgrpc-status\x010");
    let mut answers = Vec::new();
    connection.feed(&bytes, &mut answers).unwrap();
    assert_eq!(answers[0].status, STATUS_INTERNAL);
}

#[test]
fn streams_beyond_the_servers_limit_wait() {
    let (mut connection, _peer) = connected(&[0, 3, 0, 0, 0, 1]);
    connection.call(0, b"x", 1);
    connection.call(0, b"y", 2);
    assert_eq!((connection.in_flight, connection.waiting.len()), (1, 1));
    let mut answers = Vec::new();
    connection.feed(&answer(1), &mut answers).unwrap();
    assert_eq!((connection.in_flight, connection.waiting.len()), (1, 0));
    connection.feed(&answer(3), &mut answers).unwrap();
    assert_eq!(answers.iter().map(|answer| answer.token).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn a_small_send_window_holds_requests_back() {
    let (mut connection, _peer) = connected(&[]);
    for token in 0..5 {
        connection.call(0, &[0; 20_000], token);
    }
    assert_eq!((connection.in_flight, connection.waiting.len()), (3, 2));
    let mut update = Vec::new();
    frame(&mut update, kind::WINDOW_UPDATE, 0, 0, &40_000u32.to_be_bytes());
    connection.feed(&update, &mut Vec::new()).unwrap();
    assert_eq!((connection.in_flight, connection.waiting.len()), (5, 0));
}

#[test]
fn an_open_stream_sends_as_its_windows_grow_and_receives_message_by_message() {
    let (mut connection, _peer) = connected(&[0, 4, 0, 0, 0, 10]);
    let id = connection.open_stream(0, 7).unwrap();
    connection.out.clear();
    connection.give(id, b"0123456789");
    assert_eq!(connection.out.len(), FRAME_HEADER_BYTES + 10);
    let (mut bytes, mut answers) = (Vec::new(), Vec::new());
    frame(&mut bytes, kind::WINDOW_UPDATE, 0, id, &2u32.to_be_bytes());
    frame(&mut bytes, kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 13]);
    frame(&mut bytes, kind::HEADERS, END_HEADERS, id, &[0x88]);
    frame(&mut bytes, kind::DATA, 0, id, &[0, 0, 0, 0, 1, 5, 0, 0, 0]);
    frame(&mut bytes, kind::DATA, 0, id, &[0, 1, 6]);
    connection.feed(&bytes, &mut answers).unwrap();
    assert_eq!(connection.out[connection.out.len() - 3..], *b"789");
    assert_eq!(connection.inbox.messages().collect::<Vec<_>>(), [(id, &[5][..]), (id, &[6])]);
    assert!(answers.is_empty());
    frame(&mut bytes, kind::RST_STREAM, 0, id, &[0, 0, 0, 2]);
    connection.feed(&bytes[bytes.len() - 13..], &mut answers).unwrap();
    assert_eq!((answers[0].token, answers[0].status), (7, STATUS_INTERNAL));
}
