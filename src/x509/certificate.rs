//! What is said of a certificate: its serial number and the names it is for.
//!
//! Invariants
//! - Nothing is verified here; that is the TLS library's part, which has done it before anybody asks.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::der::{BOOLEAN, Elements, INTEGER, Malformed, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, context};

/// subjectAltName, 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;

/// What a certificate says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// The serial number, most significant byte first, without leading zeros.
    pub serial: Vec<u8>,
    /// Host names that it is for.
    pub dns_names: Vec<String>,
    /// Addresses that it is for.
    pub addresses: Vec<IpAddr>,
}

impl Facts {
    /// Reads them from a certificate's DER.
    pub fn of(certificate: &[u8]) -> Result<Self, Malformed> {
        let mut signed = Elements::new(certificate).sequence()?;
        let mut inner = signed.sequence()?;
        inner.optional(context(0))?;
        let mut facts = Self { serial: magnitude(inner.expect(INTEGER)?), ..Self::default() };
        // Signature algorithm, issuer, validity, subject, key.
        for _ in 0..5 {
            inner.expect(SEQUENCE)?;
        }
        while !inner.is_empty() {
            let (tag, content) = inner.next()?;
            if tag == context(3) {
                facts.read_extensions(Elements::new(content).sequence()?)?;
            }
        }
        Ok(facts)
    }

    fn read_extensions(&mut self, mut extensions: Elements<'_>) -> Result<(), Malformed> {
        while !extensions.is_empty() {
            let mut extension = extensions.sequence()?;
            let kind = extension.expect(OBJECT_IDENTIFIER)?;
            extension.optional(BOOLEAN)?;
            let value = extension.expect(OCTET_STRING)?;
            if kind == ALTERNATIVE_NAMES {
                self.read_names(Elements::new(value).sequence()?)?;
            }
        }
        Ok(())
    }

    fn read_names(&mut self, mut names: Elements<'_>) -> Result<(), Malformed> {
        while !names.is_empty() {
            match names.next()? {
                (DNS_NAME, name) => self.dns_names.push(String::from_utf8_lossy(name).into_owned()),
                (IP_ADDRESS, bytes) => self.addresses.push(address(bytes)?),
                _ => {}
            }
        }
        Ok(())
    }
}

fn address(bytes: &[u8]) -> Result<IpAddr, Malformed> {
    match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(four), _) => Ok(Ipv4Addr::from(four).into()),
        (_, Ok(sixteen)) => Ok(Ipv6Addr::from(sixteen).into()),
        (Err(_), Err(_)) => Err(Malformed),
    }
}

/// A number's bytes without leading zeros, as Go's big numbers give them.
pub(super) fn magnitude(integer: &[u8]) -> Vec<u8> {
    integer.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// A serial number as the log has it.
pub fn serial_text(serial: &[u8]) -> String {
    serial.iter().fold(String::new(), |mut text, byte| {
        // A text takes whatever is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
