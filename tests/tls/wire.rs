//! A TLS client that a test can turn every knob of.
//!
//! **Invariants**: every wait has a deadline; what the server shows is told as it came, whether it is trusted or not.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, DigitallySignedStruct, Error, ProtocolVersion, SignatureScheme,
    StreamOwned, SupportedProtocolVersion,
};

use super::pki::Pair;

/// What to connect with.
#[derive(Clone, Default)]
pub(crate) struct Knobs<'a> {
    pub(crate) pair: Option<&'a Pair>,
    pub(crate) versions: Option<&'static [&'static SupportedProtocolVersion]>,
    pub(crate) suite: Option<CipherSuite>,
    pub(crate) protocols: &'a [&'a str],
    pub(crate) name: Option<&'a str>,
}

/// An open connection.
pub(crate) struct Spoken {
    stream: StreamOwned<ClientConnection, TcpStream>,
}

/// Takes every certificate.
#[derive(Debug)]
struct Trusting(Arc<CryptoProvider>);

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn config(knobs: &Knobs<'_>) -> ClientConfig {
    let mut provider = aws_lc_rs::default_provider();
    if let Some(wanted) = knobs.suite {
        provider.cipher_suites.retain(|suite| suite.suite() == wanted);
    }
    let provider = Arc::new(provider);
    let versions = knobs.versions.unwrap_or(rustls::ALL_VERSIONS);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions).unwrap();
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Trusting(provider)));
    let mut config = match knobs.pair {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = vec![CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = knobs.protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

impl Spoken {
    /// Connects and shakes hands; with TLS 1.3 the server may still refuse afterwards.
    pub(crate) fn open(address: SocketAddr, knobs: &Knobs<'_>) -> io::Result<Self> {
        let name = ServerName::try_from(knobs.name.unwrap_or("127.0.0.1").to_owned()).unwrap();
        let machine = ClientConnection::new(Arc::new(config(knobs)), name).map_err(io::Error::other)?;
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut stream = StreamOwned::new(machine, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { stream })
    }

    /// Asks for a path over HTTP/1.1 and reads the whole answer; the connection stays open.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<String> {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())?;
        let mut text = String::new();
        loop {
            let mut piece = [0; 4096];
            let count = self.stream.read(&mut piece)?;
            if count == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
            }
            text.push_str(&String::from_utf8_lossy(&piece[..count]));
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length =
                    head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    return Ok(text);
                }
            }
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// Bytes past the TLS machine.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.sock.write_all(bytes);
    }

    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }

    /// The certificate that the server showed.
    pub(crate) fn shown(&self) -> Vec<u8> {
        self.stream.conn.peer_certificates().unwrap()[0].to_vec()
    }

    pub(crate) fn version(&self) -> ProtocolVersion {
        self.stream.conn.protocol_version().unwrap()
    }

    pub(crate) fn suite(&self) -> CipherSuite {
        self.stream.conn.negotiated_cipher_suite().unwrap().suite()
    }

    pub(crate) fn protocol(&self) -> Option<String> {
        self.stream.conn.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned())
    }
}

/// The DER of a certificate in PEM.
pub(crate) fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}

/// Connects, speaks, and tells whether that came to an answer.
pub(crate) fn is_served(address: SocketAddr, knobs: &Knobs<'_>) -> bool {
    Spoken::open(address, knobs)
        .and_then(|mut spoken| spoken.get("/version"))
        .is_ok_and(|answer| answer.contains("200 OK"))
}
