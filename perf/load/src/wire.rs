//! The few protobuf messages of etcd's KV service that the works send and read, encoded by hand.
//!
//! Invariants
//! - Fields are written in ascending order, as every generated encoder writes them.
//! - Reading tolerates a message that is cut short: only the head of an answer is kept.

/// A cursor over the head of a message.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A field's value; fixed-width fields occur nowhere in these messages.
pub(crate) enum Value<'a> {
    Varint(u64),
    /// The part of the bytes that is there.
    Bytes(&'a [u8]),
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next field's number and value; none at the end or at anything that is not understood.
    pub(crate) fn next(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let end = self.at.saturating_add(length).min(self.bytes.len());
                let part = &self.bytes[self.at..end];
                self.at = end;
                Value::Bytes(part)
            }
            _ => return None,
        };
        Some((tag >> 3, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                return Some(value);
            }
        }
        None
    }
}

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 128 {
        out.push(u8::try_from(value & 127).expect("7 bits") | 128);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("7 bits"));
}

fn put_bytes(out: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    out.push(field << 3 | 2);
    put_varint(out, u64::try_from(bytes.len()).expect("usize is 64 bits"));
    out.extend_from_slice(bytes);
}

fn put_number(out: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        out.push(field << 3);
        put_varint(out, value);
    }
}

/// PutRequest.
pub(crate) fn put(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    put_bytes(out, 1, key);
    put_bytes(out, 2, value);
}

/// What a RangeRequest asks for beside its key.
#[derive(Default)]
pub(crate) struct Range<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) range_end: &'a [u8],
    pub(crate) limit: u64,
    pub(crate) serializable: bool,
    pub(crate) count_only: bool,
}

impl Range<'_> {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, 1, self.key);
        if !self.range_end.is_empty() {
            put_bytes(out, 2, self.range_end);
        }
        put_number(out, 3, self.limit);
        put_number(out, 7, u64::from(self.serializable));
        put_number(out, 9, u64::from(self.count_only));
    }
}

/// TxnRequest: if the key's mod revision is `mod_revision`, put the value.
pub(crate) fn guarded_put(out: &mut Vec<u8>, key: &[u8], mod_revision: u64, value: &[u8]) {
    let mut compare = Vec::with_capacity(64);
    put_number(&mut compare, 2, 2); // target MOD; result EQUAL is 0
    put_bytes(&mut compare, 3, key);
    put_number(&mut compare, 6, mod_revision);
    put_bytes(out, 1, &compare);
    let mut request = Vec::with_capacity(value.len() + 64);
    put(&mut request, key, value);
    let mut operation = Vec::with_capacity(value.len() + 64);
    put_bytes(&mut operation, 2, &request);
    put_bytes(out, 2, &operation);
}

/// CompactionRequest.
pub(crate) fn compaction(out: &mut Vec<u8>, revision: u64) {
    put_number(out, 1, revision);
}

/// Revision in the header of any answer.
pub(crate) fn header_revision(head: &[u8]) -> Option<u64> {
    let Some((1, Value::Bytes(header))) = Reader::new(head).next() else { return None };
    let mut header = Reader::new(header);
    loop {
        if let (3, Value::Varint(revision)) = header.next()? {
            return Some(revision);
        }
    }
}

/// The tail of a RangeResponse with this `more` and `count`.
pub(crate) fn range_tail(more: bool, count: u64) -> Vec<u8> {
    let mut tail = Vec::new();
    put_number(&mut tail, 3, u64::from(more));
    put_number(&mut tail, 4, count);
    tail
}

/// Mod revision of the first pair of a RangeResponse.
pub(crate) fn first_mod_revision(head: &[u8]) -> Option<u64> {
    let mut response = Reader::new(head);
    loop {
        if let (2, Value::Bytes(pair)) = response.next()? {
            let mut pair = Reader::new(pair);
            loop {
                if let (3, Value::Varint(revision)) = pair.next()? {
                    return Some(revision);
                }
            }
        }
    }
}

/// Whether a TxnResponse says `succeeded`.
pub(crate) fn txn_succeeded(head: &[u8]) -> bool {
    let mut response = Reader::new(head);
    while let Some((field, value)) = response.next() {
        if let (2, Value::Varint(succeeded)) = (field, value) {
            return succeeded == 1;
        }
    }
    false
}

/// The end of the range of all keys that begin with `prefix`, whose last byte is not 0xff.
pub(crate) fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    *end.last_mut().expect("a prefix is never empty") += 1;
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_although_cut_short() {
        let mut pair = Vec::new();
        put_bytes(&mut pair, 1, b"key");
        put_number(&mut pair, 2, 300);
        put_number(&mut pair, 3, 70_000);
        put_bytes(&mut pair, 5, &[7; 100]);
        let mut response = Vec::new();
        put_bytes(&mut response, 1, &[0x18, 5]);
        put_bytes(&mut response, 2, &pair);
        assert_eq!(header_revision(&response), Some(5));
        assert_eq!(first_mod_revision(&response), Some(70_000));
        assert_eq!(first_mod_revision(&response[..40]), Some(70_000));
        assert_eq!(first_mod_revision(&response[..12]), None);
        assert!(!txn_succeeded(&response));
        assert!(txn_succeeded(&[0x0a, 2, 0x18, 5, 0x10, 1]));
        assert!(!txn_succeeded(&[0x0a, 2, 0x18, 5, 0x1a, 0]));
    }
}
