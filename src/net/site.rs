//! Which sockets the URLs of the flags ask for, and what each is for.
//!
//! Invariants
//! - Pure. An address stands once, whatever schemes it was given with.

use super::entrance::{Entrance, Security, Traffic};
use crate::config::Listen;
use crate::identity::Url;

/// A socket to open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Site {
    /// Where; of several URLs with the same address, the first.
    pub url: Url,
    /// The flag that asked for it.
    pub flag: &'static str,
    /// What for.
    pub entrance: Entrance,
}

impl Site {
    /// All sockets, those of the client listeners first.
    pub fn all(listen: &Listen) -> Vec<Self> {
        // Where HTTP has listeners of its own, the others serve calls alone.
        let clients = if listen.client_http.is_empty() { Traffic::Both } else { Traffic::Grpc };
        let lists = [
            ("--listen-client-urls", &listen.client, clients),
            ("--listen-client-http-urls", &listen.client_http, Traffic::Http),
            ("--listen-metrics-urls", &listen.metrics, Traffic::Metrics),
        ];
        let mut all: Vec<Self> = Vec::new();
        for (flag, urls, traffic) in lists {
            for url in urls {
                let security = if url.scheme().is_secure() { Security::Tls } else { Security::Plain };
                let same = |other: &&mut Self| other.flag == flag && other.url.address() == url.address();
                match all.iter_mut().find(same) {
                    Some(other) => other.entrance.security = other.entrance.security.and(security),
                    None => all.push(Self { url: url.clone(), flag, entrance: Entrance { traffic, security } }),
                }
            }
        }
        all
    }

    /// Whether any of these sockets takes TLS.
    pub fn any_secure(all: &[Self]) -> bool {
        all.iter().any(|site| site.entrance.security != Security::Plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(texts: &[&str]) -> Vec<Url> {
        texts.iter().map(|text| Url::parse(text).unwrap()).collect()
    }

    fn listen(client: &[&str], http: &[&str], metrics: &[&str]) -> Listen {
        let (client, client_http, metrics) = (urls(client), urls(http), urls(metrics));
        Listen { client, client_http, peer: Vec::new(), metrics, reuse_port: false, reuse_address: false }
    }

    fn shown(listen: &Listen) -> Vec<(String, Traffic, Security)> {
        let all = Site::all(listen);
        all.iter().map(|one| (one.url.address(), one.entrance.traffic, one.entrance.security)).collect()
    }

    #[test]
    fn one_address_with_both_schemes_is_one_socket() {
        let both = listen(&["http://127.0.0.1:1", "https://127.0.0.1:1", "https://127.0.0.1:2"], &[], &[]);
        let expected = [
            ("127.0.0.1:1".to_owned(), Traffic::Both, Security::Either),
            ("127.0.0.1:2".to_owned(), Traffic::Both, Security::Tls),
        ];
        assert_eq!(shown(&both), expected);
        assert!(Site::any_secure(&Site::all(&both)));
    }

    #[test]
    fn http_apart_leaves_calls_to_the_others() {
        let apart = listen(&["http://127.0.0.1:1", "unixs://a:2"], &["http://127.0.0.1:3"], &["https://127.0.0.1:4"]);
        let expected = [
            ("127.0.0.1:1".to_owned(), Traffic::Grpc, Security::Plain),
            ("a:2".to_owned(), Traffic::Grpc, Security::Tls),
            ("127.0.0.1:3".to_owned(), Traffic::Http, Security::Plain),
            ("127.0.0.1:4".to_owned(), Traffic::Metrics, Security::Tls),
        ];
        assert_eq!(shown(&apart), expected);
        assert!(!Site::any_secure(&Site::all(&listen(&["http://127.0.0.1:1"], &[], &[]))));
    }
}
