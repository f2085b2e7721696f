//! Alarms as an operator sees them: etcdctl, the health endpoints and what clients are told while one stands.
//!
//! **Invariants**: the list is one history; both servers see all of it.

use ringbolt::proto::etcdserverpb as pb;

use crate::client::{Client, http_get, oracle_is_old};
use crate::run::{Printed, Side, both, etcdctl};

const NO_SPACE: i32 = 1;
const CORRUPT: i32 = 2;

/// Raises an alarm for the server itself, or for another member.
fn raise(side: &Side, other: Option<u64>, alarm: i32) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = Client::open(side.server.client).await.expect("it serves");
        let list = client.member_list(&pb::MemberListRequest::default()).await.expect("it serves");
        let member_id = other.unwrap_or(list.members[0].id);
        let answer = client.alarm(&pb::AlarmRequest { action: 1, member_id, alarm }).await.expect("a good request");
        assert_eq!(answer.alarms, [pb::AlarmMember { member_id, alarm }]);
    });
}

/// What both servers print for these commands and answer on these paths must be equal.
fn compare(sides: &[Side; 2], stage: &str, wrong: &mut Vec<String>) {
    for command in [
        "alarm list",
        "alarm list -w json",
        "alarm list -w table",
        "alarm list -w fields",
        "endpoint status -w json",
        "endpoint health",
        "put a 1",
        "get a",
        "del b",
        "txn",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        // A txn that puts in the branch that is not taken.
        let input = "version(\"a\") < \"0\"\n\nput a 2\n\nget a\n\n";
        let told = sides.each_ref().map(|side| {
            let printed = etcdctl(&side.server, &words, input);
            let out = side.names.level(&String::from_utf8_lossy(&printed.out)).replace("  ", " ");
            let error = side.names.level(&printed.error).replace("  ", " ");
            // The client's logger tells times.
            let error = error.find("\"error\":").map_or(error.clone(), |at| error[at..].to_owned());
            Printed { out: out.into_bytes(), error, ..printed }
        });
        note(wrong, &format!("{stage}: etcdctl {command}"), &told);
    }
    for path in ["/health", "/health?exclude=NOSPACE", "/health?exclude=CORRUPT&exclude=NOSPACE", "/livez", "/readyz"] {
        let told = sides.each_ref().map(|side| {
            let answer = http_get(side.server.client, "GET", path).unwrap_or_else(|error| panic!("{path}: {error}"));
            // The order of the checks is not fixed.
            let mut lines: Vec<String> = answer.body.lines().map(str::to_owned).collect();
            lines.sort();
            (answer.status, answer.header("content-type").map(str::to_owned), lines)
        });
        note(wrong, &format!("{stage}: {path}"), &told);
    }
}

fn note<T: PartialEq + std::fmt::Debug>(wrong: &mut Vec<String>, what: &str, [ours, oracle]: &[T; 2]) {
    if ours != oracle {
        wrong.push(format!("{what}\n  ours   {ours:?}\n  oracle {oracle:?}"));
    }
}

#[test]
fn alarms_look_as_those_of_etcd() {
    if oracle_is_old() {
        return println!("older versions check other things");
    }
    let (sides, _scratch) = both("alarms");
    let mut wrong = Vec::new();
    let each = |alarm| sides.iter().for_each(|side| raise(side, None, alarm));
    compare(&sides, "none", &mut wrong);
    each(NO_SPACE);
    compare(&sides, "no space", &mut wrong);
    each(CORRUPT);
    disarm(&sides, "both", &mut wrong);
    compare(&sides, "after both", &mut wrong);
    each(CORRUPT);
    compare(&sides, "corrupt", &mut wrong);
    disarm(&sides, "corrupt", &mut wrong);
    sides.iter().for_each(|side| raise(side, Some(77), NO_SPACE));
    compare(&sides, "another member's", &mut wrong);
    disarm(&sides, "another member's", &mut wrong);
    compare(&sides, "in the end", &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Disarms all; the order in which they are told is not fixed.
fn disarm(sides: &[Side; 2], stage: &str, wrong: &mut Vec<String>) {
    let told = sides.each_ref().map(|side| {
        let printed = etcdctl(&side.server, &["alarm", "disarm"], "");
        let out = side.names.level(&String::from_utf8_lossy(&printed.out)).replace("  ", " ");
        let mut lines: Vec<String> = out.lines().map(str::to_owned).collect();
        lines.sort();
        (printed.code, lines)
    });
    note(wrong, &format!("{stage}: disarm"), &told);
}
