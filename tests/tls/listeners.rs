//! Several listeners, each for its own: HTTP apart from calls, metrics, both schemes on one address; hosts and origins.

use std::net::SocketAddr;
use std::process::Command;

use super::run::{World, client_flags, etcdctl, programs};
use super::wire::{Knobs, is_served};
use crate::client::{free_address, http_get, server_under_test};

/// What curl got: the answer's status and the headers that say who may call.
fn curl(arguments: &[&str]) -> (String, Vec<String>) {
    let mut command = Command::new("curl");
    command.args(["-s", "-i", "-k", "--max-time", "20"]).args(arguments);
    let output = command.output().expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout).to_lowercase();
    let mut lines = text.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("none").to_owned();
    let mut headers: Vec<String> =
        lines.filter(|line| line.starts_with("access-control-")).map(|line| line.trim().to_owned()).collect();
    headers.sort();
    (status, headers)
}

#[test]
fn each_listener_serves_its_own() {
    let world = World::new("tls-listeners");
    let told = programs().map(|program| {
        let [calls, http, metrics, secure_http]: [SocketAddr; 4] = std::array::from_fn(|_| free_address());
        let mut flags = world.tls_flags();
        flags.extend([
            format!("--listen-client-urls=http://{calls}"),
            format!("--advertise-client-urls=http://{calls}"),
            format!("--listen-client-http-urls=http://{http},https://{secure_http}"),
            format!("--listen-metrics-urls=http://{metrics}"),
        ]);
        let server = world.start_at(&program, calls, &flags);
        // etcd says that it is ready before all of its listeners are.
        while std::net::TcpStream::connect(metrics).is_err() {
            std::thread::yield_now();
        }
        let mut told = Vec::new();
        for (label, address) in [("calls", calls), ("http", http), ("metrics", metrics)] {
            for path in ["/health", "/metrics", "/livez", "/readyz/data_corruption", "/version", "/", "/debug/x"] {
                for method in ["GET", "POST"] {
                    let answer = http_get(address, method, path).ok().map(|answer| answer.status);
                    told.push(format!("{label} {method} {path}: {answer:?}"));
                }
            }
            let (well, _) = etcdctl(&format!("http://{address}"), &[], &["put", "a", "b"]);
            told.push(format!("{label} put: {well}"));
        }
        let (well, _) = etcdctl(&format!("https://{secure_http}"), &client_flags(&world.ca, None), &["put", "a", "b"]);
        told.push(format!("secure http put: {well}"));
        told.push(format!("secure http: {:?}", curl(&[&format!("https://{secure_http}/health")])));
        drop(server);
        told
    });
    assert_eq!(told[0], told[1]);
}

#[test]
fn metrics_over_tls_ask_for_certificates_as_the_others_do() {
    let world = World::new("tls-metrics");
    // etcd compares names in the certificate with the address that a client of this listener comes from.
    let pair = world.authority.issue(&[]);
    for program in programs() {
        let (calls, metrics) = (free_address(), free_address());
        let mut flags = world.mutual_flags();
        flags.extend([
            format!("--listen-client-urls=http://{calls}"),
            format!("--advertise-client-urls=http://{calls}"),
            format!("--listen-metrics-urls=https://{metrics}"),
        ]);
        let server = world.start_at(&program, calls, &flags);
        while std::net::TcpStream::connect(metrics).is_err() {
            std::thread::yield_now();
        }
        let get = |pair| {
            let mut spoken = super::wire::Spoken::open(metrics, &Knobs { pair, ..Knobs::default() })?;
            spoken.get("/health")
        };
        assert!(get(Some(&pair)).is_ok_and(|answer| answer.contains("200 OK")), "{}", program.label);
        assert!(get(None).is_err(), "{}", program.label);
        drop(server);
    }
}

#[test]
fn one_address_takes_both_schemes() {
    let world = World::new("tls-both");
    for program in programs() {
        let address = free_address();
        let mut flags = world.tls_flags();
        flags.extend([
            format!("--listen-client-urls=http://{address},https://{address}"),
            format!("--advertise-client-urls=http://{address}"),
        ]);
        let server = world.start_at(&program, address, &flags);
        let (well, text) = etcdctl(&format!("http://{address}"), &[], &["put", "a", "b"]);
        assert!(well, "{}: {text}", program.label);
        let (well, text) = etcdctl(&format!("https://{address}"), &client_flags(&world.ca, None), &["get", "a"]);
        assert_eq!((well, text.as_str()), (true, "a\nb\n"), "{}", program.label);
        assert!(is_served(address, &Knobs::default()), "{}", program.label);
        assert_eq!(http_get(address, "GET", "/health").unwrap().status, 200, "{}", program.label);
        drop(server);
    }
}

#[test]
fn hosts_and_origins_are_checked_as_etcd_does() {
    let world = World::new("tls-hosts");
    let told = programs().map(|program| {
        let (plain, secure) = (free_address(), free_address());
        let mut flags = world.tls_flags();
        flags.extend([
            format!("--listen-client-urls=http://{plain},https://{secure}"),
            format!("--advertise-client-urls=http://{plain}"),
            "--host-whitelist=a.example,127.0.0.1".to_owned(),
            "--cors=http://site.example:80,https://other.example:443".to_owned(),
        ]);
        let server = world.start_at(&program, plain, &flags);
        let (plain, secure) = (format!("http://{plain}"), format!("https://{secure}"));
        let mut told = Vec::new();
        for url in [&plain, &secure] {
            let url = format!("{url}/health");
            for host in ["a.example", "a.example:2379", "b.example", "[::1]:2379", "127.0.0.1:1"] {
                for protocol in ["--http1.1", "--http2"] {
                    // In plain, curl would have to be told to begin with HTTP/2.
                    let host = format!("Host: {host}");
                    told.push(format!("{host} {protocol} {:?}", curl(&[protocol, "-H", &host, &url])));
                }
            }
            for origin in ["http://site.example:80", "http://site.example", "https://other.example:443", "http://evil"]
            {
                let header = format!("Origin: {origin}");
                told.push(format!("{header} {:?}", curl(&["-H", &header, &url])));
                told.push(format!("OPTIONS {header} {:?}", curl(&["-X", "OPTIONS", "-H", &header, &url])));
            }
            told.push(format!("no origin {:?}", curl(&[&url])));
        }
        drop(server);
        told
    });
    assert_eq!(told[0], told[1]);
}

#[test]
fn a_refused_host_is_named() {
    let world = World::new("tls-host-named");
    let address = free_address();
    let server = world.start_at(&server_under_test(), address, &["--host-whitelist=a.example".to_owned()]);
    let answer = http_get(address, "GET", "/health").unwrap();
    assert_eq!(answer.status, 421);
    assert!(answer.body.contains("127.0.0.1") && answer.body.contains("--host-whitelist"), "{}", answer.body);
    assert!(server.await_line("rejecting HTTP request to prevent DNS rebinding attacks", crate::client::PATIENCE));
}

#[test]
fn a_port_is_shared_only_if_asked_for() {
    let world = World::new("tls-reuse");
    let address = free_address();
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    other.set_reuse_port(true).unwrap();
    other.bind(&address.into()).unwrap();
    other.listen(1).unwrap();
    for program in programs() {
        let server = world.start_at(&program, address, &["--socket-reuse-port".to_owned()]);
        drop(server);
        std::fs::remove_dir_all(world.path(program.label)).unwrap();
        let mut refused = world.spawn(&program, address, &[]);
        let failed = refused.await_ready(crate::client::PATIENCE).unwrap_err();
        assert_eq!(failed.status.and_then(|status| status.code()), Some(1), "{}", program.label);
        assert!(failed.log.contains("address already in use"), "{}", program.label);
    }
}
