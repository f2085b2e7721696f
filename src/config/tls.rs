//! TLS of the client listeners: what the flags say of it, and etcd's rules about them.
//!
//! Invariants
//! - No file is looked at here: names, versions and suites only.

use super::model::Config;
use super::settings::Settings;
use crate::gotext::quote;
use crate::log::{Record, Value};

/// A version of TLS.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TlsVersion {
    /// 1.2.
    V12,
    /// 1.3.
    V13,
}

impl TlsVersion {
    /// Reads etcd's name of it; no text is no choice.
    fn read(text: &str) -> Option<Self> {
        match text {
            "TLS1.2" => Some(Self::V12),
            "TLS1.3" => Some(Self::V13),
            _ => None,
        }
    }
}

/// What the client listeners are to do about TLS. Names of files that were not given are empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientTls {
    /// `--cert-file`.
    pub cert_file: String,
    /// `--key-file`.
    pub key_file: String,
    /// `--client-cert-file`.
    pub client_cert_file: String,
    /// `--client-key-file`.
    pub client_key_file: String,
    /// `--trusted-ca-file`.
    pub trusted_ca_file: String,
    /// `--client-crl-file`.
    pub crl_file: String,
    /// `--client-cert-auth`.
    pub client_cert_auth: bool,
    /// `--client-cert-allowed-hostname`.
    pub allowed_hostnames: Vec<String>,
    /// `--auto-tls`.
    pub auto: bool,
    /// `--self-signed-cert-validity`.
    pub self_signed_years: u64,
    /// `--cipher-suites`, by Go's names.
    pub cipher_suites: Vec<String>,
    /// `--tls-min-version`.
    pub version_min: TlsVersion,
    /// `--tls-max-version`; nothing is the newest there is.
    pub version_max: Option<TlsVersion>,
}

impl ClientTls {
    /// Whether files were named, in which case `--auto-tls` counts for nothing.
    pub fn has_files(&self) -> bool {
        !self.cert_file.is_empty() || !self.key_file.is_empty()
    }

    /// Whether there is a certificate, or will be one.
    pub fn is_given(&self) -> bool {
        self.has_files() || self.auto
    }

    /// Whether clients must show certificates: an authority alone is enough to demand them, as in etcd.
    pub fn demands_certificates(&self) -> bool {
        self.client_cert_auth || !self.trusted_ca_file.is_empty()
    }

    /// Refuses suites that nobody knows.
    pub(super) fn check_suites(&self) -> Result<(), String> {
        match self.cipher_suites.iter().find(|name| suite(name).is_none()) {
            Some(name) => Err(format!("unexpected TLS cipher suite {}", quote(name))),
            None => Ok(()),
        }
    }

    /// The numbers of the suites; nothing when none were chosen.
    pub fn suite_numbers(&self) -> Option<Vec<u16>> {
        let numbers: Vec<u16> = self.cipher_suites.iter().filter_map(|name| suite(name)).collect();
        if numbers.is_empty() { None } else { Some(numbers) }
    }

    /// Go's HTTP/2 server refuses lists without the suite that its standard demands.
    pub fn check_http2_suites(&self) -> Result<(), String> {
        let Some(numbers) = self.suite_numbers() else { return Ok(()) };
        if self.version_min > TlsVersion::V12 || numbers.iter().any(|number| HTTP2_SUITES.contains(number)) {
            return Ok(());
        }
        Err("http2: TLSConfig.CipherSuites is missing an HTTP/2-required AES_128_GCM_SHA256 cipher \
             (need at least one of TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)"
            .to_owned())
    }

    /// What the log says of it at the start, in etcd's form.
    pub fn describe(&self) -> String {
        format!(
            "cert = {}, key = {}, client-cert={}, client-key={}, trusted-ca = {}, client-cert-auth = {}, crl-file = {}",
            self.cert_file,
            self.key_file,
            self.client_cert_file,
            self.client_key_file,
            self.trusted_ca_file,
            self.client_cert_auth,
            self.crl_file
        )
    }
}

/// What there is to say of the listeners and their certificates before the start, with etcd's messages and names.
pub fn tls_notices(config: &Config) -> Vec<Record> {
    let (tls, listen) = (&config.tls, &config.listen);
    let mut records = Vec::new();
    if tls.auto && tls.has_files() {
        records.push(Record::warn("ignoring client auto TLS since certs given", Vec::new()));
    } else if tls.auto && (tls.demands_certificates() || !tls.crl_file.is_empty() || !tls.allowed_hostnames.is_empty())
    {
        let text = "with --auto-tls no client certificates are asked for, as in etcd; \
                    give --cert-file and --key-file to have them checked";
        records.push(Record::warn(text, Vec::new()));
    }
    for url in listen.client.iter().chain(&listen.client_http).filter(|url| !url.scheme().is_secure()) {
        let told = |what: &str, ignored: &str| {
            let text = format!("scheme is http or unix while {what}; ignoring {ignored}");
            Record::warn(text, vec![("client-url", Value::display(url))])
        };
        if tls.is_given() {
            records.push(told("key and cert files are present", "key and cert files"));
        }
        if tls.client_cert_auth {
            records.push(told("--client-cert-auth is enabled", "client cert auth for this URL"));
        }
    }
    if tls.is_given() {
        let fields =
            vec![("tls-info", tls.describe().into()), ("cipher-suites", Value::Texts(tls.cipher_suites.clone()))];
        records.push(Record::info("starting with client TLS", fields));
    }
    records
}

/// Reads what the flags say.
pub(super) fn client_tls(settings: &Settings) -> ClientTls {
    let text = |name| settings.text(name).to_owned();
    ClientTls {
        cert_file: text("cert-file"),
        key_file: text("key-file"),
        client_cert_file: text("client-cert-file"),
        client_key_file: text("client-key-file"),
        trusted_ca_file: text("trusted-ca-file"),
        crl_file: text("client-crl-file"),
        client_cert_auth: settings.bool("client-cert-auth"),
        allowed_hostnames: settings.list("client-cert-allowed-hostname").to_owned(),
        auto: settings.bool("auto-tls"),
        self_signed_years: settings.unsigned("self-signed-cert-validity"),
        cipher_suites: settings.list("cipher-suites").to_owned(),
        version_min: TlsVersion::read(settings.text("tls-min-version")).unwrap_or(TlsVersion::V12),
        version_max: TlsVersion::read(settings.text("tls-max-version")),
    }
}

/// ECDHE with AES-128-GCM.
const HTTP2_SUITES: [u16; 2] = [0xc02f, 0xc02b];

fn suite(name: &str) -> Option<u16> {
    SUITES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// The suites that Go knows, and two names of old that etcd takes besides.
const SUITES: &[(&str, u16)] = &[
    ("TLS_AES_128_GCM_SHA256", 0x1301),
    ("TLS_AES_256_GCM_SHA384", 0x1302),
    ("TLS_CHACHA20_POLY1305_SHA256", 0x1303),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", 0xc009),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", 0xc00a),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", 0xc013),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", 0xc014),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", 0xc02b),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", 0xc02c),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", 0xc02f),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", 0xc030),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca8),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", 0xcca9),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", 0xcca8),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", 0xcca9),
    ("TLS_RSA_WITH_RC4_128_SHA", 0x0005),
    ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", 0x000a),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", 0x002f),
    ("TLS_RSA_WITH_AES_256_CBC_SHA", 0x0035),
    ("TLS_RSA_WITH_AES_128_CBC_SHA256", 0x003c),
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", 0x009c),
    ("TLS_RSA_WITH_AES_256_GCM_SHA384", 0x009d),
    ("TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", 0xc007),
    ("TLS_ECDHE_RSA_WITH_RC4_128_SHA", 0xc011),
    ("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", 0xc012),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", 0xc023),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", 0xc027),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;

    #[test]
    fn suites_have_gos_names_and_http2_needs_one_of_two() {
        let suites = |list: &str| config(&[&format!("--cipher-suites={list}")]).tls;
        assert_eq!(suites("").suite_numbers(), None);
        assert!(suites("").check_http2_suites().is_ok());
        let good = suites("TLS_RSA_WITH_RC4_128_SHA,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
        assert_eq!((good.suite_numbers(), good.check_http2_suites()), (Some(vec![0x0005, 0xc02f]), Ok(())));
        assert!(suites("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384").check_http2_suites().is_err());
        assert_eq!(
            suites("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305,x").check_suites().unwrap_err(),
            "unexpected TLS cipher suite \"x\""
        );
    }

    #[test]
    fn an_authority_alone_demands_certificates_and_files_win_over_making_one() {
        assert!(config(&["--trusted-ca-file=x"]).tls.demands_certificates());
        assert!(!config(&[]).tls.demands_certificates());
        let told = |flags: &[&str]| -> Vec<String> {
            tls_notices(&config(flags)).into_iter().map(|record| record.message.into_owned()).collect()
        };
        assert!(told(&[]).is_empty());
        let both = told(&["--auto-tls", "--cert-file=x", "--listen-client-urls=https://127.0.0.1:1", ADVERTISED]);
        assert_eq!(both, ["ignoring client auto TLS since certs given", "starting with client TLS"]);
        let plain = told(&["--cert-file=x", "--client-cert-auth"]);
        assert_eq!(plain.len(), 3, "{plain:?}");
        let unasked =
            told(&["--auto-tls", "--client-cert-auth", "--listen-client-urls=https://127.0.0.1:1", ADVERTISED]);
        assert!(unasked[0].contains("no client certificates are asked for"), "{unasked:?}");
    }

    const ADVERTISED: &str = "--advertise-client-urls=https://127.0.0.1:1";
}
