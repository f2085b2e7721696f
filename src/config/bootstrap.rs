//! A member's first start: who the members are, and whether the flags agree about it, by etcd's rules and in its words.
//!
//! Invariants
//! - Pure: names are resolved by a function that is handed in, and only when the texts of the URLs differ.
//! - It runs only for a data directory without a WAL; a member that has one knows its cluster from there.

use super::model::{Config, MemberState};
use crate::gotext::{quote, quote_list};
use crate::identity::{BootstrapMember, InitialCluster, Url, cluster_id};
use crate::types::{ClusterId, MemberId};

/// Turns `host:port` into the text of an address, or says why it cannot.
pub type Resolve<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// How a cluster begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bootstrap {
    /// Derived from the members.
    pub cluster: ClusterId,
    /// This member.
    pub local: MemberId,
    /// All members, in the order of their ids.
    pub members: Vec<BootstrapMember>,
}

/// Works out the first members, or says in etcd's words why the flags do not fit together.
pub fn bootstrap(config: &Config, resolve: Resolve<'_>) -> Result<Bootstrap, String> {
    let listed = InitialCluster::parse(&config.initial_cluster)
        .map_err(|why| format!("error setting up initial cluster: {why}"))?;
    let name = &config.name;
    let Some(own_urls) = listed.urls_of(name) else {
        return Err(format!("couldn't find local name {} in the initial cluster configuration", quote(name)));
    };
    if config.initial_cluster_state == MemberState::New {
        check_advertised(name, &config.advertise.peer, own_urls, resolve)?;
    }
    if listed.has_double_url() {
        return Err(format!("initial cluster {listed} has duplicate url"));
    }
    let members = listed.members(&config.initial_cluster_token)?;
    let local = members.iter().find(|member| member.name == *name).map(|member| member.id);
    let local = local.expect("the name was found in the list");
    // Clusters come later; a member that starts alone in place of one of several would lose what the others acknowledge.
    if config.initial_cluster_state == MemberState::Existing {
        return Err("joining an existing cluster is not supported yet (--initial-cluster-state=existing)".to_owned());
    }
    if members.len() > 1 {
        return Err(format!("clusters of more than one member are not supported yet (--initial-cluster={listed})"));
    }
    assert!(local.0 != 0, "0 is nobody's id");
    assert!(members.iter().any(|member| member.id == local), "the local member is one of them");
    Ok(Bootstrap { cluster: cluster_id(members.iter().map(|member| member.id)), local, members })
}

/// Refuses advertised URLs that are not the listed ones.
fn check_advertised(name: &str, advertised: &[Url], listed: &[Url], resolve: Resolve<'_>) -> Result<(), String> {
    let Err(difference) = same_urls(advertised, listed, resolve) else { return Ok(()) };
    let missing_from = |urls: &[Url], others: &[Url]| -> Vec<String> {
        let mut missing: Vec<String> = urls.iter().filter(|url| !others.contains(url)).map(Url::to_string).collect();
        missing.dedup();
        missing
    };
    let joined = |urls: &[Url]| urls.iter().map(Url::as_str).collect::<Vec<_>>().join(",");
    let pairs = |urls: &[String]| urls.iter().map(|url| format!("{name}={url}")).collect::<Vec<_>>().join(",");
    let advertised_pairs = pairs(&advertised.iter().map(Url::to_string).collect::<Vec<_>>());
    let only_listed = missing_from(listed, advertised);
    if !only_listed.is_empty() {
        let missing = pairs(&only_listed);
        return Err(format!(
            "--initial-cluster has {missing} but missing from --initial-advertise-peer-urls={} ({difference})",
            joined(advertised)
        ));
    }
    let only_advertised = missing_from(advertised, listed);
    if !only_advertised.is_empty() {
        let missing = only_advertised.join(",");
        return Err(format!(
            "--initial-advertise-peer-urls has {missing} but missing from --initial-cluster={advertised_pairs}"
        ));
    }
    Err(format!(
        "failed to resolve {} to match --initial-cluster={advertised_pairs} ({difference})",
        joined(advertised)
    ))
}

/// Whether both lists mean the same addresses: as written, or once every host is resolved.
fn same_urls(left: &[Url], right: &[Url], resolve: Resolve<'_>) -> Result<(), String> {
    if left.len() != right.len() {
        let show = |urls: &[Url]| quote_list(urls.iter().map(Url::as_str));
        return Err(format!("len({}) != len({})", show(left), show(right)));
    }
    if left == right {
        return Ok(());
    }
    let (left, right) = (resolved(left, resolve)?, resolved(right, resolve)?);
    match left.iter().zip(&right).find(|(one, other)| one != other) {
        Some((one, other)) => Err(format!("resolved urls: {} != {}", quote(one), quote(other))),
        None => Ok(()),
    }
}

/// The URLs with every host replaced by its address, sorted; `localhost` and sockets stay as they are.
fn resolved(urls: &[Url], resolve: Resolve<'_>) -> Result<Vec<String>, String> {
    let mut texts = Vec::with_capacity(urls.len());
    for url in urls {
        let text = match url.host_and_port() {
            None | Some(("localhost", _)) => url.to_string(),
            Some(_) => {
                let address =
                    resolve(url.host()).map_err(|why| format!("failed to resolve {} ({why})", quote(url.as_str())))?;
                format!("{}://{address}", url.scheme().name())
            }
        };
        texts.push(text);
    }
    texts.sort_unstable();
    Ok(texts)
}
