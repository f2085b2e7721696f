//! `/debug/vars`: the figures that Go's expvar gives of an etcd, as far as they mean something here.
//!
//! Invariants
//! - One JSON object in expvar's layout: a variable a line, sorted by name.

use super::member::Member;
use super::server::Service;
use crate::metrics::Process;
use serde_json::json;

/// The whole page.
pub(super) fn render<M: Member>(service: &Service<M>) -> String {
    let process = Process::read();
    let resident = process.resident_bytes().unwrap_or(0);
    let words: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let variables = [
        ("cmdline", json!(words)),
        ("file_descriptor_limit", json!(process.files().1.unwrap_or(0))),
        // There is no collector: what is resident is what is allocated.
        ("memstats", json!({ "Alloc": resident, "HeapAlloc": resident, "HeapSys": resident, "Sys": resident })),
        ("raft.status", raft_status(service)),
    ];
    let lines: Vec<String> = variables.into_iter().map(|(name, value)| format!("{}: {value}", json!(name))).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

/// Ids as etcd's raft prints them: hexadecimal, without zeros before them.
fn raft_status<M: Member>(service: &Service<M>) -> serde_json::Value {
    let member = service.member();
    let (status, id) = (member.status(), member.identity().member_id);
    let leads = status.leader == id;
    let mut progress = serde_json::Map::new();
    if leads {
        let own = json!({ "match": status.committed.0, "next": status.committed.0 + 1, "state": "StateReplicate" });
        progress.insert(format!("{:x}", id.0), own);
    }
    json!({
        "id": format!("{:x}", id.0),
        "term": status.term.0,
        // Whoever leads had this member's vote, as long as it is the only one.
        "vote": format!("{:x}", status.leader.0),
        "commit": status.committed.0,
        "lead": format!("{:x}", status.leader.0),
        "raftState": if leads { "StateLeader" } else { "StateFollower" },
        "applied": status.applied.0,
        "progress": progress,
        "leadtransferee": "0",
    })
}
