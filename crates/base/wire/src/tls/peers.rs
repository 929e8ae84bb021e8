//! TLS from container instance to container instance: each shows the certificate that it joined
//! with, and takes those of other instances of the same authority alone.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme,
};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::certificate::roots;
use super::client::Shown;
use super::{Certificate, Identity, Stream, TlsClient, TlsError, provider};

/// Both sides of TLS between container instances. Cheap to clone; a renewed certificate is shown from the
/// next connection on.
#[derive(Clone)]
pub struct TlsPeers {
    shown: Arc<Shown>,
    chain: Arc<dyn ClientCertVerifier>,
    server: Arc<ServerConfig>,
}

impl std::fmt::Debug for TlsPeers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsPeers(…)")
    }
}

impl TlsClient {
    /// TLS with other instances whose certificates are of this authority (PEM; `what` names it in errors),
    /// showing what this client shows.
    ///
    /// # Errors
    /// If the text holds no certificate, or one that cannot be used.
    pub fn peers(&self, what: &str, authority: &[u8]) -> Result<TlsPeers, TlsError> {
        let roots = Arc::new(roots(what, authority)?);
        let chain = WebPkiClientVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|error| TlsError::content(what, error))?;
        let shown = self.shown();
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|source| TlsError::unusable(what, source))?
            .with_client_cert_verifier(Arc::clone(&chain))
            .with_cert_resolver(Arc::clone(&shown) as Arc<dyn ResolvesServerCert>);
        Ok(TlsPeers { shown, chain, server: Arc::new(server) })
    }
}

impl TlsPeers {
    /// The handshake of a connection that came; with it, the name of the instance that made it.
    ///
    /// # Errors
    /// If who comes shows no certificate of an instance, or the connection breaks.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, String)> {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::clone(&self.server));
        let stream = acceptor.accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        match shown.and_then(|der| node_of(der)) {
            Some(name) => Ok((stream, name)),
            None => Err(io::Error::other("the certificate is of no container instance")),
        }
    }

    /// TLS over a connection to the instance of this name.
    ///
    /// # Errors
    /// If it is another one, or the connection breaks.
    pub async fn connect(&self, name: &str, stream: TcpStream) -> io::Result<Stream> {
        let verifier = OfNode { chain: Arc::clone(&self.chain), name: name.to_owned() };
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::clone(&self.shown) as _);
        let address = ServerName::from(stream.peer_addr()?.ip());
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        Ok(Stream::Tls(Box::new(connector.connect(address, stream).await?)))
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current()
    }
}

/// The instance whose certificate it is.
fn node_of(der: &CertificateDer<'_>) -> Option<String> {
    match Certificate::of_der(der)?.identity {
        Some(Identity::Node(name)) => Some(name),
        Some(Identity::Server) | None => None,
    }
}

/// Takes the certificate of one instance. Instances' certificates are for clients and have no host
/// names in them: who it is stands in the name that it joined by.
#[derive(Debug)]
struct OfNode {
    chain: Arc<dyn ClientCertVerifier>,
    name: String,
}

impl ServerCertVerifier for OfNode {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.chain.verify_client_cert(end_entity, intermediates, now)?;
        match node_of(end_entity) {
            Some(name) if name == self.name => Ok(ServerCertVerified::assertion()),
            Some(_) | None => Err(CertificateError::NotValidForName.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}
