//! What planning a group costs (measures `src/wal/append.rs`), beside the least that it could: one copy of the bytes and
//! one CRC-32C over them.

use bytes::Bytes;
use divan::Bencher;
use divan::counter::BytesCount;
use ringbolt::codec::crc32c;
use ringbolt::types::{BootNonce, ClusterId, MemberId, RaftIndex, Term};
use ringbolt::wal::{Config, Entry, EntryKind, Identity, Log};

/// Entries in a group and bytes of each.
const GROUPS: [(usize, usize); 4] = [(1, 256), (1, 25_600), (100, 256), (1, 1 << 20)];

fn main() {
    divan::main();
}

fn log() -> Log {
    let identity = Identity { cluster: ClusterId(1), member: MemberId(2) };
    Log::create(Config::default(), identity, BootNonce(3)).log
}

/// Plans a group and takes it as written; segments are recycled without any file.
fn append(log: &mut Log, entries: &mut [Entry]) -> usize {
    let first = log.appended().index.0 + 1;
    for (at, entry) in entries.iter_mut().enumerate() {
        entry.index = RaftIndex(first + u64::try_from(at).expect("few"));
    }
    let plan = loop {
        match log.plan_append(entries, None) {
            Ok(plan) => break plan,
            Err(_) => make_room(log),
        }
    };
    log.on_append_done(plan.sequence);
    plan.writes.iter().map(|write| write.bytes.len()).sum()
}

fn make_room(log: &mut Log) {
    log.release_through(log.durable().index);
    if log.plan_stop().is_some() {
        log.on_seal_done();
    }
    let plan = log.plan_segment().expect("a segment is released or may be made");
    log.on_segment_ready(plan.segment);
}

#[divan::bench(args = GROUPS)]
fn plan_append(bencher: Bencher<'_, '_>, (count, length): (usize, usize)) {
    let data = Bytes::from(vec![0x5a; length]);
    let entry = Entry { index: RaftIndex(0), term: Term(1), kind: EntryKind::Normal, data };
    let mut entries = vec![entry; count];
    let mut log = log();
    bencher.counter(BytesCount::new(count * length)).bench_local(|| append(&mut log, &mut entries));
}

#[divan::bench(args = GROUPS)]
fn copy_and_checksum(bencher: Bencher<'_, '_>, (count, length): (usize, usize)) {
    let data = vec![0x5a; length];
    bencher.counter(BytesCount::new(count * length)).bench_local(|| {
        let mut out = Vec::with_capacity(count * length + 4096);
        for _ in 0..count {
            out.extend_from_slice(&data);
        }
        crc32c(0, &out)
    });
}
