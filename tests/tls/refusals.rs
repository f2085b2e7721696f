//! Clients that are turned away: how they are told of in the log, beside etcd; versions, suites, names, revoked ones.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::{CipherSuite, ProtocolVersion, SupportedProtocolVersion, version};

use super::pki::{Authority, Pair, replace};
use super::run::{World, flag, programs, rejections};
use super::wire::{Knobs, Spoken, is_served};
use crate::client::{PATIENCE, Server};

const ONLY12: &[&SupportedProtocolVersion] = &[&version::TLS12];
const ONLY13: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// Waits for one more rejection than there were, and gives its error.
fn next_rejection(server: &Server, before: usize, label: &str) -> serde_json::Value {
    let found = server.await_lines("rejected connection on client endpoint", before + 1, PATIENCE);
    assert!(found, "{label}: nothing was logged: {}", server.last_lines(5));
    rejections(server).remove(before)
}

/// The error without what differs from run to run: the time of the check.
fn levelled(record: &serde_json::Value) -> String {
    let text = record["error"].as_str().unwrap_or_default();
    match text.split_once("current time ") {
        Some((before, after)) => format!("{before}…{}", after.split_once(' ').map_or("", |(_, rest)| rest)),
        None => text.to_owned(),
    }
}

#[test]
fn rejections_are_told_apart_in_etcds_words() {
    let world = World::new("tls-refusals");
    let other = Authority::new("other");
    let revoked = world.authority.issue(&["client.example", "10.0.0.7"]);
    let list = world.path("list.crl");
    replace(&list, &world.authority.revoke(&[&revoked]));
    let mut flags = world.mutual_flags();
    flags.extend([flag("client-crl-file", &list), "--client-cert-allowed-hostname=client.example".to_owned()]);
    let good = world.authority.issue(&["client.example"]);
    let cases: [(&str, Option<Pair>); 6] = [
        ("none", None),
        ("unknown", Some(other.issue(&["client.example"]))),
        ("expired", Some(world.authority.issue_expired(&["client.example"]))),
        ("wrong name", Some(world.authority.issue(&["other.example"]))),
        (
            "wrong use",
            Some(world.authority.issue_with(&["client.example"], |params| {
                params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
            })),
        ),
        ("revoked", Some(revoked)),
    ];
    let told = programs().map(|program| {
        let server = world.start(&program, &flags);
        assert!(is_served(server.client, &Knobs { pair: Some(&good), ..Knobs::default() }), "{}", program.label);
        let mut told = Vec::new();
        for (at, (label, pair)) in cases.iter().enumerate() {
            let knobs = Knobs { pair: pair.as_ref(), name: Some("etcd.example"), ..Knobs::default() };
            assert!(!is_served(server.client, &knobs), "{}: {label}", program.label);
            let record = next_rejection(&server, at, label);
            assert_eq!(record["level"], "warn");
            assert!(record["remote-addr"].as_str().unwrap().starts_with("127.0.0.1:"), "{record}");
            told.push((*label, levelled(&record), record["dns-names"].clone(), record["ip-addresses"].clone()));
        }
        TcpStream::connect(server.client).unwrap().write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        told.push(("plain", levelled(&next_rejection(&server, cases.len(), "plain")), "".into(), "".into()));
        assert!(is_served(server.client, &Knobs { pair: Some(&good), ..Knobs::default() }), "{}", program.label);
        told
    });
    for (ours, theirs) in told[0].iter().zip(&told[1]) {
        // etcd names the time zone of the machine, and a candidate authority.
        assert_eq!(ours, theirs);
    }
    let mut texts: Vec<&String> = told[0].iter().map(|(_, text, ..)| text).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), told[0].len(), "told apart: {texts:?}");
}

#[test]
fn the_name_asked_for_is_logged() {
    let world = World::new("tls-sni");
    let server = world.start(&programs()[0], &world.mutual_flags());
    assert!(!is_served(server.client, &Knobs { name: Some("etcd.example"), ..Knobs::default() }));
    assert_eq!(next_rejection(&server, 0, "no certificate")["server-name"], "etcd.example");
}

#[test]
fn tls_on_a_plain_listener_is_told_of() {
    let world = World::new("tls-on-plain");
    let address = crate::client::free_address();
    let server = world.start_at(&programs()[0], address, &[]);
    assert!(Spoken::open(address, &Knobs::default()).is_err());
    let record = next_rejection(&server, 0, "TLS in plain");
    assert_eq!(record["error"], "client sent a TLS handshake to a listener without TLS");
}

#[test]
fn versions_are_those_of_the_flags() {
    let world = World::new("tls-versions");
    for (flags, has12, has13) in [
        (&[][..], true, true),
        (&["--tls-min-version=TLS1.3"], false, true),
        (&["--tls-max-version=TLS1.2"], true, false),
        (&["--tls-min-version=TLS1.2", "--tls-max-version=TLS1.3"], true, true),
    ] {
        for program in programs() {
            let mut all = world.tls_flags();
            all.extend(flags.iter().map(|flag| (*flag).to_owned()));
            let server = world.start(&program, &all);
            let version = |versions| {
                let knobs = Knobs { versions: Some(versions), ..Knobs::default() };
                Spoken::open(server.client, &knobs).ok().map(|spoken| spoken.version())
            };
            let expected = (has12.then_some(ProtocolVersion::TLSv1_2), has13.then_some(ProtocolVersion::TLSv1_3));
            assert_eq!((version(ONLY12), version(ONLY13)), expected, "{} {flags:?}", program.label);
        }
    }
}

#[test]
fn suites_are_those_of_the_flag() {
    let world = World::new("tls-suites");
    let chosen = "--cipher-suites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_128_CBC_SHA";
    for program in programs() {
        let mut flags = world.tls_flags();
        flags.push(chosen.to_owned());
        let server = world.start(&program, &flags);
        let suite = |suite, versions| {
            let knobs = Knobs { suite: Some(suite), versions: Some(versions), ..Knobs::default() };
            Spoken::open(server.client, &knobs).ok().map(|spoken| spoken.suite())
        };
        let (old, new) = (ONLY12, ONLY13);
        let good = CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
        assert_eq!(suite(good, old), Some(good), "{}", program.label);
        assert_eq!(suite(CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, old), None, "{}", program.label);
        let modern = CipherSuite::TLS13_AES_256_GCM_SHA384;
        assert_eq!(suite(modern, new), Some(modern), "{}: those of 1.3 are always on", program.label);
    }
}

#[test]
fn a_client_that_says_nothing_is_left_in_time() {
    let world = World::new("tls-silent");
    for program in programs() {
        let server = world.start(&program, &world.tls_flags());
        let mut silent = TcpStream::connect(server.client).unwrap();
        silent.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        // A header that promises a handshake, and nothing after it.
        silent.write_all(&[0x16, 3, 1, 1, 0]).unwrap();
        assert_eq!(silent.read(&mut [0; 16]).unwrap_or(0), 0, "{}", program.label);
        let record = next_rejection(&server, 0, "silent");
        assert!(record["error"].as_str().unwrap().ends_with("i/o timeout"), "{}: {record}", program.label);
    }
}
