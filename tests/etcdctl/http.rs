//! What curl sees on the client port: `/health`, `/version` and paths that are not there.
//!
//! **Invariants**: status, content type and body of the fixed answers are etcd's.

use crate::client::{http_get, oracle_is_old};
use crate::run::both;

#[test]
fn fixed_answers_are_those_of_etcd() {
    let (sides, _scratch) = both("http");
    let mut wrong = Vec::new();
    for (method, path) in [
        ("GET", "/health"),
        ("GET", "/health?serializable=true"),
        ("GET", "/health?exclude=NOSPACE"),
        ("POST", "/health"),
        ("GET", "/livez"),
        ("GET", "/livez/serializable_read"),
        ("GET", "/livez/nothing"),
        ("GET", "/readyz"),
        ("GET", "/readyz/linearizable_read"),
        ("POST", "/readyz"),
        ("GET", "/version"),
        ("GET", "/"),
        ("GET", "/nothing"),
        ("GET", "/v2/keys"),
        ("GET", "/v3alpha/kv/range"),
    ] {
        if oracle_is_old() && ["/livez", "/readyz", "/version"].iter().any(|new| path.starts_with(new)) {
            // The probes came later, and the version is its own.
            continue;
        }
        let [ours, oracle] = sides.each_ref().map(|side| {
            let answer = http_get(side.server.client, method, path);
            let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
            let header = |name: &str| answer.header(name).map(str::to_owned);
            (answer.status, header("content-type"), header("allow"), side.names.level(&answer.body))
        });
        if ours != oracle {
            wrong.push(format!("{method} {path}\n  ours   {ours:?}\n  oracle {oracle:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
