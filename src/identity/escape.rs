//! Percent-escapes in the parts of a URL, as Go reads and writes them.
//!
//! Invariants
//! - `unescape(escape(bytes))` gives `bytes` back, for every place but a host with ASCII escapes, which is refused.

use crate::gotext::quote;

/// The part of a URL that a text stands in; each lets other characters through.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Host name, brackets and port included.
    Host,
    /// The zone of an IPv6 address.
    Zone,
    /// User name or password.
    User,
    /// Path.
    Path,
    /// What follows `#`.
    Fragment,
}

/// Whether `byte` has to be escaped in `place`.
fn must_escape(byte: u8, place: Place) -> bool {
    let always_plain = byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let plain: &[u8] = match place {
        Place::Host | Place::Zone => b"!$&'()*+,;=:[]<>\"",
        Place::User => b"$&+,;=",
        Place::Path => b"$&+,/:;=@",
        Place::Fragment => b"$&+,/:;=?@!()*",
    };
    !always_plain && !plain.contains(&byte)
}

/// `bytes` with everything escaped that has to be.
pub(super) fn escape(bytes: &[u8], place: Place) -> String {
    let mut out = String::with_capacity(bytes.len());
    for &byte in bytes {
        if must_escape(byte, place) {
            out.push('%');
            out.push(hex_digit(byte >> 4));
            out.push(hex_digit(byte & 15));
        } else {
            out.push(char::from(byte));
        }
    }
    out
}

/// `raw` as written if that is a valid way to write `bytes`, else `bytes` escaped: a URL keeps its author's spelling.
pub(super) fn escape_as_written(bytes: &[u8], raw: &str, place: Place) -> String {
    let allowed = |byte: u8| b"!$&'()*+,;=:@[]%".contains(&byte) || !must_escape(byte, place);
    if raw.bytes().all(allowed) { raw.to_owned() } else { escape(bytes, place) }
}

/// The bytes that `text` stands for.
pub(super) fn unescape(text: &str, place: Place) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(symbol) = rest.chars().next() {
        if symbol == '%' {
            out.push(read_escape(rest, place)?);
            assert!(rest.len() >= 3, "an escape was read");
            rest = &rest[3..];
            continue;
        }
        if matches!(place, Place::Host | Place::Zone)
            && u8::try_from(symbol).is_ok_and(|byte| byte < 0x80 && must_escape(byte, place))
        {
            return Err(format!("invalid character {} in host name", quote(symbol.encode_utf8(&mut [0; 4]))));
        }
        let (taken, after) = rest.split_at(symbol.len_utf8());
        out.extend_from_slice(taken.as_bytes());
        rest = after;
    }
    Ok(out)
}

/// The byte of the escape that `text` begins with.
fn read_escape(text: &str, place: Place) -> Result<u8, String> {
    let shown_end =
        text.char_indices().map(|(at, symbol)| at + symbol.len_utf8()).take_while(|end| *end <= 3).last().unwrap_or(0);
    let refuse = || format!("invalid URL escape {}", quote(&text[..shown_end]));
    let [b'%', high, low, ..] = text.as_bytes() else { return Err(refuse()) };
    let value = hex_value(*high).zip(hex_value(*low)).map(|(high, low)| high << 4 | low).ok_or_else(refuse)?;
    // In a host only bytes beyond ASCII may be escaped; in a zone only what might as well stand there unescaped.
    let refused = match place {
        Place::Host => value < 0x80 && value != b'%',
        Place::Zone => value != b'%' && value != b' ' && must_escape(value, Place::Host),
        Place::User | Place::Path | Place::Fragment => false,
    };
    if refused { Err(refuse()) } else { Ok(value) }
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn hex_digit(value: u8) -> char {
    assert!(value < 16, "half a byte, not {value}");
    char::from(b"0123456789ABCDEF"[usize::from(value)])
}
