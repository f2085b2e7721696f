//! A URL taken apart and put together again by Go's rules (`net/url` of the Go release that etcd 3.7.1 is built with).
//!
//! Invariants
//! - `Parts::text` is what Go's `URL.String` prints: the canonical text that ids are hashed from.
//!
//! It knows nothing of the schemes that etcd takes.

use core::net::IpAddr;

use super::escape::{Place, escape, escape_as_written, unescape};
use crate::gotext::quote;

/// The pieces of one URL, unescaped where Go unescapes them.
#[derive(Default, Debug)]
pub(super) struct Parts {
    pub(super) scheme: String,
    /// What follows the scheme when it does not begin with a slash.
    opaque: String,
    /// Canonical `name:password` if there is an `@`.
    user: Option<String>,
    /// Host and port; empty when there are none.
    pub(super) host: Vec<u8>,
    /// `scheme:/path`, without the two slashes of a host.
    host_omitted: bool,
    pub(super) path: Vec<u8>,
    raw_path: String,
    query: Option<String>,
    fragment: Vec<u8>,
    raw_fragment: String,
}

impl Parts {
    /// Takes `text` apart.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (before_fragment, fragment) = text.split_once('#').unwrap_or((text, ""));
        let name = |shown: &str, why: String| format!("parse {}: {why}", quote(shown));
        let mut parts = Self::parse_before_fragment(before_fragment).map_err(|why| name(before_fragment, why))?;
        parts.fragment = unescape(fragment, Place::Fragment).map_err(|why| name(text, why))?;
        fragment.clone_into(&mut parts.raw_fragment);
        Ok(parts)
    }

    fn parse_before_fragment(text: &str) -> Result<Self, String> {
        if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let (scheme, after_scheme) = split_scheme(text)?;
        let (mut rest, query) = match after_scheme.split_once('?') {
            Some((before, query)) => (before, Some(query.to_owned())),
            None => (after_scheme, None),
        };
        let mut parts = Self { scheme: scheme.to_ascii_lowercase(), query, ..Self::default() };
        if !rest.starts_with('/') {
            if !parts.scheme.is_empty() {
                rest.clone_into(&mut parts.opaque);
                return Ok(parts);
            }
            if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        match rest.strip_prefix("//") {
            Some(after_slashes) if !parts.scheme.is_empty() || !rest.starts_with("///") => {
                let end = after_slashes.find('/').unwrap_or(after_slashes.len());
                parts.set_authority(&after_slashes[..end])?;
                rest = &after_slashes[end..];
            }
            _ => parts.host_omitted = rest.starts_with('/'),
        }
        parts.path = unescape(rest, Place::Path)?;
        rest.clone_into(&mut parts.raw_path);
        Ok(parts)
    }

    fn set_authority(&mut self, authority: &str) -> Result<(), String> {
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        self.host = parse_host(&self.scheme, host)?;
        let Some(user) = user else { return Ok(()) };
        let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&byte);
        if !user.bytes().all(valid) {
            return Err("net/url: invalid userinfo".to_owned());
        }
        let (name, password) = match user.split_once(':') {
            Some((name, password)) => (name, Some(password)),
            None => (user, None),
        };
        let mut canonical = escape(&unescape(name, Place::User)?, Place::User);
        if let Some(password) = password {
            canonical.push(':');
            canonical.push_str(&escape(&unescape(password, Place::User)?, Place::User));
        }
        self.user = Some(canonical);
        Ok(())
    }

    /// The canonical text.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}:", self.scheme);
        if self.opaque.is_empty() {
            let has_authority = !self.host.is_empty() || self.user.is_some();
            if has_authority || (!self.host_omitted && !self.path.is_empty()) {
                text.push_str("//");
            }
            if let Some(user) = &self.user {
                text.push_str(user);
                text.push('@');
            }
            text.push_str(&escape(&self.host, Place::Host));
            text.push_str(&escape_as_written(&self.path, &self.raw_path, Place::Path));
        } else {
            text.push_str(&self.opaque);
        }
        if let Some(query) = &self.query {
            text.push('?');
            text.push_str(query);
        }
        if !self.fragment.is_empty() {
            text.push('#');
            text.push_str(&escape_as_written(&self.fragment, &self.raw_fragment, Place::Fragment));
        }
        text
    }
}

/// The scheme, if the text begins with one, and what follows its colon.
fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    for (at, byte) in text.bytes().enumerate() {
        let fits = byte.is_ascii_alphabetic() || at > 0 && (byte.is_ascii_digit() || b"+-.".contains(&byte));
        if byte == b':' {
            return if at == 0 {
                Err("missing protocol scheme".to_owned())
            } else {
                Ok((&text[..at], &text[at + 1..]))
            };
        }
        if !fits {
            break;
        }
    }
    Ok(("", text))
}

/// Host and port, unescaped; a bracketed host must be an IPv6 address.
fn parse_host(scheme: &str, host: &str) -> Result<Vec<u8>, String> {
    match host.rfind('[') {
        Some(0) => return parse_bracketed(host),
        Some(_) => return Err("invalid IP-literal".to_owned()),
        None => {}
    }
    // Only http and https are strict about a second colon.
    let colon = if matches!(scheme, "http" | "https") { host.find(':') } else { host.rfind(':') };
    if let Some(colon) = colon {
        check_port(&host[colon..])?;
    }
    unescape(host, Place::Host)
}

fn parse_bracketed(host: &str) -> Result<Vec<u8>, String> {
    let end = host.rfind(']').ok_or("missing ']' in host")?;
    let (inside, port) = (&host[1..end], &host[end + 1..]);
    check_port(port)?;
    let zone_at = inside.find("%25").unwrap_or(inside.len());
    let (address, zone) = inside.split_at(zone_at);
    let mut bytes = unescape(address, Place::Host)?;
    let parsed = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse::<IpAddr>().ok());
    bytes.extend(unescape(zone, Place::Zone)?);
    match parsed {
        Some(IpAddr::V6(_)) => Ok([b"[", bytes.as_slice(), b"]", port.as_bytes()].concat()),
        Some(IpAddr::V4(_)) => Err("invalid IP-literal".to_owned()),
        None => {
            Err(format!("invalid host: ParseAddr({}): unable to parse IP", quote(&String::from_utf8_lossy(&bytes))))
        }
    }
}

fn check_port(port: &str) -> Result<(), String> {
    let valid = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    if valid { Ok(()) } else { Err(format!("invalid port {} after host", quote(port))) }
}
