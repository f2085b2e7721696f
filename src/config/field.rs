//! Where a field of the configuration file belongs: to a flag, to a section, or to etcd's past.
//!
//! Invariants
//! - Every flag that etcd's file can set has exactly one field.

use super::flag::Flag;
use super::table::find;

/// A part of the file that has fields of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Section {
    /// The file itself.
    Top,
    /// `client-transport-security`.
    ClientSecurity,
    /// `peer-transport-security`.
    PeerSecurity,
    /// `socket-options`.
    Socket,
    /// `discovery-config`.
    Discovery,
    /// `discovery-config.client`.
    DiscoveryClient,
    /// `discovery-config.client.secure`.
    DiscoverySecure,
    /// `discovery-config.client.auth`.
    DiscoveryAuth,
}

/// What a field is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// The field of a flag.
    Flag(usize, &'static Flag),
    /// The beginning of a section.
    Section(Section),
    /// A field that some etcd had and 3.7 passes over.
    Past,
    /// A field that etcd has and no flag speaks for; only its zero value passes.
    OnlyZero,
}

/// Flags that have no field at the top: those of the sections, and those that only a command line can give.
const NOT_AT_TOP: &[&str] = &[
    "cert-file",
    "key-file",
    "client-cert-file",
    "client-key-file",
    "client-cert-auth",
    "client-crl-file",
    "client-cert-allowed-hostname",
    "trusted-ca-file",
    "auto-tls",
    "socket-reuse-port",
    "socket-reuse-address",
    "raft-read-timeout",
    "raft-write-timeout",
    "discovery-fallback",
    "config-file",
    "version",
];

/// Fields of sections, and the flags they speak for; no flag means that only the zero value passes.
const CLIENT_SECURITY: &[(&str, &str)] = &[
    ("cert-file", "cert-file"),
    ("key-file", "key-file"),
    ("client-cert-file", "client-cert-file"),
    ("client-key-file", "client-key-file"),
    ("client-cert-auth", "client-cert-auth"),
    ("trusted-ca-file", "trusted-ca-file"),
    ("auto-tls", "auto-tls"),
    ("allowed-cn", ""),
    ("allowed-hostname", "client-cert-allowed-hostname"),
    ("skip-client-san-verification", ""),
];
const PEER_SECURITY: &[(&str, &str)] = &[
    ("cert-file", "peer-cert-file"),
    ("key-file", "peer-key-file"),
    ("client-cert-file", "peer-client-cert-file"),
    ("client-key-file", "peer-client-key-file"),
    ("client-cert-auth", "peer-client-cert-auth"),
    ("trusted-ca-file", "peer-trusted-ca-file"),
    ("auto-tls", "peer-auto-tls"),
    ("allowed-cn", "peer-cert-allowed-cn"),
    ("allowed-hostname", "peer-cert-allowed-hostname"),
    ("skip-client-san-verification", "peer-skip-client-san-verification"),
];
const SOCKET: &[(&str, &str)] = &[("reuse-port", "socket-reuse-port"), ("reuse-address", "socket-reuse-address")];
const DISCOVERY: &[(&str, &str)] = &[("token", "discovery-token")];
const DISCOVERY_CLIENT: &[(&str, &str)] = &[
    ("endpoints", "discovery-endpoints"),
    ("request-timeout", "discovery-request-timeout"),
    ("dial-timeout", "discovery-dial-timeout"),
    ("keepalive-time", "discovery-keepalive-time"),
    ("keepalive-timeout", "discovery-keepalive-timeout"),
    ("max-request-bytes", ""),
    ("max-recv-bytes", ""),
];
const DISCOVERY_SECURE: &[(&str, &str)] = &[
    ("cert", "discovery-cert"),
    ("key", "discovery-key"),
    ("cacert", "discovery-cacert"),
    ("server-name", ""),
    ("insecure-transport", "discovery-insecure-transport"),
    ("insecure-skip-tls-verify", "discovery-insecure-skip-tls-verify"),
];
const DISCOVERY_AUTH: &[(&str, &str)] =
    &[("username", "discovery-user"), ("password", "discovery-password"), ("token", "")];

/// Fields that files of older releases carry and etcd 3.7 passes over in silence. `experimental-` fields are of them too.
const PAST: &[&str] = &[
    "debug",
    "discovery",
    "discovery-fallback",
    "discovery-proxy",
    "enable-v2",
    "log-package-levels",
    "proxy",
    "proxy-dial-timeout",
    "proxy-failure-wait",
    "proxy-read-timeout",
    "proxy-refresh-interval",
    "proxy-write-timeout",
];

impl Section {
    /// The name before a field's own, with the dot between them.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::ClientSecurity => "client-transport-security.",
            Self::PeerSecurity => "peer-transport-security.",
            Self::Socket => "socket-options.",
            Self::Discovery => "discovery-config.",
            Self::DiscoveryClient => "discovery-config.client.",
            Self::DiscoverySecure => "discovery-config.client.secure.",
            Self::DiscoveryAuth => "discovery-config.client.auth.",
        }
    }

    /// The sections in this one.
    fn inner(self) -> &'static [(&'static str, Self)] {
        match self {
            Self::Top => &[
                ("client-transport-security", Self::ClientSecurity),
                ("peer-transport-security", Self::PeerSecurity),
                ("socket-options", Self::Socket),
                ("discovery-config", Self::Discovery),
            ],
            Self::Discovery => &[("client", Self::DiscoveryClient)],
            Self::DiscoveryClient => &[("secure", Self::DiscoverySecure), ("auth", Self::DiscoveryAuth)],
            Self::ClientSecurity | Self::PeerSecurity | Self::Socket | Self::DiscoverySecure | Self::DiscoveryAuth => {
                &[]
            }
        }
    }

    fn fields(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Top => &[],
            Self::ClientSecurity => CLIENT_SECURITY,
            Self::PeerSecurity => PEER_SECURITY,
            Self::Socket => SOCKET,
            Self::Discovery => DISCOVERY,
            Self::DiscoveryClient => DISCOVERY_CLIENT,
            Self::DiscoverySecure => DISCOVERY_SECURE,
            Self::DiscoveryAuth => DISCOVERY_AUTH,
        }
    }
}

/// What the field of this name is; Go's JSON reader takes names in any case.
pub(super) fn find_field(section: Section, name: &str) -> Option<Place> {
    let name = name.to_ascii_lowercase();
    if let Some((_, inner)) = section.inner().iter().find(|(field, _)| *field == name) {
        return Some(Place::Section(*inner));
    }
    if let Some((_, flag)) = section.fields().iter().find(|(field, _)| *field == name) {
        let place = find(flag).map(|(index, flag)| Place::Flag(index, flag));
        return Some(place.unwrap_or(Place::OnlyZero));
    }
    if section != Section::Top {
        return None;
    }
    let has_field = !NOT_AT_TOP.contains(&name.as_str()) && !is_of_a_section(&name);
    if has_field && let Some((index, flag)) = find(&name) {
        return Some(Place::Flag(index, flag));
    }
    (PAST.contains(&name.as_str()) || name.starts_with("experimental-")).then_some(Place::Past)
}

/// Whether a flag's field stands in a section.
fn is_of_a_section(flag: &str) -> bool {
    flag.starts_with("peer-")
        || (flag.starts_with("discovery-") && !matches!(flag, "discovery-srv" | "discovery-srv-name"))
}

/// The field that somebody may have meant who wrote a flag's name at the top.
pub(super) fn meant(flag: &str) -> Option<String> {
    let sections = [
        Section::ClientSecurity,
        Section::PeerSecurity,
        Section::Socket,
        Section::Discovery,
        Section::DiscoveryClient,
        Section::DiscoverySecure,
        Section::DiscoveryAuth,
    ];
    sections.into_iter().find_map(|section| {
        let (field, _) = section.fields().iter().find(|(_, name)| *name == flag && !name.is_empty())?;
        Some(format!("{}{field}", section.prefix()))
    })
}

#[cfg(test)]
mod tests {
    use super::super::table::all;
    use super::*;

    #[test]
    fn each_flag_has_one_field_or_none_for_a_reason() {
        for flag in all() {
            let at_top =
                matches!(find_field(Section::Top, flag.name), Some(Place::Flag(_, found)) if found.name == flag.name);
            let in_section = meant(flag.name).is_some();
            let only_flag = matches!(
                flag.name,
                "client-crl-file"
                    | "peer-crl-file"
                    | "raft-read-timeout"
                    | "raft-write-timeout"
                    | "discovery-fallback"
                    | "config-file"
                    | "version"
            );
            let ways = u8::from(at_top) + u8::from(in_section) + u8::from(only_flag);
            assert_eq!(ways, 1, "--{}: top {at_top}, section {in_section}, flag only {only_flag}", flag.name);
        }
    }

    #[test]
    fn names_are_taken_in_any_case_and_the_past_is_known() {
        assert!(matches!(find_field(Section::Top, "Heartbeat-Interval"), Some(Place::Flag(..))));
        assert!(matches!(find_field(Section::Top, "experimental-anything"), Some(Place::Past)));
        assert!(matches!(find_field(Section::Top, "discovery-fallback"), Some(Place::Past)));
        assert!(matches!(find_field(Section::ClientSecurity, "allowed-cn"), Some(Place::OnlyZero)));
        assert!(find_field(Section::Top, "cert-file").is_none());
        assert_eq!(meant("cert-file").unwrap(), "client-transport-security.cert-file");
    }
}
