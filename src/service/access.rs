//! Who may call over HTTP: the hosts that the server answers to in plain, and the sites whose pages may call it.
//!
//! Invariants
//! - An empty list, and one with `*` in it, allow everybody, as in etcd.

use crate::log::Logger;
use ::http::header::HeaderValue;

/// `--host-whitelist` and `--cors`.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Hosts, without ports.
    pub hosts: Vec<String>,
    /// Origins, as browsers write them.
    pub origins: Vec<String>,
    /// Where refusals are told of.
    pub logger: Option<Logger>,
}

fn allows(list: &[String], one: &str) -> bool {
    list.is_empty() || list.iter().any(|entry| entry == "*" || entry == one)
}

impl Access {
    /// Whether requests for this host are answered in plain.
    pub(super) fn allows_host(&self, host: &str) -> bool {
        allows(&self.hosts, host)
    }

    /// What a browser is told of the origin it named: that anybody may call, that this one may, or nothing.
    pub(super) fn origin_answer(&self, origin: Option<&HeaderValue>) -> Option<HeaderValue> {
        if allows(&self.origins, "*") {
            return Some(HeaderValue::from_static("*"));
        }
        let named = origin.and_then(|origin| origin.to_str().ok()).unwrap_or_default();
        if allows(&self.origins, named) { origin.cloned() } else { None }
    }

    /// Tells the operator of a request for another host.
    pub(super) fn tell_of_host(&self, host: &str) {
        if let Some(logger) = &self.logger {
            let fields = [("host", host.to_owned().into())];
            logger.warn("rejecting HTTP request to prevent DNS rebinding attacks", &fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(hosts: &[&str], origins: &[&str]) -> Access {
        let owned = |list: &[&str]| list.iter().map(|entry| (*entry).to_owned()).collect();
        Access { hosts: owned(hosts), origins: owned(origins), logger: None }
    }

    #[test]
    fn lists_allow_what_they_name() {
        for open in [access(&[], &[]), access(&["*"], &["*"]), access(&["a", "*"], &["http://a", "*"])] {
            assert!(open.allows_host("b") && open.allows_host(""));
            assert_eq!(open.origin_answer(None).unwrap(), "*");
        }
        let closed = access(&["a"], &["http://a"]);
        assert!(closed.allows_host("a") && !closed.allows_host("b") && !closed.allows_host(""));
        let origin = |text| closed.origin_answer(Some(&HeaderValue::from_static(text)));
        assert_eq!(origin("http://a").unwrap(), "http://a");
        assert_eq!((origin("http://b"), origin("*"), closed.origin_answer(None)), (None, None, None));
    }
}
