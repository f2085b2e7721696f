//! Why a handshake came to nothing, in the words of Go's crypto/tls, so that whoever reads etcd's log reads this one.
//!
//! Invariants
//! - Expired, unknown authority, wrong name, revoked, no certificate, not TLS: each has a text of its own.

use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::notes::Notes;
use crate::x509::Facts;

/// A client that was turned away before it spoke HTTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Why.
    pub text: String,
    /// Whether the client just left, which is told at level `debug`.
    pub left: bool,
    /// The name that it asked for.
    pub server_name: String,
    /// What its certificate says, if that was good until here.
    pub certificate: Option<Box<Facts>>,
}

impl Failure {
    /// A failure with a text of ours.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), left: false, server_name: String::new(), certificate: None }
    }

    /// The client closed the connection.
    pub fn left() -> Self {
        Self { left: true, ..Self::new("EOF") }
    }

    /// The socket failed.
    pub fn broken(error: &io::Error) -> Self {
        let gos = [
            (io::ErrorKind::ConnectionReset, "read: connection reset by peer"),
            (io::ErrorKind::BrokenPipe, "write: broken pipe"),
            (io::ErrorKind::TimedOut, "i/o timeout"),
        ];
        let text = gos.into_iter().find(|(kind, _)| *kind == error.kind()).map(|(_, text)| text.to_owned());
        Self::new(text.unwrap_or_else(|| error.to_string()))
    }

    /// The first bytes are not those of TLS.
    pub fn not_tls() -> Self {
        Self::new("tls: first record does not look like a TLS handshake")
    }

    /// The library refused what came, and `notes` were taken of it.
    pub(super) fn of(error: &Error, notes: Notes) -> Self {
        Self {
            text: notes.detail.unwrap_or_else(|| text_of(error)),
            left: false,
            server_name: notes.server_name.unwrap_or_default(),
            certificate: notes.certificate.map(Box::new),
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's errors grow; those without words here keep its own")]
fn text_of(error: &Error) -> String {
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => Failure::not_tls().text,
        Error::NoCertificatesPresented => "tls: client didn't provide a certificate".to_owned(),
        Error::InvalidCertificate(why) => of_certificate(why),
        Error::AlertReceived(alert) => format!("remote error: tls: {}", of_alert(*alert)),
        Error::NoApplicationProtocol => "tls: client requested unsupported application protocols".to_owned(),
        Error::PeerIncompatible(why) => of_peer(why),
        other => format!("tls: {other}"),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's errors grow; those without words here keep its own")]
fn of_peer(why: &PeerIncompatible) -> String {
    match why {
        PeerIncompatible::NoCipherSuitesInCommon => {
            "tls: no cipher suite supported by both client and server".to_owned()
        }
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::Tls13RequiredForQuic => "tls: client offered only unsupported versions".to_owned(),
        other => format!("tls: client is incompatible: {other:?}"),
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library's errors grow; those without words here keep its own")]
fn of_certificate(why: &CertificateError) -> String {
    let dates = "certificate has expired or is not yet valid";
    let reason = match why {
        CertificateError::Expired | CertificateError::NotValidYet => dates.to_owned(),
        CertificateError::ExpiredContext { time, not_after } => {
            format!("{dates}: current time {} is after {}", date(*time), date(*not_after))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("{dates}: current time {} is before {}", date(*time), date(*not_before))
        }
        CertificateError::UnknownIssuer => "certificate signed by unknown authority".to_owned(),
        CertificateError::BadSignature => {
            "certificate signed by unknown authority (its signature does not fit)".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "certificate specifies an incompatible key usage".to_owned()
        }
        // A text of our own, which etcd gives without what comes before.
        CertificateError::Other(own) => return own.0.to_string(),
        other => format!("certificate is not valid: {other:?}"),
    };
    format!("tls: failed to verify certificate: x509: {reason}")
}

fn date(time: UnixTime) -> String {
    let moment = i64::try_from(time.as_secs()).ok().and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok());
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| time.as_secs().to_string())
}

/// Go's words for what the other side complains of.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's errors grow; those without words here keep its own")]
fn of_alert(alert: AlertDescription) -> String {
    let text = match alert {
        AlertDescription::UnexpectedMessage => "unexpected message",
        AlertDescription::BadRecordMac => "bad record MAC",
        AlertDescription::RecordOverflow => "record overflow",
        AlertDescription::HandshakeFailure => "handshake failure",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateRevoked => "revoked certificate",
        AlertDescription::CertificateExpired => "expired certificate",
        AlertDescription::CertificateUnknown => "unknown certificate",
        AlertDescription::IllegalParameter => "illegal parameter",
        AlertDescription::UnknownCA => "unknown certificate authority",
        AlertDescription::AccessDenied => "access denied",
        AlertDescription::DecodeError => "error decoding message",
        AlertDescription::DecryptError => "error decrypting message",
        AlertDescription::ProtocolVersion => "protocol version not supported",
        AlertDescription::InsufficientSecurity => "insufficient security level",
        AlertDescription::InternalError => "internal error",
        AlertDescription::UserCanceled => "user canceled",
        AlertDescription::NoApplicationProtocol => "no application protocol",
        AlertDescription::CertificateRequired => "certificate required",
        other => return format!("alert({})", u8::from(other)),
    };
    text.to_owned()
}
