//! The works: which request comes next, how it is encoded, and what its answer must say.
//!
//! Invariants
//! - Every choice comes from the seed, so both servers see the same requests in the same order.
//! - An answer is checked as far as its head and tail allow: a server that answers wrongly is not measured as fast.
//!
//! It must not know connections or time.

use crate::wire::{self, Range};

/// Methods of etcdserverpb, in the order of the numbers below.
pub(crate) const PATHS: &[&str] = &[
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.KV/Put",
    "/etcdserverpb.KV/Txn",
    "/etcdserverpb.KV/Compact",
    "/etcdserverpb.Watch/Watch",
    "/etcdserverpb.Lease/LeaseGrant",
    "/etcdserverpb.Lease/LeaseKeepAlive",
];
const RANGE: usize = 0;
pub(crate) const PUT: usize = 1;
const TXN: usize = 2;
const COMPACT: usize = 3;
pub(crate) const WATCH: usize = 4;
pub(crate) const LEASE_GRANT: usize = 5;
pub(crate) const LEASE_KEEP_ALIVE: usize = 6;

/// Time to live of every lease: none runs out while it is measured.
pub(crate) const LEASE_SECONDS: u64 = 3600;

/// Bytes of a key's number.
const DIGITS: usize = 10;

/// What one operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Put a value.
    Put,
    /// Get one key, linearizable.
    Get,
    /// Get one key, serializable.
    GetSerializable,
    /// All pairs of one group of keys.
    List,
    /// The first `limit` pairs of all keys.
    Page,
    /// Number of all keys.
    Count,
    /// First half of a guarded update: get the key.
    GuardedGet,
    /// Second half: put the value if the mod revision is still the same.
    GuardedPut,
    /// Throw away what is older than `revision`.
    Compact,
    /// A new lease.
    LeaseGrant,
}

/// One operation on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    /// The key's number, or the group's.
    pub(crate) number: u64,
    /// Mod revision that a guarded put expects; revision that a compaction goes to.
    pub(crate) revision: u64,
    /// When it was due or, in a closed loop, when it was sent: nanoseconds.
    pub(crate) due: u64,
}

/// Names of works on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    /// Every key once, in order.
    Fill,
    /// Random keys of the space.
    Put,
    Get,
    GetSerializable,
    List,
    Page,
    Count,
    Guarded,
    Mix,
    /// Leases without end.
    LeaseGrant,
}

impl Name {
    /// Reads a name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "fill" => Self::Fill,
            "put" => Self::Put,
            "get" => Self::Get,
            "get-serializable" => Self::GetSerializable,
            "list" => Self::List,
            "page" => Self::Page,
            "count" => Self::Count,
            "guarded" => Self::Guarded,
            "mix" => Self::Mix,
            "lease-grant" => Self::LeaseGrant,
            _ => return None,
        })
    }
}

/// The data that a work acts on.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    /// All keys begin with it.
    pub(crate) prefix: String,
    /// Number of keys: their numbers are below it.
    pub(crate) keys: u64,
    /// Keys in one group ("namespace"); groups are contiguous.
    pub(crate) group: u64,
    pub(crate) value_bytes: usize,
    /// Pairs in a page.
    pub(crate) limit: u64,
    /// Fill: not in the order of the keys.
    pub(crate) scatter: bool,
}

impl Space {
    /// Key `number`: prefix, group, number.
    pub(crate) fn key(&self, number: u64, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(self.prefix.as_bytes());
        put_digits(out, number / self.group);
        out.push(b'/');
        put_digits(out, number);
    }

    /// What all keys of a group begin with.
    pub(crate) fn group_prefix(&self, group: u64, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(self.prefix.as_bytes());
        put_digits(out, group);
        out.push(b'/');
    }

    /// The key that a fill puts `turn`-th: each once, neighbours far apart when scattered.
    fn place(&self, turn: u64) -> u64 {
        if !self.scatter {
            return turn;
        }
        let mut stride = self.keys / 13 * 8 + 1; // near the golden section
        while common_divisor(stride, self.keys) != 1 {
            stride += 1;
        }
        turn * stride % self.keys
    }

    fn groups(&self) -> u64 {
        self.keys.div_ceil(self.group)
    }

    fn group_count(&self, group: u64) -> u64 {
        self.group.min(self.keys - group * self.group)
    }
}

fn common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn put_digits(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    out.extend_from_slice(&[b'0'; DIGITS]);
    for digit in out[start..].iter_mut().rev() {
        *digit += u8::try_from(number % 10).expect("a digit");
        number /= 10;
    }
}

/// xorshift64*: the only source of chance.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(bound);
        u64::try_from(product >> 64).expect("the high half")
    }
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The operation is over.
    Done,
    /// It goes on with another call.
    Next(Operation),
    /// A guarded update found the key changed: over, but counted apart.
    Conflict,
    /// The answer is not what the data demands.
    Wrong(&'static str),
}

/// A work in progress on one thread.
pub(crate) struct Work {
    name: Name,
    space: Space,
    random: Random,
    /// Next number of the works that go through the keys in order, and where they stop or wrap around.
    cursor: u64,
    cursor_start: u64,
    cursor_end: u64,
    value: Vec<u8>,
    key: Vec<u8>,
    end: Vec<u8>,
}

impl Work {
    /// The part of a work that thread `thread` of `threads` does.
    pub(crate) fn new(name: Name, space: Space, seed: u64, thread: u64, threads: u64) -> Self {
        let mut random = Random::new(seed.wrapping_add(thread));
        let value = (0..space.value_bytes).map(|_| u8::try_from(random.below(256)).expect("a byte")).collect();
        let (cursor, cursor_end) = (space.keys * thread / threads, space.keys * (thread + 1) / threads);
        Self { name, space, random, cursor, cursor_start: cursor, cursor_end, value, key: Vec::new(), end: Vec::new() }
    }

    /// The next operation; none when a fill is complete.
    pub(crate) fn next(&mut self, due: u64) -> Option<Operation> {
        let kind = match self.name {
            Name::Fill | Name::Put => Kind::Put,
            Name::Get => Kind::Get,
            Name::GetSerializable => Kind::GetSerializable,
            Name::List => Kind::List,
            Name::Page => Kind::Page,
            Name::Count => Kind::Count,
            Name::Guarded => Kind::GuardedGet,
            Name::LeaseGrant => Kind::LeaseGrant,
            Name::Mix => match self.random.below(100) {
                0..50 => Kind::Get,
                50..65 => Kind::GetSerializable,
                65..70 => Kind::List,
                70..90 => Kind::Put,
                _ => Kind::GuardedGet,
            },
        };
        let number = match (self.name, kind) {
            (Name::Fill, _) => {
                if self.cursor == self.cursor_end {
                    return None;
                }
                self.cursor += 1;
                self.space.place(self.cursor - 1)
            }
            (_, Kind::GuardedGet) => {
                // In order, so that no two updates in flight meet on one key.
                let number = self.cursor;
                self.cursor += 1;
                if self.cursor >= self.cursor_end {
                    self.cursor = self.cursor_start;
                }
                number
            }
            (_, Kind::List) => self.random.below(self.space.groups()),
            (_, Kind::Page | Kind::Count | Kind::LeaseGrant) => 0,
            (_, Kind::Put | Kind::Get | Kind::GetSerializable | Kind::GuardedPut | Kind::Compact) => {
                self.random.below(self.space.keys)
            }
        };
        Some(Operation { kind, number, revision: 0, due })
    }

    /// Encodes the operation's call and returns its method.
    pub(crate) fn encode(&mut self, operation: &Operation, out: &mut Vec<u8>) -> usize {
        out.clear();
        match operation.kind {
            Kind::Put | Kind::GuardedPut => {
                self.space.key(operation.number, &mut self.key);
                let stamp = self.random.next().to_le_bytes(); // no two values alike
                let count = stamp.len().min(self.value.len());
                self.value[..count].copy_from_slice(&stamp[..count]);
            }
            Kind::Get | Kind::GetSerializable | Kind::GuardedGet => {
                self.space.key(operation.number, &mut self.key);
                self.end.clear();
            }
            Kind::List => {
                self.space.group_prefix(operation.number, &mut self.key);
                self.end = wire::prefix_end(&self.key);
            }
            Kind::Compact | Kind::LeaseGrant => {}
            Kind::Page | Kind::Count => {
                self.key.clear();
                self.key.extend_from_slice(self.space.prefix.as_bytes());
                self.end = wire::prefix_end(&self.key);
            }
        }
        match operation.kind {
            Kind::Put => {
                wire::put(out, &self.key, &self.value);
                PUT
            }
            Kind::Compact => {
                wire::compaction(out, operation.revision);
                COMPACT
            }
            Kind::LeaseGrant => {
                wire::lease_grant(out, LEASE_SECONDS);
                LEASE_GRANT
            }
            Kind::GuardedPut => {
                wire::guarded_put(out, &self.key, operation.revision, &self.value);
                TXN
            }
            Kind::Get | Kind::GetSerializable | Kind::GuardedGet | Kind::List | Kind::Page | Kind::Count => {
                let range = Range {
                    key: &self.key,
                    range_end: &self.end,
                    limit: if operation.kind == Kind::Page { self.space.limit } else { 0 },
                    serializable: operation.kind == Kind::GetSerializable,
                    count_only: operation.kind == Kind::Count,
                };
                range.encode(out);
                RANGE
            }
        }
    }

    /// Judges an answer by its length, head and tail.
    pub(crate) fn judge(&self, operation: &Operation, length: u64, head: &[u8], tail: &[u8]) -> Verdict {
        let pair_bytes = u64::try_from(self.space.value_bytes).expect("usize is 64 bits");
        let judge_range = |more: bool, count: u64, pairs: u64| {
            if !tail.ends_with(&wire::range_tail(more, count)) {
                Verdict::Wrong("count or more is not what was put in")
            } else if length < pairs * pair_bytes {
                Verdict::Wrong("answer too short for its pairs")
            } else {
                Verdict::Done
            }
        };
        match operation.kind {
            Kind::Put if length < 4 => Verdict::Wrong("put answer without header"),
            Kind::Put | Kind::Compact => Verdict::Done,
            Kind::LeaseGrant => match wire::lease_answer(head) {
                (1.., LEASE_SECONDS) => Verdict::Done,
                _ => Verdict::Wrong("a grant's answer without the lease or its time"),
            },
            Kind::Get | Kind::GetSerializable => judge_range(false, 1, 1),
            Kind::List => {
                let count = self.space.group_count(operation.number);
                judge_range(false, count, count)
            }
            Kind::Page => {
                let pairs = self.space.limit.min(self.space.keys);
                judge_range(pairs < self.space.keys, self.space.keys, pairs)
            }
            Kind::Count => judge_range(false, self.space.keys, 0),
            Kind::GuardedGet => match wire::first_mod_revision(head) {
                Some(revision) => Verdict::Next(Operation { kind: Kind::GuardedPut, revision, ..*operation }),
                None => Verdict::Wrong("no mod revision in a get's answer"),
            },
            Kind::GuardedPut if wire::txn_succeeded(head) => Verdict::Done,
            Kind::GuardedPut => Verdict::Conflict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Space {
        Space { prefix: "p/".to_owned(), keys: 250, group: 100, value_bytes: 16, limit: 10, scatter: true }
    }

    #[test]
    fn keys_of_a_group_lie_in_its_range() {
        let (mut key, mut prefix) = (Vec::new(), Vec::new());
        for number in 0..space().keys {
            space().key(number, &mut key);
            space().group_prefix(number / 100, &mut prefix);
            assert!(key.starts_with(&prefix));
        }
        assert_eq!(key, b"p/0000000002/0000000249");
        assert_eq!(space().group_count(2), 50);
    }

    #[test]
    fn a_fill_puts_each_key_once_over_all_threads() {
        let mut seen = Vec::new();
        for thread in 0..3 {
            let mut work = Work::new(Name::Fill, space(), 1, thread, 3);
            while let Some(operation) = work.next(0) {
                seen.push(operation.number);
            }
        }
        assert_ne!(seen[..3], [0, 1, 2]);
        seen.sort_unstable();
        assert_eq!(seen, (0..250).collect::<Vec<_>>());
    }

    #[test]
    fn wrong_counts_are_seen() {
        let work = Work::new(Name::Page, space(), 1, 0, 1);
        let operation = Operation { kind: Kind::Page, number: 0, revision: 0, due: 0 };
        let mut tail = vec![0; 8];
        tail.extend_from_slice(&wire::range_tail(true, 250));
        assert_eq!(work.judge(&operation, 300, &[], &tail), Verdict::Done);
        assert_ne!(work.judge(&operation, 100, &[], &tail), Verdict::Done);
        let last = tail.len() - 1;
        tail[last] ^= 1;
        assert_ne!(work.judge(&operation, 300, &[], &tail), Verdict::Done);
    }
}
