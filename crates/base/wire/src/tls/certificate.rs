//! What a certificate says.

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use terms::Timestamp;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::{Identity, TlsError};

/// The facts of an X.509 certificate that we use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// From when it is valid.
    pub begins_at: Timestamp,
    /// Until when it is valid.
    pub ends_at: Timestamp,
    /// The DNS names and IP addresses that it is for.
    pub names: Vec<String>,
    /// Whose it is, if it is one of ours.
    pub identity: Option<Identity>,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// SHA-256 of its public key with algorithm (SubjectPublicKeyInfo), as kubeadm pins it.
    pub key_hash: [u8; 32],
}

impl Certificate {
    /// The first certificate of a PEM text; `what` names the text in errors.
    ///
    /// # Errors
    /// If there is none, or it is no X.509 certificate.
    pub fn of_pem(what: &str, pem: &[u8]) -> Result<Self, TlsError> {
        let all = certificates(what, pem)?;
        Self::of_der(&all[0]).ok_or_else(|| TlsError::content(what, "is no X.509 certificate"))
    }

    /// The certificate of a DER encoding, if it is one.
    pub(super) fn of_der(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(der).ok()?;
        let mut names = Vec::new();
        let mut identity = None;
        for name in alternative_names(&parsed) {
            match name {
                GeneralName::DNSName(name) => names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.extend(address(bytes)),
                GeneralName::URI(uri) => identity = identity.or_else(|| Identity::of_uri(uri)),
                _ => {}
            }
        }
        let at = |seconds: i64| Timestamp::from_millis(seconds.saturating_mul(1000));
        Some(Self {
            begins_at: at(parsed.validity().not_before.timestamp()),
            ends_at: at(parsed.validity().not_after.timestamp()),
            names,
            identity,
            is_authority: parsed.is_ca(),
            key_hash: Sha256::digest(parsed.public_key().raw).into(),
        })
    }

    /// Whether a client that was told `host` (a DNS name or an IP address) accepts it. A name
    /// that begins with `*.` stands for one label.
    pub fn is_for(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.names.iter().any(|name| {
            let wild = name.strip_prefix('*').filter(|rest| rest.starts_with('.'));
            let fits =
                |rest: &str| host.split_once('.').is_some_and(|(_, tail)| tail == &rest[1..]);
            name.eq_ignore_ascii_case(host) || wild.is_some_and(fits)
        })
    }
}

fn alternative_names<'a>(certificate: &'a X509Certificate<'a>) -> &'a [GeneralName<'a>] {
    match certificate.subject_alternative_name() {
        Ok(Some(extension)) => &extension.value.general_names,
        _ => &[],
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| std::net::Ipv6Addr::from(v6).to_string())
}

/// All certificates of a PEM text: one at least.
pub(super) fn certificates(
    what: &str,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| TlsError::content(what, error))?;
    if all.is_empty() {
        return Err(TlsError::content(what, "holds no certificate in PEM form"));
    }
    Ok(all)
}

/// The private key of a PEM text.
pub(super) fn private_key(what: &str, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| TlsError::content(what, "holds no private key in PEM form"))
}

/// The certificates of a PEM text as what is trusted.
pub(super) fn roots(what: &str, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(what, pem)? {
        roots.add(certificate).map_err(|source| TlsError::unusable(what, source))?;
    }
    Ok(roots)
}
