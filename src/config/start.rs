//! What etcd decides between its flags and its first listener.
//!
//! Invariants
//! - Pure: the one fact of the outside world, the host of the default route, is asked of the caller.

use super::model::{Config, Quota};
use crate::identity::{ETCD_VERSION, Scheme, Url};
use crate::limits::REQUEST_BYTES_RECOMMENDED_MAX;
use crate::log::{Record, Value};

const DEFAULT_PEER_URL: &str = "http://localhost:2380";
const DEFAULT_CLIENT_URL: &str = "http://localhost:2379";
const DEFAULT_CLUSTER: &str = "default=http://localhost:2380";

/// Replaces the defaults that depend on other flags: URLs that say `localhost` while the listener is open to all, the member
/// list that follows the name; and says which data directory it is.
pub(super) fn fill_in(
    config: &mut Config,
    data_dir_is_default: bool,
    default_host: &dyn Fn() -> Result<String, String>,
    records: &mut Vec<Record>,
) {
    let open_peer = open_port(&config.listen.peer).filter(|_| is_just(&config.advertise.peer, DEFAULT_PEER_URL));
    let clients = config.advertise.client.as_deref().unwrap_or_default();
    let open_client = open_port(&config.listen.client).filter(|_| is_just(clients, DEFAULT_CLIENT_URL));
    if open_peer.is_some() || open_client.is_some() {
        match default_host() {
            Ok(host) => {
                let at_host = |port: &str| Url::from_host_port(Scheme::Http, &host, port).ok();
                if let Some(url) = open_peer.and_then(|port| at_host(&port)) {
                    config.advertise.peer = vec![url];
                }
                if let Some(url) = open_client.and_then(|port| at_host(&port)) {
                    config.advertise.client = Some(vec![url]);
                }
                records.push(Record::info("detected default host for advertise", vec![("host", host.into())]));
            }
            Err(why) => records.push(Record::info("failed to detect default host", vec![("error", why.into())])),
        }
    }
    if config.name != "default" && config.initial_cluster == DEFAULT_CLUSTER {
        config.initial_cluster = cluster_of_one(config);
    }
    if data_dir_is_default {
        let shown = config.data_dir.display().to_string();
        records.push(Record::warn("'data-dir' was empty; using default", vec![("data-dir", shown.into())]));
    }
    assert!(!config.data_dir.as_os_str().is_empty(), "a member has a directory");
    assert!(!config.advertise.peer.is_empty(), "a member has a peer URL");
    let request_bytes = u64::try_from(config.requests.bytes_max).unwrap_or(u64::MAX);
    if request_bytes > REQUEST_BYTES_RECOMMENDED_MAX {
        let fields = vec![
            ("max-request-bytes", request_bytes.into()),
            ("recommended-request-bytes", REQUEST_BYTES_RECOMMENDED_MAX.into()),
        ];
        records.push(Record::warn("exceeded recommended request limit", fields));
    }
}

/// The port of the first listener if that is open to every address.
fn open_port(urls: &[Url]) -> Option<String> {
    let (host, port) = urls.first()?.host_and_port()?;
    (host == "0.0.0.0").then(|| port.to_owned())
}

fn is_just(urls: &[Url], text: &str) -> bool {
    matches!(urls, [only] if only.as_str() == text)
}

/// `--initial-cluster` for a member that is alone under its own name.
pub(super) fn cluster_of_one(config: &Config) -> String {
    let name = if config.name.is_empty() { "default" } else { &config.name };
    let pairs: Vec<String> = config.advertise.peer.iter().map(|url| format!("{name}={url}")).collect();
    pairs.join(",")
}

/// Refuses listeners that cannot be served, in etcd's words where it has any. Run it before anything is written to disk.
pub fn check_start(config: &Config) -> Result<(), String> {
    let (listen, tls) = (&config.listen, &config.tls);
    tls.check_suites()?;
    if let Some(url) = listen.peer.iter().find(|url| url.scheme().is_secure()) {
        return Err(format!("cannot listen on TLS for {}: KeyFile and CertFile are not presented", url.address()));
    }
    let clients = listen.client.iter().chain(&listen.client_http);
    if let Some(url) = clients.clone().find(|url| url.scheme().is_secure() && !tls.is_given()) {
        return Err(format!(
            "TLS key/cert (--cert-file, --key-file) must be provided for client url {url} with HTTPS scheme"
        ));
    }
    let taken = |url: &Url| listen.client.iter().any(|other| other.address() == url.address());
    if let Some(url) = listen.client_http.iter().find(|url| taken(url)) {
        return Err(format!(
            "cannot bind both --listen-client-urls and --listen-client-http-urls on the same url {url}"
        ));
    }
    if listen.metrics.iter().any(|url| url.scheme().is_secure()) && !tls.is_given() {
        return Err("client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url".to_owned());
    }
    if let Some(url) = listen.peer.iter().find(|url| url.scheme().is_unix()) {
        return Err(format!("Unix sockets are not supported for peers yet: {url}; listen on an address instead"));
    }
    Ok(())
}

/// The record of what is about to run, with etcd's message and names.
pub fn describe(config: &Config, initialized: bool) -> Record {
    let listen = &config.listen;
    let path = |path: &std::path::Path| Value::from(path.display().to_string());
    let quota = match config.quota {
        Quota::Bytes(bytes) => Value::from(bytes),
        Quota::Unbounded => Value::from(-1i64),
    };
    let election = config.raft.heartbeat.saturating_mul(u32::try_from(config.raft.election_ticks).unwrap_or(u32::MAX));
    let fields = vec![
        ("etcd-version", ETCD_VERSION.into()),
        ("ringbolt-version", env!("CARGO_PKG_VERSION").into()),
        ("member-initialized", initialized.into()),
        ("name", config.name.to_owned().into()),
        ("data-dir", path(&config.data_dir)),
        ("wal-dir", path(config.wal_dir.as_deref().unwrap_or(std::path::Path::new("")))),
        ("heartbeat-interval", config.raft.heartbeat.into()),
        ("election-timeout", election.into()),
        ("initial-advertise-peer-urls", Value::displays(&config.advertise.peer)),
        ("listen-peer-urls", Value::displays(&listen.peer)),
        ("advertise-client-urls", Value::displays(config.advertise.client.iter().flatten())),
        ("listen-client-urls", Value::displays(&listen.client)),
        ("listen-metrics-urls", Value::displays(&listen.metrics)),
        ("initial-cluster", config.initial_cluster.to_owned().into()),
        ("initial-cluster-state", config.initial_cluster_state.name().into()),
        ("initial-cluster-token", config.initial_cluster_token.to_owned().into()),
        ("quota-backend-bytes", quota),
        ("max-request-bytes", config.requests.bytes_max.into()),
        ("max-txn-ops", config.requests.txn_ops_max.into()),
        ("max-concurrent-streams", config.requests.streams_max.into()),
        ("pre-vote", config.raft.pre_vote.into()),
        ("shards", config.shards.unwrap_or(0).into()),
    ];
    Record::info("starting an etcd server", fields)
}
