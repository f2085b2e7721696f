//! Unix sockets, in plain and with TLS.

use super::run::{World, client_flags, etcdctl, programs};
use crate::client::free_address;

#[test]
fn unix_sockets_are_served_and_cleaned_up() {
    let world = World::new("tls-unix");
    for program in programs() {
        // A path, and what only looks like a host and a port: a file in the working directory.
        let plain = world.path(&format!("{}.sock", program.label));
        let urls = format!("unix://{},unix://localhost:1234", plain.display());
        let flags = [format!("--listen-client-urls={urls}"), format!("--advertise-client-urls={urls}")];
        let mut server = world.start_at(&program, free_address(), &flags);
        let odd = world.path(program.label).join("localhost:1234");
        for socket in [&plain, &odd] {
            let endpoint = format!("unix://{}", socket.display());
            assert_eq!(etcdctl(&endpoint, &[], &["put", "a", "b"]), (true, "OK\n".to_owned()), "{}", program.label);
        }
        // What a crash leaves behind is no hindrance.
        server.kill();
        assert!(plain.exists() && odd.exists());
        server.restart().unwrap();
        let endpoint = format!("unix://{}", plain.display());
        assert_eq!(etcdctl(&endpoint, &[], &["get", "a"]), (true, "a\nb\n".to_owned()), "{}", program.label);
        server.stop();
        assert!(!plain.exists() && !odd.exists(), "{}", program.label);
    }
}

#[test]
fn unixs_sockets_speak_tls() {
    let world = World::new("tls-unixs");
    // grpc-go expects a certificate for the file's name.
    world.authority.issue(&["ringbolt.sock", "etcd.sock"]).write(world.scratch.path(), "server");
    let good = world.authority.issue(&["client.example"]).write(world.scratch.path(), "client");
    for program in programs() {
        let socket = world.path(&format!("{}.sock", program.label));
        let url = format!("unixs://{}", socket.display());
        let mut flags = world.mutual_flags();
        flags.extend([format!("--listen-client-urls={url}"), format!("--advertise-client-urls={url}")]);
        let server = world.start_at(&program, free_address(), &flags);
        let (well, text) = etcdctl(&url, &client_flags(&world.ca, Some(&good)), &["put", "a", "b"]);
        assert!(well, "{}: {text}", program.label);
        let (well, _) = etcdctl(&url, &client_flags(&world.ca, None), &["put", "a", "b"]);
        assert!(!well, "{}", program.label);
        let (well, _) = etcdctl(&format!("unix://{}", socket.display()), &[], &["put", "a", "b"]);
        assert!(!well, "{}", program.label);
        drop(server);
    }
}
