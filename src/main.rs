//! The `ringbolt` server: flags to configuration to shards.

fn main() {}
