//! From the contents of files to what the TLS library serves with.
//!
//! Invariants
//! - Sessions are not resumed: a resumed one would pass by the checks of client certificates, and clients of etcd do not
//!   ask for it.
//! - Suites of TLS 1.3 are always on, as in Go.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, version};

use super::files::{Contents, Paths};
use super::verify::Verifier;
use super::{notes, pem};
use crate::config::{ClientTls, TlsVersion};

/// The protocols that listeners speak, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Makes the configuration that connections begin with.
pub(super) fn configure(tls: &ClientTls, paths: &Paths, contents: &Contents) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(provider(tls)?);
    let certified = certify(&contents.cert, &contents.key, &provider)?;
    let versions = versions(tls);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions);
    let builder = builder.map_err(|why| format!("tls: no version and suite fit together: {why}"))?;
    let verifier: Arc<dyn ClientCertVerifier> = match (&paths.ca, &contents.ca) {
        (Some(path), Some(file)) if tls.demands_certificates() => {
            let list = paths.crl.as_deref().zip(contents.crl.as_deref());
            let revoked = list.map(|(path, file)| pem::revoked(file, path)).transpose()?;
            let authorities = pem::authorities(file, path)?;
            Arc::new(Verifier::new(authorities, &tls.allowed_hostnames, revoked, &provider)?)
        }
        _ => Arc::new(NoClientAuth),
    };
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(Arc::new(Own(certified)));
    config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Checks that a certificate and a key belong together.
pub(super) fn certify(cert: &[u8], key: &[u8], provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, String> {
    let (chain, key) = (pem::chain(cert)?, pem::key(key)?);
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|why| {
        if why == Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
            return "tls: private key does not match public key".to_owned();
        }
        if let Error::InvalidCertificate(why) = why {
            return format!("x509: malformed certificate: {why:?}");
        }
        "tls: failed to parse private key".to_owned()
    })?;
    Ok(Arc::new(certified))
}

/// The library's primitives.
pub(super) fn primitives() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

fn versions(tls: &ClientTls) -> Vec<&'static SupportedProtocolVersion> {
    let fits = |version: TlsVersion| version >= tls.version_min && tls.version_max.is_none_or(|max| version <= max);
    let all = [(TlsVersion::V12, &version::TLS12), (TlsVersion::V13, &version::TLS13)];
    all.into_iter().filter(|(version, _)| fits(*version)).map(|(_, version)| version).collect()
}

/// The primitives with the suites that were chosen.
fn provider(tls: &ClientTls) -> Result<CryptoProvider, String> {
    let mut provider = primitives();
    if let Some(numbers) = tls.suite_numbers() {
        provider.cipher_suites.retain(|suite| match suite {
            SupportedCipherSuite::Tls13(_) => true,
            SupportedCipherSuite::Tls12(_) => numbers.contains(&u16::from(suite.suite())),
        });
    }
    let usable = |suite: &SupportedCipherSuite| match suite {
        SupportedCipherSuite::Tls13(_) => tls.version_max != Some(TlsVersion::V12),
        SupportedCipherSuite::Tls12(_) => tls.version_min == TlsVersion::V12,
    };
    if !provider.cipher_suites.iter().any(usable) {
        return Err("tls: none of --cipher-suites is one that this server has for the versions allowed".to_owned());
    }
    Ok(provider)
}

/// The suites among those chosen that are accepted by name but not spoken here: they have been unsafe for long.
pub(super) fn unspoken_suites(tls: &ClientTls) -> Vec<String> {
    let spoken: Vec<u16> = primitives().cipher_suites.iter().map(|suite| u16::from(suite.suite())).collect();
    let numbers = tls.suite_numbers().unwrap_or_default();
    let named = tls.cipher_suites.iter().zip(numbers);
    named.filter(|(_, number)| !spoken.contains(number)).map(|(name, _)| name.clone()).collect()
}

/// One certificate for all names, as etcd has it; takes note of the name asked for.
#[derive(Debug)]
struct Own(Arc<CertifiedKey>);

impl ResolvesServerCert for Own {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        notes::note(|notes| notes.server_name = hello.server_name().map(str::to_owned));
        Some(Arc::clone(&self.0))
    }
}
