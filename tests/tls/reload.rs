//! Files that change while the server runs.

use super::pki::{Authority, Pair, replace};
use super::run::{World, flag, programs};
use super::wire::{Knobs, Spoken, der, is_served};
use crate::client::{PATIENCE, Server};

fn shown(server: &Server) -> Vec<u8> {
    Spoken::open(server.client, &Knobs::default()).unwrap().shown()
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let world = World::new("tls-reload");
    for program in programs() {
        let server = world.start(&program, &world.tls_flags());
        let mut old = Spoken::open(server.client, &Knobs::default()).unwrap();
        assert!(old.get("/version").unwrap().contains("200 OK"));
        for round in 0..3 {
            let pair = world.authority.issue(&["127.0.0.1"]);
            pair.write(world.scratch.path(), "server");
            assert_eq!(shown(&server), der(&pair.cert), "{} round {round}", program.label);
        }
        assert_ne!(old.shown(), shown(&server));
        assert!(old.get("/version").unwrap().contains("200 OK"), "{}: not disturbed", program.label);
    }
}

#[test]
fn files_that_became_bad_leave_the_last_good_ones_in_force() {
    let world = World::new("tls-reload-bad");
    let server = world.start(&programs()[0], &world.tls_flags());
    let first = shown(&server);
    let told = "failed to read TLS files; going on with those read before";
    std::fs::write(&world.files.cert, "rubbish").unwrap();
    assert_eq!(shown(&server), first);
    assert!(server.await_lines(told, 1, PATIENCE));
    assert_eq!(shown(&server), first);
    std::fs::remove_file(&world.files.key).unwrap();
    assert_eq!(shown(&server), first);
    assert!(server.await_lines(told, 2, PATIENCE));
    let other: Pair = world.authority.issue(&["127.0.0.1"]);
    replace(&world.files.key, other.key.as_bytes());
    let unfit = world.authority.issue(&["127.0.0.1"]);
    replace(&world.files.cert, unfit.cert.as_bytes());
    assert_eq!(shown(&server), first, "a key that does not fit");
    assert!(server.await_lines("private key does not match public key", 1, PATIENCE));
    replace(&world.files.cert, other.cert.as_bytes());
    assert_eq!(shown(&server), der(&other.cert));
    assert!(server.await_lines("TLS files were read anew", 1, PATIENCE));
    let errors: Vec<String> = server.log().lines().filter(|line| line.contains(told)).map(str::to_owned).collect();
    assert!(errors.iter().all(|line| line.contains("\"level\":\"error\"")), "{errors:?}");
    assert!(errors.len() <= 4, "told once for each state of the files: {errors:?}");
}

#[test]
fn authorities_are_read_anew() {
    let world = World::new("tls-reload-ca");
    let server = world.start(&programs()[0], &world.mutual_flags());
    let other = Authority::new("other");
    let (ours, theirs) = (world.authority.issue(&["a"]), other.issue(&["b"]));
    let served = |pair: &Pair| is_served(server.client, &Knobs { pair: Some(pair), ..Knobs::default() });
    assert_eq!((served(&ours), served(&theirs)), (true, false));
    replace(&world.ca, [world.authority.pem(), other.pem()].concat().as_bytes());
    assert_eq!((served(&ours), served(&theirs)), (true, true));
    other.write(&world.ca);
    assert_eq!((served(&ours), served(&theirs)), (false, true));
    std::fs::write(&world.ca, "").unwrap();
    assert_eq!((served(&ours), served(&theirs)), (false, true), "an empty file is no list of authorities");
}

#[test]
fn revocations_are_read_anew() {
    let world = World::new("tls-reload-crl");
    let list = world.path("list.crl");
    let (first, second) = (world.authority.issue(&[]), world.authority.issue(&[]));
    for program in programs() {
        replace(&list, &world.authority.revoke(&[]));
        let mut flags = world.mutual_flags();
        flags.push(flag("client-crl-file", &list));
        let server = world.start(&program, &flags);
        let served = |pair: &Pair| is_served(server.client, &Knobs { pair: Some(pair), ..Knobs::default() });
        let mut old = Spoken::open(server.client, &Knobs { pair: Some(&first), ..Knobs::default() }).unwrap();
        assert_eq!((served(&first), served(&second)), (true, true), "{}", program.label);
        replace(&list, &world.authority.revoke(&[&first]));
        assert_eq!((served(&first), served(&second)), (false, true), "{}", program.label);
        replace(&list, &world.authority.revoke(&[&first, &second]));
        assert_eq!((served(&first), served(&second)), (false, false), "{}", program.label);
        assert!(old.get("/version").unwrap().contains("200 OK"), "{}: not disturbed", program.label);
    }
}
