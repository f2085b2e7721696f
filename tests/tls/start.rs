//! Files and flags that a server must not start with: etcd's texts, status 1, and nothing written.

use std::path::Path;

use serde_json::Value;

use super::pki::replace;
use super::run::{World, flag, programs};
use crate::client::{PATIENCE, Program, free_address};

/// How a start ended: the status, and the last record's message and error.
fn end(world: &World, program: &Program, flags: &[String]) -> (Option<i32>, String, String) {
    let directory = world.path(program.label);
    let _ = std::fs::remove_dir_all(&directory);
    let address = free_address();
    // Always the same address, so that texts with it can be compared.
    let mut all = vec![
        "--listen-client-urls=https://127.0.0.1:0".to_owned(),
        "--advertise-client-urls=https://127.0.0.1:0".to_owned(),
    ];
    all.extend_from_slice(flags);
    let mut server = world.spawn(program, address, &all);
    let status = server.await_exit(PATIENCE).and_then(|status| status.code());
    let log = server.log();
    let mut records = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let last = records.rfind(|record| record["level"] == "fatal").unwrap_or_default();
    let text = |name: &str| last[name].as_str().unwrap_or_default().to_owned();
    (status, text("msg"), text("error"))
}

fn given(name: &str, path: &Path) -> String {
    flag(name, path)
}

#[test]
fn bad_files_end_the_start_as_with_etcd() {
    let world = World::new("tls-bad-files");
    let (cert, key) = (world.files.cert.clone(), world.files.key.clone());
    let other = world.authority.issue(&[]).write(world.scratch.path(), "other");
    let (missing, rubbish) = (world.path("missing"), world.path("rubbish"));
    replace(&rubbish, b"rubbish\n");
    let good = || world.tls_flags();
    let with = |more: Vec<String>| [good(), more].concat();
    let cases: Vec<Vec<String>> = vec![
        vec![],
        vec![given("cert-file", &cert)],
        vec![given("key-file", &key)],
        vec![given("cert-file", &missing), given("key-file", &key)],
        vec![given("cert-file", &cert), given("key-file", &missing)],
        vec![given("cert-file", &rubbish), given("key-file", &key)],
        vec![given("cert-file", &cert), given("key-file", &rubbish)],
        vec![given("cert-file", &key), given("key-file", &key)],
        vec![given("cert-file", &cert), given("key-file", &cert)],
        vec![given("cert-file", &cert), given("key-file", &other.key)],
        with(vec![given("trusted-ca-file", &missing)]),
        with(vec![given("client-cert-file", &other.cert)]),
        with(vec![given("client-key-file", &other.key)]),
        with(vec![given("client-cert-file", &other.cert), given("client-key-file", &key)]),
        with(vec![given("client-cert-file", &missing), given("client-key-file", &missing)]),
        with(vec!["--cipher-suites=nonsense".to_owned()]),
        with(vec!["--cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA".to_owned()]),
        with(vec!["--cipher-suites=TLS_AES_128_GCM_SHA256".to_owned()]),
        vec!["--auto-tls".to_owned(), "--self-signed-cert-validity=0".to_owned()],
    ];
    let [ours, etcd] = programs();
    let mut wrong = Vec::new();
    for flags in &cases {
        let (told, theirs) = (end(&world, &ours, flags), end(&world, &etcd, flags));
        if told != theirs || told.0 != Some(1) {
            wrong.push(format!("{flags:?}\n  ours {told:?}\n  etcd {theirs:?}"));
        }
        // The certificate of --auto-tls lies in the data directory, which is there before.
        let written = world.path(ours.label).join("data").exists();
        if written && !flags.contains(&"--auto-tls".to_owned()) {
            wrong.push(format!("{flags:?}: something was written"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// etcd starts with these, and then turns every client away.
#[test]
fn files_that_would_shut_everybody_out_are_refused_here() {
    let world = World::new("tls-shut-out");
    let (missing, rubbish) = (world.path("missing"), world.path("rubbish"));
    replace(&rubbish, b"rubbish\n");
    let [ours, _] = programs();
    for (flags, text) in [
        (vec![given("trusted-ca-file", &rubbish)], "no certificate in PEM form found in"),
        (vec![given("trusted-ca-file", &world.ca), given("client-crl-file", &missing)], "no such file or directory"),
        (vec![given("trusted-ca-file", &world.ca), given("client-crl-file", &rubbish)], "x509: malformed crl"),
    ] {
        let (status, message, error) = end(&world, &ours, &[world.tls_flags(), flags].concat());
        assert_eq!((status, message.as_str()), (Some(1), "listener failed"));
        assert!(error.contains(text), "{error}");
        assert!(!world.path(ours.label).join("data").exists());
    }
}
