//! What listeners show: versions, ciphers, and the certificate that fits a client best (Application
//! Load Balancer guide, "SSL certificates" and "Security policies").

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CipherSuite, ProtocolVersion, ServerConfig, SignatureAlgorithm, SupportedProtocolVersion,
};
use x509_parser::extensions::GeneralName;

use super::provider;
use crate::config::{CertificatePair, Tls};

/// What a listener shows, ready to be shown, with what it was made of.
pub(crate) struct Secure {
    told: Tls,
    offers: &'static [&'static [u8]],
    pub(crate) config: Arc<ServerConfig>,
}

impl Secure {
    /// Makes it; `before` is kept if nothing has changed, with the sessions that clients may resume.
    ///
    /// # Errors
    /// Why it cannot be shown, for people.
    pub(crate) fn next(
        before: Option<&Arc<Self>>,
        told: &Tls,
        offers: &'static [&'static [u8]],
    ) -> Result<Arc<Self>, String> {
        if let Some(before) =
            before.filter(|before| before.told == *told && before.offers == offers)
        {
            return Ok(Arc::clone(before));
        }
        let config = Arc::new(server_config(told, offers)?);
        Ok(Arc::new(Self { told: told.clone(), offers, config }))
    }

    /// The name of the certificate, if there is one alone.
    pub(crate) fn only_certificate(&self) -> Option<&str> {
        match self.told.certificates.as_slice() {
            [only] => Some(&only.name),
            _ => None,
        }
    }
}

fn server_config(told: &Tls, offers: &[&[u8]]) -> Result<ServerConfig, String> {
    let known = provider();
    let suite = |name: &String| {
        let wanted = suite(name)?;
        known.cipher_suites.iter().find(|suite| suite.suite() == wanted).copied()
    };
    let cipher_suites = told.ciphers.iter().filter_map(suite).collect();
    let chosen = CryptoProvider { cipher_suites, ..CryptoProvider::clone(known) };
    let has = |name: &str| told.protocols.iter().any(|known| known == name);
    let versions: Vec<&'static SupportedProtocolVersion> =
        [("TLSv1.3", &rustls::version::TLS13), ("TLSv1.2", &rustls::version::TLS12)]
            .into_iter()
            .filter_map(|(name, version)| has(name).then_some(version))
            .collect();
    let builder = ServerConfig::builder_with_provider(Arc::new(chosen));
    let builder = builder.with_protocol_versions(&versions).map_err(|error| error.to_string())?;
    let certificates = told.certificates.iter().map(Shown::read).collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() {
        return Err("the certificate is gone".to_owned());
    }
    let resolver = Arc::new(Choice { certificates });
    let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
    config.ignore_client_order = true;
    config.alpn_protocols = offers.iter().map(|offer| offer.to_vec()).collect();
    config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(|error| error.to_string())?;
    Ok(config)
}

/// The cipher of one of OpenSSL's names, if anything here has it.
fn suite(name: &str) -> Option<CipherSuite> {
    Some(match name {
        "TLS_AES_128_GCM_SHA256" => CipherSuite::TLS13_AES_128_GCM_SHA256,
        "TLS_AES_256_GCM_SHA384" => CipherSuite::TLS13_AES_256_GCM_SHA384,
        "TLS_CHACHA20_POLY1305_SHA256" => CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        "ECDHE-ECDSA-AES128-GCM-SHA256" => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-RSA-AES128-GCM-SHA256" => CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "ECDHE-ECDSA-AES256-GCM-SHA384" => CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "ECDHE-RSA-AES256-GCM-SHA384" => CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        _ => return None,
    })
}

/// OpenSSL's name of a cipher, as the load balancer tells it.
pub(crate) fn cipher_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
        _ => "-",
    }
}

/// OpenSSL's name of a version.
pub(crate) fn version_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        _ => "-",
    }
}

/// A certificate that may be shown.
#[derive(Debug)]
struct Shown {
    pair: Arc<CertifiedKey>,
    names: Vec<String>,
    is_ecdsa: bool,
    key_bits: usize,
    valid_for: i64,
}

impl Shown {
    fn read(told: &CertificatePair) -> Result<Self, String> {
        let wrong = |what: &str| format!("certificate {}: {what}", told.name);
        let chain = CertificateDer::pem_slice_iter(told.chain.as_bytes());
        let chain: Result<Vec<_>, _> = chain.collect();
        let chain = chain.map_err(|_| wrong("it cannot be read"))?;
        let key = PrivateKeyDer::from_pem_slice(told.key.expose().as_bytes());
        let key = key.map_err(|_| wrong("its key cannot be read"))?;
        let signing = provider().key_provider.load_private_key(key);
        let signing = signing.map_err(|_| wrong("its key cannot be used"))?;
        let first = chain.first().ok_or_else(|| wrong("it is empty"))?.clone();
        let parsed = x509_parser::parse_x509_certificate(&first);
        let (_, parsed) = parsed.map_err(|_| wrong("it cannot be read"))?;
        let key_bits = parsed.public_key().parsed().map_or(0, |key| key.key_size());
        let validity = parsed.validity();
        let valid_for = validity.not_after.timestamp() - validity.not_before.timestamp();
        let is_ecdsa = signing.algorithm() == SignatureAlgorithm::ECDSA;
        let pair = Arc::new(CertifiedKey::new(chain, signing));
        Ok(Self { pair, names: names(&parsed), is_ecdsa, key_bits, valid_for })
    }

    /// Whether it is for a host: by its whole name, or by `*` as its first label.
    fn is_for(&self, host: &str) -> bool {
        let tail = host.split_once('.').map(|(_, tail)| tail);
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(rest) => tail == Some(rest),
            None => name == host,
        })
    }

    /// Whether a client can use it.
    fn suits(&self, client: &ClientHello<'_>) -> bool {
        let can_sign = self.pair.key.choose_scheme(client.signature_schemes()).is_some();
        let kind = |suite: &CipherSuite| match suite {
            CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => true,
            CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => self.is_ecdsa,
            CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => !self.is_ecdsa,
            _ => false,
        };
        can_sign && client.cipher_suites().iter().any(kind)
    }
}

/// In small letters; the common name alone if there are no others.
fn names(parsed: &x509_parser::certificate::X509Certificate<'_>) -> Vec<String> {
    let extension = parsed.subject_alternative_name().ok().flatten();
    let all = extension.map(|found| found.value.general_names.as_slice()).unwrap_or_default();
    let mut names: Vec<String> = all
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if names.is_empty() {
        let common = parsed.subject().iter_common_name();
        names.extend(common.filter_map(|name| Some(name.as_str().ok()?.to_ascii_lowercase())));
    }
    names
}

/// Chooses the certificate of each client.
#[derive(Debug)]
struct Choice {
    /// One at least, the default one first.
    certificates: Vec<Shown>,
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = client.server_name().map(str::to_ascii_lowercase);
        let fits =
            |one: &&Shown| host.as_ref().is_some_and(|host| one.is_for(host)) && one.suits(&client);
        // Of several the last greatest would be taken: the first is to be.
        let best = self.certificates.iter().rev().filter(fits);
        let best = best.max_by_key(|one| (one.is_ecdsa, one.key_bits, one.valid_for));
        best.or_else(|| self.certificates.first()).map(|shown| Arc::clone(&shown.pair))
    }
}
