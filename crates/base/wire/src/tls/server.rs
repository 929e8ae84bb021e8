//! What a server shows, and which clients' certificates it takes.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::certificate::{certificates, private_key, roots};
use super::{Certificate, Connection, Identity, TlsClient, TlsError, provider};

/// The protocols that a connection may choose, the preferred one first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The files that make a TLS server, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// The server's certificate, followed by those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authority of agents', servers' and this certificate. Without it no client's
    /// certificate is asked for.
    pub authority: Option<PathBuf>,
}

/// A server's side of TLS. Cheap to clone; [`TlsServer::reload`] is seen by all clones.
#[derive(Clone)]
pub struct TlsServer(Arc<Inner>);

struct Inner {
    files: ServerFiles,
    current: ArcSwap<Loaded>,
    peers: TlsClient,
}

struct Loaded {
    config: Arc<ServerConfig>,
    certificate: Certificate,
    authority: Option<Certificate>,
    contents: Contents,
}

/// The files' bytes: what tells whether anything changed.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authority: Option<Vec<u8>>,
}

impl std::fmt::Debug for TlsServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsServer").field("files", &self.0.files).finish_non_exhaustive()
    }
}

impl TlsServer {
    /// Reads the files.
    ///
    /// # Errors
    /// If one cannot be read, or they do not go together.
    pub fn load(files: ServerFiles) -> Result<Self, TlsError> {
        let contents = Contents::read(&files)?;
        let peers = match &contents.authority {
            Some(pem) => TlsClient::with_authorities("the authority", pem)?,
            None => TlsClient::system(),
        };
        let loaded = Loaded::new(&files, contents)?;
        peers.show(&loaded.contents.certificate, &loaded.contents.key)?;
        Ok(Self(Arc::new(Inner { files, current: ArcSwap::from_pointee(loaded), peers })))
    }

    /// Reads the files again; what they hold now counts from the next connection on. Tells
    /// whether anything changed. After an error all stays as it was.
    ///
    /// # Errors
    /// As [`TlsServer::load`].
    pub fn reload(&self) -> Result<bool, TlsError> {
        let contents = Contents::read(&self.0.files)?;
        if contents == self.0.current.load().contents {
            return Ok(false);
        }
        let loaded = Loaded::new(&self.0.files, contents)?;
        self.0.peers.show(&loaded.contents.certificate, &loaded.contents.key)?;
        self.0.current.store(Arc::new(loaded));
        Ok(true)
    }

    /// The certificate that is shown now.
    pub fn certificate(&self) -> Certificate {
        self.0.current.load().certificate.clone()
    }

    /// The authority that clients are to trust, if the server was told one.
    pub fn authority(&self) -> Option<Certificate> {
        self.0.current.load().authority.clone()
    }

    /// The authority's certificates as PEM.
    pub fn authority_pem(&self) -> Option<Vec<u8>> {
        self.0.current.load().contents.authority.clone()
    }

    /// How this server calls others of its control plane: it trusts their authority and shows
    /// its own certificate, also after it was renewed. An authority that was changed counts after
    /// a restart.
    pub fn peers(&self) -> TlsClient {
        self.0.peers.clone()
    }

    /// The handshake of one connection.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Connection)> {
        let config = Arc::clone(&self.0.current.load().config);
        let stream = tokio_rustls::TlsAcceptor::from(config).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let identity: Option<Identity> =
            shown.and_then(|der| Certificate::of_der(der)).and_then(|found| found.identity);
        Ok((stream, Connection { is_tls: true, identity }))
    }
}

impl Contents {
    fn read(files: &ServerFiles) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path)
                .map_err(|source| TlsError::Read { path: path.to_path_buf(), source })
        };
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
            authority: files.authority.as_deref().map(read).transpose()?,
        })
    }
}

impl Loaded {
    fn new(files: &ServerFiles, contents: Contents) -> Result<Self, TlsError> {
        let name = |path: &Path| path.display().to_string();
        let what = name(&files.certificate);
        let certificate = Certificate::of_pem(&what, &contents.certificate)?;
        let mut chain = certificates(&what, &contents.certificate)?;
        let key = private_key(&name(&files.key), &contents.key)?;
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|source| TlsError::unusable(&what, source))?;
        let (builder, authority) = match (&files.authority, &contents.authority) {
            (Some(path), Some(pem)) => {
                let what = name(path);
                append(&mut chain, certificates(&what, pem)?);
                let roots = Arc::new(roots(&what, pem)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                    .allow_unauthenticated()
                    .build()
                    .map_err(|error| TlsError::content(&what, error))?;
                let authority = Certificate::of_pem(&what, pem)?;
                (builder.with_client_cert_verifier(verifier), Some(authority))
            }
            _ => (builder.with_no_client_auth(), None),
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|source| TlsError::unusable(&what, source))?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self { config: Arc::new(config), certificate, authority, contents })
    }
}

/// The authority goes with the chain, so that who knows only its hash can find it.
fn append(chain: &mut Vec<CertificateDer<'static>>, authorities: Vec<CertificateDer<'static>>) {
    let missing: Vec<_> = authorities.into_iter().filter(|der| !chain.contains(der)).collect();
    chain.extend(missing);
}
