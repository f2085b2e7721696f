//! The sequence of operations: which kind comes next, and what bad input looks like.
//!
//! **Invariants**: the same seed and the same knowledge give the same sequence.

use std::collections::{BTreeSet, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;
use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Call, frame, oracle_is_old};
use crate::known;
use crate::op::Op;
use crate::requests::{Knowledge, REQUEST_BYTES_MAX, Requests, TRANSPORT_EXTRA_BYTES};

/// Makes operations.
pub(crate) struct Generator {
    requests: Requests,
    queued: VecDeque<Op>,
    made: u64,
    restart_every: u64,
    /// Compactions before a SIGKILL: whether etcd still remembers the hashes told at their ends depends on whether its
    /// restart did them again.
    compacted_before_restart: BTreeSet<i64>,
    compacted: BTreeSet<i64>,
    /// Kinds that this run does without, to look behind a difference that is known already.
    without: Vec<String>,
}

impl Generator {
    /// Starts from a seed; both servers restart after each `restart_every` operations.
    pub(crate) fn new(seed: u64, restart_every: u64) -> Self {
        let without = std::env::var("RINGBOLT_DIFF_WITHOUT").unwrap_or_default();
        let without = without.split(',').map(str::to_owned).collect();
        Self {
            requests: Requests::new(seed),
            queued: VecDeque::new(),
            made: 0,
            restart_every,
            compacted_before_restart: BTreeSet::new(),
            compacted: BTreeSet::new(),
            without,
        }
    }

    /// The next operation that the oracle can be asked.
    pub(crate) fn next(&mut self, known: Knowledge) -> Op {
        loop {
            let op = self.make(known);
            let forgotten =
                matches!(&op, Op::HashKv(request) if self.compacted_before_restart.contains(&request.revision));
            if !forgotten && !known::left_out(&op) && !self.without.iter().any(|kind| kind == op.kind()) {
                return op;
            }
        }
    }

    fn make(&mut self, known: Knowledge) -> Op {
        self.made += 1;
        if let Some(op) = self.queued.pop_front() {
            return op;
        }
        if self.made.is_multiple_of(self.restart_every) {
            self.queued.extend(wait_for_compaction(known));
            self.queue_checks(known);
            return self.restart();
        }
        let requests = &mut self.requests;
        match requests.random.below(1000) {
            0..=369 => Op::Range(requests.range(known)),
            370..=439 => Op::RangeStream(requests.range_stream(known)),
            440..=649 => Op::Put(requests.put()),
            650..=709 => Op::DeleteRange(requests.delete_range()),
            710..=909 => Op::Txn(requests.txn(known)),
            910..=913 => self.compact(known),
            914..=923 => Op::HashKv(pb::HashKvRequest { revision: requests.revision(known) }),
            924..=925 => Op::Status,
            926..=927 => Op::MemberList(pb::MemberListRequest { linearizable: requests.random.chance(1, 2) }),
            928..=929 => self.oversize(),
            930..=931 => self.alarm(known),
            _ => self.bad_input(known),
        }
    }

    fn restart(&mut self) -> Op {
        // etcd 3.5.1 applies some writes twice after a SIGKILL.
        let kill = self.requests.random.chance(1, 2) && !oracle_is_old();
        self.compacted_before_restart.append(&mut self.compacted);
        if !kill {
            // Nothing is done again: both have forgotten all of them.
            self.compacted_before_restart.clear();
        }
        Op::Restart { kill }
    }

    /// Everything that a restart or a compaction must not have changed.
    fn queue_checks(&mut self, known: Knowledge) {
        let everything = pb::RangeRequest {
            key: Bytes::from_static(b"\0"),
            range_end: Bytes::from_static(b"\0"),
            ..Default::default()
        };
        self.queued.push_back(Op::Range(everything.clone()));
        self.queued.push_back(Op::RangeStream(everything.clone()));
        for revision in [0, known.compacted, known.compacted + 1, known.current] {
            self.queued.push_back(Op::HashKv(pb::HashKvRequest { revision }));
            self.queued.push_back(Op::Range(pb::RangeRequest { revision, ..everything.clone() }));
        }
        for _ in 0..4 {
            let revision = self.requests.random.between(known.compacted.min(known.current), known.current);
            self.queued.push_back(Op::HashKv(pb::HashKvRequest { revision }));
        }
    }

    fn compact(&mut self, known: Knowledge) -> Op {
        let request = self.requests.compact(known);
        let compacted = if request.revision <= known.current { request.revision } else { known.compacted };
        let known = Knowledge { compacted: compacted.max(known.compacted), ..known };
        self.compacted.insert(known.compacted);
        if !request.physical {
            // While a compaction runs, the hash at its revision is told with either bound: read other things, then
            // wait for its end, which a physical compaction of the same revision does before it is refused.
            for _ in 0..self.requests.random.below(6) {
                let read = self.requests.range(known);
                self.queued.push_back(Op::Range(read));
            }
            self.queued.push_back(Op::Compact(pb::CompactionRequest { physical: true, ..request }));
        }
        self.queue_checks(known);
        Op::Compact(request)
    }

    /// An alarm is raised, everything is tried, and it is disarmed; sometimes twice, sometimes one that never stood.
    fn alarm(&mut self, known: Knowledge) -> Op {
        let random = &mut self.requests.random;
        let kind = *random.pick(&[1, 1, 1, 2, 2, 0, 7]);
        let member_id = *random.pick(&[0, 1, 2, u64::MAX]);
        let raise = pb::AlarmRequest { action: 1, member_id, alarm: kind };
        let list = |alarm| Op::Alarm(pb::AlarmRequest { action: 0, member_id, alarm });
        if random.chance(1, 4) {
            self.queued.push_back(Op::Alarm(raise));
        }
        if random.chance(1, 4) {
            let other = pb::AlarmRequest { alarm: 3 - kind.clamp(1, 2), ..raise };
            self.queued.push_back(Op::Alarm(other));
        }
        let restarts = self.requests.random.chance(1, 40);
        if restarts {
            let restart = self.restart();
            self.queued.push_back(restart);
        }
        for _ in 0..self.requests.random.below(8) {
            let op = match self.requests.random.below(8) {
                0..=2 => Op::Put(self.requests.put()),
                3 => Op::DeleteRange(self.requests.delete_range()),
                4..=5 => Op::Txn(self.requests.txn(known)),
                6 => Op::Range(self.requests.range(known)),
                _ => Op::Compact(pb::CompactionRequest { revision: known.current + 100, physical: false }),
            };
            self.queued.push_back(op);
        }
        self.queued.extend([Op::Status, list(0), list(1), list(2)]);
        for alarm in [kind, 1, 2] {
            let disarm = pb::AlarmRequest { action: 2, member_id, alarm };
            self.queued.push_back(Op::Alarm(disarm));
        }
        self.queued.push_back(list(0));
        if restarts {
            // Not before: the alarm may forbid it.
            self.queued.extend(wait_for_compaction(known));
        }
        Op::Alarm(raise)
    }

    fn oversize(&mut self) -> Op {
        let transport = REQUEST_BYTES_MAX + TRANSPORT_EXTRA_BYTES;
        // The exact limit counts the header that a server adds, whose length differs with its member id.
        let lengths = [
            REQUEST_BYTES_MAX - 200,
            REQUEST_BYTES_MAX + 200,
            transport - 1,
            transport,
            transport + 1,
            2 * REQUEST_BYTES_MAX,
        ];
        let length = *self.requests.random.pick(&lengths);
        let put = self.requests.put_of_length(length);
        let key = put.key.clone();
        let read = pb::RangeRequest { key: key.clone(), ..Default::default() };
        self.queued.push_back(Op::Range(read.clone()));
        self.queued.push_back(Op::RangeStream(read));
        self.queued.push_back(Op::DeleteRange(pb::DeleteRangeRequest { key, ..Default::default() }));
        if self.requests.random.chance(1, 4) {
            use pb::request_op::Request;
            let op = pb::RequestOp { request: Some(Request::RequestPut(put)) };
            return Op::Txn(pb::TxnRequest { success: vec![op], ..Default::default() });
        }
        Op::Put(put)
    }

    fn bad_input(&mut self, known: Knowledge) -> Op {
        let good = match self.requests.random.below(6) {
            0 => Op::Put(self.requests.put()),
            1 => Op::Txn(self.requests.txn(known)),
            2 => Op::DeleteRange(self.requests.delete_range()),
            3 => Op::RangeStream(self.requests.range_stream(known)),
            _ => Op::Range(self.requests.range(known)),
        };
        let writes = !good.is_read();
        let mut call = good.call().expect("only a restart has none");
        let what = match self.requests.random.below(10) {
            0 => self.bad_path(&mut call),
            1 => self.bad_frame(&mut call),
            2 => self.odd_metadata(&mut call),
            _ => self.bad_message(&mut call),
        };
        Op::Raw { what, call, writes }
    }

    fn bad_path(&mut self, call: &mut Call) -> &'static str {
        let paths = [
            "/etcdserverpb.KV/Nothing",
            "/etcdserverpb.Nothing/Range",
            "/etcdserverpb.kv/Range",
            "/etcdserverpb.KV/range",
            "/etcdserverpb.KV/",
            "/etcdserverpb.KV",
            "/",
            "//",
            "/KV/Range",
            "/etcdserverpb.KV/Range/",
            "/a/b/c",
            "/etcdserverpb.Maintenance/Nothing",
        ];
        call.path = (*self.requests.random.pick(&paths)).to_owned();
        "path"
    }

    fn bad_frame(&mut self, call: &mut Call) -> &'static str {
        let message = call.body.slice(5..);
        let (what, body) = match self.requests.random.below(7) {
            0 => ("compressed without encoding", frame(1, &message)),
            1 => ("flag 2", frame(2, &message)),
            2 => ("empty body", Bytes::new()),
            3 => ("frame cut short", call.body.slice(..self.requests.random.index(call.body.len()))),
            4 => {
                let mut long = BytesMut::from(call.body.as_ref());
                long[4] = long[4].wrapping_add(1);
                ("length beyond the body", long.freeze())
            }
            5 => ("two messages", [call.body.as_ref(), call.body.as_ref()].concat().into()),
            _ => ("half a second message", [call.body.as_ref(), &call.body[..3]].concat().into()),
        };
        call.body = body;
        what
    }

    fn odd_metadata(&mut self, call: &mut Call) -> &'static str {
        let (name, value): (&str, &[u8]) = *self.requests.random.pick(&[
            ("grpc-timeout", &b"20S"[..]),
            ("grpc-timeout", b"99999999H"),
            ("grpc-timeout", b"5"),
            ("grpc-timeout", b"S"),
            ("grpc-timeout", b"123456789S"),
            ("grpc-timeout", b"-1S"),
            ("grpc-timeout", b"1x"),
            ("grpc-encoding", b"identity"),
            ("grpc-encoding", b"nothing"),
            ("grpc-accept-encoding", b"gzip"),
            ("content-type", b"application/grpc+proto"),
            ("content-type", b"application/grpc;charset=utf-8"),
            ("content-type", b"application/grpc+json"),
            ("content-type", b"application/json"),
            ("content-type", b"text/plain"),
            ("hasleader", b"true"),
            ("client-api-version", b"3.7.1"),
            ("client-api-version", b"\xff\xfe"),
            ("token", b"nobody"),
            ("authorization", b"Bearer nobody"),
            ("user-agent", b"anything/1"),
            ("odd-bin", b"!not base64!"),
            ("odd-bin", b"AAECAw"),
        ]);
        *call = call.clone().with(name, value);
        "metadata"
    }

    fn bad_message(&mut self, call: &mut Call) -> &'static str {
        let random = &mut self.requests.random;
        let mut message = BytesMut::from(&call.body[5..]);
        let what = match random.below(6) {
            0 if !message.is_empty() => {
                let at = random.index(message.len());
                message[at] ^= 1 << random.below(8);
                "a bit flipped"
            }
            1 if !message.is_empty() => {
                message.truncate(random.index(message.len()));
                "message cut short"
            }
            2 => {
                // A field that no version knows: to be skipped.
                let number = *random.pick(&[15_u32, 100, 1000, 536_870_911]);
                let mut field = Vec::new();
                match random.below(4) {
                    0 => {
                        prost::encoding::encode_varint(u64::from(number << 3), &mut field);
                        prost::encoding::encode_varint(random.next(), &mut field);
                    }
                    1 => {
                        prost::encoding::encode_varint(u64::from(number << 3 | 1), &mut field);
                        field.put_u64(random.next());
                    }
                    2 => prost::encoding::bytes::encode(number, &b"unknown".to_vec(), &mut field),
                    _ => {
                        prost::encoding::encode_varint(u64::from(number << 3 | 5), &mut field);
                        field.put_u32(7);
                    }
                }
                message.put_slice(&field);
                "an unknown field"
            }
            3 => {
                // A field twice: the last one counts.
                message.put_slice(&pb::RangeRequest { key: "b".into(), ..Default::default() }.encode_to_vec());
                "a field twice"
            }
            4 => {
                let tails: [&'static [u8]; 8] = [
                    b"\x00",
                    b"\x0a",
                    b"\x0a\xff\xff\xff\xff\x0f",
                    b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
                    b"\x0b\x0c",
                    b"\x0c",
                    b"\x0f",
                    b"\x08\x01",
                ];
                let tail = random.pick(&tails);
                message.put_slice(tail);
                "a bad tail"
            }
            _ => {
                let length = random.index(40);
                message = (0..length).map(|_| u8::try_from(random.below(256)).expect("a byte")).collect();
                "random bytes"
            }
        };
        call.body = frame(0, &message);
        what
    }
}

/// A restart may do the last compaction again. The next one must not come before it is through: ours computes no checksum
/// for a compaction that overtakes another, etcd does one after the other. A physical one waits, and is refused.
fn wait_for_compaction(known: Knowledge) -> Option<Op> {
    let request = pb::CompactionRequest { revision: known.compacted, physical: true };
    (known.compacted > 0).then_some(Op::Compact(request))
}
