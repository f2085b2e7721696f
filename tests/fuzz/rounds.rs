//! The table of targets, and rounds of mutations over each.
//!
//! **Invariants**: a round follows from the seed, the target and its number; a failure prints the command that repeats it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use glommio::{LocalExecutorBuilder, Placement};
use ringbolt::{command, raft, rpc, tree, wal};

use crate::corpus;
use crate::memory;
use crate::mutate::mutate;
use crate::requests::fuzz_request;
use crate::rng::Random;

const SEED: &str = "RINGBOLT_FUZZ_SEED";
const ROUNDS: &str = "RINGBOLT_FUZZ_ROUNDS";
const ONLY: &str = "RINGBOLT_FUZZ_ONLY";

/// A decoder and what it may take.
struct Target {
    name: &'static str,
    /// Whose bytes it reads.
    whose: &'static str,
    run: fn(&[u8]),
    /// Bytes that it may hold at once, beside a hundred times its input.
    memory: u64,
    /// Times that it may ask for memory, beside a hundred a byte.
    allocations: u64,
}

const MIB: u64 = 1 << 20;

/// Every decoder of foreign bytes.
const TARGETS: [Target; 12] = [
    Target { name: "page", whose: "disk", run: tree::fuzz_page, memory: 16 * MIB, allocations: 50_000 },
    Target { name: "meta", whose: "disk", run: tree::fuzz_meta, memory: 16 * MIB, allocations: 50_000 },
    Target { name: "recover", whose: "disk", run: wal::fuzz_recover, memory: 64 * MIB, allocations: 200_000 },
    Target { name: "batch", whose: "disk and peers", run: command::fuzz_batch, memory: MIB, allocations: 10_000 },
    Target { name: "members", whose: "disk and peers", run: members, memory: MIB, allocations: 10_000 },
    Target { name: "message", whose: "peers", run: raft::fuzz_message, memory: MIB, allocations: 10_000 },
    Target { name: "frames", whose: "clients", run: rpc::frame::fuzz_messages, memory: MIB, allocations: 10_000 },
    Target { name: "gzip", whose: "clients", run: rpc::fuzz_gzip, memory: MIB, allocations: 10_000 },
    Target { name: "connection", whose: "clients", run: connection, memory: 64 * MIB, allocations: 500_000 },
    Target { name: "request", whose: "clients", run: fuzz_request, memory: 64 * MIB, allocations: 500_000 },
    Target { name: "x509", whose: "clients and operators", run: x509, memory: MIB, allocations: 10_000 },
    Target { name: "http1", whose: "clients", run: connection, memory: 64 * MIB, allocations: 500_000 },
];

/// Members and their changes, as entries and rows hold them.
fn members(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Ok(change) = raft::Change::decode(&bytes) {
        assert_eq!(raft::Change::decode(&change.encode()).as_ref(), Ok(&change), "a change survives its encoding");
    }
    if let Ok(members) = raft::Membership::decode(&bytes) {
        assert_eq!(raft::Membership::decode(&members.encode()).as_ref(), Ok(&members), "members survive it too");
    }
}

/// Certificates and revocation lists.
fn x509(bytes: &[u8]) {
    if let Ok(revoked) = ringbolt::x509::Revoked::read(bytes) {
        assert!(revoked.len() <= bytes.len(), "no more numbers than bytes");
    }
    if let Ok(facts) = ringbolt::x509::Facts::of(bytes) {
        assert!(facts.serial.len() <= bytes.len() && facts.serial.first() != Some(&0), "a number of the input");
    }
}

fn connection(bytes: &[u8]) {
    thread_local! {
        static EXECUTOR: glommio::LocalExecutor =
            LocalExecutorBuilder::new(Placement::Unbound).make().expect("an executor starts");
    }
    EXECUTOR.with(|executor| executor.run(rpc::fuzz_connection(bytes)));
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// One input through one target; what is wrong, if anything.
fn feed(target: &Target, input: &[u8]) -> Result<(), String> {
    memory::begin();
    let panicked = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let (peak, calls) = memory::counted();
    let length = u64::try_from(input.len()).unwrap();
    if let Err(panic) = panicked {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        return Err(format!("panic: {}", text.or(panic.downcast_ref::<&str>().copied()).unwrap_or_default()));
    }
    if peak > target.memory + 100 * length || calls > target.allocations + 100 * length {
        return Err(format!("{length} bytes took {peak} bytes of memory in {calls} allocations"));
    }
    Ok(())
}

#[test]
fn no_bytes_are_too_much_for_a_decoder() {
    let seed = number(SEED).unwrap_or_else(|| std::process::id().into());
    let rounds = number(ROUNDS).unwrap_or(20_000);
    let only = std::env::var(ONLY).ok();
    println!("{SEED}={seed} {ROUNDS}={rounds}");
    for (place, target) in
        (0u64..).zip(&TARGETS).filter(|(_, target)| only.as_ref().is_none_or(|only| only == target.name))
    {
        let inputs = corpus::read(target.name);
        assert!(!inputs.is_empty(), "tests/fuzz/corpus/{} is empty", target.name);
        let mut random = Random::new(seed ^ (place << 56));
        let pick = |random: &mut Random| {
            let at = random.below(u64::try_from(inputs.len()).unwrap());
            &inputs[usize::try_from(at).unwrap()]
        };
        // What is valid comes first, as it is.
        let valid = inputs.iter().map(|(_, bytes)| bytes.to_vec());
        let mutated = (0..rounds).map(|_| {
            let (one, other) = (pick(&mut random), pick(&mut random));
            mutate(&mut random, &one.1, &other.1)
        });
        for (round, input) in valid.chain(mutated).enumerate() {
            if let Err(what) = feed(target, &input) {
                let shown = input.escape_ascii().to_string();
                panic!(
                    "{} ({}), round {round}: {what}\ninput: {shown:.4000}\nrepeat: {SEED}={seed} {ROUNDS}={rounds} \
                     {ONLY}={} cargo test --test fuzz -- --nocapture",
                    target.name, target.whose, target.name
                );
            }
        }
        println!("{:<10} {} inputs, {rounds} rounds", target.name, inputs.len());
    }
}

/// The harness can fail: it tells of a panic, and of memory that nothing is worth.
#[test]
fn what_is_wrong_is_told() {
    let target = |run| Target { name: "planted", whose: "nobody", run, memory: MIB, allocations: 100 };
    let panics = target(|bytes| assert!(!bytes.contains(&7), "a seven"));
    assert!(feed(&panics, b"abc").is_ok());
    assert_eq!(feed(&panics, &[7]), Err("panic: a seven".to_owned()));
    let hoards = target(|bytes| drop(vec![1u8; bytes.len() << 16]));
    assert!(feed(&hoards, &[0]).is_ok() && feed(&hoards, &[0; 100]).is_err());
    let churns = target(|bytes| (0..bytes.len() * 1000).for_each(|_| drop(std::hint::black_box(Box::new(1u8)))));
    assert!(feed(&churns, &[0; 100]).is_err());
}
