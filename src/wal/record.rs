//! The records of a group: entries and snapshot marks, as one run of bytes that parts may cut anywhere.
//!
//! Invariants
//! - `length` is exactly what `encode` makes.
//! - Records decode in the order they were encoded, or the group is malformed as a whole.

use super::entry::{Entry, EntryKind, SnapshotMark};
use super::size::{on_disk, short};
use crate::codec::{Malformed, Reader};
use crate::types::{RaftIndex, Term};
use bytes::Bytes;

const NORMAL: u8 = 1;
const CONF_CHANGE: u8 = 2;
const CONF_CHANGE_V2: u8 = 3;
const SNAPSHOT: u8 = 16;

const ENTRY_HEAD: usize = 21;
const SNAPSHOT_BYTES: usize = 17;

/// One record of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Record {
    /// The log begins anew after this entry.
    Snapshot(SnapshotMark),
    /// An entry; it takes the place of what had its index or a higher one.
    Entry(Entry),
}

/// Bytes that the records take.
pub(super) fn length(snapshot: Option<SnapshotMark>, entries: &[Entry]) -> u64 {
    let entries: usize = entries.iter().map(|entry| ENTRY_HEAD + entry.data.len()).sum();
    let snapshot = snapshot.map_or(0, |_| SNAPSHOT_BYTES);
    on_disk(entries + snapshot)
}

/// Hands the records' bytes to `put`, piece by piece.
pub(super) fn encode(snapshot: Option<SnapshotMark>, entries: &[Entry], mut put: impl FnMut(&[u8])) {
    if let Some(mark) = snapshot {
        let mut record = [SNAPSHOT; SNAPSHOT_BYTES];
        record[1..9].copy_from_slice(&mark.index.0.to_le_bytes());
        record[9..].copy_from_slice(&mark.term.0.to_le_bytes());
        put(&record);
    }
    for entry in entries {
        let length = short(on_disk(entry.data.len()));
        let mut head = [0; ENTRY_HEAD];
        head[0] = match entry.kind {
            EntryKind::Normal => NORMAL,
            EntryKind::ConfChange => CONF_CHANGE,
            EntryKind::ConfChangeV2 => CONF_CHANGE_V2,
        };
        head[1..9].copy_from_slice(&entry.index.0.to_le_bytes());
        head[9..17].copy_from_slice(&entry.term.0.to_le_bytes());
        head[17..].copy_from_slice(&length.to_le_bytes());
        put(&head);
        put(&entry.data);
    }
}

/// The records in a group's bytes; entries share them.
pub(super) fn decode(payload: &Bytes) -> Result<Vec<Record>, Malformed> {
    let mut records = Vec::new();
    let mut reader = Reader::new(payload);
    while !reader.is_empty() {
        let tag = reader.u8()?;
        let index = RaftIndex(reader.u64()?);
        let term = Term(reader.u64()?);
        let kind = match tag {
            NORMAL => EntryKind::Normal,
            CONF_CHANGE => EntryKind::ConfChange,
            CONF_CHANGE_V2 => EntryKind::ConfChangeV2,
            SNAPSHOT => {
                records.push(Record::Snapshot(SnapshotMark { index, term }));
                continue;
            }
            _ => return Err(Malformed),
        };
        let length = usize::try_from(reader.u32()?).map_err(|_| Malformed)?;
        let data = payload.slice_ref(reader.bytes(length)?);
        records.push(Record::Entry(Entry { index, term, kind, data }));
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_decode_as_they_were_encoded() {
        let kinds = [EntryKind::Normal, EntryKind::ConfChange, EntryKind::ConfChangeV2];
        let entries: Vec<Entry> = (0..9u8)
            .map(|at| Entry {
                index: RaftIndex(u64::from(at) + 8),
                term: Term(3),
                kind: kinds[usize::from(at) % 3],
                data: Bytes::from(vec![at; usize::from(at) * 7]),
            })
            .collect();
        let mark = SnapshotMark { index: RaftIndex(7), term: Term(2) };
        let mut out = Vec::new();
        encode(Some(mark), &entries, |piece| out.extend_from_slice(piece));
        assert_eq!(u64::try_from(out.len()).unwrap(), length(Some(mark), &entries));
        let mut expected = vec![Record::Snapshot(mark)];
        expected.extend(entries.into_iter().map(Record::Entry));
        let out = Bytes::from(out);
        assert_eq!(decode(&out), Ok(expected));
        // Cut anywhere but between two records, it is malformed as a whole.
        let whole = (0..=out.len()).filter(|cut| decode(&out.slice(..*cut)).is_ok()).count();
        assert_eq!(whole, 11, "ten records have eleven boundaries");
        assert_eq!(decode(&Bytes::from_static(&[99; 40])), Err(Malformed));
    }
}
