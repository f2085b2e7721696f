//! Certificates, keys, authorities and revocation lists out of files, with the texts of Go's crypto/tls.
//!
//! Invariants
//! - Nothing of a key gets into an error.

use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::x509::Revoked;

/// The blocks of a file, up to the first that cannot be read.
fn blocks(file: &[u8]) -> impl Iterator<Item = (SectionKind, Vec<u8>)> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(file).map_while(Result::ok)
}

fn is_key(kind: SectionKind) -> bool {
    matches!(kind, SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey)
}

/// The certificates of a `--cert-file`, the server's own first.
pub(super) fn chain(file: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let (found, others): (Vec<_>, Vec<_>) = blocks(file).partition(|(kind, _)| *kind == SectionKind::Certificate);
    let text = match &others[..] {
        _ if !found.is_empty() => return Ok(found.into_iter().map(|(_, der)| CertificateDer::from(der)).collect()),
        [] => "tls: failed to find any PEM data in certificate input",
        [(kind, _)] if is_key(*kind) => {
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; \
             PEM inputs may have been switched"
        }
        _ => "tls: failed to find \"CERTIFICATE\" PEM block in certificate input",
    };
    Err(text.to_owned())
}

/// The key of a `--key-file`.
pub(super) fn key(file: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let mut others = 0;
    let mut certificate = false;
    for (kind, der) in blocks(file) {
        if is_key(kind) {
            return PrivateKeyDer::from_pem(kind, der).ok_or_else(|| "tls: failed to parse private key".to_owned());
        }
        others += 1;
        certificate = kind == SectionKind::Certificate;
    }
    let text = match (others, certificate) {
        (0, _) => "tls: failed to find any PEM data in key input",
        (1, true) => "tls: found a certificate rather than a key in the PEM for the private key",
        _ => "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input",
    };
    Err(text.to_owned())
}

/// The authorities of a `--trusted-ca-file`. etcd takes a file without any and then turns every client away; here that is
/// an error, since nobody can have meant it.
pub(super) fn authorities(file: &[u8], path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let found = blocks(file).filter(|(kind, _)| *kind == SectionKind::Certificate);
    let found: Vec<_> = found.map(|(_, der)| CertificateDer::from(der)).collect();
    if found.is_empty() { Err(format!("no certificate in PEM form found in {path}")) } else { Ok(found) }
}

/// The numbers of a `--client-crl-file`: DER as etcd has it, or PEM as most tools write it.
pub(super) fn revoked(file: &[u8], path: &str) -> Result<Revoked, String> {
    let der = blocks(file).find(|(kind, _)| *kind == SectionKind::Crl).map(|(_, der)| der);
    Revoked::read(der.as_deref().unwrap_or(file)).map_err(|why| format!("x509: malformed crl: {path}: {why}"))
}
