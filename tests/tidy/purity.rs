//! What a pure module must not name: I/O, clocks, randomness, threads, locks, async, hash order.

use super::layers::Layers;
use super::source::{Finding, Source, words};

/// Words that stand for an impurity wherever they appear.
const WORDS: &[&str] = &[
    "HashMap",
    "HashSet",
    "RandomState",
    "Instant",
    "SystemTime",
    "UNIX_EPOCH",
    "Mutex",
    "RwLock",
    "Condvar",
    "LazyLock",
    "thread_local",
    "thread_rng",
    "OsRng",
    "async",
    "await",
    "glommio",
    "tokio",
    "futures_lite",
    "libc",
    "io_uring",
    "println",
    "eprintln",
    "print",
    "eprint",
    "dbg",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "ToSocketAddrs",
];

/// Paths that do.
const PATHS: &[&str] = &["std::fs", "std::io", "std::env", "std::process", "std::thread", "std::sync::mpsc", "rand::"];

/// What threads share without locks is for this one file, where readers meet the writer.
const SHARED: &str = "src/tree/readers.rs";

/// Finds impurities in the product code of pure modules.
pub(crate) fn check(sources: &[Source], table: &str) -> Vec<Finding> {
    let (layers, _) = Layers::parse(table);
    sources
        .iter()
        .filter(|source| source.module_path().first().is_some_and(|module| layers.is_pure(module)))
        .flat_map(check_file)
        .collect()
}

fn check_file(source: &Source) -> Vec<Finding> {
    let code = source.product.as_str();
    let mut findings: Vec<Finding> = words(code)
        .filter(|(_, word)| {
            WORDS.contains(word) || source.path != SHARED && (word.starts_with("Atomic") || *word == "OnceLock")
        })
        .map(|(offset, word)| source.finding(offset, format!("a pure module must not name `{word}`")))
        .collect();
    for path in PATHS {
        let whole_word = |at: usize| {
            at == 0 || !code.as_bytes()[at - 1].is_ascii_alphanumeric() && !code[..at].ends_with(['_', ':'])
        };
        let found = code.match_indices(path).filter(|(at, _)| whole_word(*at));
        findings.extend(found.map(|(at, _)| source.finding(at, format!("a pure module must not name `{path}`"))));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&[Source::new(path, text)], "pure!:\ntree!:\nshell: pure\n").len()
    }

    #[test]
    fn each_impurity_is_found() {
        for text in [
            "use std::collections::HashMap;",
            "fn f() { std::time::Instant::now() }",
            "async fn f() {}",
            "fn f() { g().await }",
            "use std::fs::File;",
            "use std::io;",
            "let n = rand::random();",
            "static A: std::sync::Mutex<u8> = 0;",
            "use std::sync::atomic::AtomicU64;",
            "fn f() { println!(\"x\") }",
            "use std::net::TcpStream;",
        ] {
            assert_eq!(found("src/pure/a.rs", text), 1, "{text}");
            assert_eq!(found("src/shell.rs", text), 0, "{text}");
        }
    }

    #[test]
    fn what_only_looks_impure_is_not() {
        assert_eq!(
            found(
                "src/pure.rs",
                "// std::fs, async\nuse std::net::IpAddr; use std::collections::BTreeMap; fn brand::x() {}"
            ),
            0
        );
        assert_eq!(found("src/pure.rs", "#[cfg(test)]\nmod tests { use std::fs; }"), 0);
        assert_eq!(found("src/pure/tests.rs", "use std::fs;"), 0);
    }

    #[test]
    fn atomics_have_one_place() {
        let text = "static A: AtomicU64; static B: OnceLock;";
        assert_eq!((found("src/tree/readers.rs", text), found("src/tree/page.rs", text)), (0, 2));
    }
}
