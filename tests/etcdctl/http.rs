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
        ("GET", "/health?serializable=TRUE&exclude=CORRUPT&exclude=NOSPACE"),
        ("HEAD", "/health"),
        ("GET", "/livez"),
        ("GET", "/livez?verbose"),
        ("GET", "/livez?verbose=false"),
        ("GET", "/livez/"),
        ("POST", "/livez/serializable_read"),
        ("GET", "/readyz?verbose&exclude=non_learner"),
        ("GET", "/readyz?verbose&exclude=non%5Flearner&exclude=data+corruption"),
        ("GET", "/readyz?exclude=nothing"),
        ("GET", "/readyz?exclude="),
        ("GET", "/readyz/data_corruption?verbose"),
        ("GET", "/readyz/non_learner?exclude=non_learner&verbose"),
        ("GET", "/readyz//data_corruption"),
        ("POST", "/debug/vars"),
        ("GET", "/debug/vars/"),
        ("GET", "/debug/pprof/"),
        ("OPTIONS", "/readyz"),
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
        if oracle_is_old() && ["/livez", "/readyz", "/version", "/debug"].iter().any(|new| path.starts_with(new)) {
            // The probes came later, and the version is its own.
            continue;
        }
        let [ours, oracle] = sides.each_ref().map(|side| {
            let answer = http_get(side.server.client, method, path);
            let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
            let header = |name: &str| answer.header(name).map(str::to_owned);
            let named = ["content-type", "allow", "x-content-type-options", "location", "access-control-allow-origin"];
            let body = side.names.level(&answer.body);
            // etcd makes its checks in no order.
            let mut lines: Vec<String> = body.lines().map(str::to_owned).collect();
            lines.sort();
            (answer.status, named.map(header), body.ends_with('\n'), lines)
        });
        if ours != oracle {
            wrong.push(format!("{method} {path}\n  ours   {ours:?}\n  oracle {oracle:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// expvar's page: the same variables in the same order, and raft's state field by field.
#[test]
fn debug_vars_have_etcds_variables() {
    let (sides, _scratch) = both("vars");
    let [ours, oracle] = sides.each_ref().map(|side| {
        let answer = http_get(side.server.client, "GET", "/debug/vars").expect("it serves");
        let kind = answer.header("content-type").map(str::to_owned);
        let names: Vec<String> =
            answer.body.lines().filter_map(|line| Some(line.split_once(": ")?.0.to_owned())).collect();
        let page: serde_json::Value = serde_json::from_str(&answer.body).expect("JSON");
        let mut raft = page["raft.status"].as_object().expect("an object").clone();
        // How far the log is, and in which term, is each server's own.
        for name in ["commit", "applied", "term", "progress"] {
            let number = raft.remove(name).expect("it is there");
            assert!(number.is_u64() || name == "progress" && number.as_object().is_some_and(|all| all.len() == 1));
        }
        assert!(page["file_descriptor_limit"].as_u64() > Some(100) && page["memstats"]["Alloc"].as_u64() > Some(0));
        assert!(page["cmdline"].as_array().is_some_and(|words| words.len() > 1));
        (answer.status, kind, names, side.names.level(&serde_json::Value::from(raft).to_string()))
    });
    assert_eq!(ours, oracle);
}
