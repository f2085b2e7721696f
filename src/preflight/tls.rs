//! The certificates of the listeners, before anything is listened on.
//!
//! Invariants
//! - Certificates are looked at only if a listener takes TLS, as in etcd.

use std::sync::Arc;

use crate::config::{ClientTls, Config};
use crate::identity::{Url, split_host_port};
use crate::log::{Level, Logger, Record};
use crate::tls::{Keeper, self_signed};

/// Reads the files that the flags name.
pub(super) fn open(config: &Config, logger: &Logger) -> Result<Option<Arc<Keeper>>, Record> {
    if !is_wanted(config) {
        return Ok(None);
    }
    keep(config, &config.tls, logger).map(Some)
}

/// Makes a certificate for `--auto-tls` in the data directory, or uses the one that is there.
pub(super) fn open_own(config: &Config, logger: &Logger) -> Result<Option<Arc<Keeper>>, Record> {
    if !config.tls.auto {
        return Ok(None);
    }
    let urls = config.listen.client.iter().chain(&config.listen.client_http);
    let hosts: Vec<String> = urls.map(host).collect();
    let directory = config.data_dir.join("fixtures").join("client");
    let made = self_signed(&directory, &hosts, config.tls.self_signed_years, logger);
    let (cert_file, key_file) = made.map_err(|why| fatal("failed to get client self-signed certs", why))?;
    if !is_wanted(config) {
        return Ok(None);
    }
    let nothing = String::new;
    let own = ClientTls {
        cert_file,
        key_file,
        // etcd forgets all other files here, and asks no client for a certificate.
        client_cert_file: nothing(),
        client_key_file: nothing(),
        trusted_ca_file: nothing(),
        crl_file: nothing(),
        client_cert_auth: false,
        allowed_hostnames: Vec::new(),
        ..config.tls.clone()
    };
    keep(config, &own, logger).map(Some)
}

fn keep(config: &Config, tls: &ClientTls, logger: &Logger) -> Result<Arc<Keeper>, Record> {
    let http_on_clients = config.listen.client_http.is_empty();
    let http = config.listen.client_http.iter().any(is_secure)
        || http_on_clients && config.listen.client.iter().any(is_secure);
    let kept = Keeper::open(tls, http, logger);
    kept.map(Arc::new).map_err(|why| fatal("listener failed", why))
}

fn fatal(message: &'static str, why: String) -> Record {
    Record::new(Level::Fatal, message, vec![("error", why.into())])
}

fn is_wanted(config: &Config) -> bool {
    let listen = &config.listen;
    listen.client.iter().chain(&listen.client_http).chain(&listen.metrics).any(is_secure)
}

fn is_secure(url: &Url) -> bool {
    url.scheme().is_secure()
}

/// The host that a certificate is made for.
fn host(url: &Url) -> String {
    split_host_port(url.host()).map(|(host, _)| host.to_owned()).unwrap_or_default()
}
