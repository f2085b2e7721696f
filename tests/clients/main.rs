//! Client libraries of four languages, from their registries, on ringbolt and on real etcd, over a plain socket and
//! over TLS with certificates on both sides.
//!
//! **Invariants**: each client program gets an endpoint, perhaps certificates, and nothing else: what holds on one
//! server holds on the other. A language that this machine lacks is skipped with a line that says so; one that is
//! there and whose library cannot be had is a failure. What is installed goes below target/.

// Tests panic on purpose; the bans are for the product.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

#[path = "../client/mod.rs"]
mod client;

// This target needs a part of it.
#[allow(dead_code)]
#[path = "../tls/pki.rs"]
mod pki;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use client::{PATIENCE, Program, Scratch, Server, free_address, oracle, server_under_test};
use pki::Authority;

/// Where the sources of a language's program are.
fn source(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(language)
}

/// Where a language's libraries and what is built go.
fn place(language: &str) -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("clients-{language}"));
    std::fs::create_dir_all(&place).unwrap();
    place
}

/// True if a command is there and answers; says what is skipped otherwise.
fn have(language: &str, command: &[&str], advice: &str) -> bool {
    let (name, arguments) = command.split_first().unwrap();
    let status = Command::new(name).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = status.is_ok_and(|status| status.success());
    if !there {
        println!("SKIPPED: the client library of {language}: `{}` does not run; {advice}", command.join(" "));
    }
    there
}

fn run(command: &mut Command, what: &str) {
    // Standard output is left to the test runner's own lines.
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{what}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{what}: {}\n{}", output.status, String::from_utf8_lossy(&said));
}

/// A client program: what to start, with which environment.
struct Script {
    command: Vec<PathBuf>,
    environment: Vec<(&'static str, OsString)>,
}

impl Script {
    /// Runs it against both servers, plain and with TLS.
    fn passes(&self, language: &str) {
        for program in [server_under_test(), oracle()] {
            self.plain(language, &program);
            self.tls(language, &program);
            println!("{language} works with {}, plain and with TLS", program.label);
        }
    }

    fn plain(&self, language: &str, program: &Program) {
        let scratch = Scratch::new(&format!("clients-{language}"));
        let server = Server::start(program, scratch.path(), &[]).unwrap_or_else(|failed| panic!("{failed}"));
        self.run(&[format!("http://{}", server.client).into()], &format!("{language} with {}", program.label));
    }

    fn tls(&self, language: &str, program: &Program) {
        let scratch = Scratch::new(&format!("clients-{language}-tls"));
        let authority = Authority::new("authority");
        let ca = authority.write(&scratch.path().join("ca.pem"));
        let server = authority.issue(&["127.0.0.1", "localhost"]).write(scratch.path(), "server");
        let own = authority.issue(&["client.example"]).write(scratch.path(), "client");
        let address = free_address();
        let flags = [
            format!("--listen-client-urls=https://{address}"),
            format!("--advertise-client-urls=https://{address}"),
            format!("--cert-file={}", server.cert.display()),
            format!("--key-file={}", server.key.display()),
            format!("--trusted-ca-file={}", ca.display()),
            "--client-cert-auth".to_owned(),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let mut server = Server::spawn(program, scratch.path(), &flags, address, free_address());
        server.await_ready(PATIENCE).unwrap_or_else(|failed| panic!("{failed}"));
        let arguments = [format!("https://{address}").into(), ca.into(), own.cert.into(), own.key.into()];
        self.run(&arguments, &format!("{language} with {} and TLS", program.label));
    }

    fn run(&self, arguments: &[OsString], what: &str) {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).args(arguments).envs(self.environment.iter().map(|(k, v)| (k, v)));
        run(&mut command, what);
    }
}

#[test]
#[ignore = "builds and installs; the step clients of tests/run runs it"]
fn go() {
    if !have("go", &["go", "version"], "install Go 1.26 or newer from https://go.dev/dl") {
        return;
    }
    let built = place("go").join("client");
    let mut build = Command::new("go");
    build.current_dir(source("go")).env("GOFLAGS", "").env("CGO_ENABLED", "0");
    build.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(&built).arg(".");
    run(&mut build, "go build in tests/clients/go");
    Script { command: vec![built], environment: Vec::new() }.passes("go");
}

#[test]
#[ignore = "builds and installs; the step clients of tests/run runs it"]
fn rust() {
    let target = place("rust");
    let cargo = |package: &str| {
        let mut build = Command::new(env!("CARGO"));
        build.current_dir(source("rust")).env("CARGO_TARGET_DIR", &target).env_remove("RUSTFLAGS");
        build.args(["build", "--quiet", "--locked", "--package", package]);
        build
    };
    run(&mut cargo("protoc"), "cargo build of tests/clients/rust/protoc");
    let protoc = target.join("debug/protoc");
    run(cargo("client").env("PROTOC", protoc), "cargo build of tests/clients/rust/client");
    Script { command: vec![target.join("debug/client")], environment: Vec::new() }.passes("rust");
}

#[test]
#[ignore = "builds and installs; the step clients of tests/run runs it"]
fn python() {
    if !have("python", &["python3", "-m", "pip", "--version"], "install Python 3 with pip") {
        return;
    }
    let requirements = source("python").join("requirements.txt");
    let libraries = place("python");
    let installed = libraries.join("installed");
    if std::fs::read(&installed).ok() != std::fs::read(&requirements).ok() {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--upgrade", "--disable-pip-version-check", "--target"]);
        run(pip.arg(&libraries).arg("--requirement").arg(&requirements), "pip install in tests/clients/python");
        std::fs::copy(&requirements, &installed).unwrap();
    }
    let command = vec!["python3".into(), source("python").join("clients.py")];
    Script { command, environment: vec![("PYTHONPATH", libraries.into())] }.passes("python");
}

#[test]
#[ignore = "builds and installs; the step clients of tests/run runs it"]
fn node() {
    let advice = "install Node.js 18 or newer with npm";
    if !have("node", &["node", "--version"], advice) || !have("node", &["npm", "--version"], advice) {
        return;
    }
    let libraries = place("node");
    let mut changed = false;
    for name in ["package.json", "package-lock.json"] {
        let wanted = std::fs::read(source("node").join(name)).unwrap();
        let there = std::fs::read(libraries.join(name)).ok();
        changed |= there.as_ref() != Some(&wanted);
        std::fs::write(libraries.join(name), wanted).unwrap();
    }
    let modules = libraries.join("node_modules");
    if changed || !modules.join(".package-lock.json").is_file() {
        let mut npm = Command::new("npm");
        npm.current_dir(&libraries).args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]);
        run(&mut npm, "npm ci in tests/clients/node");
    }
    let command = vec!["node".into(), source("node").join("clients.js")];
    Script { command, environment: vec![("NODE_PATH", modules.into())] }.passes("node");
}
