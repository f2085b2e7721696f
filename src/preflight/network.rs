//! Addresses: the host of the default route, host names of peers, ports that are taken.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs, UdpSocket};

use super::Problem;
use crate::identity::Url;
use crate::limits::{RESOLVE_MAX, RESOLVE_RETRY_INTERVAL};
use crate::log::{Logger, Value};

/// This machine's address on its default route, IPv4 before IPv6.
///
/// # Errors
/// If there is no default route.
pub fn default_host() -> Result<String, String> {
    // Connecting a datagram socket sends nothing; it makes the kernel choose the address it would send from. The targets
    // are documentation addresses, outside every local network.
    let targets: [(IpAddr, IpAddr); 2] = [
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(203, 0, 113, 1).into()),
        (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    ];
    for (local, target) in targets {
        let chosen = UdpSocket::bind((local, 0)).and_then(|socket| {
            socket.connect((target, 9))?;
            socket.local_addr()
        });
        if let Ok(address) = chosen {
            return Ok(address.ip().to_string());
        }
    }
    Err("could not find default route".to_owned())
}

/// Resolves `host:port`, trying again until it works or `RESOLVE_MAX` is over: at boot, DNS may come up after us.
pub fn resolve(host_port: &str, log: &Logger) -> Result<String, String> {
    let tries = RESOLVE_MAX.as_secs() / RESOLVE_RETRY_INTERVAL.as_secs();
    let mut cause = String::new();
    for attempt in 0..tries {
        if attempt > 0 {
            pause();
        }
        match host_port.to_socket_addrs().map(|mut addresses| addresses.next()) {
            Ok(Some(address)) => {
                log.info(
                    "resolved URL Host",
                    &[("host", Value::from(host_port.to_owned())), ("resolved-addr", Value::display(&address))],
                );
                return Ok(address.to_string());
            }
            Ok(None) => "the name has no address".clone_into(&mut cause),
            Err(error) => cause = error.to_string(),
        }
        let fields = [
            ("host", Value::from(host_port.to_owned())),
            ("retry-interval", RESOLVE_RETRY_INTERVAL.into()),
            ("error", cause.to_owned().into()),
        ];
        log.warn("failed to resolve URL Host", &fields);
    }
    Err(cause)
}

#[expect(clippy::disallowed_methods, reason = "no executor runs yet: this is the main thread before the start")]
fn pause() {
    std::thread::sleep(RESOLVE_RETRY_INTERVAL);
}

/// Why a listener could not be opened; `flag` is the one to change.
pub fn bind_problem(url: &Url, flag: &str, cause: &io::Error) -> Problem {
    let address = url.address();
    let port = url.host_and_port().map_or("", |(_, port)| port);
    match cause.raw_os_error() {
        Some(libc::EADDRINUSE) => Problem::new(
            format!("cannot listen on {url}: listen tcp {address}: bind: address already in use"),
            format!(
                "stop the process that holds the port (`ss -ltnp 'sport = :{port}'` names it), or choose another {flag}"
            ),
        ),
        Some(libc::EADDRNOTAVAIL) => Problem::new(
            format!("cannot listen on {url}: this machine does not have the address"),
            format!("choose an address of this machine, or 0.0.0.0 for all of them, in {flag}"),
        ),
        Some(libc::EACCES | libc::EPERM) => Problem::new(
            format!("cannot listen on {url}: permission denied"),
            format!("choose a port above 1023 in {flag}, or give the process CAP_NET_BIND_SERVICE"),
        ),
        _ => Problem::new(format!("cannot listen on {url}: {cause}"), format!("choose another {flag}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_the_cure() {
        let url = Url::parse("http://127.0.0.1:2379").unwrap();
        let told =
            bind_problem(&url, "--listen-client-urls", &io::Error::from_raw_os_error(libc::EADDRINUSE)).to_string();
        assert!(told.contains("127.0.0.1:2379: bind: address already in use"), "{told}");
        assert!(told.contains("sport = :2379") && told.contains("--listen-client-urls"), "{told}");
    }

    #[test]
    fn the_default_host_is_an_address() {
        if let Ok(host) = default_host() {
            assert!(host.parse::<IpAddr>().is_ok(), "{host}");
        }
    }
}
