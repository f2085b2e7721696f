//! HPACK (RFC 7541) as far as a gRPC client needs it: request blocks remembered per method, answers read for their status.
//!
//! Invariants
//! - `Encoder` inserts each header once per connection, as grpc-go does, so that the server sees blocks of a few indexed bytes.
//! - `Decoder` keeps the whole dynamic table: every block is read, or found in a memo that no insertion has made stale.
//!
//! It must not know frames or sockets.

use std::collections::VecDeque;

/// The dynamic table that both ends start with, and the one that this client keeps.
pub(crate) const TABLE_BYTES: usize = 4096;
/// What RFC 7541 adds to each entry's length.
const ENTRY_OVERHEAD: usize = 32;
/// A server that allows less than this gets literals only.
const TABLE_BYTES_USEFUL: usize = 1024;
/// Number of entries in the static table.
const STATIC_COUNT: usize = 61;
const MEMO_MAX: usize = 8;

/// A name and a value to be sent: the static index of the name (0: none), the name, the value.
struct Field<'a> {
    name_index: u8,
    name: &'a str,
    value: &'a str,
}

/// Builds request blocks.
pub(crate) struct Encoder {
    authority: String,
    indexing: bool,
    size_update: Option<usize>,
    inserted: usize,
    /// Insertion number of `:authority`; the other three common headers follow it.
    common: Option<usize>,
    paths: Vec<PathState>,
}

#[derive(Default)]
struct PathState {
    inserted: Option<usize>,
    /// The block and the number of insertions that it is valid for.
    cached: Option<(usize, Vec<u8>)>,
}

impl Encoder {
    /// An encoder for one connection; `path_count` is the number of methods that will be called.
    pub(crate) fn new(authority: &str, path_count: usize) -> Self {
        Self {
            authority: authority.to_owned(),
            indexing: true,
            size_update: None,
            inserted: 0,
            common: None,
            paths: (0..path_count).map(|_| PathState::default()).collect(),
        }
    }

    /// The server's SETTINGS_HEADER_TABLE_SIZE, before the first request.
    pub(crate) fn limit_table(&mut self, bytes: usize) {
        assert!(self.inserted == 0, "the table is limited before it is used");
        if bytes < TABLE_BYTES {
            self.size_update = Some(bytes);
            self.indexing = bytes >= TABLE_BYTES_USEFUL;
        }
    }

    /// Appends the header block of a call of method `path_id`, whose `:path` is `path`.
    pub(crate) fn encode(&mut self, path_id: usize, path: &str, out: &mut Vec<u8>) {
        if let Some((version, block)) = &self.paths[path_id].cached
            && *version == self.inserted
        {
            out.extend_from_slice(block);
            return;
        }
        let start = out.len();
        if let Some(bytes) = self.size_update.take() {
            put_integer(out, 0x20, 5, bytes);
        }
        out.extend_from_slice(&[0x83, 0x86]); // :method POST, :scheme http
        let known = self.paths[path_id].inserted;
        let path_inserted = self.field(known, &Field { name_index: 4, name: "", value: path }, out);
        self.paths[path_id].inserted = path_inserted;
        let authority = std::mem::take(&mut self.authority);
        let fields = [
            Field { name_index: 1, name: "", value: &authority },
            Field { name_index: 31, name: "", value: "application/grpc" },
            Field { name_index: 58, name: "", value: "ringbolt-load/0.1" },
            Field { name_index: 0, name: "te", value: "trailers" },
        ];
        let common = self.common;
        for (offset, field) in fields.iter().enumerate() {
            let inserted = self.field(common.map(|first| first + offset), field, out);
            if offset == 0 {
                self.common = inserted;
            }
        }
        self.authority = authority;
        // A block that inserts is good once; the next one of this method is the indexed form, which is good until another insertion.
        if known.is_some() && common.is_some() || !self.indexing {
            self.paths[path_id].cached = Some((self.inserted, out[start..].to_vec()));
        }
    }

    /// Writes one field and returns its insertion number, if it is in the table afterwards.
    fn field(&mut self, known: Option<usize>, field: &Field<'_>, out: &mut Vec<u8>) -> Option<usize> {
        if let Some(number) = known {
            put_integer(out, 0x80, 7, STATIC_COUNT + self.inserted - number);
            return known;
        }
        let (pattern, prefix) = if self.indexing { (0x40, 6) } else { (0x00, 4) };
        put_integer(out, pattern, prefix, usize::from(field.name_index));
        if field.name_index == 0 {
            put_string(out, field.name);
        }
        put_string(out, field.value);
        if !self.indexing {
            return None;
        }
        self.inserted += 1;
        Some(self.inserted - 1)
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    put_integer(out, 0x00, 7, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn put_integer(out: &mut Vec<u8>, pattern: u8, prefix_bits: u32, value: usize) {
    let limit = (1usize << prefix_bits) - 1;
    let low = |value: usize| u8::try_from(value).expect("masked to a byte");
    if value < limit {
        out.push(pattern | low(value));
        return;
    }
    out.push(pattern | low(limit));
    let mut rest = value - limit;
    while rest >= 128 {
        out.push(low(rest & 127) | 128);
        rest >>= 7;
    }
    out.push(low(rest));
}

/// What matters in an answer's header block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Status {
    /// `:status`, in a block that has it.
    pub(crate) http: Option<u32>,
    /// `grpc-status`, in a block that has it.
    pub(crate) grpc: Option<u32>,
    /// `grpc-message`, when it is not empty.
    pub(crate) message: Option<String>,
}

/// Reads header blocks of one connection.
pub(crate) struct Decoder {
    table: VecDeque<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
    bytes_max: usize,
    /// Blocks of indexed fields alone, good until the table changes.
    memo: Vec<(Vec<u8>, Status)>,
    last: Status,
}

/// A header block that breaks RFC 7541.
#[derive(Debug)]
pub(crate) struct Malformed(pub &'static str);

impl Decoder {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self { table: VecDeque::new(), bytes: 0, bytes_max: TABLE_BYTES, memo: Vec::new(), last: Status::default() }
    }

    /// Reads one block.
    pub(crate) fn decode(&mut self, block: &[u8]) -> Result<&Status, Malformed> {
        if let Some(at) = self.memo.iter().position(|(known, _)| known == block) {
            return Ok(&self.memo[at].1);
        }
        let mut status = Status::default();
        let mut at = 0;
        let mut pure = true; // only indexed fields: worth remembering
        while at < block.len() {
            pure &= self.field(block, &mut at, &mut status)?;
        }
        if !pure || self.memo.len() >= MEMO_MAX {
            self.memo.clear();
        }
        if pure {
            self.memo.push((block.to_vec(), status.clone()));
        }
        self.last = status;
        Ok(&self.last)
    }

    /// Reads one field; true when it left the table as it was and may be remembered.
    fn field(&mut self, block: &[u8], at: &mut usize, status: &mut Status) -> Result<bool, Malformed> {
        let first = block[*at];
        if first & 0x80 != 0 {
            let index = integer(block, at, 7)?;
            let (name, value) = self.lookup(index)?;
            status.note(&name, &value);
            return Ok(true);
        }
        if first & 0xe0 == 0x20 {
            self.bytes_max = integer(block, at, 5)?;
            if self.bytes_max > TABLE_BYTES {
                return Err(Malformed("table larger than allowed"));
            }
            self.evict(0);
            return Ok(false);
        }
        let insert = first & 0xc0 == 0x40;
        let index = integer(block, at, if insert { 6 } else { 4 })?;
        let name = if index == 0 { string(block, at)? } else { self.lookup(index)?.0 };
        let value = string(block, at)?;
        status.note(&name, &value);
        if insert {
            let bytes = name.len() + value.len() + ENTRY_OVERHEAD;
            self.evict(bytes);
            if bytes <= self.bytes_max {
                self.bytes += bytes;
                self.table.push_front((name, value));
            }
        }
        Ok(false)
    }

    fn evict(&mut self, incoming: usize) {
        while self.bytes + incoming > self.bytes_max {
            let Some((name, value)) = self.table.pop_back() else { return };
            self.bytes -= name.len() + value.len() + ENTRY_OVERHEAD;
        }
    }

    fn lookup(&self, index: usize) -> Result<(Vec<u8>, Vec<u8>), Malformed> {
        if index == 0 {
            return Err(Malformed("index 0"));
        }
        if let Some(name) = STATIC_NAMES.get(index - 1) {
            let value = match index {
                8..=14 => ["200", "204", "206", "304", "400", "404", "500"][index - 8],
                _ => "", // values of request fields: no answer refers to them by index
            };
            return Ok((name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        }
        self.table.get(index - 1 - STATIC_COUNT).cloned().ok_or(Malformed("index beyond the table"))
    }
}

impl Status {
    fn note(&mut self, name: &[u8], value: &[u8]) {
        let text = || String::from_utf8_lossy(value);
        match name {
            b":status" => self.http = text().parse().ok(),
            b"grpc-status" => self.grpc = text().parse().ok(),
            b"grpc-message" if !value.is_empty() => self.message = Some(text().into_owned()),
            _ => {}
        }
    }
}

fn integer(block: &[u8], at: &mut usize, prefix_bits: u32) -> Result<usize, Malformed> {
    let limit = (1usize << prefix_bits) - 1;
    let mut value = usize::from(*block.get(*at).ok_or(Malformed("cut short"))?) & limit;
    *at += 1;
    if value < limit {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = usize::from(*block.get(*at).ok_or(Malformed("cut short"))?);
        *at += 1;
        value += (byte & 127) << shift;
        if byte < 128 {
            return Ok(value);
        }
    }
    Err(Malformed("integer too large"))
}

fn string(block: &[u8], at: &mut usize) -> Result<Vec<u8>, Malformed> {
    let huffman = block.get(*at).ok_or(Malformed("cut short"))? & 0x80 != 0;
    let length = integer(block, at, 7)?;
    let raw = block.get(*at..*at + length).ok_or(Malformed("string cut short"))?;
    *at += length;
    if huffman { huffman_decode(raw) } else { Ok(raw.to_vec()) }
}

/// Decodes by the canonical rule: within one length, codes count up in the order of the symbols. Slow and rare: see the memo.
fn huffman_decode(raw: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::new();
    let (mut code, mut length) = (0u32, 0u8);
    for bit in raw.iter().flat_map(|byte| (0..8).rev().map(move |shift| u32::from(byte >> shift & 1))) {
        code = code << 1 | bit;
        length += 1;
        if let Some(symbol) = huffman_symbol(code, length) {
            out.push(symbol);
            (code, length) = (0, 0);
        } else if length > 30 {
            return Err(Malformed("no such Huffman code"));
        }
    }
    let padding = length < 8 && code == (1 << length) - 1;
    if padding { Ok(out) } else { Err(Malformed("Huffman padding")) }
}

fn huffman_symbol(code: u32, length: u8) -> Option<u8> {
    let mut first = 0u32; // the first code of the length looked at
    for bits in 1..=length {
        first <<= 1;
        let count = HUFFMAN_LENGTHS.iter().filter(|known| **known == bits).count();
        let count = u32::try_from(count).expect("at most 256 symbols");
        if bits == length {
            let rank = usize::try_from(code.checked_sub(first)?).expect("32 bits fit");
            let symbol = HUFFMAN_LENGTHS.iter().enumerate().filter(|(_, known)| **known == bits).nth(rank)?.0;
            return u8::try_from(symbol).ok();
        }
        first += count;
    }
    None
}

/// Length in bits of each symbol's code (RFC 7541, appendix B); the codes follow from the lengths.
#[rustfmt::skip]
const HUFFMAN_LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// Names of the static table (RFC 7541, appendix A).
#[rustfmt::skip]
const STATIC_NAMES: [&str; STATIC_COUNT] = [
    ":authority", ":method", ":method", ":path", ":path", ":scheme",
    ":scheme", ":status", ":status", ":status", ":status", ":status",
    ":status", ":status", "accept-charset", "accept-encoding", "accept-language", "accept-ranges",
    "accept", "access-control-allow-origin", "age", "allow", "authorization", "cache-control",
    "content-disposition", "content-encoding", "content-language", "content-length", "content-location", "content-range",
    "content-type", "cookie", "date", "etag", "expect", "expires",
    "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range",
    "if-unmodified-since", "last-modified", "link", "location", "max-forwards", "proxy-authenticate",
    "proxy-authorization", "range", "referer", "refresh", "retry-after", "server",
    "set-cookie", "strict-transport-security", "transfer-encoding", "user-agent", "vary", "via",
    "www-authenticate",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huffman_example_of_the_rfc() {
        let raw = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(huffman_decode(&raw).unwrap(), b"www.example.com");
    }

    #[test]
    fn an_answer_with_insertions_and_its_indexed_repetition() {
        let mut decoder = Decoder::new();
        let mut block = Vec::new();
        for (name, value) in [("grpc-status", "5"), ("grpc-message", "gone")] {
            block.push(0x40);
            put_string(&mut block, name);
            put_string(&mut block, value);
        }
        let expected = Status { http: None, grpc: Some(5), message: Some("gone".to_owned()) };
        assert_eq!(*decoder.decode(&block).unwrap(), expected);
        assert_eq!(*decoder.decode(&[0xbf, 0xbe]).unwrap(), expected);
        assert_eq!(*decoder.decode(&[0xbf, 0xbe]).unwrap(), expected);
        // An insertion moves the indices: the memo must not answer any more.
        decoder.decode(&[0x40, 1, b'x', 1, b'y']).unwrap();
        assert_eq!(decoder.decode(&[0xbf]).unwrap().grpc, None);
        assert_eq!(*decoder.decode(&[0xc0, 0xbf]).unwrap(), expected);
    }

    #[test]
    fn second_request_is_all_indexed() {
        let mut encoder = Encoder::new("h:1", 2);
        let mut decoder = Decoder::new();
        let mut block = Vec::new();
        for (path_id, path, bytes_max) in
            [(0, "/a", 99), (0, "/a", 7), (0, "/a", 7), (1, "/b", 12), (0, "/a", 7), (1, "/b", 7)]
        {
            block.clear();
            encoder.encode(path_id, path, &mut block);
            assert!(block.len() <= bytes_max, "{block:?}");
            decoder.decode(&block).unwrap();
            assert_eq!(decoder.table.len(), encoder.inserted);
            if block.len() == 7 {
                let seen = decoder.lookup(usize::from(block[2] & 127)).unwrap();
                assert_eq!(seen, (b":path".to_vec(), path.as_bytes().to_vec()));
            }
        }
    }
}
