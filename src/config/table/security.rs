//! Flags about TLS, browsers and users.

use super::super::flag::{Flag, Group, Kind, in_force};

const fn flag(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    in_force(Group::Security, name, kind, default, help)
}

const GATEWAY: &str = "the server never calls itself; the files are checked at the start, as etcd does";

const fn tls(name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Flag {
    flag(name, kind, default, help).refused("TLS between members")
}

/// In the order of `--help`.
pub(super) const FLAGS: &[Flag] = &[
    flag(
        "cert-file",
        Kind::Text,
        "",
        "Certificate of the client listeners, its chain behind it; read anew when it changes.",
    ),
    flag("key-file", Kind::Text, "", "Its key."),
    flag("client-cert-auth", Kind::Bool, "false", "Demand certificates of clients."),
    flag("client-cert-file", Kind::Text, "", "Certificate to use when this server is itself a client.")
        .without(GATEWAY),
    flag("client-key-file", Kind::Text, "", "Its key.").without(GATEWAY),
    flag("client-crl-file", Kind::Text, "", "Revoked client certificates: a list in DER or PEM."),
    flag("client-cert-allowed-hostname", Kind::List, "", "Names that a client's certificate may be for."),
    flag(
        "trusted-ca-file",
        Kind::Text,
        "",
        "Authorities that client certificates are signed by; given, certificates are demanded.",
    ),
    flag("auto-tls", Kind::Bool, "false", "Make a certificate for the client listeners."),
    tls("peer-cert-file", Kind::Text, "", "Certificate of the peer listeners."),
    tls("peer-key-file", Kind::Text, "", "Its key."),
    tls("peer-client-cert-auth", Kind::Bool, "false", "Demand certificates of peers."),
    tls("peer-client-cert-file", Kind::Text, "", "Certificate to use when calling peers."),
    tls("peer-client-key-file", Kind::Text, "", "Its key."),
    tls("peer-trusted-ca-file", Kind::Text, "", "Authorities that peer certificates are signed by."),
    tls("peer-cert-allowed-cn", Kind::List, "", "Common names that peers may have."),
    tls("peer-cert-allowed-hostname", Kind::List, "", "Names that a peer's certificate may be for."),
    tls("peer-auto-tls", Kind::Bool, "false", "Make a certificate for the peer listeners."),
    tls("peer-crl-file", Kind::Text, "", "Revoked peer certificates."),
    tls("peer-skip-client-san-verification", Kind::Bool, "false", "Do not check the names in peers' certificates."),
    flag("cipher-suites", Kind::List, "", "Cipher suites of TLS 1.2, by Go's names; those of TLS 1.3 are always on."),
    flag("tls-min-version", Kind::Text, "TLS1.2", "Oldest version of TLS: TLS1.2 or TLS1.3."),
    flag("tls-max-version", Kind::Text, "", "Newest version of TLS: TLS1.2, TLS1.3 or empty for the newest there is."),
    flag("self-signed-cert-validity", Kind::Uint, "1", "Years that self-made certificates are valid for."),
    flag("cors", Kind::Origins, "*", "Origins that browsers may call from."),
    flag("host-whitelist", Kind::UniqueList, "*", "Host names that HTTP requests over plain TCP may be for."),
    in_force(Group::Auth, "auth-token", Kind::Text, "simple", "Kind of tokens: `simple`, or `jwt` with its options.")
        .refused("tokens other than simple ones"),
    in_force(Group::Auth, "bcrypt-cost", Kind::Uint, "10", "Cost of hashing a password, 4 to 31.").not_yet("users"),
    in_force(Group::Auth, "auth-token-ttl", Kind::Uint, "300", "Seconds that a simple token lives.").not_yet("users"),
];
