//! Which client certificates are good: those that an authority vouches for, that are for an allowed name, and that are
//! not revoked.
//!
//! Invariants
//! - The library's verification comes first: names and numbers are only looked at in certificates that it found good.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::notes;
use crate::x509::{Facts, Revoked};

/// The certificate is for none of the allowed names.
#[derive(Debug)]
pub(super) struct WrongName;

impl fmt::Display for WrongName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("client certificate authentication failed")
    }
}

impl std::error::Error for WrongName {}

/// The rules.
#[derive(Debug)]
pub(super) struct Verifier {
    authorities: Arc<dyn ClientCertVerifier>,
    /// Nothing when any name will do.
    names: Option<Vec<ServerName<'static>>>,
    revoked: Option<Revoked>,
}

impl Verifier {
    /// Rules with these authorities.
    pub(super) fn new(
        authorities: Vec<CertificateDer<'static>>,
        names: &[String],
        revoked: Option<Revoked>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority).map_err(|why| format!("x509: malformed certificate: {why}"))?;
        }
        let authorities = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
        // What is no name at all is no certificate's name.
        let read = |name: &String| ServerName::try_from(name.trim_matches(['[', ']']).to_owned()).ok();
        let names = if names.is_empty() { None } else { Some(names.iter().filter_map(read).collect()) };
        Ok(Self { authorities: authorities.map_err(|why| why.to_string())?, names, revoked })
    }

    fn check_name(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        let Some(names) = &self.names else { return Ok(()) };
        let parsed = ParsedCertificate::try_from(certificate)?;
        if names.iter().any(|name| verify_server_name(&parsed, name).is_ok()) {
            return Ok(());
        }
        Err(CertificateError::Other(OtherError(Arc::new(WrongName))).into())
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.authorities.verify_client_cert(end_entity, intermediates, now)?;
        notes::note(|notes| notes.certificate = Facts::of(end_entity).ok());
        self.check_name(end_entity)?;
        let chain = std::iter::once(end_entity).chain(intermediates).map(AsRef::as_ref);
        if let Some(serial) = self.revoked.as_ref().and_then(|revoked| revoked.find(chain)) {
            notes::note(|notes| notes.detail = Some(format!("transport: certificate serial {serial} revoked")));
            return Err(CertificateError::Revoked.into());
        }
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
