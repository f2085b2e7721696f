//! Every decoder that reads bytes of a disk, a peer or a client, fed with mutations of valid encodings: none may panic, none
//! may take more memory or work than its input is worth. Work is counted (allocations, turns of the executor), never timed.
//!
//! `RINGBOLT_FUZZ_SEED` repeats a run, `RINGBOLT_FUZZ_ROUNDS` lengthens it, `RINGBOLT_FUZZ_ONLY` takes one target. The corpus in
//! `tests/fuzz/corpus/<target>/` is made by `cargo test --test fuzz -- --ignored`.

// Tests panic on purpose and read the environment; the bans are for the product.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../client/random.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod rng;

mod corpus;
mod memory;
mod mutate;
mod requests;
mod rounds;
