//! The certificate of `--auto-tls`: made once, kept in the data directory, signed by itself.
//!
//! Invariants
//! - Files that are there are used as they are, whoever made them, as in etcd.
//! - The key can be read by its owner alone from its first moment.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

use crate::log::Logger;

/// Makes certificate and key in `directory` unless they are there, for these hosts. Answers where they lie.
pub fn self_signed(
    directory: &Path,
    hosts: &[String],
    years: u64,
    logger: &Logger,
) -> Result<(String, String), String> {
    let told = |what: &'static str, why: String| {
        logger.warn(what, &[("error", why.clone().into())]);
        why
    };
    if years == 0 {
        let why = "selfSignedCertValidity is invalid,it should be greater than 0".to_owned();
        return Err(told("cannot generate cert", why));
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|why| told("cannot create cert directory", why.to_string()))?;
    let directory = fs::canonicalize(directory).map_err(|why| why.to_string())?;
    let (cert, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let paths = (cert.display().to_string(), key.display().to_string());
    if cert.exists() && key.exists() {
        return Ok(paths);
    }
    let (params, until) = params(hosts, years).map_err(|why| told("cannot generate x509 certificate", why))?;
    logger.warn("automatically generate certificates", &[("certificate-validity-bound-not-after", until.into())]);
    let pair = KeyPair::generate().map_err(|why| told("cannot generate ECDSA key", why.to_string()))?;
    let signed = params.self_signed(&pair).map_err(|why| told("cannot generate x509 certificate", why.to_string()))?;
    write(&key, &pair.serialize_pem(), 0o600).map_err(|why| told("cannot key file", why))?;
    logger.info("created key file", &[("path", paths.1.clone().into())]);
    write(&cert, &signed.pem(), 0o644).map_err(|why| told("cannot cert file", why))?;
    logger.info("created cert file", &[("path", paths.0.clone().into())]);
    Ok(paths)
}

/// What the certificate says, and until when it holds.
fn params(hosts: &[String], years: u64) -> Result<(CertificateParams, String), String> {
    #[expect(clippy::disallowed_methods, reason = "a certificate begins to hold at some date; this is the start")]
    let now = std::time::SystemTime::now();
    let from = OffsetDateTime::from(now);
    let seconds = i64::try_from(years).ok().and_then(|years| years.checked_mul(365 * 86_400));
    let until = seconds.and_then(|seconds| from.checked_add(Duration::seconds(seconds)));
    let until = until.ok_or("--self-signed-cert-validity is beyond all dates")?;
    let mut params = CertificateParams::default();
    params.not_before = from;
    params.not_after = until;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "etcd");
    params.distinguished_name = name;
    for host in hosts.iter().filter(|host| !host.is_empty()) {
        let name = match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(host.clone().try_into().map_err(|_| format!("{host} is no host name"))?),
        };
        params.subject_alt_names.push(name);
    }
    let shown = until.format(&time::format_description::well_known::Rfc3339).unwrap_or_default();
    Ok((params, shown))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path);
    opened
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(|why| why.to_string())
}
