//! Hosts and ports as Go's `net` package takes them apart.
//!
//! Invariants
//! - Nothing here resolves a name.

/// `host:port` or `[v6]:port` taken apart; what Go's `SplitHostPort` refuses is an error with its text.
pub fn split_host_port(text: &str) -> Result<(&str, &str), String> {
    let refuse = |why: &str| Err(format!("address {text}: {why}"));
    let Some(colon) = text.rfind(':') else { return refuse("missing port in address") };
    let (host, after_host) = if let Some(inside) = text.strip_prefix('[') {
        let Some(end) = inside.find(']') else { return refuse("missing ']' in address") };
        if end + 2 == text.len() {
            return refuse("missing port in address");
        }
        if end + 2 != colon {
            let extra = text.as_bytes()[end + 2] == b':';
            return refuse(if extra { "too many colons in address" } else { "missing port in address" });
        }
        (&inside[..end], &inside[end + 1..])
    } else {
        let host = &text[..colon];
        if host.contains(':') {
            return refuse("too many colons in address");
        }
        if host.contains('[') {
            return refuse("unexpected '[' in address");
        }
        (host, &text[colon..])
    };
    if after_host.contains('[') {
        return refuse("unexpected '[' in address");
    }
    if host.contains(']') || after_host.contains(']') {
        return refuse("unexpected ']' in address");
    }
    Ok((host, &text[colon + 1..]))
}

/// The other direction: brackets around a host that holds a colon.
pub fn join_host_port(host: &str, port: &str) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_come_apart_and_together() {
        for (text, host, port) in [("a:1", "a", "1"), (":2379", "", "2379"), ("[::1]:2", "::1", "2"), ("a:", "a", "")] {
            assert_eq!(split_host_port(text), Ok((host, port)));
            assert_eq!(join_host_port(host, port), text);
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for (text, why) in [
            ("", "missing port in address"),
            ("a", "missing port in address"),
            ("[::1]", "missing port in address"),
            ("[::1", "missing ']' in address"),
            ("[::1]x:1", "missing port in address"),
            ("[::1]:1:2", "too many colons in address"),
            ("::1:2", "too many colons in address"),
            ("a[b:1", "unexpected '[' in address"),
            ("a]b:1", "unexpected ']' in address"),
        ] {
            assert_eq!(split_host_port(text), Err(format!("address {text}: {why}")), "{text}");
        }
    }
}
