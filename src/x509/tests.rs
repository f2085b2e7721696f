//! Against certificates and lists that another library made, and against anything else.

use super::{Facts, Revoked};
use rcgen::{
    CertificateParams, CertificateRevocationListParams, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SerialNumber, date_time_ymd,
};

fn authority() -> Issuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Issuer::new(params, KeyPair::generate().unwrap())
}

fn certificate(serial: &[u8], names: &[&str]) -> Vec<u8> {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.serial_number = Some(SerialNumber::from_slice(serial));
    params.signed_by(&KeyPair::generate().unwrap(), &authority()).unwrap().der().to_vec()
}

fn list(serials: &[&[u8]]) -> Vec<u8> {
    let revoked_certs = serials.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: Some(rcgen::RevocationReason::KeyCompromise),
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(2060, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: revoked_certs.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(&authority()).unwrap().der().to_vec()
}

#[test]
fn names_and_numbers_are_read() {
    let facts = Facts::of(&certificate(&[0x81, 2, 3], &["a.example", "127.0.0.1", "::1", "*.b.example"])).unwrap();
    assert_eq!(facts.serial, [0x81, 2, 3]);
    assert_eq!(facts.dns_names, ["a.example", "*.b.example"]);
    assert_eq!(facts.addresses, ["127.0.0.1".parse::<std::net::IpAddr>().unwrap(), "::1".parse().unwrap()]);
    assert_eq!(Facts::of(&certificate(&[1], &[])).unwrap(), Facts { serial: vec![1], ..Facts::default() });
}

#[test]
fn the_revoked_are_found_among_a_chain() {
    let revoked = Revoked::read(&list(&[&[0x81, 2, 3], &[7]])).unwrap();
    assert_eq!(revoked.len(), 2);
    let (good, bad) = (certificate(&[8], &[]), certificate(&[0x81, 2, 3], &["x"]));
    assert_eq!(revoked.find([good.as_slice()]), None);
    assert_eq!(revoked.find([good.as_slice(), &bad]), Some("810203".to_owned()));
    assert!(Revoked::read(&list(&[])).unwrap().is_empty());
}

#[test]
fn what_is_cut_or_changed_is_refused_or_read_but_never_a_panic() {
    let (certificate, list) = (certificate(&[5], &["a.example", "10.0.0.1"]), list(&[&[5], &[6]]));
    for end in 0..certificate.len() {
        let _ = Facts::of(&certificate[..end]);
    }
    for end in 0..list.len() {
        assert!(Revoked::read(&list[..end]).is_err(), "{end}");
    }
    for at in 0..certificate.len() {
        for value in [0, 0x7f, 0x80, 0x84, 0xff] {
            let mut changed = certificate.clone();
            changed[at] = value;
            let _ = Facts::of(&changed);
        }
    }
    for at in 0..list.len() {
        for value in [0, 0x7f, 0x80, 0x84, 0xff] {
            let mut changed = list.clone();
            changed[at] = value;
            let _ = Revoked::read(&changed);
        }
    }
    assert!(Revoked::read(&certificate).is_err());
}

/// Made by OpenSSL: one number is revoked, 0x1001, and the certificate has one name.
#[test]
fn what_another_library_wrote_is_read() {
    let list = include_bytes!("../../tests/fuzz/corpus/x509/list");
    assert_eq!(Revoked::read(list).unwrap().len(), 1);
    let facts = Facts::of(include_bytes!("../../tests/fuzz/corpus/x509/certificate")).unwrap();
    assert_eq!(facts.dns_names, ["client.example"]);
}
