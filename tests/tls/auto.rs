//! `--auto-tls`.

use std::os::unix::fs::PermissionsExt;

use super::run::{World, client_flags, etcdctl, programs};
use super::wire::{Knobs, Spoken, der};
use crate::client::PATIENCE;

#[test]
fn a_certificate_is_made_once_and_kept() {
    let world = World::new("tls-auto");
    for program in programs() {
        let mut server = world.start(&program, &["--auto-tls".to_owned(), "--self-signed-cert-validity=2".to_owned()]);
        let directory = server.data().join("fixtures/client");
        let (cert, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        let made = std::fs::read_to_string(&cert).unwrap();
        let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&key), mode(&directory)), (0o600, 0o700), "{}", program.label);
        let mut spoken = Spoken::open(server.client, &Knobs::default()).unwrap();
        assert_eq!(spoken.shown(), der(&made), "{}", program.label);
        assert!(spoken.get("/version").unwrap().contains("200 OK"));
        assert!(server.await_line("automatically generate certificates", PATIENCE), "{}", program.label);
        // It is its own authority, and for the listener's address.
        let endpoint = format!("https://{}", server.client);
        assert_eq!(etcdctl(&endpoint, &client_flags(&cert, None), &["put", "a", "b"]), (true, "OK\n".to_owned()));
        server.stop();
        server.restart().unwrap();
        assert_eq!(std::fs::read_to_string(&cert).unwrap(), made, "{}", program.label);
        let shown = Spoken::open(server.client, &Knobs::default()).unwrap().shown();
        assert_eq!(shown, der(&made), "{}", program.label);
    }
}

#[test]
fn given_files_win() {
    let world = World::new("tls-auto-given");
    for program in programs() {
        let mut flags = world.tls_flags();
        flags.push("--auto-tls".to_owned());
        let server = world.start(&program, &flags);
        let given = std::fs::read_to_string(&world.files.cert).unwrap();
        let shown = Spoken::open(server.client, &Knobs::default()).unwrap().shown();
        assert_eq!(shown, der(&given), "{}", program.label);
        assert!(server.await_line("ignoring client auto TLS since certs given", PATIENCE), "{}", program.label);
        assert!(!server.data().join("fixtures/client").exists(), "{}", program.label);
    }
}
