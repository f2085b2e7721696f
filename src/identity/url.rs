//! The URLs of flags and members: Go's `url.Parse` with etcd's rules and error texts on top.
//!
//! Invariants
//! - A `Url` has one of the four schemes that etcd takes; an http(s) one has a `host:port` and no path.
//! - Its text is canonical: ids are hashed from it and lists are sorted by it, so it must be Go's, byte for byte.
//!
//! It must not resolve names nor look at the network.

use std::fmt;

use super::host::split_host_port;
use super::parts::Parts;

/// How a listener or an advertised address is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS over TCP.
    Https,
    /// A Unix socket.
    Unix,
    /// TLS over a Unix socket.
    Unixs,
}

impl Scheme {
    /// The word before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Unix => "unix",
            Self::Unixs => "unixs",
        }
    }

    /// Whether TLS is spoken.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Https | Self::Unixs)
    }

    /// Whether the address is a path in the file system.
    pub fn is_unix(self) -> bool {
        matches!(self, Self::Unix | Self::Unixs)
    }
}

/// One URL of a listener or a member.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Url {
    /// The canonical text; first, so that the order of URLs is the order of their texts.
    text: String,
    scheme: Scheme,
    host: String,
    path: String,
}

impl Url {
    /// Reads one URL; blanks around it are dropped.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let parts = Parts::parse(text)?;
        let scheme = match parts.scheme.as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "unix" => Scheme::Unix,
            "unixs" => Scheme::Unixs,
            _ => return Err(format!("URL scheme must be http, https, unix, or unixs: {text}")),
        };
        let host = String::from_utf8_lossy(&parts.host).into_owned();
        if !scheme.is_unix() {
            if split_host_port(&host).is_err() {
                return Err(format!("URL address does not have the form \"host:port\": {text}"));
            }
            if !parts.path.is_empty() {
                return Err(format!("URL must not contain a path: {text}"));
            }
        }
        let canonical = parts.text();
        assert!(canonical.starts_with(scheme.name()), "the text of a URL begins with its scheme");
        assert!(!canonical.chars().any(char::is_control), "controls are refused or escaped");
        Ok(Self { text: canonical, scheme, host, path: String::from_utf8_lossy(&parts.path).into_owned() })
    }

    /// An http or https URL of a host and a port that were taken from other URLs.
    pub fn from_host_port(scheme: Scheme, host: &str, port: &str) -> Result<Self, String> {
        Self::parse(&format!("{}://{}", scheme.name(), super::join_host_port(host, port)))
    }

    /// The canonical text, as Go prints the URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What to speak.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// `host:port` of a TCP URL; what stands between `//` and the path of a Unix one.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Host and port of a TCP URL, without brackets; `None` for a Unix socket.
    pub fn host_and_port(&self) -> Option<(&str, &str)> {
        if self.scheme.is_unix() { None } else { split_host_port(&self.host).ok() }
    }

    /// What to bind or dial: `host:port`, or the path of a Unix socket.
    pub fn address(&self) -> String {
        if self.scheme.is_unix() { format!("{}{}", self.host, self.path) } else { self.host.to_owned() }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// A list of URLs, sorted by text as etcd keeps them. Doubles stay.
pub fn parse_urls<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Vec<Url>, String> {
    let mut urls = texts.into_iter().map(Url::parse).collect::<Result<Vec<_>, _>>()?;
    urls.sort();
    assert!(urls.windows(2).all(|pair| pair[0].text <= pair[1].text), "the order of URLs is that of their texts");
    Ok(urls)
}
