//! The files that TLS is made of: read, and watched for changes.
//!
//! Invariants
//! - A stamp is equal only if the file was not replaced or written to since, but for writes within the grain of the file
//!   system's clock: a file that changed a moment ago is therefore not `settled`, and read again.
//! - Reads block: helper threads and the start call this, never an executor.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::ClientTls;
use crate::limits;

/// Where the files lie. What was not given is nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paths {
    /// The certificate and its chain.
    pub cert: String,
    /// Its key.
    pub key: String,
    /// The authorities of clients' certificates.
    pub ca: Option<String>,
    /// The revoked ones.
    pub crl: Option<String>,
}

impl Paths {
    /// The files that the flags name.
    pub fn of(tls: &ClientTls) -> Self {
        let given = |path: &String| Some(path.clone()).filter(|path| !path.is_empty());
        let ca = if tls.client_cert_auth && tls.trusted_ca_file.is_empty() {
            system_authorities()
        } else {
            given(&tls.trusted_ca_file)
        };
        Self { cert: tls.cert_file.clone(), key: tls.key_file.clone(), ca, crl: given(&tls.crl_file) }
    }

    /// What the files are now.
    pub(super) fn stamps(&self) -> Stamps {
        let stamp = |path: &String| fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata));
        let optional = |path: &Option<String>| path.as_ref().and_then(stamp);
        Stamps([stamp(&self.cert), stamp(&self.key), optional(&self.ca), optional(&self.crl)])
    }

    /// Reads them all.
    pub(super) fn read(&self) -> Result<Contents, String> {
        let optional = |path: &Option<String>| path.as_deref().map(read_file).transpose();
        Ok(Contents {
            cert: read_file(&self.cert)?,
            key: read_file(&self.key)?,
            ca: optional(&self.ca)?,
            crl: optional(&self.crl)?,
        })
    }
}

/// Where Go looks for the system's authorities, which `--client-cert-auth` alone trusts.
const SYSTEM_AUTHORITIES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

fn system_authorities() -> Option<String> {
    let found = SYSTEM_AUTHORITIES.iter().find(|path| fs::metadata(path).is_ok());
    Some((*found.unwrap_or(&SYSTEM_AUTHORITIES[0])).to_owned())
}

/// One file's bytes, with Go's texts for what can go wrong.
pub(super) fn read_file(path: &str) -> Result<Vec<u8>, String> {
    let told = |action: &str, error: &io::Error| format!("{action} {path}: {}", text_of(error));
    let file = fs::File::open(path).map_err(|error| told("open", &error))?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    if length > limits::TLS_FILE_BYTES_MAX {
        return Err(format!("{path} has {length} bytes, which is more than {}", limits::TLS_FILE_BYTES_MAX));
    }
    let mut bytes = Vec::new();
    let read = io::Read::read_to_end(&mut io::Read::take(file, limits::TLS_FILE_BYTES_MAX), &mut bytes);
    read.map_err(|error| told("read", &error))?;
    Ok(bytes)
}

/// The kernel's words as Go has them: in lower case, without the number.
fn text_of(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// What was read.
pub(super) struct Contents {
    pub(super) cert: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) ca: Option<Vec<u8>>,
    pub(super) crl: Option<Vec<u8>>,
}

impl Contents {
    /// What tells these bytes from others.
    pub(super) fn digest(&self) -> [u8; 20] {
        use sha1::Digest;
        let mut hash = sha1::Sha1::new();
        for part in [Some(&self.cert), Some(&self.key), self.ca.as_ref(), self.crl.as_ref()].into_iter().flatten() {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }
}

/// What a file is at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_settled(&self, now: Duration) -> bool {
        let changed = Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(0));
        now.checked_sub(changed).is_some_and(|age| age > limits::TLS_FILE_SETTLED)
    }
}

/// The stamps of all files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamps([Option<Stamp>; 4]);

impl Stamps {
    /// Whether a change from now on is certain to show.
    pub(super) fn are_settled(&self) -> bool {
        let now = now();
        self.0.iter().flatten().all(|stamp| stamp.is_settled(now))
    }
}

#[expect(clippy::disallowed_methods, reason = "compared with the file system's clock, in the shell")]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
