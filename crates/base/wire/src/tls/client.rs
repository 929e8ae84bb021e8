//! What a client trusts, and what it shows.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WantsClientCert, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, RootCertStore,
    SignatureScheme, WantsVerifier,
};
use tokio::net::TcpStream;

use super::certificate::{certificates, private_key, roots};
use super::{Certificate, Stream, TlsError, provider};

/// Connects to `http` and `https` URLs.
pub type Connector = HttpsConnector<HttpConnector>;

/// What a client trusts and shows. Cheap to clone; clones show the same certificate.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    shown: Arc<Shown>,
}

impl std::fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TlsClient(…)")
    }
}

/// The certificate that a client shows, which may be renewed while connections come and go.
#[derive(Debug, Default)]
pub(super) struct Shown(ArcSwapOption<CertifiedKey>);

impl Shown {
    /// What is shown now.
    pub(super) fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }

    fn has_certs(&self) -> bool {
        self.0.load().is_some()
    }
}

impl TlsClient {
    /// Trusts the authorities of this machine (`/etc/ssl/certs`, or what `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` name).
    pub fn system() -> Self {
        static ROOTS: OnceLock<RootCertStore> = OnceLock::new();
        let load = || {
            let mut roots = RootCertStore::empty();
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            roots
        };
        Self::trusting(ROOTS.get_or_init(load).clone())
    }

    /// What an endpoint, or a list of them, needs when nobody said more: this machine's authorities for `https`, and
    /// none for `http`.
    pub fn of(endpoint: &str) -> Self {
        match endpoint.contains("https://") {
            true => Self::system(),
            false => Self::none(),
        }
    }

    /// Trusts nobody: for endpoints without TLS.
    pub(crate) fn none() -> Self {
        Self::trusting(RootCertStore::empty())
    }

    /// Trusts the authorities of a PEM text alone; `what` names it in errors.
    ///
    /// # Errors
    /// If the text holds no certificate, or one that cannot be used.
    pub fn with_authorities(what: &str, pem: &[u8]) -> Result<Self, TlsError> {
        Ok(Self::trusting(roots(what, pem)?))
    }

    /// Trusts whoever answers: only for who asks for just that, as with Docker's
    /// `syslog-tls-skip-verify`.
    pub fn trusting_any() -> Self {
        Self::showing(|builder| {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone))
        })
    }

    fn trusting(roots: RootCertStore) -> Self {
        // None at all are fine here: then no server is trusted.
        Self::showing(|builder| builder.with_root_certificates(roots))
    }

    /// Shows what it will be told to, and trusts whom `trust` says.
    fn showing(
        trust: impl FnOnce(
            ConfigBuilder<ClientConfig, WantsVerifier>,
        ) -> ConfigBuilder<ClientConfig, WantsClientCert>,
    ) -> Self {
        let shown = Arc::new(Shown::default());
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has the suites of TLS 1.2 and 1.3");
        let resolver = Arc::clone(&shown) as Arc<dyn ResolvesClientCert>;
        let config = trust(builder).with_client_cert_resolver(resolver);
        Self { config: Arc::new(config), shown }
    }

    /// Trusts the one authority whose key has this hash ([`Certificate::key_hash`]); the server
    /// must send its certificate along. For the first call of a machine that has only a token.
    pub fn pinned(key_hash: [u8; 32]) -> (Self, PinnedAuthority) {
        let verifier = Arc::new(Pinned { key_hash, seen: OnceLock::new() });
        let trusted = Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>;
        let client =
            Self::showing(|builder| builder.dangerous().with_custom_certificate_verifier(trusted));
        (client, PinnedAuthority(verifier))
    }

    /// Shows this certificate (with its chain) from the next connection on. Texts are PEM.
    ///
    /// # Errors
    /// If certificate and key are not to be read, or do not belong together.
    pub fn show(&self, certificate: &[u8], key: &[u8]) -> Result<(), TlsError> {
        let chain = certificates("the client's certificate", certificate)?;
        let key = private_key("the client's key", key)?;
        let certified = CertifiedKey::from_der(chain, key, &provider())
            .map_err(|source| TlsError::unusable("the client's certificate", source))?;
        self.shown.0.store(Some(Arc::new(certified)));
        Ok(())
    }

    /// What it shows, now and later.
    pub(super) fn shown(&self) -> Arc<Shown> {
        Arc::clone(&self.shown)
    }

    /// The rustls configuration: for clients that are not ours.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// A connector for hyper's client. Speaks HTTP/1.1.
    pub fn connector(&self, mut http: HttpConnector) -> Connector {
        http.enforce_http(false);
        HttpsConnectorBuilder::new()
            .with_tls_config((*self.config).clone())
            .https_or_http()
            .enable_http1()
            .wrap_connector(http)
    }

    /// TLS over a connection to `host`.
    ///
    /// # Errors
    /// If the host is no name or address, the server's certificate is not trusted, or the
    /// connection breaks.
    pub async fn connect(&self, host: &str, stream: TcpStream) -> std::io::Result<Stream> {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(std::io::Error::other)?;
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.config));
        Ok(Stream::Tls(Box::new(connector.connect(name, stream).await?)))
    }
}

/// What a pinned client has seen.
#[derive(Clone, Debug)]
pub struct PinnedAuthority(Arc<Pinned>);

impl PinnedAuthority {
    /// The pinned authority's certificate as PEM, once a connection stood.
    pub fn pem(&self) -> Option<String> {
        self.0.seen.get().map(|der| pem_of(der))
    }
}

/// The PEM text of a certificate.
fn pem_of(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    let lines = lines.join("\n");
    format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n")
}

/// Finds the pinned authority in what the server sent, and trusts it alone.
#[derive(Debug)]
struct Pinned {
    key_hash: [u8; 32],
    seen: OnceLock<CertificateDer<'static>>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let is_pinned = |der: &&CertificateDer<'_>| {
            Certificate::of_der(der)
                .is_some_and(|found| found.is_authority && found.key_hash == self.key_hash)
        };
        let authority = intermediates.iter().find(is_pinned);
        let authority = authority.ok_or(CertificateError::UnknownIssuer)?.clone().into_owned();
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone())?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let verified = verifier.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        )?;
        _ = self.seen.set(authority);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Anyone.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Anyone.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Looks at nobody's certificate, only at whether who showed it has its key.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
