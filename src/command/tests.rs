//! Round trips of every kind, every way to cut or spoil a batch, and the layout to the byte.

use bytes::Bytes;
use prost::Message;

use super::*;
use crate::limits::BATCH_COMMANDS_MAX;
use crate::types::{BootNonce, LeaseId, MemberId, Term};

fn put(key: &[u8], value: &[u8]) -> PutRequest {
    PutRequest { key: Bytes::copy_from_slice(key), value: Bytes::copy_from_slice(value), ..Default::default() }
}

fn all_kinds() -> Vec<(Kind, Vec<u8>, Command)> {
    let delete = DeleteRangeRequest { key: Bytes::from_static(b"a"), ..Default::default() };
    let nested = request_op::Request::RequestPut(put(b"k", b"v"));
    let txn = TxnRequest { success: vec![RequestOp { request: Some(nested) }], ..Default::default() };
    let alarm = AlarmRequest { action: 1, member_id: 7, alarm: 1 };
    let info = DowngradeInfo { enabled: true, target_version: "3.6.0".to_owned() };
    let compact = CompactionRequest { revision: 7, physical: true };
    [
        (Kind::Put, put(b"k", &[7; 300]).encode_to_vec(), Command::Put(put(b"k", &[7; 300]))),
        (Kind::DeleteRange, delete.encode_to_vec(), Command::DeleteRange(delete)),
        (Kind::Txn, txn.encode_to_vec(), Command::Txn(txn)),
        (Kind::Compact, compact.encode_to_vec(), Command::Compact(compact)),
        (Kind::Noop, Vec::new(), Command::Noop),
        (Kind::Alarm, alarm.encode_to_vec(), Command::Alarm(alarm)),
    ]
    .into_iter()
    .chain(lease_kinds())
    .chain([(Kind::Downgrade, info.encode_to_vec(), Command::Downgrade(info))])
    .collect()
}

fn lease_kinds() -> Vec<(Kind, Vec<u8>, Command)> {
    let checkpoint = LeaseCheckpoint { id: -4, remaining_ttl: 9 };
    [
        LeaseCommand::Grant(LeaseGrantRequest { ttl: 5, id: 7 }),
        LeaseCommand::Revoke(LeaseRevokeRequest { id: -7 }),
        LeaseCommand::Expire(LeaseExpiry { term: Term(3), id: LeaseId(i64::MIN) }),
        LeaseCommand::Checkpoint(LeaseCheckpointRequest { checkpoints: vec![checkpoint] }),
    ]
    .map(|command| {
        let (kind, payload) = command.encode();
        (kind, payload, command.into())
    })
    .into()
}

fn sample() -> Bytes {
    let mut builder = BatchBuilder::new(MemberId(0xabc), BootNonce(99), 1000);
    for (kind, payload, _) in all_kinds() {
        builder.push(kind, &payload);
    }
    assert_eq!(builder.count(), 11);
    let length = builder.len_bytes();
    let bytes = builder.finish();
    assert_eq!(bytes.len(), length);
    bytes
}

#[test]
fn every_kind_round_trips_with_its_sequence() {
    let batch = Batch::parse(sample()).unwrap();
    assert_eq!((batch.proposer, batch.nonce, batch.count()), (MemberId(0xabc), BootNonce(99), 11));
    let found: Vec<_> = batch.iter().map(Result::unwrap).collect();
    let expected: Vec<_> = (1000..).zip(all_kinds().into_iter().map(|(_, _, command)| command)).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_layout_is_fixed_to_the_byte() {
    let mut builder = BatchBuilder::new(MemberId(1), BootNonce(2), 3);
    assert!(builder.is_empty());
    builder.push(Kind::Put, &put(b"k", b"v").encode_to_vec());
    builder.push(Kind::Noop, b"");
    let expected = [
        &[1u8][..],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[2, 0, 0, 0, 0, 0, 0, 0],
        &[3, 0, 0, 0, 0, 0, 0, 0],
        &[2, 0, 0, 0],
        &[1, 6, 0x0a, 1, b'k', 0x12, 1, b'v'],
        &[5, 0],
    ]
    .concat();
    assert_eq!(builder.finish(), expected);
}

#[test]
fn payloads_are_slices_of_the_entry() {
    let bytes = sample();
    let range = bytes.as_ptr_range();
    let batch = Batch::parse(bytes.clone()).unwrap();
    let (_, Command::Put(request)) = batch.iter().next().unwrap().unwrap() else { panic!("the first is a put") };
    assert!(range.contains(&request.value.as_ptr()), "the value was copied");
}

#[test]
fn a_batch_cut_anywhere_is_refused() {
    let bytes = sample();
    for end in 0..bytes.len() {
        assert_eq!(Batch::parse(bytes.slice(..end)).unwrap_err(), Malformed::Cut, "cut at {end}");
    }
}

#[test]
fn what_this_release_does_not_know_is_refused_by_name() {
    let mut bytes = sample().to_vec();
    bytes[0] = 2;
    let error = Batch::parse(Bytes::from(bytes)).unwrap_err();
    assert_eq!(error, Malformed::UnknownVersion(2));
    assert!(error.to_string().contains("version 2"));
    let mut bytes = sample().to_vec();
    bytes[29] = 77;
    assert_eq!(Batch::parse(Bytes::from(bytes)).unwrap_err(), Malformed::UnknownKind(77));
    let mut bytes = sample().to_vec();
    bytes.push(0);
    assert_eq!(Batch::parse(Bytes::from(bytes)).unwrap_err(), Malformed::Trailing);
    let mut bytes = sample().to_vec();
    bytes[25..29].copy_from_slice(&(BATCH_COMMANDS_MAX + 1).to_le_bytes());
    assert_eq!(Batch::parse(Bytes::from(bytes)).unwrap_err(), Malformed::TooMany(BATCH_COMMANDS_MAX + 1));
}

#[test]
fn a_payload_of_another_message_is_refused_when_it_is_reached() {
    let mut builder = BatchBuilder::new(MemberId(1), BootNonce(1), u64::MAX);
    builder.push(Kind::Noop, b"");
    builder.push(Kind::Put, &[0x0a, 200]);
    builder.push(Kind::Noop, b"x");
    let batch = Batch::parse(builder.finish()).unwrap();
    let found: Vec<_> = batch.iter().collect();
    assert_eq!(found[0], Ok((u64::MAX, Command::Noop)));
    assert_eq!(found[1], Err(Malformed::Payload(Kind::Put)));
    assert_eq!(found[2], Err(Malformed::Payload(Kind::Noop)));
}

#[test]
fn a_builder_says_when_it_is_full() {
    let mut builder = BatchBuilder::new(MemberId(1), BootNonce(1), 1);
    while !builder.is_full() {
        builder.push(Kind::Noop, b"");
    }
    let batch = Batch::parse(builder.finish()).unwrap();
    assert_eq!(batch.count(), BATCH_COMMANDS_MAX);
    assert_eq!(batch.iter().count(), 16_384);
}

#[test]
fn kinds_and_codes_agree() {
    for code in 0..=u8::MAX {
        if let Some(kind) = Kind::from_code(code) {
            assert_eq!(kind.code(), code);
        }
    }
    for (place, (kind, _, command)) in all_kinds().into_iter().enumerate() {
        assert_eq!((kind.place(), Kind::ALL[place], command.kind()), (place, kind, kind));
    }
    assert_eq!((0..=u8::MAX).filter_map(Kind::from_code).count(), all_kinds().len());
}

#[test]
fn spoiled_bytes_never_panic() {
    let bytes = sample().to_vec();
    for position in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut spoiled = bytes.clone();
            spoiled[position] ^= flip;
            fuzz_batch(&spoiled);
        }
    }
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for _ in 0..2000 {
        let mut noise = bytes[..29].to_vec();
        for _ in 0..40 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.push(state.to_le_bytes()[3] % 8);
        }
        fuzz_batch(&noise);
    }
}
