//! The TLS configuration that new connections begin with, kept up to date with the files it was made from.
//!
//! Invariants
//! - There is always a configuration that was good when it was read: files that cannot be read or used leave it in place
//!   and are told of once.
//! - The lock is taken by the helper threads that shake hands, and by the start; no executor ever waits for it.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;

use super::files::{Paths, Stamps, read_file};
use super::machine::{certify, configure, primitives, unspoken_suites};
use crate::config::ClientTls;
use crate::log::{Logger, Value};

/// The configuration, and what it was made from.
#[derive(Debug)]
pub struct Keeper {
    tls: ClientTls,
    paths: Paths,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    /// What the files were when they were last looked at; nothing while that may not show the next change.
    stamps: Option<Stamps>,
    /// What was in them when they were last good.
    digest: [u8; 20],
    /// What was last told to be wrong with them.
    told: Option<String>,
    logger: Logger,
}

impl Keeper {
    /// Reads the files for the first time. An error is what etcd says of them.
    pub fn open(tls: &ClientTls, http: bool, logger: &Logger) -> Result<Self, String> {
        if tls.cert_file.is_empty() || tls.key_file.is_empty() {
            let (key, cert) = (&tls.key_file, &tls.cert_file);
            return Err(format!("KeyFile and CertFile must both be present[key: {key}, cert: {cert}]"));
        }
        let paths = Paths::of(tls);
        let stamps = paths.stamps();
        let contents = paths.read()?;
        certify(&contents.cert, &contents.key, &primitives())?;
        check_client_pair(tls)?;
        if http {
            tls.check_http2_suites()?;
        }
        let config = configure(tls, &paths, &contents)?;
        let unspoken = unspoken_suites(tls);
        if !unspoken.is_empty() {
            let fields = [("cipher-suites", Value::Texts(unspoken))];
            logger.warn("cipher suites that this server does not have are left out", &fields);
        }
        let stamps = Some(stamps).filter(Stamps::are_settled);
        let (digest, logger) = (contents.digest(), logger.clone());
        let state = Mutex::new(State { config, stamps, digest, told: None, logger });
        Ok(Self { tls: tls.clone(), paths, state })
    }

    /// The configuration as of now. Looks at the files, and so may wait for a disk.
    pub fn current(&self) -> Arc<ServerConfig> {
        // A panic elsewhere leaves a configuration that was good.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = self.paths.stamps();
        if state.stamps != Some(stamps) {
            self.renew(&mut state);
            state.stamps = Some(stamps).filter(Stamps::are_settled);
        }
        Arc::clone(&state.config)
    }

    /// Whether clients show certificates, so that their last step is one of public keys, too.
    pub fn verifies_clients(&self) -> bool {
        self.tls.demands_certificates()
    }

    fn renew(&self, state: &mut State) {
        let renewed = self.paths.read().and_then(|contents| {
            let digest = contents.digest();
            if digest == state.digest {
                return Ok(None);
            }
            let config = configure(&self.tls, &self.paths, &contents)?;
            Ok(Some((config, digest)))
        });
        match renewed {
            Ok(None) => state.told = None,
            Ok(Some((config, digest))) => {
                state.config = config;
                state.digest = digest;
                state.told = None;
                state.logger.info("TLS files were read anew", &self.fields());
            }
            Err(why) if state.told.as_deref() == Some(why.as_str()) => {}
            Err(why) => {
                let mut fields = self.fields();
                fields.push(("error", why.clone().into()));
                state.logger.error("failed to read TLS files; going on with those read before", &fields);
                state.told = Some(why);
            }
        }
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        let text = |path: &Option<String>| Value::from(path.clone().unwrap_or_default());
        vec![
            ("cert-file", self.paths.cert.clone().into()),
            ("key-file", self.paths.key.clone().into()),
            ("trusted-ca-file", text(&self.paths.ca)),
            ("crl-file", text(&self.paths.crl)),
        ]
    }
}

/// The certificate that etcd's gateway would show to etcd: only checked.
fn check_client_pair(tls: &ClientTls) -> Result<(), String> {
    let (key, cert) = (&tls.client_key_file, &tls.client_cert_file);
    match (key.is_empty(), cert.is_empty()) {
        (true, true) => Ok(()),
        (false, false) => certify(&read_file(cert)?, &read_file(key)?, &primitives()).map(drop),
        (true, false) | (false, true) => Err(format!(
            "ClientKeyFile and ClientCertFile must both be present or both absent: key: {key}, cert: {cert}]"
        )),
    }
}
