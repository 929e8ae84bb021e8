//! Connections to targets: whoever answers is believed, as with AWS (Application Load Balancer
//! guide, "Target groups").

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio_rustls::TlsConnector;

use super::provider;
use crate::config::Speaks;

/// What makes connections to targets that speak this.
pub(crate) fn connector(speaks: Speaks) -> TlsConnector {
    static HTTP1: OnceLock<TlsConnector> = OnceLock::new();
    static BYTES: OnceLock<TlsConnector> = OnceLock::new();
    static HTTP2: OnceLock<TlsConnector> = OnceLock::new();
    match speaks {
        Speaks::Http1 => HTTP1.get_or_init(|| make(&[b"http/1.1"])).clone(),
        Speaks::Bytes => BYTES.get_or_init(|| make(&[])).clone(),
        Speaks::Http2 | Speaks::Grpc => HTTP2.get_or_init(|| make(&[b"h2"])).clone(),
    }
}

fn make(offers: &[&[u8]]) -> TlsConnector {
    let builder = ClientConfig::builder_with_provider(provider().clone());
    let versions = builder.with_protocol_versions(rustls::DEFAULT_VERSIONS);
    let versions = versions.expect("ring has ciphers of both versions");
    let verifier = versions.dangerous().with_custom_certificate_verifier(Arc::new(Anyone));
    let mut config = verifier.with_no_client_auth();
    config.alpn_protocols = offers.iter().map(|offer| offer.to_vec()).collect();
    // Targets are known by their addresses; names would be those that clients send.
    config.enable_sni = false;
    TlsConnector::from(Arc::new(config))
}

/// Believes any certificate whose owner has its key.
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
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
