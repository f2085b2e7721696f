//! Two servers and the stock etcdctl run against each.
//!
//! **Invariants**: both get the same commands in the same order; the environment's ETCDCTL_* are not seen.

use std::io::Write;
use std::process::{Command, Stdio};

use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Client, Program, Scratch, Server, oracle, server_under_test, tool};
use crate::text::Names;

/// What a command printed and how it ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Printed {
    /// Exit code.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: Vec<u8>,
    /// Standard error.
    pub(crate) error: String,
}

/// A server with what its outputs must be levelled by.
pub(crate) struct Side {
    /// The server.
    pub(crate) server: Server,
    /// Its names.
    pub(crate) names: Names,
}

/// The server under test and etcd, fresh; the directory lives as long as they do.
pub(crate) fn both(name: &str) -> ([Side; 2], Scratch) {
    both_with(name, &[])
}

/// The same with flags for both.
pub(crate) fn both_with(name: &str, flags: &[&str]) -> ([Side; 2], Scratch) {
    let scratch = Scratch::new(name);
    let side = |label: &str, program: &Program| {
        let directory = scratch.path().join(label);
        std::fs::create_dir(&directory).expect("a fresh directory");
        let server = Server::start(program, &directory, flags).unwrap_or_else(|failed| panic!("{label}: {failed}"));
        let names = names(&server);
        Side { server, names }
    };
    ([side("ours", &server_under_test()), side("oracle", &oracle())], scratch)
}

fn names(server: &Server) -> Names {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let list = runtime.block_on(async {
        let client = Client::open(server.client).await.expect("it serves");
        client.member_list(&pb::MemberListRequest::default()).await.expect("it serves")
    });
    let header = list.header.expect("each answer has one");
    let replace = vec![
        (server.client.to_string(), "CLIENT"),
        (server.peer.to_string(), "PEER"),
        (header.member_id.to_string(), "MEMBER"),
        (format!("{:x}", header.member_id), "MEMBER"),
        (header.cluster_id.to_string(), "CLUSTER"),
        (format!("{:x}", header.cluster_id), "CLUSTER"),
    ];
    Names { replace }
}

/// Runs etcdctl against a server.
pub(crate) fn etcdctl(server: &Server, arguments: &[&str], input: &str) -> Printed {
    let mut command = Command::new(tool("etcdctl"));
    command.arg(format!("--endpoints={}", server.client)).args(arguments);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ETCDCTL")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("etcdctl runs");
    let mut stdin = child.stdin.take().expect("piped");
    // One that reads no input closes it.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("our child");
    Printed {
        code: output.status.code(),
        out: output.stdout,
        error: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
