//! The stock etcdctl over TLS.

use super::pki::Pair;
use super::run::{World, client_flags, etcdctl, programs};
use super::wire::{Knobs, Spoken};
use crate::client::oracle_is_old;

#[test]
fn etcdctl_works_with_a_certificate_and_not_without() {
    let world = World::new("tls-etcdctl");
    let good = world.authority.issue(&["client.example"]).write(world.scratch.path(), "client");
    for program in programs() {
        let server = world.start(&program, &world.mutual_flags());
        let endpoint = format!("https://{}", server.client);
        let flags = client_flags(&world.ca, Some(&good));
        let ask = |arguments: &[&str]| etcdctl(&endpoint, &flags, arguments);
        assert_eq!(ask(&["put", "a", "1"]), (true, "OK\n".to_owned()), "{}", program.label);
        assert_eq!(ask(&["get", "a"]), (true, "a\n1\n".to_owned()), "{}", program.label);
        let large = "x".repeat(1 << 20);
        let file = world.path("large");
        std::fs::write(&file, &large).unwrap();
        let quoted = format!("cat {} | {} ", file.display(), crate::client::tool("etcdctl").display());
        let put = format!("{quoted} --endpoints={endpoint} {} put large", flags.join(" "));
        assert!(std::process::Command::new("sh").args(["-c", &put]).status().unwrap().success(), "{}", program.label);
        assert_eq!(ask(&["get", "large", "--print-value-only"]).1.trim_end(), large, "{}", program.label);
        let (well, text) = ask(&["endpoint", "health"]);
        assert!(well && text.contains("is healthy"), "{}: {text}", program.label);
        let (well, text) = etcdctl(&endpoint, &client_flags(&world.ca, None), &["get", "a"]);
        assert!(!well, "{}: {text}", program.label);
    }
}

#[test]
fn both_protocols_are_spoken_on_one_port() {
    let world = World::new("tls-alpn");
    for program in programs() {
        let server = world.start(&program, &world.tls_flags());
        let protocol = |protocols: &[&str]| {
            Spoken::open(server.client, &Knobs { protocols, ..Knobs::default() }).map(|spoken| spoken.protocol())
        };
        assert_eq!(protocol(&["h2"]).unwrap().as_deref(), Some("h2"), "{}", program.label);
        assert_eq!(protocol(&["h2", "http/1.1"]).unwrap().as_deref(), Some("h2"), "{}", program.label);
        assert_eq!(protocol(&[]).unwrap(), None, "{}", program.label);
        assert!(protocol(&["nonsense"]).is_err(), "{}", program.label);
        for protocols in [&[][..], &["http/1.1"]] {
            let mut spoken = Spoken::open(server.client, &Knobs { protocols, ..Knobs::default() }).unwrap();
            let answer = spoken.get("/version").unwrap();
            assert!(
                answer.starts_with("HTTP/1.1 200 OK") && answer.contains("etcdserver"),
                "{}: {answer}",
                program.label
            );
        }
        let (well, text) =
            etcdctl(&format!("https://{}", server.client), &client_flags(&world.ca, None), &["get", "x"]);
        assert!(well, "{}: {text}", program.label);
    }
}

#[test]
fn http_goes_over_either_protocol() {
    let world = World::new("tls-http2");
    for program in programs() {
        let server = world.start(&program, &world.tls_flags());
        for (protocol, path, expected) in [
            ("--http2", "/health", "{\"health\":\"true\",\"reason\":\"\"}200 2"),
            ("--http1.1", "/health", "{\"health\":\"true\",\"reason\":\"\"}200 1.1"),
            ("--http2", "/nothing", "404 page not found\n404 2"),
        ] {
            let url = format!("https://{}{path}", server.client);
            let ca = world.ca.display().to_string();
            let mut command = std::process::Command::new("curl");
            command.args([
                "-s",
                "--max-time",
                "20",
                protocol,
                "--cacert",
                &ca,
                "-w",
                "%{http_code} %{http_version}",
                &url,
            ]);
            let output = command.output().expect("curl runs");
            assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}: {url}", program.label);
        }
        // More than a stream's first window.
        let url = format!("https://{}/metrics", server.client);
        let mut command = std::process::Command::new("curl");
        command.args(["-sk", "--max-time", "20", "--http2", &url]);
        let text = String::from_utf8_lossy(&command.output().expect("curl runs").stdout).into_owned();
        assert!(text.len() > 65_535 && text.ends_with('\n'), "{}: {} bytes", program.label, text.len());
    }
}

#[test]
fn every_kind_of_key_is_served() {
    let world = World::new("tls-keys");
    let program = &programs()[0];
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ECDSA_P521_SHA512,
        &rcgen::PKCS_ED25519,
    ] {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        let params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let cert = params.self_signed(&key).unwrap().pem();
        let pair = Pair { cert, key: key.serialize_pem(), serial: 0 };
        let files = pair.write(world.scratch.path(), "special");
        let flags = [super::run::flag("cert-file", &files.cert), super::run::flag("key-file", &files.key)];
        let server = world.start(program, &flags);
        let (well, text) =
            etcdctl(&format!("https://{}", server.client), &client_flags(&files.cert, None), &["get", "x"]);
        assert!(well || oracle_is_old(), "{algorithm:?}: {text}");
    }
}
