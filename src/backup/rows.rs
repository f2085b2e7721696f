//! The rows of the small buckets, byte by byte as etcd 3.7 writes them.
//!
//! Invariants
//! - Rows are in the order of their keys.

use serde::Serialize;

use super::error::Error;
use crate::alarm;
use crate::cluster::Versions;
use crate::codec::put_varint;
use crate::command::AlarmType;
use crate::lease::Lease;
use crate::mvcc::compaction_marks;
use crate::tree::View;
use crate::types::MemberId;

/// Keys and values.
pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// A member of the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty until it has started.
    pub name: String,
    /// Where other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it; empty until it has started.
    pub client_urls: Vec<String>,
    /// Whether it has no vote.
    pub is_learner: bool,
}

/// `AlarmMember`s as keys.
pub(super) fn alarms(view: &View<'_>) -> Result<Pairs, Error> {
    let alarms = alarm::list(view, AlarmType::None.into())?;
    let mut rows: Pairs = alarms.iter().map(|alarm| (prost::Message::encode_to_vec(alarm), Vec::new())).collect();
    rows.sort_unstable();
    Ok(rows)
}

/// The revision that etcd begins with; whether users are asked for is noted only once that was decided.
pub(super) fn auth() -> Pairs {
    vec![(b"authRevision".to_vec(), 1u64.to_be_bytes().to_vec())]
}

/// The version, and the downgrade.
pub(super) fn cluster(view: &View<'_>) -> Result<Pairs, Error> {
    let versions = Versions::of(view)?;
    let target = versions.downgrade.map_or_else(String::new, |target| target.to_string());
    let downgrade = format!(r#"{{"target-version":"{target}","enabled":{}}}"#, versions.downgrade.is_some());
    Ok(vec![
        (b"clusterVersion".to_vec(), versions.cluster().to_string().into_bytes()),
        (b"downgrade".to_vec(), downgrade.into_bytes()),
    ])
}

/// A `leasepb.Lease` by its id.
pub(super) fn lease(lease: &Lease) -> (Vec<u8>, Vec<u8>) {
    let mut value = Vec::with_capacity(24);
    for (tag, number) in [(0x08, lease.id.0), (0x10, lease.ttl_seconds), (0x18, lease.remaining_seconds)] {
        if number != 0 {
            value.push(tag);
            put_varint(&mut value, number.cast_unsigned());
        }
    }
    (lease.id.0.to_be_bytes().to_vec(), value)
}

#[derive(Serialize)]
struct MemberJson<'a> {
    id: u64,
    #[serde(rename = "peerURLs")]
    peer_urls: &'a [String],
    #[serde(rename = "isLearner", skip_serializing_if = "std::ops::Not::not")]
    is_learner: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(rename = "clientURLs", skip_serializing_if = "<[String]>::is_empty")]
    client_urls: &'a [String],
}

/// Members as JSON by their ids in hexadecimal.
pub(super) fn members(members: &[Member]) -> Pairs {
    let row = |member: &Member| {
        let json = MemberJson {
            id: member.id.0,
            peer_urls: &member.peer_urls,
            is_learner: member.is_learner,
            name: &member.name,
            client_urls: &member.client_urls,
        };
        (format!("{:x}", member.id.0).into_bytes(), as_go_writes(&json))
    };
    let mut rows: Pairs = members.iter().map(row).collect();
    rows.sort_unstable();
    rows
}

#[derive(Serialize)]
struct ConfState {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    voters: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    learners: Vec<u64>,
    auto_leave: bool,
}

/// What was applied, compacted and agreed on.
pub(super) fn meta(view: &View<'_>, members: &[Member]) -> Result<Pairs, Error> {
    let stamp = view.stamp();
    let ids = |learners: bool| {
        let ids =
            members.iter().filter(|member| member.is_learner == learners).map(|Member { id: MemberId(id), .. }| *id);
        let mut ids: Vec<u64> = ids.collect();
        ids.sort_unstable();
        ids
    };
    let state = ConfState { voters: ids(false), learners: ids(true), auto_leave: false };
    let [scheduled, finished] = compaction_marks(view)?;
    let storage = Versions::of(view)?.storage().to_string().into_bytes();
    let mut rows = vec![
        (b"confState".to_vec(), as_go_writes(&state)),
        (b"consistent_index".to_vec(), stamp.applied_index.0.to_be_bytes().to_vec()),
    ];
    rows.extend(finished.map(|mark| (b"finishedCompactRev".to_vec(), mark.bytes().to_vec())));
    rows.extend(scheduled.map(|mark| (b"scheduledCompactRev".to_vec(), mark.bytes().to_vec())));
    rows.push((b"storageVersion".to_vec(), storage));
    rows.push((b"term".to_vec(), stamp.applied_term.0.to_be_bytes().to_vec()));
    Ok(rows)
}

/// JSON with the escapes of Go's encoder; the characters stand in strings alone.
fn as_go_writes(value: &impl Serialize) -> Vec<u8> {
    let text = serde_json::to_string(value).expect("strings, numbers and lists become JSON");
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(character))),
            other => out.push(other),
        }
    }
    out.into_bytes()
}
