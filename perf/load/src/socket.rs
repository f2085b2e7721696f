//! What a connection is made of: TCP, or TLS over it.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

/// A connected socket.
pub(crate) trait Socket: Read + Write {
    /// The TCP connection underneath.
    fn tcp(&self) -> &TcpStream;
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

/// TLS; the handshake is made by the first write.
pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

impl Socket for Tls {
    fn tcp(&self) -> &TcpStream {
        &self.sock
    }
}

/// Makes TLS connections that trust one certificate.
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Reads the certificate, as PEM.
    pub(crate) fn read(file: &Path) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(file).map_err(io::Error::other)? {
            roots.add(certificate.map_err(io::Error::other)?).map_err(io::Error::other)?;
        }
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols.push(b"h2".to_vec());
        // Each connection is to cost the server a whole handshake, as it does at first.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    /// Puts TLS on a connected socket.
    pub(crate) fn wrap(&self, socket: TcpStream, target: SocketAddr) -> io::Result<Tls> {
        let name = ServerName::IpAddress(target.ip().into());
        let session = ClientConnection::new(Arc::clone(&self.0), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(session, socket))
    }
}
