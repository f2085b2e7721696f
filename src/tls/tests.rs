//! Sessions against the library's own client, in memory, with the bytes cut in every way; files that change.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::{Failure, Keeper, Session, Step};
use crate::config::ClientTls;
use crate::log::{self, Logger, Options, Target};

/// A directory with a server's certificate, gone at the end.
struct World {
    directory: PathBuf,
    pem: String,
}

impl World {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("ringbolt-tls-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).unwrap();
        let mut world = Self { directory, pem: String::new() };
        world.renew();
        world
    }

    /// A new certificate in the place of the old one.
    fn renew(&mut self) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["server.example".to_owned()]).unwrap();
        self.pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(self.directory.join("key.pem"), key.serialize_pem()).unwrap();
        std::fs::write(self.directory.join("cert.pem"), &self.pem).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn tls(&self) -> ClientTls {
        let flags = ["--cert-file", &self.path("cert.pem"), "--key-file", &self.path("key.pem")];
        crate::config::tests::config(&flags).tls
    }

    fn keeper(&self) -> Keeper {
        Keeper::open(&self.tls(), true, &logger()).unwrap()
    }

    fn client(&self) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(super::machine::primitives());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        ClientConnection::new(Arc::new(config), ServerName::try_from("server.example").unwrap()).unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn logger() -> Logger {
    let options = Options { targets: vec![Target::File("/dev/null".into())], ..Options::default() };
    log::open(&options).unwrap().0
}

/// A session and what its connection would keep.
struct Side {
    session: Session,
    incoming: Vec<u8>,
    plain: Vec<u8>,
    step: Step,
}

impl Side {
    fn new(keeper: &Keeper) -> Self {
        let session = Session::new(keeper.current()).unwrap();
        Self { session, incoming: Vec::new(), plain: Vec::new(), step: Step::Shaking }
    }

    /// Takes ciphertext in pieces of `size`, and gives what is to be sent.
    fn take(&mut self, bytes: &[u8], size: usize) -> Result<Vec<u8>, (Vec<u8>, Failure)> {
        let mut outgoing = Vec::new();
        for piece in bytes.chunks(size) {
            self.incoming.extend_from_slice(piece);
            let plain = &mut self.plain;
            let received = self.session.receive(&mut self.incoming, &mut outgoing, &mut |bytes| plain.extend(bytes));
            match received {
                Ok((used, step)) => {
                    self.incoming.drain(..used);
                    self.step = step;
                }
                Err(failure) => return Err((outgoing, failure)),
            }
        }
        Ok(outgoing)
    }

    fn send(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut outgoing = Vec::new();
        self.session.send(plain, &mut self.incoming, &mut outgoing).unwrap();
        outgoing
    }
}

fn written(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// Gives ciphertext to the client, and what it then sends and has understood.
fn read(client: &mut ClientConnection, mut bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    while !bytes.is_empty() {
        client.read_tls(&mut bytes).unwrap();
        client.process_new_packets().unwrap();
        let mut piece = vec![0; 1 << 17];
        while let Ok(count @ 1..) = std::io::Read::read(&mut client.reader(), &mut piece) {
            plain.extend_from_slice(&piece[..count]);
        }
    }
    plain
}

/// Shakes hands with the bytes to the server cut into pieces.
fn shaken(world: &World, keeper: &Keeper, size: usize) -> (Side, ClientConnection) {
    let (mut side, mut client) = (Side::new(keeper), world.client());
    while side.step == Step::Shaking {
        let answer = side.take(&written(&mut client), size).unwrap();
        read(&mut client, &answer);
    }
    (side, client)
}

#[test]
fn plaintext_crosses_however_the_bytes_are_cut() {
    let world = World::new("cut");
    let keeper = world.keeper();
    for size in [1, 7, 100, 1000, 100_000] {
        let (mut side, mut client) = shaken(&world, &keeper, size);
        assert_eq!(side.step, Step::Open);
        let question: Vec<u8> = (0..40_000u32).map(|index| index.to_be_bytes()[3]).collect();
        std::io::Write::write_all(&mut client.writer(), &question).unwrap();
        let sent = written(&mut client);
        assert!(side.take(&sent, size).unwrap().is_empty());
        assert_eq!((side.plain == question, side.incoming.len()), (true, 0), "nothing is kept of whole records");
        let answer: Vec<u8> = question.iter().rev().copied().collect();
        let ciphertext = side.send(&answer);
        assert!(read(&mut client, &ciphertext) == answer);
    }
}

#[test]
fn what_comes_with_the_end_of_the_handshake_is_not_lost() {
    let world = World::new("early");
    let keeper = world.keeper();
    let (mut side, mut client) = (Side::new(&keeper), world.client());
    let answer = side.take(&written(&mut client), 1 << 16).unwrap();
    read(&mut client, &answer);
    std::io::Write::write_all(&mut client.writer(), b"PRI * HTTP/2.0").unwrap();
    side.take(&written(&mut client), 1 << 16).unwrap();
    assert_eq!((side.step, &side.plain[..]), (Step::Open, &b"PRI * HTTP/2.0"[..]));
}

#[test]
fn new_keys_and_the_end_are_understood() {
    let world = World::new("keys");
    let keeper = world.keeper();
    let (mut side, mut client) = shaken(&world, &keeper, 1 << 16);
    client.refresh_traffic_keys().unwrap();
    std::io::Write::write_all(&mut client.writer(), b"after").unwrap();
    let answer = side.take(&written(&mut client), 3).unwrap();
    assert_eq!(side.plain, b"after");
    let more = side.send(b"answer");
    assert_eq!(read(&mut client, &[answer, more].concat()), b"answer");
    client.send_close_notify();
    side.take(&written(&mut client), 1 << 16).unwrap();
    assert_eq!(side.step, Step::Closed);
    let last = side.send(b"still");
    assert_eq!(read(&mut client, &last), b"still", "the other direction is open");
    let mut farewell = Vec::new();
    side.session.say_farewell(&mut [], &mut farewell);
    assert!(!farewell.is_empty());
    side.session.say_farewell(&mut [], &mut farewell.split_off(0));
    assert!(side.session.send(b"x", &mut [], &mut Vec::new()).is_err());
}

#[test]
fn what_is_not_tls_is_refused_with_an_alert_at_most() {
    let world = World::new("rubbish");
    let keeper = world.keeper();
    for bytes in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0, 4, 9, 0, 0, 0], &[0x15, 3, 1, 0, 2, 2, 40], &[0xff; 100]]
    {
        let (alert, failure) = Side::new(&keeper).take(bytes, 1 << 16).unwrap_err();
        assert!(alert.len() <= 7 && !failure.text.is_empty(), "{bytes:?}: {failure:?}");
    }
    let (_, failure) = Side::new(&keeper).take(b"GET / HTTP/1.1\r\n\r\n", 1 << 16).unwrap_err();
    assert_eq!(failure.text, Failure::not_tls().text);
}

#[test]
fn tampered_ciphertext_is_an_error_and_stays_one() {
    let world = World::new("tampered");
    let keeper = world.keeper();
    let (mut side, mut client) = shaken(&world, &keeper, 1 << 16);
    std::io::Write::write_all(&mut client.writer(), b"question").unwrap();
    let mut bytes = written(&mut client);
    bytes[8] ^= 1;
    let (alert, failure) = side.take(&bytes, 1 << 16).unwrap_err();
    assert!(!alert.is_empty() && failure.text.starts_with("tls: "), "{failure:?}");
    assert!(side.session.receive(&mut bytes, &mut Vec::new(), &mut |_| panic!("nothing to take")).is_err());
    let mut farewell = Vec::new();
    side.session.say_farewell(&mut bytes, &mut farewell);
    assert!(farewell.is_empty() && side.session.send(b"x", &mut bytes, &mut Vec::new()).is_err());
}

#[test]
fn the_keeper_follows_its_files_and_keeps_the_last_good_ones() {
    let mut world = World::new("keeper");
    let keeper = world.keeper();
    let first = keeper.current();
    assert!(Arc::ptr_eq(&first, &keeper.current()), "nothing changed");
    world.renew();
    let second = keeper.current();
    assert!(!Arc::ptr_eq(&first, &second));
    let good = world.pem.clone();
    for bad in ["", "rubbish", &good[..good.len() / 2]] {
        std::fs::write(world.path("cert.pem"), bad).unwrap();
        assert!(Arc::ptr_eq(&second, &keeper.current()), "{bad:?}");
    }
    std::fs::remove_file(world.path("cert.pem")).unwrap();
    assert!(Arc::ptr_eq(&second, &keeper.current()));
    std::fs::write(world.path("cert.pem"), &good).unwrap();
    assert!(Arc::ptr_eq(&second, &keeper.current()), "the same as before");
    world.renew();
    assert!(!Arc::ptr_eq(&second, &keeper.current()));
}

#[test]
fn suites_that_are_not_spoken_are_left_out_and_none_at_all_is_an_error() {
    let world = World::new("suites");
    let with = |suites: &[&str], max: Option<crate::config::TlsVersion>| ClientTls {
        cipher_suites: suites.iter().map(|name| (*name).to_owned()).collect(),
        version_max: max,
        ..world.tls()
    };
    let old = Some(crate::config::TlsVersion::V12);
    let mixed = with(&["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"], old);
    assert_eq!(super::machine::unspoken_suites(&mixed), ["TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"]);
    assert!(Keeper::open(&mixed, true, &logger()).is_ok());
    let none = with(&["TLS_RSA_WITH_AES_128_CBC_SHA"], old);
    assert!(Keeper::open(&none, false, &logger()).is_err());
    assert!(Keeper::open(&with(&["TLS_RSA_WITH_AES_128_CBC_SHA"], None), false, &logger()).is_ok(), "1.3 is left");
}
