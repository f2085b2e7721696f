//! The few protobuf messages of etcd's services that the works send and read, encoded by hand.
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

/// WatchRequest that creates a watch from now on; the server numbers it.
pub(crate) fn watch_create(out: &mut Vec<u8>, key: &[u8], range_end: &[u8]) {
    let mut create = Vec::with_capacity(key.len() + range_end.len() + 8);
    put_bytes(&mut create, 1, key);
    if !range_end.is_empty() {
        put_bytes(&mut create, 2, range_end);
    }
    put_bytes(out, 1, &create);
}

/// What stands in a WatchResponse beside its events.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct WatchAnswer {
    pub(crate) revision: u64,
    pub(crate) watch_id: u64,
    pub(crate) created: bool,
    pub(crate) canceled: bool,
    pub(crate) fragment: bool,
}

/// Reads a WatchResponse without its events.
pub(crate) fn watch_answer(message: &[u8]) -> WatchAnswer {
    let mut answer = WatchAnswer { revision: header_revision(message).unwrap_or(0), ..WatchAnswer::default() };
    let mut fields = Reader::new(message);
    while let Some((field, value)) = fields.next() {
        match (field, value) {
            (2, Value::Varint(id)) => answer.watch_id = id,
            (3, Value::Varint(set)) => answer.created = set != 0,
            (4, Value::Varint(set)) => answer.canceled = set != 0,
            (7, Value::Varint(set)) => answer.fragment = set != 0,
            _ => {}
        }
    }
    answer
}

/// Calls `take` with the mod revision and the value of each event of a WatchResponse; a deletion has an empty value.
pub(crate) fn watch_events(message: &[u8], mut take: impl FnMut(u64, &[u8])) {
    let mut fields = Reader::new(message);
    while let Some((field, value)) = fields.next() {
        let (11, Value::Bytes(event)) = (field, value) else { continue };
        let mut parts = Reader::new(event);
        while let Some((field, value)) = parts.next() {
            let (2, Value::Bytes(pair)) = (field, value) else { continue };
            let (mut revision, mut content) = (0, &[][..]);
            let mut pair = Reader::new(pair);
            while let Some((field, value)) = pair.next() {
                match (field, value) {
                    (3, Value::Varint(number)) => revision = number,
                    (5, Value::Bytes(bytes)) => content = bytes,
                    _ => {}
                }
            }
            take(revision, content);
        }
    }
}

/// LeaseGrantRequest; the server chooses the lease's number.
pub(crate) fn lease_grant(out: &mut Vec<u8>, seconds: u64) {
    put_number(out, 1, seconds);
}

/// LeaseKeepAliveRequest.
pub(crate) fn lease_keep_alive(out: &mut Vec<u8>, lease: u64) {
    put_number(out, 1, lease);
}

/// Number and time to live of a LeaseGrantResponse or a LeaseKeepAliveResponse; a lease that is gone has none left.
pub(crate) fn lease_answer(message: &[u8]) -> (u64, u64) {
    let (mut lease, mut seconds) = (0, 0);
    let mut fields = Reader::new(message);
    while let Some((field, value)) = fields.next() {
        match (field, value) {
            (2, Value::Varint(number)) => lease = number,
            (3, Value::Varint(number)) => seconds = number,
            _ => {}
        }
    }
    (lease, seconds)
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

    #[test]
    fn watch_answers_are_read() {
        let mut pair = Vec::new();
        put_bytes(&mut pair, 1, b"key");
        put_number(&mut pair, 3, 9);
        put_bytes(&mut pair, 5, b"value");
        let mut event = Vec::new();
        put_bytes(&mut event, 2, &pair);
        let mut message = Vec::new();
        put_bytes(&mut message, 1, &[0x18, 9]);
        put_number(&mut message, 2, 4);
        put_number(&mut message, 3, 1);
        put_bytes(&mut message, 11, &event);
        put_bytes(&mut message, 11, &event);
        let expected = WatchAnswer { revision: 9, watch_id: 4, created: true, ..WatchAnswer::default() };
        assert_eq!(watch_answer(&message), expected);
        let mut events = Vec::new();
        watch_events(&message, |revision, value| events.push((revision, value.to_vec())));
        assert_eq!(events, [(9, b"value".to_vec()), (9, b"value".to_vec())]);
        assert_eq!(lease_answer(&[0x0a, 2, 0x18, 5, 0x10, 7, 0x18, 60]), (7, 60));
    }
}
