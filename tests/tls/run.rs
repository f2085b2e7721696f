//! Servers with TLS, and etcdctl.
//!
//! **Invariants**: a server's directory is its own, below the test's.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::pki::{Authority, Files};
use crate::client::{PATIENCE, Program, Scratch, Server, free_address, oracle, server_under_test, tool};

/// Both programs, ours first.
pub(crate) fn programs() -> [Program; 2] {
    [server_under_test(), oracle()]
}

/// A directory with an authority and the server's certificate.
pub(crate) struct World {
    pub(crate) scratch: Scratch,
    pub(crate) authority: Authority,
    pub(crate) ca: PathBuf,
    pub(crate) files: Files,
}

impl World {
    pub(crate) fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        let authority = Authority::new("authority");
        let ca = authority.write(&scratch.path().join("ca.pem"));
        let files = authority.issue(&["127.0.0.1", "localhost"]).write(scratch.path(), "server");
        Self { scratch, authority, ca, files }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// The flags of the server's certificate.
    pub(crate) fn tls_flags(&self) -> Vec<String> {
        vec![flag("cert-file", &self.files.cert), flag("key-file", &self.files.key)]
    }

    /// Those, and clients must have certificates.
    pub(crate) fn mutual_flags(&self) -> Vec<String> {
        let mut flags = self.tls_flags();
        flags.extend([flag("trusted-ca-file", &self.ca), "--client-cert-auth".to_owned()]);
        flags
    }

    /// Starts `program` with an https listener and these flags.
    pub(crate) fn start(&self, program: &Program, flags: &[String]) -> Server {
        let address = free_address();
        let mut all = vec![
            format!("--listen-client-urls=https://{address}"),
            format!("--advertise-client-urls=https://{address}"),
        ];
        all.extend_from_slice(flags);
        self.start_at(program, address, &all)
    }

    /// Starts `program` with these flags alone.
    pub(crate) fn start_at(&self, program: &Program, address: SocketAddr, flags: &[String]) -> Server {
        let mut server = self.spawn(program, address, flags);
        server.await_ready(PATIENCE).unwrap_or_else(|failed| panic!("{}: {failed}", program.label));
        server
    }

    pub(crate) fn spawn(&self, program: &Program, address: SocketAddr, flags: &[String]) -> Server {
        let directory = self.path(program.label);
        std::fs::create_dir_all(&directory).unwrap();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        Server::spawn(program, &directory, &flags, address, free_address())
    }
}

pub(crate) fn flag(name: &str, path: &Path) -> String {
    format!("--{name}={}", path.display())
}

/// What etcdctl did: whether it went well, and all it printed.
pub(crate) fn etcdctl(endpoint: &str, flags: &[String], arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(tool("etcdctl"));
    command.arg(format!("--endpoints={endpoint}")).args(["--dial-timeout=5s", "--command-timeout=10s"]);
    command.args(flags).args(arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCDCTL")) {
        command.env_remove(name);
    }
    let output = command.output().expect("etcdctl runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// etcdctl's flags for a client certificate.
pub(crate) fn client_flags(ca: &Path, files: Option<&Files>) -> Vec<String> {
    let mut flags = vec![flag("cacert", ca)];
    if let Some(files) = files {
        flags.extend([flag("cert", &files.cert), flag("key", &files.key)]);
    }
    flags
}

/// The records of rejected connections so far.
pub(crate) fn rejections(server: &Server) -> Vec<Value> {
    let records = server.log();
    let records = records.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    records.filter(|record| record["msg"] == "rejected connection on client endpoint").collect()
}
