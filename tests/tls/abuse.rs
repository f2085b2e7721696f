//! Clients that begin handshakes and do not finish them, and those that send anything.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::run::{World, programs};
use super::wire::{Knobs, Spoken, is_served};
use crate::client::{PATIENCE, Random, seed_from_env};

/// The beginning of a ClientHello, and nothing after it.
const BEGUN: &[u8] = &[0x16, 3, 1, 1, 0, 1, 0, 0, 0xfc, 3, 3];

#[test]
fn begun_handshakes_do_not_shut_others_out() {
    let world = World::new("tls-half-open");
    let mut flags = world.tls_flags();
    // One shard has 512 places.
    flags.push("--shards=1".to_owned());
    let server = world.start(&programs()[0], &flags);
    let mut old = Spoken::open(server.client, &Knobs::default()).unwrap();
    let begun: Vec<TcpStream> = (0..700)
        .map(|_| {
            let mut stream = TcpStream::connect(server.client).unwrap();
            stream.write_all(BEGUN).unwrap();
            stream
        })
        .collect();
    for _ in 0..5 {
        assert!(is_served(server.client, &Knobs::default()), "there is room for one who goes on");
        assert!(old.get("/health").unwrap().contains("200 OK"));
    }
    assert!(server.await_line("too many handshakes at once", PATIENCE), "those who waited longest gave way");
    for mut stream in begun {
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        assert_eq!(stream.read(&mut [0; 64]).unwrap_or(0), 0, "left in the end");
    }
}

#[test]
fn random_bytes_end_their_own_connection() {
    let world = World::new("tls-random");
    let server = world.start(&programs()[0], &world.tls_flags());
    let seed = seed_from_env("RINGBOLT_TLS_SEED");
    println!("seed {seed}");
    let mut random = Random::new(seed);
    for round in 0..200 {
        let mut stream = TcpStream::connect(server.client).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut bytes: Vec<u8> = (0..random.below(600)).map(|_| u8::try_from(random.below(256)).unwrap()).collect();
        if round % 2 == 0 {
            bytes.splice(0..0, BEGUN.iter().copied());
        }
        // The server may have closed by then.
        let _ = stream.write_all(&bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() < 64, "an alert at most: {answer:?}");
    }
    // Ciphertext that is none, behind a good handshake.
    for _ in 0..20 {
        let mut spoken = Spoken::open(server.client, &Knobs::default()).unwrap();
        spoken.send_raw(&[0x17, 3, 3, 0, 32]);
        spoken.send_raw(&(0..32).map(|_| u8::try_from(random.below(256)).unwrap()).collect::<Vec<u8>>());
        assert!(spoken.read(&mut [0; 16]).map_or(true, |count| count == 0));
    }
    assert!(is_served(server.client, &Knobs::default()));
}
