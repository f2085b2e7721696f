//! etcdctl command by command: exit code, output and error text are those against etcd.
//!
//! **Invariants**: the list is one history; both servers see all of it.

use prost::Message;
use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Scratch, Server, oracle, oracle_is_old, server_under_test};
use crate::run::{Printed, both, etcdctl};
use crate::text::mask_columns;

/// Each line is one command, quoted as a shell does with single quotes; `<` begins its input.
const HISTORY: &str = r#"
version
put foo bar
put foo bar2 --prev-kv
put foo --ignore-value
put absent --ignore-value
put foo x --ignore-lease
put foo x --lease=1234
put '' x
get ''
get foo
get absent
put a/1 one
put a/2 two
put a/3 three
put a/2 'two again'
put b 'some value'
put empty ''
put 'quo"te' 'new
line'
get a/ --prefix
get a/1 a/3
get a/ --prefix --limit=2
get a/ --prefix --limit=2 -w json
get a/ --prefix --order=DESCEND
get a/ --prefix --sort-by=MODIFY
get a/ --prefix --sort-by=VERSION --order=DESCEND
get a/ --prefix --sort-by=CREATE --order=ASCEND
get a/ --prefix --sort-by=VALUE --order=DESCEND
get a/ --prefix --sort-by=KEY --order=DESCEND --limit=1
get a/ --prefix --sort-by=NOTHING
get a/2 --from-key
get '' --from-key --keys-only
get '' --prefix
get a/ --prefix --keys-only
get a/ --prefix --count-only
get a/ --prefix --count-only -w fields
get a/ --prefix --count-only -w json
get a/ --prefix --print-value-only
get foo -w json
get foo -w fields
get foo -w json --hex
get foo --hex
get a/ --prefix -w fields
get a/ --prefix -w table
get a/2 --rev=7 -w json
get a/2 --rev=10000
get a/2 --rev=-1
get a/ --prefix --min-mod-rev=7 --max-mod-rev=9 -w json
get a/ --prefix --min-create-rev=7 --max-create-rev=7 -w json
get a/ --prefix --consistency=s
get a/ --prefix --consistency=x
get a/ --prefix --stream
get a/ --prefix --stream --keys-only
get a/ --prefix --stream --order=DESCEND
get a b --prefix
put only
get
txn <value("foo") = "bar2"\nmod("a/1") > "0"\n\nput t1 yes\nget a/ --prefix\ndel a/3 --prev-kv\n\nput t1 no\n
txn -w json <version("foo") = "100"\n\nput t1 yes\n\nget foo\ndel absent\n
txn -w fields <create("absent") = "0"\n\nput t2 yes --prev-kv\nget t1\n\n\n
txn <lease("foo") = "0"\n\nput d 1\nput d 2\n\n\n
txn <malformed\n\n\n\n
txn <ver("foo") != "1"\n\n\n\n
put h '\x00' --prev-kv
del absent
del a/1
del a/ --prefix --prev-kv
del b c --range --prev-kv
del quo --from-key -w json
del '' --prefix -w fields
put one 1
put one 2
put one 3
compaction 20
compaction 20
compaction 10000
compaction 0
compaction x
get one --rev=19
get one --rev=20
put two 1
compaction 26 --physical
member list
member list -w table
member list -w json
member list -w fields
member list --consistency=s
endpoint status
endpoint status -w json
endpoint status -w fields
endpoint status -w table
endpoint health
endpoint health -w json
endpoint health -w table
endpoint health --cluster
endpoint status --cluster -w json
endpoint hashkv
endpoint hashkv --rev=26
endpoint hashkv --rev=27 -w json
endpoint hashkv --rev=3
endpoint hashkv --rev=10000
endpoint hashkv -w fields
put json-put value -w json
put json-put value2 --prev-kv -w json
del json-put --prev-kv -w json
nonsense
get one --nonsense
"#;

/// Columns of `endpoint status` that are each server's own: sizes, share, term, indexes.
const STATUS_LIST: [usize; 6] = [4, 5, 6, 10, 11, 12];
const STATUS_TABLE: [usize; 6] = [5, 6, 7, 11, 12, 13];

#[test]
fn every_command_prints_what_it_prints_for_etcd() {
    let (sides, _scratch) = both("etcdctl");
    let mut wrong = Vec::new();
    let mut count = 0;
    for (words, input) in commands(HISTORY) {
        if oracle_is_old() && words[0] == "endpoint" && matches!(words[1].as_str(), "status" | "health") {
            // It tells its own version, and draws its tables with other letters.
            continue;
        }
        count += 1;
        let arguments: Vec<&str> = words.iter().map(String::as_str).collect();
        let [ours, oracle] = sides.each_ref().map(|side| {
            let printed = etcdctl(&side.server, &arguments, &input);
            let out = side.names.level(&String::from_utf8_lossy(&printed.out));
            let out = if words[0] == "endpoint" || words[0] == "member" { level_rows(&words, &out) } else { out };
            Printed { out: out.into_bytes(), error: level_error(&side.names.level(&printed.error)), ..printed }
        });
        if ours != oracle {
            wrong.push(format!("etcdctl {}\n  ours   {}\n  oracle {}", words.join(" "), brief(&ours), brief(&oracle)));
        }
    }
    assert!(wrong.is_empty(), "{} of {count} commands print something else:\n{}", wrong.len(), wrong.join("\n"));
}

fn brief(printed: &Printed) -> String {
    format!("exit {:?} out {:?} error {:?}", printed.code, String::from_utf8_lossy(&printed.out), printed.error)
}

fn level_rows(words: &[String], out: &str) -> String {
    // Older versions draw with other letters.
    let bars = [('┌', "│"), ('+', "|")];
    if let Some((_, bar)) = bars.into_iter().find(|(corner, _)| out.starts_with(*corner)) {
        // A ruler's and a cell's width follow from the ids.
        let took = if words[1] == "health" { &[3][..] } else { &[] };
        return mask_columns(out, bar, if words[1] == "status" { &STATUS_TABLE } else { took });
    }
    if words[1] == "status" && words.len() == 2 {
        return mask_columns(out, ", ", &STATUS_LIST);
    }
    out.to_owned()
}

/// Lines of the client's own logger carry times and pointers.
fn level_error(text: &str) -> String {
    // etcdctl itself panics on some input: the trace holds addresses.
    let text = text.split("\ngoroutine ").next().unwrap_or_default();
    text.lines()
        .map(|line| match (line.starts_with('{'), line.find("\"error\":")) {
            (true, Some(at)) => &line[at..],
            (true, None) => "(a log line)",
            (false, _) => line,
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// Splits the history into commands, each with its input.
fn commands(history: &str) -> Vec<(Vec<String>, String)> {
    let mut commands = Vec::new();
    let (mut words, mut word, mut quoted, mut started) = (Vec::new(), String::new(), false, false);
    let mut letters = history.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\'' => (quoted, started) = (!quoted, true),
            ' ' | '\n' if !quoted => {
                if started {
                    words.push(std::mem::take(&mut word));
                    started = false;
                }
                if letter == '\n' && !words.is_empty() {
                    commands.push((std::mem::take(&mut words), String::new()));
                }
            }
            '<' if !quoted => {
                let input: String = std::iter::from_fn(|| letters.next_if(|&next| next != '\n')).collect();
                commands.push((std::mem::take(&mut words), input.replace("\\n", "\n")));
            }
            _ => {
                word.push(letter);
                started = true;
            }
        }
    }
    commands
}

/// `-w protobuf` prints the answer's bytes: they decode to the same message.
#[test]
fn protobuf_output_decodes_to_the_same() {
    let (sides, _scratch) = both("etcdctl-protobuf");
    let mut told: Vec<Vec<String>> = Vec::new();
    for side in &sides {
        let run = |words: &[&str], input: &str| {
            let words: Vec<&str> = words.iter().copied().chain(["-w", "protobuf"]).collect();
            let printed = etcdctl(&side.server, &words, input);
            assert_eq!(printed.code, Some(0), "{words:?}: {}", printed.error);
            printed.out
        };
        let mut lines = Vec::new();
        let put = pb::PutResponse::decode(run(&["put", "k", "v", "--prev-kv"], "").as_slice());
        lines.push(format!("{:?}", put.map(|mut answer| (level(&mut answer.header), answer))));
        let put = pb::PutResponse::decode(run(&["put", "k", "v2", "--prev-kv"], "").as_slice());
        lines.push(format!("{:?}", put.map(|mut answer| (level(&mut answer.header), answer))));
        let range = pb::RangeResponse::decode(run(&["get", "k", "--prefix"], "").as_slice());
        lines.push(format!("{:?}", range.map(|mut answer| (level(&mut answer.header), answer))));
        let txn = pb::TxnResponse::decode(run(&["txn"], "ver(\"k\") = \"2\"\n\nget k\n\n\n").as_slice());
        lines.push(format!("{:?}", txn.map(|mut answer| (level(&mut answer.header), answer.succeeded))));
        let delete = pb::DeleteRangeResponse::decode(run(&["del", "k", "--prev-kv"], "").as_slice());
        lines.push(format!("{:?}", delete.map(|mut answer| (level(&mut answer.header), answer))));
        told.push(lines);
    }
    assert_eq!(told[0], told[1]);
}

fn level(header: &mut Option<pb::ResponseHeader>) {
    if let Some(header) = header {
        (header.cluster_id, header.member_id, header.raft_term) = (0, 0, 0);
    }
}

/// The load test that etcdctl brings: a minute of 150 puts a second.
#[test]
fn check_perf_passes_its_throughput() {
    let scratch = Scratch::new("check-perf");
    let server = Server::start(&server_under_test(), scratch.path(), &[]).unwrap_or_else(|failed| panic!("{failed}"));
    let printed = etcdctl(&server, &["check", "perf", "--load=s", "--auto-compact"], "");
    let out = String::from_utf8_lossy(&printed.out);
    println!("{out}{}", printed.error);
    // The other two figures are the machine's as much as the server's.
    assert!(out.contains("PASS: Throughput is"), "{out} {}", printed.error);
    let left = etcdctl(&server, &["get", "/etcdctl-check-perf/", "--prefix", "--count-only", "-w", "json"], "");
    assert!(!String::from_utf8_lossy(&left.out).contains("\"count\""), "check perf removes its keys");
}

/// The comparison can fail: another history prints something else.
#[test]
fn another_history_is_found() {
    let scratch = Scratch::new("etcdctl-other");
    let server = Server::start(&oracle(), scratch.path(), &[]).unwrap_or_else(|failed| panic!("{failed}"));
    let before = etcdctl(&server, &["endpoint", "hashkv"], "");
    etcdctl(&server, &["put", "a", "b"], "");
    assert_ne!(before.out, etcdctl(&server, &["endpoint", "hashkv"], "").out);
}
