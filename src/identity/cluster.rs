//! The member list of `--initial-cluster` and the ids that etcd derives from it.
//!
//! Invariants
//! - The same names, URLs and token give the same ids as etcd gives, whatever the order they are written in.
//! - No member has id 0, which raft keeps for "nobody".

use std::collections::BTreeMap;
use std::fmt;

use sha1::{Digest, Sha1};

use super::url::{Url, parse_urls};
use crate::types::{ClusterId, MemberId};

/// The id of a member with these peer URLs in the cluster of this token; `added_at` (Unix seconds) for one that joins at
/// run time, nothing for one of the first.
pub fn member_id<'a>(peer_urls: impl IntoIterator<Item = &'a str>, token: &str, added_at: Option<u64>) -> MemberId {
    let mut urls: Vec<&str> = peer_urls.into_iter().collect();
    urls.sort_unstable();
    let mut hash = Sha1::new();
    for url in urls {
        hash.update(url);
    }
    hash.update(token);
    if let Some(seconds) = added_at {
        hash.update(seconds.to_string());
    }
    MemberId(first_eight(hash))
}

/// The id of a cluster that begins with these members.
pub fn cluster_id(members: impl IntoIterator<Item = MemberId>) -> ClusterId {
    let mut members: Vec<MemberId> = members.into_iter().collect();
    members.sort_unstable();
    assert!(!members.is_empty(), "a cluster begins with somebody");
    let mut hash = Sha1::new();
    for member in members {
        hash.update(member.0.to_be_bytes());
    }
    ClusterId(first_eight(hash))
}

fn first_eight(hash: Sha1) -> u64 {
    let digest: [u8; 20] = hash.finalize().into();
    let (first, _) = digest.split_first_chunk::<8>().expect("twenty bytes hold eight");
    u64::from_be_bytes(*first)
}

/// A member that a cluster begins with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BootstrapMember {
    /// Derived from URLs and token.
    pub id: MemberId,
    /// What `--initial-cluster` calls it.
    pub name: String,
    /// Sorted.
    pub peer_urls: Vec<Url>,
}

/// Names with their peer URLs, as `--initial-cluster` lists them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct InitialCluster {
    members: BTreeMap<String, Vec<Url>>,
}

impl InitialCluster {
    /// Reads `name=url,name=url,…`; a name may come several times.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut texts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let (name, url) = pair.split_once('=').unwrap_or((pair, ""));
            texts.entry(name).or_default().push(url);
        }
        let members = texts.into_iter().map(|(name, urls)| Ok((name.to_owned(), parse_urls(urls)?)));
        Ok(Self { members: members.collect::<Result<_, String>>()? })
    }

    /// Whether nobody is listed.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// How many members are listed.
    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// The URLs of one name, sorted.
    pub fn urls_of(&self, name: &str) -> Option<&[Url]> {
        self.members.get(name).map(Vec::as_slice)
    }

    /// Whether one URL is listed twice, for whichever members.
    pub fn has_double_url(&self) -> bool {
        let mut urls: Vec<&Url> = self.members.values().flatten().collect();
        urls.sort_unstable();
        urls.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// The members with their ids, in the order of the ids.
    pub fn members(&self, token: &str) -> Result<Vec<BootstrapMember>, String> {
        let mut members: Vec<BootstrapMember> = Vec::with_capacity(self.members.len());
        for (name, peer_urls) in &self.members {
            let id = member_id(peer_urls.iter().map(Url::as_str), token, None);
            if id.0 == 0 {
                return Err(format!("cannot use {id} as member id"));
            }
            if members.iter().any(|member| member.id == id) {
                return Err(format!("member exists with identical ID {id}"));
            }
            members.push(BootstrapMember { id, name: name.to_owned(), peer_urls: peer_urls.to_owned() });
        }
        members.sort_unstable_by_key(|member| member.id);
        assert_eq!(members.len(), self.members.len(), "each name is one member");
        assert!(members.windows(2).all(|pair| pair[0].id < pair[1].id), "ids ascend");
        Ok(members)
    }
}

impl fmt::Display for InitialCluster {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs = self.members.iter().flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")));
        let mut pairs: Vec<String> = pairs.collect();
        pairs.sort_unstable();
        formatter.write_str(&pairs.join(","))
    }
}
