//! The Kubernetes API machinery on ringbolt: builds the Go program beside this file and runs it, on ringbolt and on
//! real etcd, where it must pass too.
//!
//! **Invariants**: the program is told which server to start and knows nothing of it; without Go this fails and says
//! what to do, it never passes.

// Tests panic on purpose; the bans are for the product.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::wildcard_enum_match_arm)]

#[path = "../client/mod.rs"]
mod client;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use client::{Program, Scratch, oracle, server_under_test};

/// Builds the program, once.
fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build)
}

fn build() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kube");
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kube");
    let mut go = Command::new("go");
    go.current_dir(source).env("GOFLAGS", "").env("CGO_ENABLED", "0");
    go.args(["build", "-trimpath", "-ldflags=-s -w", "-o"]).arg(&built).arg(".");
    let status = go.status().unwrap_or_else(|error| {
        panic!("tests/kube needs Go 1.26 or newer (go: {error}): install it from https://go.dev/dl, with `go` in PATH")
    });
    assert!(status.success(), "go build in tests/kube: {status}; its module downloads need a reachable GOPROXY");
    built
}

/// Real etcd gets fewer objects: that it passes shows that the checks are right, and their number adds nothing.
fn passes(server: &Program, objects: usize) {
    let scratch = Scratch::new("kube");
    let status = Command::new(program())
        .args([Path::new("-server"), server.path.as_path()])
        .args([format!("-label={}", server.label), format!("-objects={objects}")])
        .env("TMPDIR", scratch.path())
        .status()
        .expect("what was just built runs");
    assert!(status.success(), "the Kubernetes API machinery on {}: {status}", server.label);
}

#[test]
#[ignore = "takes minutes; the step kube of tests/run runs it"]
fn the_kubernetes_api_machinery_works_on_ringbolt() {
    passes(&server_under_test(), 10_000);
}

#[test]
#[ignore = "takes minutes; the step kube of tests/run runs it"]
fn the_kubernetes_api_machinery_works_on_etcd() {
    passes(&oracle(), 2_000);
}
